"""Checks values against a JSON schema. Only a few keywords are supported. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..._base.text import near, nearest
from ..._data.expressions import is_expression
from ..json_types import is_json_type, json_type
from ..source import Node
from .schemas import list_schemas, resolved

__all__ = ["Mismatch", "mismatches"]


class Mismatch(NamedTuple):
    """A place where a value or path does not match a schema."""

    node: Node
    path: str
    message: str
    hint: str | None = None
    is_extra: bool = False
    """Whether the mismatch is a field that the schema does not have."""


def _is_among(value: Any, choices: list[Any]) -> bool:
    # Python counts true as 1.
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in choices)


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
    if evaluated and is_expression(node.items):
        if "$literal" in node.items and not isinstance(node.value, str):
            yield from mismatches(node.items["$literal"], schema, defs, f"{path}.$literal")
        return
    schema = resolved(schema, defs)
    if schema is False:
        yield Mismatch(node, path, "no value is allowed here")
    if not isinstance(schema, Mapping):
        return
    types = _types(schema)
    if types and not any(is_json_type(node.value, each) for each in types):
        yield Mismatch(node, path, f"the schema wants {_named(types)}, this is {json_type(node.value)}")
        return
    choices = schema.get("enum")
    if isinstance(choices, list) and not _has_expression(node, evaluated) and not _is_among(node.value, choices):
        yield Mismatch(
            node, path, f"{node.value!r} is none of the allowed values", near(str(node.value), choices, "one of")
        )
    if "const" in schema and not _has_expression(node, evaluated) and not _is_among(node.value, [schema["const"]]):
        yield Mismatch(node, path, f"the schema wants {schema['const']!r}")
    if isinstance(node.value, Mapping):
        yield from _fields(node, schema, defs, path, evaluated)
    first, rest = list_schemas(schema)
    for index, each in enumerate(node.elements):
        items = first[index] if index < len(first) else rest
        yield from mismatches(each, items, defs, f"{path}[{index}]", evaluated=evaluated)
    parts = schema.get("allOf")
    for part in parts if isinstance(parts, list) else ():
        yield from mismatches(node, part, defs, path, evaluated=evaluated)


def _fields(
    node: Node, schema: Mapping[str, Any], defs: Mapping[str, Any], path: str, evaluated: bool
) -> Iterator[Mismatch]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    names = [each for each in required if isinstance(each, str)] if isinstance(required, list) else []
    missing = [each for each in names if each not in node.items]
    meant = {nearest(name, missing) for name in node.items if name not in properties} if missing else set()
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
        if name in meant:
            # The misspelt field is told.
            continue
        yield Mismatch(node, path, f"the required field {name!r} is missing", f"add {name}: ...")


def _has_expression(node: Node, evaluated: bool) -> bool:
    return evaluated and any(is_expression(each.items) for each in [node, *node.items.values(), *node.elements])
