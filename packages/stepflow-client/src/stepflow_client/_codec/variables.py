"""The variables that a flow declares. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._data.flow_declarations import declared_variables

if TYPE_CHECKING:
    from ..types import FlowVariable


def flow_variables(flow: Mapping[str, Any]) -> dict[str, FlowVariable]:
    """Return the variables a flow declares under `schemas.properties.variables`; empty if it declares none."""
    declared = declared_variables(flow)
    if not declared:
        return {}
    from ..types import FlowVariable

    return {name: FlowVariable(**fields) for name, fields in declared.items()}
