"""The schemas that a flow declares. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def declared_schema(flow: Any, *path: str) -> Any:
    """Return what a flow has below `schemas.properties`, for example at `variables`, `properties`; None if nothing."""
    found = flow
    for key in ("schemas", "properties", *path):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
