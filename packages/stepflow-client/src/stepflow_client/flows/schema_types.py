"""Converts JSON Schemas and values to types, and types to JSON Schemas. Pure.

Unsupported parts of a schema make the type wider, never narrower: a value that matches the schema always matches the
type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._data.flow_declarations import fields_of, is_secret
from .json_schema import JSON_TYPES, definitions_of, list_schemas, referred_name, type_names
from .json_types import (
    NEVER,
    NULL,
    UNKNOWN,
    Anything,
    Field,
    ListOf,
    Member,
    ObjectOf,
    Plain,
    Type,
    is_unknown,
    union,
    widened,
)

_OF_OBJECTS = ("properties", "required", "additionalProperties")
_TELLING = frozenset({"type", "properties", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "items"})
"""Keywords with which a part of `anyOf` defines a type."""
_MAX_DEPTH = 30
_MAX_PARTS = 5_000
"""Maximum number of parts of a schema that are read. Further parts are unknown."""
_MAX_WRITTEN = 2_000
"""Maximum number of parts of a schema that is written."""
_MAX_ELEMENTS = 200


def type_of_schema(schema: Any, defs: Mapping[str, Any] | None = None, *, is_source: bool = False) -> Type:
    """Return the type of the values that match a schema; that of an invalid one is unknown.

    Args:
        schema: Any JSON value.
        defs: Shared schemas in addition to its own.
        is_source: Whether the schema describes values that are produced somewhere. If so, `properties` without a `type`
            means an object, although strictly speaking any other value matches as well.
    """
    return _Reader(definitions_of(schema, defs), is_source).read(schema, 0)


class _Reader:
    """Reads a schema. Each shared schema is read once; recursive references are unknown."""

    def __init__(self, defs: Mapping[str, Any], is_source: bool) -> None:
        self._defs = defs
        self._is_source = is_source
        self._known: dict[str, Type] = {}
        self._open: set[str] = set()
        self._parts = 0

    def read(self, schema: Any, depth: int) -> Type:
        """Return the type of a schema."""
        type = self._read(schema, depth)
        return type._replace(is_secret=True) if is_secret(schema) else type

    def _read(self, schema: Any, depth: int) -> Type:
        self._parts += 1
        if schema is False:
            return NEVER
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self._parts > _MAX_PARTS:
            return UNKNOWN
        if schema.get("nullable") is True:
            return union([self.read({**schema, "nullable": False}, depth), NULL])
        if "$ref" in schema:
            return self._referred(schema["$ref"], depth)
        if "const" in schema:
            return _of_values([schema["const"]])
        if isinstance(schema.get("enum"), list):
            return _of_values(schema["enum"])
        for key in ("anyOf", "oneOf"):
            if isinstance(parts := schema.get(key), list) and any(map(_says_something, parts)):
                return union(self.read(_part(schema, key, each), depth + 1) for each in parts)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self._all(schema, depth)
        return self._typed(schema, depth)

    def _referred(self, reference: Any, depth: int) -> Type:
        name = referred_name(reference)
        # Servers report builtin components without their shared schemas.
        if name is None or name not in self._defs or name in self._open:
            return UNKNOWN
        if name not in self._known:
            self._open.add(name)
            self._known[name] = self.read(self._defs[name], depth + 1)
            self._open.discard(name)
        return self._known[name]

    def _all(self, schema: Mapping[str, Any], depth: int) -> Type:
        """Return the type of values that match all parts: of objects with the fields of all, or of the only part with
        a known type. Other intersections are unknown.
        """
        parts = [self.read(each, depth + 1) for each in schema["allOf"]]
        rest = self._typed(_rest(schema, "allOf"), depth)
        is_secret = any(each.is_secret for each in parts)
        told = [each for each in [*parts, rest] if not is_unknown(each)]
        if len(told) > 1 and all(len(each.members) == 1 and isinstance(each.members[0], ObjectOf) for each in told):
            return Type((_merged([each.members[0] for each in told]),), is_secret)
        return _same(told)._replace(is_secret=is_secret)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Type:
        kinds = type_names(schema)
        if not kinds and self._is_source and isinstance(schema.get("properties"), Mapping):
            kinds = ["object"]
        if not kinds:
            return UNKNOWN
        if not all(isinstance(each, str) and each in JSON_TYPES for each in kinds):
            return UNKNOWN
        return union(Type((self._member(each, schema, depth),)) for each in kinds)

    def _member(self, kind: str, schema: Mapping[str, Any], depth: int) -> Member:
        if kind == "array":
            first, rest = list_schemas(schema)
            types = tuple(self.read(each, depth + 1) for each in first)
            return ListOf(union([*types, self.read(rest, depth + 1)]), first=types)
        if kind == "object":
            return self._object(schema, depth)
        return Plain(kind)

    def _object(self, schema: Mapping[str, Any], depth: int) -> Member:
        properties, names = fields_of(schema)
        fields = {str(name): Field(self.read(each, depth + 1), str(name) in names) for name, each in properties.items()}
        fields |= {name: Field(UNKNOWN) for name in names if name not in fields}
        extra = schema.get("additionalProperties", True)
        if any(key in schema for key in ("patternProperties", "unevaluatedProperties", "if", "dependentSchemas")):
            return ObjectOf(fields, UNKNOWN, is_open=True)
        is_open = schema.get("additionalProperties") is True or not properties
        return ObjectOf(fields, None if extra is False else self.read(extra, depth + 1), is_open)


def _merged(parts: list[Any]) -> ObjectOf:
    """Return the object that has the fields of all parts."""
    fields: dict[str, Field] = {}
    for part in parts:
        for name, field in part.fields.items():
            other = fields.get(name, Field(UNKNOWN, False))
            type = _same([each for each in (other.type, field.type) if not is_unknown(each)])
            type = type._replace(is_secret=other.type.is_secret or field.type.is_secret)
            fields[name] = Field(type, other.is_required or field.is_required)
    is_closed = all(part.extra is None for part in parts)
    return ObjectOf(fields, None if is_closed else UNKNOWN, any(part.is_open and part.fields for part in parts))


def _same(types: list[Type]) -> Type:
    """Return the type that all of these are; unknown if they differ."""
    return types[0] if types and all(each.members == types[0].members for each in types) else UNKNOWN


def _says_something(part: Any) -> bool:
    return part is False or (isinstance(part, Mapping) and any(key in part for key in _TELLING))


def _part(schema: Mapping[str, Any], key: str, part: Any) -> Any:
    """Return a part of `anyOf` with the keywords next to `anyOf`, which apply to every part."""
    if not isinstance(part, Mapping) or not part.keys().isdisjoint(_TELLING - {"type"}):
        return part
    return {**_rest(schema, key), **part}


def _rest(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: schema[name] for name in ("type", *_OF_OBJECTS, "items") if name in schema and name != key}


def _of_values(values: list[Any]) -> Type:
    return union(type_of_value(each, is_literal=False) for each in values)


def type_of_value(value: Any, *, is_literal: bool = True, depth: int = 0) -> Type:
    """Return the type of a JSON value. Of a literal in the flow, an inferred schema contains only the kind."""
    if depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(value, Mapping):
        fields = {str(key): Field(type_of_value(each, is_literal=is_literal, depth=depth + 1))
                  for key, each in value.items()}  # fmt: skip
        return Type((ObjectOf(fields, None),))
    if isinstance(value, (list, tuple)):
        if len(value) > _MAX_ELEMENTS:
            return Type((ListOf(UNKNOWN),))
        elements = tuple(type_of_value(each, is_literal=is_literal, depth=depth + 1) for each in value)
        return Type((ListOf(union(elements), elements),))
    if value is None:
        return NULL
    kind = {bool: "boolean", int: "integer", float: "number", str: "string"}.get(type(value))
    return Type((Plain(kind, (value,), is_literal),)) if kind is not None else UNKNOWN


def schema_of(type: Type) -> Any:
    """Return the JSON Schema of a type; `{}` for unknown types, and for parts of a very large type."""
    return _Writer().schema(type, 0)


class _Writer:
    """Writes a schema in which shared parts are repeated at each use."""

    def __init__(self) -> None:
        self._parts = 0

    def schema(self, type: Type, depth: int) -> Any:
        """Return the schema of a type."""
        schema = self._schema(type, depth)
        return {**schema, "is_secret": True} if type.is_secret else schema

    def _schema(self, type: Type, depth: int) -> Any:
        self._parts += 1
        if is_unknown(type) or depth > _MAX_DEPTH or self._parts > _MAX_WRITTEN:
            return {}
        if not type.members:
            return {"not": {}}
        # Different members may have the same schema: that of a list does not say that it is empty.
        schemas: list[dict[str, Any]] = []
        for member in union([widened(type)]).members:
            schema = self._member(member, depth)
            if schema not in schemas:
                schemas.append(schema)
        if len(schemas) == 1:
            return schemas[0]
        if all(each.keys() == {"type"} for each in schemas):
            return {"type": [each["type"] for each in schemas]}
        return {"anyOf": schemas}

    def _member(self, member: Member, depth: int) -> dict[str, Any]:
        match member:
            case Plain(kind, values):
                return {"type": kind} if values is None else {"type": kind, "enum": list(values)}
            case ListOf():
                items = self.schema(member.items, depth + 1)
                return {"type": "array", "items": items} if items and member.items.members else {"type": "array"}
            case ObjectOf():
                return self._object(member, depth)
            case Anything():
                return {}

    def _object(self, member: ObjectOf, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "object"}
        if member.fields:
            made["properties"] = {name: self.schema(each.type, depth + 1) for name, each in member.fields.items()}
        required = [name for name, each in member.fields.items() if each.is_required]
        made |= {"required": required} if required else {}
        if member.extra is None:
            made["additionalProperties"] = False
        elif not is_unknown(member.extra):
            made["additionalProperties"] = self.schema(member.extra, depth + 1)
        return made
