"""Turn a flow's schemas into named schemas for class generation.

References are resolved, and `allOf` parts are merged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from stepflow_client._data.flow_declarations import get_declared_schema
from stepflow_client.flows.json_schema import get_type_names

from ..errors import Problem, usage
from .pydantic_models import CONSTRAINT_KEYWORDS, list_non_literal_enum_types, pick_type_constraints
from .python_names import UniqueNames, to_camel_case

REF_SIBLINGS = ("description", "default")
"""Keywords that may appear next to a reference."""
# Keywords that don't affect which values a schema allows.
_ANNOTATIONS = {*REF_SIBLINGS, "title", "examples", "deprecated", "$defs", "definitions", "$schema", "$id", "$comment"}


@dataclass
class SchemaDocument:
    """The document that references are resolved against."""

    label: str
    """The name used for the document in error messages."""
    root: Any
    shared: Mapping[str, Any]
    resolved_references: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Cached targets of the references inside `allOf`."""

    def make_error(self, message: str, hint: str | None = None) -> Problem:
        """Create an error about this document."""
        return usage(f"{self.label}: {message}", hint)

    def look_up_reference(self, reference: Any) -> tuple[str, Any]:
        """Return the name and schema that a reference points to.

        Raises:
            Problem: If the reference can't be resolved or points to another document.
        """
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self.make_error(f"$ref points outside the flow: {reference!r}", "copy the schema into schemas.$defs")
        pointer = unquote(reference[1:]).removeprefix("/schemas")
        parts = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
        for document in (self.root, self.shared):
            with suppress(LookupError, TypeError, ValueError):
                target = document
                for part in parts:
                    target = target[int(part)] if isinstance(target, list) else target[part]
                return (parts[-1] if parts else ""), target
        raise self.make_error(f"$ref leads nowhere: {reference}", "refer to a schema in schemas.$defs")

    def follow_reference_chain(self, reference: Any) -> tuple[str, Any]:
        """Return the name and schema that a reference ultimately points to, following any references along the way."""
        seen: list[Any] = []
        while True:
            seen.append(reference)
            name, target = self.look_up_reference(reference)
            if not isinstance(target, Mapping) or set(target) != {"$ref"}:
                return name, target
            reference = target["$ref"]
            if reference in seen:
                raise self.make_error(f"$ref refers to itself: {reference}")

    def compute_schema_identity(self, schema: Any) -> str:
        """Return a string that is the same for equivalent schemas, taking into account everything they refer to."""
        reached: dict[str, Any] = {}
        waiting = [schema]
        while waiting:
            each = waiting.pop()
            if isinstance(each, Mapping):
                waiting += each.values()
                reference = each.get("$ref")
                if isinstance(reference, str) and reference not in reached:
                    reached[reference] = self.look_up_reference(reference)[1]
                    waiting.append(reached[reference])
            elif isinstance(each, list):
                waiting += each
        return json.dumps([schema, reached], sort_keys=True)

    def merge_all_of(self, schema: Mapping[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
        """Merge a schema's `allOf` parts into the schema itself."""
        parts = [*schema["allOf"], {key: each for key, each in schema.items() if key != "allOf"}]
        return _intersect_schemas(piece for part in parts for piece in self._iter_all_of_parts(part, seen))

    def _iter_all_of_parts(self, part: Any, seen: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        if not isinstance(part, Mapping):
            return
        reference = part.get("$ref")
        if isinstance(reference, str):
            if reference in seen:
                raise self.make_error(f"allOf refers to itself: {reference}")
            if reference not in self.resolved_references:
                target = self.look_up_reference(reference)[1]
                self.resolved_references[reference] = _intersect_schemas(
                    self._iter_all_of_parts(target, (*seen, reference))
                )
            yield self.resolved_references[reference]
        rest = {key: each for key, each in part.items() if key != "$ref"}
        yield self.merge_all_of(rest, seen) if isinstance(rest.get("allOf"), list) else rest


class LenientSchemaDocument(SchemaDocument):
    """A document in which an unresolved reference allows any value.

    Servers omit the definitions for builtin components.
    """

    def look_up_reference(self, reference: Any) -> tuple[str, Any]:
        """Return the name and schema that a reference points to."""
        try:
            return super().look_up_reference(reference)
        except Problem:
            return "", True


def _intersect_schemas(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for part in parts:
        properties = dict(joined.get("properties", {}))
        for name, schema in part.get("properties", {}).items():
            before = properties.get(name, schema)
            properties[name] = schema if before == schema else {"allOf": [before, schema]}
        required = dict.fromkeys([*joined.get("required", []), *part.get("required", [])])
        joined |= {key: value for key, value in part.items() if key != "title"}
        joined |= {"properties": properties} if properties else {}
        joined |= {"required": list(required)} if required else {}
    return joined


def unwrap_single_all_of(schema: Any) -> Any:
    """If an `allOf` has just one part and nothing else restricts the value, return that part.

    Otherwise, return the schema.
    """
    parts = schema.get("allOf") if isinstance(schema, Mapping) else None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        return schema
    return parts[0] if set(schema) - {"allOf"} <= _ANNOTATIONS else schema


SCHEMA_REF_PREFIX = "#/components/schemas/"
"""The prefix of references to named schemas."""
# Formats that have their own Python type. Others, such as `email`, would need extra packages or change the parsed
# value.
_STRING_FORMATS = ("date-time", "date", "uuid")
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_NULL_SCHEMA = {"type": "null"}
# Maximum nesting depth of named types, because pydantic versions before 2.11 expand them. Anything deeper becomes Any.
_MAX_CHAIN_LENGTH = 3
# A reference's target is repeated inline up to this size. Larger targets get a name.
_MAX_INLINE_SIZE = 30


class NamedSchemas:
    """The named schemas of any number of flows."""

    def __init__(self, names: UniqueNames) -> None:
        self.names = names
        self._known: dict[str, str] = {}
        self.named: dict[str, Any] = {}
        """The schemas by class name."""
        self.aliases: dict[str, str] = {}
        """Extra class names for parts of a flow that just refer to a shared schema."""

    def add_flow_schemas(self, flow: Mapping[str, Any], prefix: str, label: str, parts: Mapping[str, str]) -> None:
        """Add a flow's schemas.

        Args:
            flow: The flow.
            prefix: A prefix for its class names.
            label: The name used for the flow in errors.
            parts: The class name reserved for each part that has a schema.

        Raises:
            Problem: If a schema is invalid, or if a reference can't be resolved or points outside the document.
        """
        known: dict[str, str] = {}
        for part, name in parts.items():
            schema = flow["schemas"]["properties"][part]
            place = SchemaDocument(f"{label}: schemas.properties.{part}", schema, flow["schemas"])
            _SchemaNormalizer(self, prefix, place, known).define_flow_part_type(schema, name)

    def normalize_schema(self, schema: Any, name: str, document: SchemaDocument) -> dict[str, Any]:
        """Return a schema normalized for code generation. Objects in it become named schemas.

        Args:
            schema: The schema.
            name: The name for a class generated from it.
            document: The document in which to resolve references.

        Raises:
            Problem: If the schema is invalid.
        """
        return _SchemaNormalizer(self, "", document, self._known).normalize(schema, name)


def list_typed_parts(flow: Mapping[str, Any]) -> list[str]:
    """List the parts of a flow (`input`, `output`, `variables`) that have a schema."""
    schemas = {part: get_declared_schema(flow, part) for part in ("input", "output", "variables")}
    return [part for part, schema in schemas.items() if schema not in (None, {}, True, False)]


@dataclass
class _SchemaNormalizer:
    """Normalizes the schemas for one part of a flow.

    All parts of the flow share `known`, so a schema used in several parts becomes a single class.
    """

    schemas: NamedSchemas
    prefix: str
    document: SchemaDocument
    known: dict[str, str]
    expanding: list[str] = field(default_factory=list)
    normalized_references: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Cached results by reference."""
    chains: dict[str, int] = field(default_factory=dict)
    """The nesting depth of each named type. Recursive types don't count."""
    own_name: str | None = None
    """The name reserved for the part, until its class is defined."""

    def define_flow_part_type(self, schema: Any, name: str) -> None:
        """Define the type of a flow part. It gets its own name even if the part just refers to a shared schema."""
        self.own_name = name if self._becomes_named_class(schema, name) else None
        read = self.normalize(schema, name)
        class_name = str(read.get("$ref", "")).removeprefix(SCHEMA_REF_PREFIX)
        if class_name == name:
            return
        if class_name and "$ref" in unwrap_single_all_of(schema):
            self.schemas.aliases[name] = class_name
            return
        # Even if two parts are identical, each gets its own class with its own name.
        self.schemas.named[name] = self.schemas.named[class_name] if class_name else read

    def _becomes_named_class(self, schema: Any, name: str) -> bool:
        part = unwrap_single_all_of(schema)
        if isinstance(part, Mapping) and "$ref" in part:
            target_name, part = self.document.follow_reference_chain(part["$ref"])
            name = name if self.prefix + to_camel_case(target_name) == name else ""
        elif isinstance(part, Mapping) and isinstance(part.get("allOf"), list):
            part = self.document.merge_all_of(part)
        return bool(name) and _is_class_schema(part) and part.get("type", "object") in ("object", ["object"])

    def _add_class_placeholder(self, name: str) -> str:
        """Add a class and return its name. The caller must fill in the schema."""
        if name == self.own_name:
            self.own_name = None
        else:
            name = self.schemas.names.make_unique(name)
        self.schemas.named[name] = {}
        return name

    def normalize(self, schema: Any, name: str) -> dict[str, Any]:
        """Return a schema normalized for code generation, with objects replaced by references to named schemas.

        Args:
            schema: The schema.
            name: The name for a class generated from it.

        Raises:
            Problem: If the value isn't a valid schema.
        """
        if isinstance(schema, bool):
            return {}
        if not isinstance(schema, Mapping):
            raise self.document.make_error(f"a schema must be a mapping, not {json.dumps(schema)}")
        if "$ref" in schema:
            return self._normalize_reference(schema)
        if isinstance(schema.get("allOf"), list):
            part = unwrap_single_all_of(schema)
            if part is schema:
                return self.normalize(self.document.merge_all_of(schema), name)
            return self.normalize(part, name) | {key: schema[key] for key in REF_SIBLINGS if key in schema}
        kinds = self._list_type_names(schema) or list_non_literal_enum_types(schema)
        if _is_class_schema(schema):
            reference = {"$ref": SCHEMA_REF_PREFIX + self._define_object_class(schema, name)}
            default = {"default": schema["default"]} if "default" in schema else {}
            others = [{"type": kind} for kind in kinds if kind != "object"]
            return ({"anyOf": [reference, *others]} if others else reference) | default
        read: dict[str, Any] = {key: schema[key] for key in REF_SIBLINGS if key in schema}
        if kinds == ["null"]:
            # Don't add a type to fields that can only be null.
            return read
        if len(set(kinds) - {"null"}) > 1 and pick_type_constraints(schema, kinds).keys() - {"enum"}:
            # Split the types, because each constraint applies to only one of them.
            return read | {"anyOf": self._normalize_union([{**schema, "type": kind} for kind in kinds], name)}
        if kinds:
            read["type"] = kinds[0] if len(kinds) == 1 else kinds
        read |= pick_type_constraints(schema, kinds)
        if "string" in kinds and schema.get("format") in _STRING_FORMATS:
            read["format"] = schema["format"]
        if "array" in kinds:
            read |= self._normalize_list(schema, name)
        if "object" in kinds and "additionalProperties" in schema:
            values = self._normalize_nested_schema(schema["additionalProperties"], f"{name}Value")
            read["additionalProperties"] = values or True
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and not kinds:
                options = self._normalize_union(schema[key], name)
                read |= {"anyOf": options} if options != [_NULL_SCHEMA] else {}
        return read

    def _normalize_union(self, listed: Sequence[Any], name: str) -> list[dict[str, Any]]:
        """Normalize a union's members, flattening nested unions and dropping duplicates."""
        options: list[dict[str, Any]] = []
        for number, each in enumerate(listed, 1):
            is_null = isinstance(each, Mapping) and self._allows_only_null(each)
            read: dict[str, Any] = _NULL_SCHEMA if is_null else self._normalize_nested_schema(each, f"{name}{number}")
            for option in read["anyOf"] if set(read) == {"anyOf"} else [read]:
                if option not in options:
                    options.append(option)
        return options

    def _allows_only_null(self, schema: Mapping[str, Any]) -> bool:
        if "$ref" in schema:
            schema = self.document.follow_reference_chain(schema["$ref"])[1]
        if not isinstance(schema, Mapping):
            return False
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        return schema.get("type") in ("null", ["null"]) or values == [None]

    def _list_type_names(self, schema: Mapping[str, Any]) -> list[str]:
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        for kind in kinds:
            if kind not in _TYPES:
                raise self.document.make_error(f"unknown type {json.dumps(kind)}", f"use one of {', '.join(_TYPES)}")
        return kinds

    def _define_object_class(self, schema: Mapping[str, Any], name: str) -> str:
        """Return the name of an object schema's class, defining it if necessary. Equal schemas share a class."""
        text = self.document.compute_schema_identity(schema)
        if text in self.known:
            return self.known[text]
        class_name = self.known[text] = self._add_class_placeholder(name)
        properties = {key: schema["properties"][key] for key in _put_valid_identifiers_first(schema["properties"])}
        required = schema.get("required")
        read: dict[str, Any] = {"type": "object"}
        if "description" in schema:
            read["description"] = schema["description"]
        read["properties"] = {
            key: self.normalize(each, _get_titled_class_name(each, self.prefix) or class_name + to_camel_case(key))
            for key, each in properties.items()
        }
        if isinstance(required, list):
            read["required"] = [key for key in dict.fromkeys(map(str, required)) if key in properties]
        if schema.get("additionalProperties") is False:
            read["additionalProperties"] = False
        self.schemas.named[class_name] = read
        return class_name

    def _normalize_nested_schema(self, schema: Any, name: str) -> dict[str, Any]:
        """Normalize a schema in a union, list or mapping, naming the type if it has constraints."""
        name = _get_titled_class_name(schema, self.prefix) or name
        read = self.normalize(schema, name)
        if not read.keys() & CONSTRAINT_KEYWORDS:
            return read
        if not all(self.schemas.named[target] for target in _list_referenced_names(read)):
            # Don't name the type, because it would be defined before the recursive type that it refers to.
            return _drop_constraints(read)
        return self._refer_to_named_type(json.dumps(read, sort_keys=True), name, read)

    def _refer_to_named_type(self, identity: str, name: str, read: dict[str, Any]) -> dict[str, Any]:
        """Return a reference to a type, naming the type first if it has no name yet."""
        if identity not in self.known:
            type_name = self.known[identity] = self._add_class_placeholder(name)
            self.schemas.named[type_name] = read
        return {"$ref": SCHEMA_REF_PREFIX + self.known[identity]}

    def _normalize_list(self, schema: Mapping[str, Any], name: str) -> dict[str, Any]:
        first, rest = schema.get("prefixItems"), schema.get("items")
        if isinstance(first, list) and schema.get("minItems") == schema.get("maxItems") == len(first):
            parts = [self._normalize_nested_schema(each, f"{name}{number}") for number, each in enumerate(first, 1)]
            return {"prefixItems": parts}
        if first is not None or rest is None or isinstance(rest, (bool, list)):
            return {"items": {}}
        return {"items": self._normalize_nested_schema(rest, f"{name}Item")}

    def _normalize_reference(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        reference = str(schema["$ref"])
        if reference not in self.normalized_references:
            target_name, target = self.document.follow_reference_chain(schema["$ref"])
            name = self.prefix + (to_camel_case(target_name) or "Part")
            if reference in self.expanding and not _is_class_schema(target):
                # Name the type even if it isn't an object, because it needs a name to refer to itself.
                read = self._normalize_recursive_type(reference, target, name)
            else:
                read = self.normalized_references[reference] = self._inline_or_name_target(reference, target, name)
        else:
            read = self.normalized_references[reference]
        return read | {key: schema[key] for key in REF_SIBLINGS if key in schema}

    def _inline_or_name_target(self, reference: str, target: Any, name: str) -> dict[str, Any]:
        """Normalize a reference's target.

        A small target is repeated wherever it's used, while a large one gets a name.
        """
        self.expanding.append(reference)
        try:
            read = self.normalize(target, name)
        finally:
            self.expanding.pop()
        if _count_nested_schemas(read) <= _MAX_INLINE_SIZE:
            return read
        length = 1 + max((self.chains.get(name, 0) for name in _list_referenced_names(read)), default=0)
        if length > _MAX_CHAIN_LENGTH:
            return {}
        named = self._refer_to_named_type(self.document.compute_schema_identity({"$ref": reference}), name, read)
        self.chains |= dict.fromkeys(_list_referenced_names(named), length)
        return named

    def _normalize_recursive_type(self, reference: str, target: Any, name: str) -> dict[str, Any]:
        text = self.document.compute_schema_identity({"$ref": reference})
        if text not in self.known:
            type_name = self.known[text] = self._add_class_placeholder(name)
            read = _drop_constraints(self.normalize(target, name))
            # The generator supports recursive unions but not recursive lists.
            options = [_NULL_SCHEMA if kind == "null" else read | {"type": kind} for kind in get_type_names(read)]
            self.schemas.named[type_name] = {"anyOf": options} if options else read
        return {"$ref": SCHEMA_REF_PREFIX + self.known[text]}


def _drop_constraints(read: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in read.items() if key not in CONSTRAINT_KEYWORDS}


def _list_referenced_names(read: Mapping[str, Any]) -> list[str]:
    return re.findall(rf'"{SCHEMA_REF_PREFIX}(\w+)"', json.dumps(read))


def _count_nested_schemas(read: Any) -> int:
    if isinstance(read, dict):
        return 1 + sum(_count_nested_schemas(each) for key, each in read.items() if key != "default")
    return sum(map(_count_nested_schemas, read)) if isinstance(read, list) else 0


def _is_class_schema(schema: Any) -> bool:
    """Return True if the schema becomes a class. Only objects with known properties do."""
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        return False
    kinds = schema.get("type", "object")
    allows_objects = "object" in (kinds if isinstance(kinds, list) else [kinds])
    return allows_objects and "$ref" not in schema and "allOf" not in schema


def _put_valid_identifiers_first(properties: Mapping[str, Any]) -> list[str]:
    """Return the keys.

    If any of them would get the same Python name, valid identifiers come first, because the first key keeps its name.
    """
    made = [re.sub(r"\W", "_", key).strip("_").lower() for key in properties]
    return sorted(properties, key=lambda key: not key.isidentifier()) if len(set(made)) < len(made) else [*properties]


def _get_titled_class_name(schema: Any, prefix: str) -> str | None:
    title = schema.get("title") if isinstance(schema, Mapping) else None
    name = to_camel_case(title) if isinstance(title, str) and len(title) <= 40 else ""
    return prefix + name if name else None
