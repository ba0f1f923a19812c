"""Types of JSON values, and conversion to and from JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.suggestions import suggest_or_list
from .._data.flow_declarations import get_fields, is_secret
from .json_schema import JSON_TYPES, get_defs, get_list_element_schemas, get_type_names, is_number, parse_ref_name

if TYPE_CHECKING:
    from .syntax_tree import Node

_MAX_PATH_DEPTH = 3
_MAX_PATHS = 200
_MISMATCH_PROBLEM = "mismatch"
_MAX_VALUES = 20
# Maximum number of distinct object types in a union. The same limit applies to list types.
_MAX_UNION_MEMBERS = 8


class Anything:
    """Any value."""

    __slots__ = ()


class KnownBlob(NamedTuple):
    """The known content of a blob."""

    content: Type
    flow: Node | None = None
    """The flow, if the blob contains one."""


class Scalar(NamedTuple):
    """A null, boolean, integer, number or string."""

    kind: str
    values: tuple[Any, ...] | None = None
    """Possible values, or None if any value of this kind is allowed."""
    is_literal: bool = False
    """Whether the values are literals in the flow. If so, an inferred schema only includes their kind."""
    blob: KnownBlob | None = None
    """The blob, if the string is a blob ID."""


class ListOf(NamedTuple):
    """A list."""

    items: Type
    """The element type."""
    elements: tuple[Type, ...] | None = None
    """The type of each element, if the length is known."""
    first: tuple[Type, ...] = ()
    """Types of the leading elements, if they differ from the rest."""


class Field(NamedTuple):
    """An object field."""

    type: Type
    is_required: bool = True


class ObjectOf(NamedTuple):
    """An object."""

    fields: Mapping[str, Field]
    extra: Type | None
    """The type of additional fields, or None if they aren't allowed."""
    is_open: bool = False
    """Whether additional fields are likely, because the schema allows them explicitly or names no properties."""


Member = Anything | Scalar | ListOf | ObjectOf


class Type(NamedTuple):
    """A union type. A value must match at least one member, so a type with no members matches nothing."""

    members: tuple[Member, ...] = ()
    is_secret: bool = False
    """Whether the values, including all their parts, are secret (`is_secret` in a schema)."""


UNKNOWN = Type((Anything(),))
NEVER = Type()
NULL = Type((Scalar("null"),))
BOOLEAN = Type((Scalar("boolean"),))
INTEGER = Type((Scalar("integer"),))
TEXT = Type((Scalar("string"),))


def make_object_type(fields: Mapping[str, Type], optional: Mapping[str, Type] | None = None) -> Type:
    """Return an object type with exactly these fields."""
    known = {name: Field(field) for name, field in fields.items()}
    known |= {name: Field(value, is_required=False) for name, value in (optional or {}).items()}
    return Type((ObjectOf(known, None),))


def is_unknown(type: Type) -> bool:
    """Return whether the type allows every value."""
    return any(isinstance(member, Anything) for member in type.members)


def may_be_null(type: Type) -> bool:
    """Return whether the type allows null."""
    return is_unknown(type) or any(isinstance(member, Scalar) and member.kind == "null" for member in type.members)


def may_be_falsy(type: Type) -> bool:
    """Return whether a condition of this type can be false, i.e. whether its value can be null or false."""
    return may_be_null(type) or any(
        isinstance(member, Scalar) and member.kind == "boolean" and (member.values is None or False in member.values)
        for member in type.members
    )


def remove_null(type: Type) -> Type:
    """Remove null from a type."""
    kept = tuple(member for member in type.members if not (isinstance(member, Scalar) and member.kind == "null"))
    return type._replace(members=kept)


def widen_type(type: Type) -> Type:
    """Replace the flow's literals and any secret values with their kinds."""
    return type._replace(members=tuple(
        Scalar(member.kind) if isinstance(member, Scalar) and (member.is_literal or type.is_secret) else member
        for member in type.members
    ))  # fmt: skip


def make_union(types: Iterable[Type]) -> Type:
    """Return the union of types. It's secret if any of the types is secret, and it's widened if it gets too large."""
    types = list(types)
    is_secret = any(type.is_secret for type in types)
    plains: dict[str, Scalar] = {}
    objects, lists = list[ObjectOf](), list[ListOf]()
    for member in (member for type in types for member in type.members):
        match member:
            case Anything():
                return UNKNOWN._replace(is_secret=is_secret)
            case Scalar(kind):
                known = plains.setdefault(kind, member)
                if known != member:
                    plains[kind] = _merge_two_scalars(known, member)
            case ObjectOf():
                objects.append(member) if member not in objects else None
            case ListOf():
                lists.append(member) if member not in lists else None
    if "number" in plains and plains["number"].values is None:
        plains.pop("integer", None)
    # Put null last.
    null = [plains.pop("null")] if "null" in plains else []
    few_objects = objects if len(objects) <= _MAX_UNION_MEMBERS else [ObjectOf({}, UNKNOWN)]
    few_lists = lists if len(lists) <= _MAX_UNION_MEMBERS else [ListOf(UNKNOWN)]
    return Type((*plains.values(), *few_objects, *few_lists, *null), is_secret)


def _merge_two_scalars(first: Scalar, second: Scalar) -> Scalar:
    if first.values is None or second.values is None:
        return Scalar(first.kind)
    values = (*first.values, *(value for value in second.values if value not in first.values))
    is_literal = first.is_literal and second.is_literal
    return Scalar(first.kind, values, is_literal) if len(values) <= _MAX_VALUES else Scalar(first.kind)


class Lookup(NamedTuple):
    """The result of looking up a path: the type found there, or the reason there is none."""

    type: Type
    problem: str | None = None
    """Why the path has no value, or None if it has one."""
    hint: str | None = None
    is_certain: bool = False
    """Whether the path is certain to be missing from every value of the type."""
    may_be_missing: bool = False
    """Whether some union member lacks the path. Optional fields count as present."""

    @property
    def finding_level(self) -> str:
        """The level of a finding about this problem."""
        return "error" if self.is_certain else "warning"


def look_up_path(type: Type, parts: Sequence[str | int], *, keeps_null: bool = False) -> Lookup:
    """Return the type of the value at a path.

    Union members that lack the path are ignored, because reading it from them fails at run time, and flows may rely on
    that. If `keeps_null` is True, any path into null yields null, for example if a step's whole output is null.
    """
    is_secret = type.is_secret
    null = [NULL] if keeps_null and parts and may_be_null(type) and not is_unknown(type) else []
    is_missing = False
    for part in parts:
        lookups = [_look_up_part(member, part) for member in type.members]
        is_missing = is_missing or any(lookup.problem is not None for lookup in lookups)
        types = [lookup.type for lookup in lookups if lookup.problem is None]
        if not types and lookups:
            is_certain = all(lookup.is_certain for lookup in lookups) and not null
            reason = next((lookup for lookup in lookups if lookup.problem != _MISMATCH_PROBLEM), None)
            if reason is not None:
                return Lookup(UNKNOWN, reason.problem, reason.hint, is_certain)
            read = f"[{part}] reads an element" if isinstance(part, int) else f"{part!r} reads a field"
            kinds = dict.fromkeys(
                member.kind if isinstance(member, Scalar) else "array" if isinstance(member, ListOf) else "object"
                for member in type.members
            )
            return Lookup(UNKNOWN, f"{read}, but this is {' or '.join(kinds)}", None, is_certain)
        type = types[0] if len(types) == 1 else make_union(types) if types else UNKNOWN
        is_secret = is_secret or type.is_secret
    type = make_union([type, *null]) if null else type
    # Parts of a secret are secret as well.
    return Lookup(type._replace(is_secret=True) if is_secret else type, may_be_missing=is_missing)


def _look_up_part(member: Member, part: str | int) -> Lookup:
    match member:
        case Anything():
            return Lookup(UNKNOWN)
        case ListOf(items, elements, first) if isinstance(part, int):
            known = first if elements is None else elements
            if part < len(known):
                return Lookup(known[part])
            if elements is None:
                return Lookup(items)
            problem = f"[{part}] is past the end of a list of {len(elements)}"
            return Lookup(UNKNOWN, problem, "elements count from 0", True)
        case ObjectOf(fields, extra, is_open) if isinstance(part, str):
            if part in fields:
                return Lookup(fields[part].type)
            if extra is not None and (is_open or not fields or not is_unknown(extra)):
                return Lookup(extra)
            problem = f"the schema has no field {part!r}"
            return Lookup(UNKNOWN, problem, suggest_or_list(part, fields, "fields are"), extra is None)
    return Lookup(UNKNOWN, _MISMATCH_PROBLEM, None, True)


def iter_typed_paths(type: Type) -> Iterator[tuple[str, Type]]:
    """Yield the paths into a type along with their types, shortest first. Reading such a path fails only if it leads
    into null."""
    waiting = [("$", type, 0)]
    for path, outer, depth in islice(waiting, _MAX_PATHS + 1):
        if depth:
            yield path, outer
        members = remove_null(outer).members
        match members[0] if len(members) == 1 and depth < _MAX_PATH_DEPTH else None:
            case ObjectOf(fields):
                for name, field in fields.items():
                    if name.isidentifier() and field.is_required and not is_unknown(field.type):
                        waiting.append((f"{path}.{name}", field.type, depth + 1))
            case ListOf(items) if items.members:
                waiting.append((f"{path}[0]", items, depth + 1))


SCHEMA_VALUED = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames",
               "unevaluatedProperties", "unevaluatedItems")  # fmt: skip
"""Keywords whose value is a schema."""
SCHEMA_LIST_VALUED = ("allOf", "anyOf", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""
SCHEMA_MAP_VALUED = ("properties", "patternProperties", "dependentSchemas")
"""Keywords whose value maps names to schemas."""
COUNT_KEYWORDS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains",
          "maxContains")  # fmt: skip

_CLASSES_BY_KIND: dict[str, tuple[type, ...]] = {
    "": (object,), "text": (str,), "a boolean": (bool,), "a list": (list,), "a mapping": (dict,),
    "a schema": (dict, bool, list), "examples": (list,),
}  # fmt: skip
KEYWORDS = {
    **dict.fromkeys((*SCHEMA_VALUED, "additionalItems"), "a schema"),
    **dict.fromkeys((*SCHEMA_LIST_VALUED, "enum"), "a list"),
    **dict.fromkeys((*SCHEMA_MAP_VALUED, "$defs", "definitions", "discriminator", "xml"), "a mapping"),
    **dict.fromkeys(("title", "description", "format", "$ref", "$schema", "$id", "id", "$anchor", "$comment",
                     "env_var"), "text"),
    **dict.fromkeys(("nullable", "deprecated", "readOnly", "writeOnly", "uniqueItems", "is_secret"), "a boolean"),
    **dict.fromkeys(("minimum", "maximum"), "a number"),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), "a limit"),
    **dict.fromkeys(COUNT_KEYWORDS, "a count"),
    **dict.fromkeys(("const", "default", "example"), ""),
    "type": "a type", "multipleOf": "a positive number", "pattern": "a pattern", "required": "names",
    "dependentRequired": "names by name", "examples": "examples",
}  # fmt: skip
"""The kind of value each keyword expects, or an empty string if any value is allowed."""


def has_expected_kind(value: Any, kind: str) -> bool:
    """Return whether a keyword's value is of the expected kind."""
    match kind:
        case "a type":
            names = value if isinstance(value, list) else [value]
            return bool(names) and all(name in JSON_TYPES for name in names) and len({*names}) == len(names)
        case "a number" | "a limit":
            return is_number(value)
        case "a positive number":
            return is_number(value) and value > 0
        case "a count":
            return is_number(value) and value >= 0 and float(value).is_integer()
        case "a pattern":
            try:
                return isinstance(value, str) and re.compile(value) is not None
            except (re.error, RecursionError, OverflowError):
                return False
        case "names":
            is_list = isinstance(value, list) and all(isinstance(name, str) for name in value)
            return is_list and len({*value}) == len(value)
        case "names by name":
            return isinstance(value, Mapping) and all(has_expected_kind(part, "names") for part in value.values())
    return isinstance(value, _CLASSES_BY_KIND[kind])


def is_valid_keyword(keyword: str, value: Any) -> bool:
    """Return whether a keyword is known and has a valid value."""
    return keyword in KEYWORDS and has_expected_kind(value, KEYWORDS[keyword]) and (keyword != "enum" or bool(value))


_TYPE_KEYWORDS = ("type", "properties", "required", "additionalProperties", "items")
# An `anyOf` alternative with one of these keywords defines a type of its own.
_DEFINING = frozenset({"type", "properties", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "items"})
_MAX_DEPTH = 30
# Maximum number of subschemas to read. The rest are treated as unknown.
_MAX_PARTS = 5_000
# Maximum number of subschemas to generate.
_MAX_GENERATED_PARTS = 2_000
_MAX_ELEMENTS = 200


def schema_to_type(schema: Any, defs: Mapping[str, Any] | None = None, *, is_source: bool = False) -> Type:
    """Return the type of values that match a schema. If the schema is invalid, the type is unknown.

    Args:
        schema: Any JSON value.
        defs: Shared schemas to use in addition to the schema's own.
        is_source: Whether the schema describes produced values, e.g. a component's output. If so, `properties` without
            a `type` means an object, although strictly speaking other values would also match.
    """
    return _SchemaConverter(get_defs(schema, defs), is_source).convert(schema, 0)


class _SchemaConverter:
    """Converts a schema to a type. Shared schemas are read just once, and recursive references become unknown."""

    def __init__(self, defs: Mapping[str, Any], is_source: bool) -> None:
        self._defs = defs
        self._is_source = is_source
        self._converted_types: dict[str, Type] = {}
        self._names_in_progress: set[str] = set()
        self._part_count = 0

    def convert(self, schema: Any, depth: int) -> Type:
        type = self._convert_ignoring_secrecy(schema, depth)
        return type._replace(is_secret=True) if is_secret(schema) else type

    def _convert_ignoring_secrecy(self, schema: Any, depth: int) -> Type:
        self._part_count += 1
        if schema is False:
            return NEVER
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH or self._part_count > _MAX_PARTS:
            return UNKNOWN
        if schema.get("nullable") is True:
            return make_union([self.convert({**schema, "nullable": False}, depth), NULL])
        if "$ref" in schema:
            name = parse_ref_name(schema["$ref"])
            # Shared schemas can be missing: servers report builtin components without them.
            if name is None or name not in self._defs or name in self._names_in_progress:
                return UNKNOWN
            if name not in self._converted_types:
                self._names_in_progress.add(name)
                self._converted_types[name] = self.convert(self._defs[name], depth + 1)
                self._names_in_progress.discard(name)
            return self._converted_types[name]
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list):
            return make_union(value_to_type(value, is_literal=False) for value in values)
        for key in ("anyOf", "oneOf"):
            parts = schema.get(key)
            # An alternative with none of these keywords only restricts the type.
            if isinstance(parts, list) and any(
                part is False or (isinstance(part, Mapping) and not part.keys().isdisjoint(_DEFINING)) for part in parts
            ):
                # Keywords next to `anyOf` apply to every alternative.
                rest = _keep_type_keywords(schema)
                return make_union(
                    self.convert({**rest, **part} if _alternative_needs_siblings(part) else part, depth + 1)
                    for part in parts
                )
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self._intersect_all_of(schema, depth)
        return self._convert_by_type(schema, depth)

    def _intersect_all_of(self, schema: Mapping[str, Any], depth: int) -> Type:
        """Return the type of values that match all parts of `allOf`.

        Object types are merged field by field. Other intersections are unknown unless all known parts agree.
        """
        parts = [self.convert(part, depth + 1) for part in schema["allOf"]]
        rest = self._convert_by_type(_keep_type_keywords(schema), depth)
        is_secret = any(part.is_secret for part in parts)
        known = [part for part in [*parts, rest] if not is_unknown(part)]
        objects = [member for part in known for member in part.members if isinstance(member, ObjectOf)]
        if len(known) < 2 or not all(len(part.members) == 1 for part in known) or len(objects) < len(known):
            return _get_type_if_equal(known)._replace(is_secret=is_secret)
        fields: dict[str, Field] = {}
        for name, field in (pair for member in objects for pair in member.fields.items()):
            other = fields.get(name, Field(UNKNOWN, False))
            type = _get_type_if_equal([part for part in (other.type, field.type) if not is_unknown(part)])
            type = type._replace(is_secret=other.type.is_secret or field.type.is_secret)
            fields[name] = Field(type, other.is_required or field.is_required)
        extra = None if all(member.extra is None for member in objects) else UNKNOWN
        is_open = any(member.is_open and member.fields for member in objects)
        return Type((ObjectOf(fields, extra, is_open),), is_secret)

    def _convert_by_type(self, schema: Mapping[str, Any], depth: int) -> Type:
        kinds = get_type_names(schema)
        if not kinds and self._is_source and isinstance(schema.get("properties"), Mapping):
            kinds = ["object"]
        if not kinds or not all(isinstance(name, str) and name in JSON_TYPES for name in kinds):
            return UNKNOWN
        members: list[Member] = []
        for kind in kinds:
            if kind == "array":
                first, rest = get_list_element_schemas(schema)
                types = tuple(self.convert(element, depth + 1) for element in first)
                members.append(ListOf(make_union([*types, self.convert(rest, depth + 1)]), first=types))
            else:
                members.append(self._convert_object(schema, depth) if kind == "object" else Scalar(kind))
        return make_union(Type((member,)) for member in members)

    def _convert_object(self, schema: Mapping[str, Any], depth: int) -> Member:
        properties, names = get_fields(schema)
        fields = {
            str(name): Field(self.convert(value, depth + 1), str(name) in names) for name, value in properties.items()
        }
        fields |= {name: Field(UNKNOWN) for name in names if name not in fields}
        extra = schema.get("additionalProperties", True)
        if any(key in schema for key in ("patternProperties", "unevaluatedProperties", "if", "dependentSchemas")):
            return ObjectOf(fields, UNKNOWN, is_open=True)
        is_open = schema.get("additionalProperties") is True or not properties
        return ObjectOf(fields, None if extra is False else self.convert(extra, depth + 1), is_open)


def _get_type_if_equal(types: list[Type]) -> Type:
    """Return the type itself if all of the types are equal, or unknown if they differ."""
    return types[0] if types and all(type.members == types[0].members for type in types) else UNKNOWN


def _alternative_needs_siblings(part: Any) -> bool:
    """Return whether an `anyOf` alternative only defines a type when combined with the keywords next to `anyOf`."""
    return isinstance(part, Mapping) and part.keys().isdisjoint(_DEFINING - {"type"})


def _keep_type_keywords(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Keep only the keywords that define a schema's type on their own."""
    return {name: schema[name] for name in _TYPE_KEYWORDS if name in schema}


def value_to_type(value: Any, *, is_literal: bool = True, depth: int = 0) -> Type:
    """Return a JSON value's type. If the value is a literal in the flow, an inferred schema only includes its kind."""
    if depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(value, Mapping):
        fields = {str(key): Field(value_to_type(part, is_literal=is_literal, depth=depth + 1))
                  for key, part in value.items()}  # fmt: skip
        return Type((ObjectOf(fields, None),))
    if isinstance(value, (list, tuple)):
        if len(value) > _MAX_ELEMENTS:
            return Type((ListOf(UNKNOWN),))
        elements = tuple(value_to_type(element, is_literal=is_literal, depth=depth + 1) for element in value)
        return Type((ListOf(make_union(elements), elements),))
    if value is None:
        return NULL
    kind = {bool: "boolean", int: "integer", float: "number", str: "string"}.get(type(value))
    return Type((Scalar(kind, (value,), is_literal),)) if kind is not None else UNKNOWN


def type_to_schema(type: Type, depth: int = 0, parts: Iterator[int] | None = None) -> Any:
    """Convert a type to a JSON Schema. Unknown types, and excess parts of a very large type, become `{}`.

    Shared parts are repeated wherever they're used. `parts` counts the parts generated so far.
    """
    parts = count(1) if parts is None else parts
    is_too_large = next(parts) > _MAX_GENERATED_PARTS
    secret = {"is_secret": True} if type.is_secret else {}
    if is_unknown(type) or depth > _MAX_DEPTH or is_too_large:
        return secret
    if not type.members:
        return {"not": {}, **secret}
    # Members can end up with the same schema, e.g. an empty list and any other list of unknown elements.
    schemas: list[dict[str, Any]] = []
    for member in make_union([widen_type(type)]).members:
        schema = _member_to_schema(member, depth, parts)
        if schema not in schemas:
            schemas.append(schema)
    if len(schemas) == 1:
        return {**schemas[0], **secret}
    if all(schema.keys() == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas], **secret}
    return {"anyOf": schemas, **secret}


def _member_to_schema(member: Member, depth: int, parts: Iterator[int]) -> dict[str, Any]:
    match member:
        case Scalar(kind, values):
            return {"type": kind} if values is None else {"type": kind, "enum": list(values)}
        case ListOf():
            items = type_to_schema(member.items, depth + 1, parts)
            return {"type": "array", "items": items} if items and member.items.members else {"type": "array"}
        case ObjectOf(fields, extra):
            made: dict[str, Any] = {"type": "object"}
            if fields:
                made["properties"] = {
                    name: type_to_schema(field.type, depth + 1, parts) for name, field in fields.items()
                }
            required = [name for name, field in fields.items() if field.is_required]
            made |= {"required": required} if required else {}
            if extra is None:
                made["additionalProperties"] = False
            elif not is_unknown(extra):
                made["additionalProperties"] = type_to_schema(extra, depth + 1, parts)
            return made
    return {}
