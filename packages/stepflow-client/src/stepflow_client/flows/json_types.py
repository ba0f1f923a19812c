"""The types of JSON values, by the names that JSON Schema has for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["JSON_TYPES", "is_json_type", "is_number", "json_type"]

JSON_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def is_number(value: Any) -> bool:
    """Return whether a value is a number: booleans are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_json_type(value: Any, name: str) -> bool:
    """Return whether a value has a type; true if there is no such type. `3.0` is an integer too."""
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return is_number(value) and float(value).is_integer()
        case "number":
            return is_number(value)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, (list, tuple))
        case "object":
            return isinstance(value, Mapping)
    return True


def json_type(value: Any) -> str:
    """Return the name of the type of a value."""
    return next(name for name in JSON_TYPES if is_json_type(value, name))
