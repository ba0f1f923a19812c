"""Converts JSON Schemas and values to types, and types to JSON Schemas. Pure.

Unsupported parts of a schema make the type wider, never narrower: a value that matches the schema always matches the
type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._data.flow_declarations import fields_of, is_secret
from .json_schema import JSON_TYPES, get_defs, get_list_schemas, get_type_names, parse_ref
from .json_types import (
    NEVER,
    NULL,
    UNKNOWN,
    Field,
    ListOf,
    Member,
    ObjectOf,
    Plain,
    Type,
    is_unknown,
    union,
    widen,
)

_OF_OBJECTS = ("properties", "required", "additionalProperties")
# Keywords by which a part of `anyOf` defines a type.
_TELLING = frozenset({"type", "properties", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "items"})
_MAX_DEPTH = 30
# Maximum number of parts of a schema that are read. Further parts are unknown.
_MAX_PARTS = 5_000
# Maximum number of parts of a schema that is written.
_MAX_WRITTEN = 2_000
_MAX_ELEMENTS = 200


def schema_to_type(schema: Any, defs: Mapping[str, Any] | None = None, *, is_source: bool = False) -> Type:
    """Return the type of the values that match a schema; unknown for an invalid schema.

    Args:
        schema: Any JSON value.
        defs: Shared schemas in addition to its own.
        is_source: Whether the schema describes values that are produced somewhere. If so, `properties` without a `type`
            means an object, although strictly speaking any other value matches as well.
    """
    return _Reader(get_defs(schema, defs), is_source).read(schema, 0)


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
            name = parse_ref(schema["$ref"])
            # Servers report builtin components without their shared schemas.
            if name is None or name not in self._defs or name in self._open:
                return UNKNOWN
            if name not in self._known:
                self._open.add(name)
                self._known[name] = self.read(self._defs[name], depth + 1)
                self._open.discard(name)
            return self._known[name]
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list):
            return union(value_to_type(value, is_literal=False) for value in values)
        for key in ("anyOf", "oneOf"):
            parts = schema.get(key)
            # A part without one of these keywords only restricts the type.
            if isinstance(parts, list) and any(
                part is False or (isinstance(part, Mapping) and not part.keys().isdisjoint(_TELLING)) for part in parts
            ):
                # The keywords next to `anyOf` apply to each part.
                rest = _keep_type_keywords(schema, key)
                return union(
                    self.read({**rest, **part} if _is_restriction(part) else part, depth + 1) for part in parts
                )
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self._intersection(schema, depth)
        return self._typed(schema, depth)

    def _intersection(self, schema: Mapping[str, Any], depth: int) -> Type:
        """Return the type of values that match all parts of `allOf`.

        These are objects with the fields of all parts, or the type of the only known part. Other intersections are
        unknown.
        """
        parts = [self.read(each, depth + 1) for each in schema["allOf"]]
        rest = self._typed(_keep_type_keywords(schema, "allOf"), depth)
        is_secret = any(part.is_secret for part in parts)
        known = [each for each in [*parts, rest] if not is_unknown(each)]
        objects = [member for each in known for member in each.members if isinstance(member, ObjectOf)]
        if len(known) < 2 or not all(len(each.members) == 1 for each in known) or len(objects) < len(known):
            return _find_common_type(known)._replace(is_secret=is_secret)
        fields: dict[str, Field] = {}
        for name, field in (pair for each in objects for pair in each.fields.items()):
            other = fields.get(name, Field(UNKNOWN, False))
            type = _find_common_type([each for each in (other.type, field.type) if not is_unknown(each)])
            type = type._replace(is_secret=other.type.is_secret or field.type.is_secret)
            fields[name] = Field(type, other.is_required or field.is_required)
        extra = None if all(each.extra is None for each in objects) else UNKNOWN
        is_open = any(each.is_open and each.fields for each in objects)
        return Type((ObjectOf(fields, extra, is_open),), is_secret)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Type:
        kinds = get_type_names(schema)
        if not kinds and self._is_source and isinstance(schema.get("properties"), Mapping):
            kinds = ["object"]
        if not kinds or not all(isinstance(each, str) and each in JSON_TYPES for each in kinds):
            return UNKNOWN
        members: list[Member] = []
        for kind in kinds:
            if kind == "array":
                first, rest = get_list_schemas(schema)
                types = tuple(self.read(each, depth + 1) for each in first)
                members.append(ListOf(union([*types, self.read(rest, depth + 1)]), first=types))
            else:
                members.append(self._object(schema, depth) if kind == "object" else Plain(kind))
        return union(Type((member,)) for member in members)

    def _object(self, schema: Mapping[str, Any], depth: int) -> Member:
        properties, names = fields_of(schema)
        fields = {
            str(name): Field(self.read(value, depth + 1), str(name) in names) for name, value in properties.items()
        }
        fields |= {name: Field(UNKNOWN) for name in names if name not in fields}
        extra = schema.get("additionalProperties", True)
        if any(key in schema for key in ("patternProperties", "unevaluatedProperties", "if", "dependentSchemas")):
            return ObjectOf(fields, UNKNOWN, is_open=True)
        is_open = schema.get("additionalProperties") is True or not properties
        return ObjectOf(fields, None if extra is False else self.read(extra, depth + 1), is_open)


def _find_common_type(types: list[Type]) -> Type:
    """Return the type that all of these are; unknown if they differ."""
    return types[0] if types and all(each.members == types[0].members for each in types) else UNKNOWN


def _is_restriction(part: Any) -> bool:
    """Return whether a part of `anyOf` needs the keywords next to `anyOf` to define a type."""
    return isinstance(part, Mapping) and part.keys().isdisjoint(_TELLING - {"type"})


def _keep_type_keywords(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the keywords of a schema that define its type, without one of them."""
    return {name: schema[name] for name in ("type", *_OF_OBJECTS, "items") if name in schema and name != key}


def value_to_type(value: Any, *, is_literal: bool = True, depth: int = 0) -> Type:
    """Return the type of a JSON value. Of a literal in the flow, an inferred schema contains only the kind."""
    if depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(value, Mapping):
        fields = {str(key): Field(value_to_type(part, is_literal=is_literal, depth=depth + 1))
                  for key, part in value.items()}  # fmt: skip
        return Type((ObjectOf(fields, None),))
    if isinstance(value, (list, tuple)):
        if len(value) > _MAX_ELEMENTS:
            return Type((ListOf(UNKNOWN),))
        elements = tuple(value_to_type(each, is_literal=is_literal, depth=depth + 1) for each in value)
        return Type((ListOf(union(elements), elements),))
    if value is None:
        return NULL
    kind = {bool: "boolean", int: "integer", float: "number", str: "string"}.get(type(value))
    return Type((Plain(kind, (value,), is_literal),)) if kind is not None else UNKNOWN


def to_schema(type: Type) -> Any:
    """Return the JSON Schema of a type; `{}` for unknown types, and for parts of a very large type."""
    return _Writer().schema(type, 0)


class _Writer:
    """Writes a schema in which shared parts are repeated at each use."""

    def __init__(self) -> None:
        self._parts = 0

    def schema(self, type: Type, depth: int) -> Any:
        """Return the schema of a type."""
        self._parts += 1
        secret = {"is_secret": True} if type.is_secret else {}
        if is_unknown(type) or depth > _MAX_DEPTH or self._parts > _MAX_WRITTEN:
            return secret
        if not type.members:
            return {"not": {}, **secret}
        # Different members may have the same schema: the schema of a list does not say that it is empty.
        schemas: list[dict[str, Any]] = []
        for member in union([widen(type)]).members:
            schema = self._member(member, depth)
            if schema not in schemas:
                schemas.append(schema)
        if len(schemas) == 1:
            return {**schemas[0], **secret}
        if all(each.keys() == {"type"} for each in schemas):
            return {"type": [each["type"] for each in schemas], **secret}
        return {"anyOf": schemas, **secret}

    def _member(self, member: Member, depth: int) -> dict[str, Any]:
        match member:
            case Plain(kind, values):
                return {"type": kind} if values is None else {"type": kind, "enum": list(values)}
            case ListOf():
                items = self.schema(member.items, depth + 1)
                return {"type": "array", "items": items} if items and member.items.members else {"type": "array"}
            case ObjectOf(fields, extra):
                made: dict[str, Any] = {"type": "object"}
                if fields:
                    made["properties"] = {name: self.schema(field.type, depth + 1) for name, field in fields.items()}
                required = [name for name, field in fields.items() if field.is_required]
                made |= {"required": required} if required else {}
                if extra is None:
                    made["additionalProperties"] = False
                elif not is_unknown(extra):
                    made["additionalProperties"] = self.schema(extra, depth + 1)
                return made
        return {}
