"""The allowed values and the constraints of a schema that Python types can express. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["constraints"]

_CONSTRAINTS = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems"),
}
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")
_LONGEST = 2**31
"""Lengths from this value on are not limits."""


def constraints(schema: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """Return the keywords of a schema that limit its values, for the types that it allows."""
    found = _values(schema)
    for kind in kinds:
        found |= {
            key: int(schema[key]) if key in _LENGTHS else schema[key]
            for key in _CONSTRAINTS.get(kind, ())
            if _is_constraint(key, schema.get(key))
        }
    return found


def _values(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the allowed values, if a Python type can express them."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not values or values == [None]:
        return {}
    if any(each is not None and not isinstance(each, (str, int)) for each in values):
        return {}
    return {"enum": values}


def _is_constraint(key: str, value: Any) -> bool:
    """Return whether a type can have this constraint: a number, a length, or a pattern that Python can compile.

    Pydantic rejects negative lengths and multiples of 0.
    """
    if key == "pattern":
        try:
            re.compile(value)
        except (re.error, TypeError):
            return False
        return True
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    if key in _LENGTHS:
        return value == int(value) and 0 <= value < _LONGEST
    return key != "multipleOf" or value > 0
