"""Checks values against a JSON schema. Only a few keywords are supported. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..expressions import is_expression, write_path
from ..json_types import is_json_type, json_type
from ..nearest import near, nearest
from ..source import Node
from .schemas import list_schemas, resolved

__all__ = ["Mismatch", "mismatches"]


class Mismatch(NamedTuple):
    """A place where a value does not match a schema."""

    node: Node
    message: str
    hint: str | None = None
    key: str | None = None
    """The key of the value, if the schema has no such field."""

    @property
    def is_extra(self) -> bool:
        """Whether the mismatch is a field that the schema does not have."""
        return self.key is not None

    @property
    def path(self) -> str:
        """The path of the place in the value."""
        return self.node.path if self.key is None else write_path([self.key], self.node.path)


def _is_among(value: Any, choices: list[Any]) -> bool:
    # Python counts true as 1.
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in choices)


def mismatches(node: Node, schema: Any, defs: Mapping[str, Any], *, evaluated: bool = False) -> Iterator[Mismatch]:
    """Yield the places where a value does not match a schema, whose unsupported keywords are ignored.

    If expressions in the value are evaluated, their results are unknown, and match any schema.
    """
    if evaluated and is_expression(node.items):
        if "$literal" in node.items and not isinstance(node.value, str):
            yield from mismatches(node.items["$literal"], schema, defs)
        return
    schema = resolved(schema, defs)
    if schema is False:
        yield Mismatch(node, "no value is allowed here")
    if not isinstance(schema, Mapping):
        return
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    if kinds and not any(is_json_type(node.value, each) for each in kinds):
        wanted = " or ".join(map(str, kinds))
        yield Mismatch(node, f"the schema wants {wanted}, this is {json_type(node.value)}")
        return
    is_open = evaluated and any(is_expression(each.items) for each in (*node.items.values(), *node.elements))
    choices = schema.get("enum")
    if isinstance(choices, list) and not is_open and not _is_among(node.value, choices):
        hint = near(str(node.value), choices, "one of")
        yield Mismatch(node, f"{node.value!r} is none of the allowed values", hint)
    if "const" in schema and not is_open and not _is_among(node.value, [schema["const"]]):
        yield Mismatch(node, f"the schema wants {schema['const']!r}")
    if isinstance(node.value, Mapping):
        yield from _fields(node, schema, defs, evaluated)
    first, rest = list_schemas(schema)
    for index, each in enumerate(node.elements):
        yield from mismatches(each, first[index] if index < len(first) else rest, defs, evaluated=evaluated)
    parts = schema.get("allOf")
    for part in parts if isinstance(parts, list) else ():
        yield from mismatches(node, part, defs, evaluated=evaluated)


def _fields(node: Node, schema: Mapping[str, Any], defs: Mapping[str, Any], evaluated: bool) -> Iterator[Mismatch]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    names = [each for each in required if isinstance(each, str)] if isinstance(required, list) else []
    missing = [each for each in names if each not in node.items]
    meant = {nearest(name, missing) for name in node.items if name not in properties} if missing else set()
    closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    for name, child in node.items.items():
        if name in properties:
            yield from mismatches(child, properties[name], defs, evaluated=evaluated)
        elif closed or (missing and nearest(name, missing) is not None):
            yield Mismatch(node, f"there is no field {name!r}", near(name, properties, "fields are"), key=name)
    for name in missing:
        # A misspelt field has a mismatch of its own.
        if name not in meant:
            yield Mismatch(node, f"the required field {name!r} is missing", f"add {name}: ...")
