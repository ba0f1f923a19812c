"""Defaults that do not fit the type generated for their schema, which type checkers and pydantic would refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["without_wrong_defaults"]

_PYTHON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def without_wrong_defaults(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return named schemas without defaults that do not fit; the description tells what was left out.

    Args:
        named: The schemas in the form used for generation, by the names to which their references lead.
    """
    return {name: _checked(schema, named) for name, schema in named.items()}


def _checked(schema: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    checked = dict(schema)
    if "properties" in schema:
        checked["properties"] = {key: _checked(each, named) for key, each in schema["properties"].items()}
    if "default" in schema and schema["default"] is not None and not _fits(schema["default"], schema, named):
        left_out = f"The default {json.dumps(checked.pop('default'), ensure_ascii=False)} does not fit and is left out."
        checked["description"] = f"{schema.get('description', '')} {left_out}".strip()
    return checked


def _fits(value: Any, schema: Mapping[str, Any], named: Mapping[str, Any]) -> bool:
    if "$ref" in schema:
        return _fits(value, named[schema["$ref"].rpartition("/")[2]], named)
    if "anyOf" in schema and not any(_fits(value, each, named) for each in schema["anyOf"]):
        return False
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return False
    if "enum" in schema and not any(type(each) is type(value) and each == value for each in schema["enum"]):
        return False
    if isinstance(value, list):
        firsts, rest = schema.get("prefixItems"), schema.get("items", {})
        if firsts is not None and len(firsts) != len(value):
            return False
        return all(_fits(each, rest if firsts is None else firsts[place], named) for place, each in enumerate(value))
    return not isinstance(value, dict) or _fits_object(value, schema, named)


def _fits_object(value: Mapping[str, Any], schema: Mapping[str, Any], named: Mapping[str, Any]) -> bool:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    if any(name not in value for name in schema.get("required", ())):
        return False
    for name, each in value.items():
        wanted = properties.get(name, others)
        if wanted is False or (isinstance(wanted, Mapping) and not _fits(each, wanted, named)):
            return False
    return True


def _is_a(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    return isinstance(value, _PYTHON[kind]) and (kind == "boolean" or not isinstance(value, bool))
