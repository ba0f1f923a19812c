"""Checks values, and paths into values, against a JSON schema. Only a few keywords are supported. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .findings import near
from .nearest import nearest
from .placed import Node

__all__ = ["Mismatch", "mismatches", "resolve", "schema_at"]

_EXPRESSIONS = ("$literal", "$if", "$coalesce", "$from", "$step", "$input", "$variable")
_BRANCHES = ("anyOf", "oneOf", "allOf", "not", "if", "patternProperties", "dependentSchemas", "unevaluatedProperties")


class Mismatch(NamedTuple):
    """A place where a value or path does not match a schema."""

    node: Node
    path: str
    message: str
    hint: str | None = None
    is_extra: bool = False
    """Whether the mismatch is a field that the schema does not have."""


def resolve(schema: Any, defs: Mapping[str, Any]) -> Any:
    """Return a schema with its `$ref` resolved; `{}` (any value) if the reference is invalid."""
    for _ in range(20):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        reference = schema["$ref"]
        name = str(reference).removeprefix("#/schemas/$defs/").removeprefix("#/$defs/")
        schema = defs.get(name, {}) if isinstance(reference, str) else {}
    return {}


def schema_at(schema: Any, parts: list[str | int], defs: Mapping[str, Any]) -> tuple[Any, str | None, str | None, bool]:
    """Return the schema of the value at a path.

    Returns:
        The schema (`{}` if it is unknown); the problem with the path, or None; how to fix it, or None; and whether it
        is certain that no value that matches the schema has this path.
    """
    for part in parts:
        schema = resolve(schema, defs)
        if not isinstance(schema, Mapping) or any(key in schema for key in _BRANCHES):
            return {}, None, None, False
        types = _types(schema)
        if isinstance(part, int):
            if types and "array" not in types:
                return {}, f"[{part}] reads an element of what is {_named(types)}", None, True
            schema = schema.get("items", {})
            continue
        if types and "object" not in types:
            return {}, f"{part!r} reads a field of what is {_named(types)}", None, True
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            extra = schema.get("additionalProperties")
            schema = extra if isinstance(extra, Mapping) else {}
            continue
        if part not in properties:
            extra = schema.get("additionalProperties")
            if isinstance(extra, Mapping) or extra is True:
                schema = extra
                continue
            return {}, f"the schema has no field {part!r}", near(part, properties, "fields are"), extra is False
        schema = properties[part]
    return resolve(schema, defs), None, None, False


def _types(schema: Mapping[str, Any]) -> list[str]:
    found = schema.get("type")
    return [found] if isinstance(found, str) else list(found) if isinstance(found, list) else []


def _named(types: list[str]) -> str:
    return " or ".join(map(str, types))


def mismatches(
    node: Node, schema: Any, defs: Mapping[str, Any], path: str, *, evaluated: bool = False
) -> Iterator[Mismatch]:
    """Yield the places where a value does not match a schema.

    Args:
        node: The value.
        schema: The schema. Unsupported keywords are ignored.
        defs: The shared schemas.
        path: The path of the value.
        evaluated: Whether expressions in the value are evaluated. Their results are unknown, so they match any schema.
    """
    if evaluated and any(key in node.items for key in _EXPRESSIONS):
        if "$literal" in node.items and not isinstance(node.value, str):
            yield from mismatches(node.items["$literal"], schema, defs, f"{path}.$literal")
        return
    schema = resolve(schema, defs)
    if schema is False:
        yield Mismatch(node, path, "no value is allowed here")
    if not isinstance(schema, Mapping):
        return
    types = _types(schema)
    if types and not any(_fits(node.value, each) for each in types):
        yield Mismatch(node, path, f"the schema wants {_named(types)}, this is {_json_type(node.value)}")
        return
    choices = schema.get("enum")
    if isinstance(choices, list) and not _has_expression(node, evaluated) and node.value not in choices:
        yield Mismatch(
            node, path, f"{node.value!r} is none of the allowed values", near(str(node.value), choices, "one of")
        )
    if "const" in schema and not _has_expression(node, evaluated) and node.value != schema["const"]:
        yield Mismatch(node, path, f"the schema wants {schema['const']!r}")
    if isinstance(node.value, Mapping):
        yield from _fields(node, schema, defs, path, evaluated)
    items = schema.get("items")
    if node.elements and items is not None and "prefixItems" not in schema:
        for index, each in enumerate(node.elements):
            yield from mismatches(each, items, defs, f"{path}[{index}]", evaluated=evaluated)


def _fields(
    node: Node, schema: Mapping[str, Any], defs: Mapping[str, Any], path: str, evaluated: bool
) -> Iterator[Mismatch]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    names = [each for each in required if isinstance(each, str)] if isinstance(required, list) else []
    missing = [each for each in names if each not in node.items]
    closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    for name, child in node.items.items():
        if name in properties:
            yield from mismatches(child, properties[name], defs, f"{path}.{name}", evaluated=evaluated)
        elif closed or (missing and nearest(name, missing) is not None):
            key = node.keys[name]
            at = Node(None, key.line, key.column)
            hint = near(name, properties, "fields are")
            yield Mismatch(at, f"{path}.{name}", f"there is no field {name!r}", hint, is_extra=True)
    for name in missing:
        yield Mismatch(node, path, f"the required field {name!r} is missing", f"add {name}: ...")


def _has_expression(node: Node, evaluated: bool) -> bool:
    return evaluated and any(
        key in each.items for each in [node, *node.items.values(), *node.elements] for key in _EXPRESSIONS
    )


def _fits(value: Any, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, (list, tuple))
        case "object":
            return isinstance(value, Mapping)
    return True


def _json_type(value: Any) -> str:
    return next(
        name for name in ("null", "boolean", "integer", "number", "string", "array", "object") if _fits(value, name)
    )
