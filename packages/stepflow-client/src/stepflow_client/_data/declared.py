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


def fields_of(schema: Any) -> tuple[Mapping[str, Any], list[str]]:
    """Return the schemas of the fields of an object by name, and the names of the required ones."""
    found = (schema.get("properties"), schema.get("required")) if isinstance(schema, Mapping) else (None, None)
    names = [each for each in found[1] if isinstance(each, str)] if isinstance(found[1], list) else []
    return found[0] if isinstance(found[0], Mapping) else {}, names


def declared_variables(flow: Any) -> dict[str, dict[str, Any]]:
    """Return the variables that a flow declares, by name, each with the fields of a `FlowVariable`."""
    properties, required = (declared_schema(flow, "variables", key) for key in ("properties", "required"))
    return {
        name: {
            # A variable with a default can be omitted, even if the list contains it.
            "is_required": isinstance(required, list) and name in required and "default" not in declared,
            "default": declared.get("default"),
            "env_var": _text(declared.get("env_var")),
            "is_secret": declared.get("is_secret") is True,
            "description": _text(declared.get("description")),
            "value_schema": dict(declared),
        }
        for name, declared in (properties.items() if isinstance(properties, Mapping) else ())
        if isinstance(declared, Mapping)
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
