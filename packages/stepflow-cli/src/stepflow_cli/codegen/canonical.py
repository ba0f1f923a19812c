"""Flows in one form: what servers read alike is written alike. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepflow_client._data.expressions import PathError, keyword_of, parse_path, write_path

_OPTIONAL = ("onError", "mustExecute", "metadata", "input")


def canonical(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow without what is the same as if it were not there, and with paths in one spelling."""
    found = {key: each for key, each in flow.items() if each not in (None, [], {})}
    if isinstance(found.get("steps"), list):
        found["steps"] = [_step(each) if isinstance(each, Mapping) else each for each in found["steps"]]
    if "output" in found:
        found["output"] = _expression(found["output"])
    schemas = _schemas(found.pop("schemas", {}))
    return {**found, "schemas": schemas} if schemas else found


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: each for key, each in step.items() if key not in _OPTIONAL or each not in (None, False)}
    if "input" in found:
        found["input"] = _expression(found["input"])
    if isinstance(found.get("onError"), Mapping):
        found["onError"] = {key: each for key, each in found["onError"].items() if each is not None}
    return found


def _expression(value: Any) -> Any:
    word = keyword_of(value)
    if isinstance(value, list):
        return [_expression(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if word == "$literal":
        inner = value["$literal"]
        is_flow = isinstance(inner, Mapping) and "output" in inner and isinstance(inner.get("steps", []), list)
        return {"$literal": canonical(inner)} if is_flow else dict(value)
    found = {key: each if word == "$step" else _expression(each) for key, each in value.items()}
    for key in ("path", "$input", "$variable") if word in ("$step", "$input", "$variable") else ():
        if key in found:
            found[key] = _path(found[key])
    if word == "$step" and found.get("path") == "$":
        del found["path"]
    return found


def _path(text: Any) -> Any:
    try:
        return write_path(parse_path(text))
    except (PathError, TypeError, AttributeError):
        return text


def _schemas(schemas: Any) -> Any:
    if not isinstance(schemas, Mapping):
        return schemas
    found = {key: _references(each) for key, each in schemas.items() if each not in (None, {}) and key != "type"}
    properties = found.get("properties")
    if isinstance(properties, dict):
        variables = properties.get("variables")
        if isinstance(variables, dict):
            required = variables.get("required")
            if isinstance(required, list):
                variables["required"] = sorted(map(str, required))
            kept = {key: each for key, each in variables.items() if (key, each) != ("required", [])}
            properties["variables"] = {"type": "object", **kept}
        found["properties"] = {key: each for key, each in properties.items() if each not in (None, {}, True)}
    return {key: each for key, each in found.items() if each}


def _references(schema: Any) -> Any:
    """Return a schema whose references to shared types are spelled alike."""
    if isinstance(schema, list):
        return [_references(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: each.replace("#/$defs/", "#/schemas/$defs/", 1)
        if key == "$ref" and isinstance(each, str) and each.startswith("#/$defs/")
        else _references(each)
        for key, each in schema.items()
    }
