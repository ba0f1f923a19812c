"""JSON merge patches (RFC 7386), the format of step overrides. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def apply_patch(value: Any, patch: Any) -> Any:
    """Return a value with a merge patch applied."""
    if not isinstance(patch, Mapping):
        return patch
    whole = dict(value) if isinstance(value, Mapping) else {}
    for key, change in patch.items():
        if change is None:
            whole.pop(key, None)
        else:
            whole[key] = apply_patch(whole.get(key), change)
    return whole


def make_merge_patch(before: Any, after: Any) -> Any:
    """Return the merge patch that turns one value into another.

    Raises:
        ValueError: If a key becomes null, because null in a patch removes the key.
    """
    if not isinstance(after, Mapping):
        return after
    old = before if isinstance(before, Mapping) else {}
    patch: dict[str, Any] = {key: None for key in old if key not in after}
    for key, value in after.items():
        if value is None and (key not in old or old[key] is not None):
            raise ValueError(f"{key!r} cannot become null: an override with null removes the key")
        if key not in old or _serialize(old[key]) != _serialize(value):
            patch[key] = make_merge_patch(old.get(key), value)
    return patch


def _serialize(value: Any) -> str:
    """Return a value as a text to compare: true and 1 differ."""
    return json.dumps(value, sort_keys=True)
