"""JSON Schemas for models that call flows: self-contained, valid, and always describing objects.

Invalid and unsupported keywords are dropped, which widens a schema but never narrows it. The only addition is that
fields read by every run become required.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._base.text_formatting import visible_lines
from .._data.flow_declarations import get_fields, is_secret, iter_mappings
from .graph import find_reachable_names
from .json_schema import get_list_element_schemas, get_type_names, parse_ref_name, resolve_ref
from .type_system import COUNT_KEYWORDS, SCHEMA_LIST_VALUED, SCHEMA_MAP_VALUED, SCHEMA_VALUED, is_valid_keyword

WRAPPER = "input"
"""The field that holds the value in a wrapped schema."""
_MAX_DEPTH = 60
# Stop inlining shared schemas after this many parts.
_MAX_INLINED_PARTS = 500
_COMBINING_KEYWORDS = ("$ref", "anyOf", "oneOf", "allOf", "not", "enum", "const", "if")
_TEXT_KEYWORDS = ("title", "description", "format")
# Keywords copied unchanged because their values aren't schemas.
_COPIED_KEYWORDS = frozenset({
    "type", "enum", "const", "default", "examples", "pattern", "required", "dependentRequired", "multipleOf",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "uniqueItems", "deprecated", "readOnly", "writeOnly",
    *COUNT_KEYWORDS,
})  # fmt: skip

# Keywords that `find_mismatches` doesn't check as fully as other validators do.
_UNDECIDABLE_KEYWORDS = frozenset({"not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties",
                        "unevaluatedItems", "patternProperties", "dependentSchemas", "dependentRequired",
                        "uniqueItems", "minProperties", "maxProperties", "minContains", "maxContains",
                        "multipleOf"})  # fmt: skip


def inline_schema(schema: Any, defs: Mapping[str, Any], *, checkable_only: bool = False) -> dict[str, Any]:
    """Return a self-contained version of a schema in the 2020-12 dialect.

    Shared schemas are inlined. Recursive schemas stay in `$defs`, as do all shared schemas once the result gets large.

    Args:
        schema: Any JSON value.
        defs: Shared schemas it may refer to.
        checkable_only: Whether to drop keywords that `find_mismatches` doesn't fully check, so that a value without
            mismatches satisfies any validator.
    """
    return _SchemaInliner(schema, defs, checkable_only).build_schema()


def is_plain_object(schema: Mapping[str, Any]) -> bool:
    """Return whether a schema describes an object with no top-level alternatives (which APIs reject)."""
    return schema.get("type") == "object" and not any(key in schema for key in _COMBINING_KEYWORDS)


def require_fields_at_paths(schema: Mapping[str, Any], paths: Sequence[Sequence[str | int]]) -> dict[str, Any]:
    """Make an object schema require the fields at these paths, except for any it rules out."""
    declared, required = get_fields(schema)
    properties, names = dict(declared), dict.fromkeys(required)
    for name in dict.fromkeys(path[0] for path in paths if path and isinstance(path[0], str)):
        if name not in properties and schema.get("additionalProperties") is False:
            continue
        inner = properties.setdefault(name, {})
        names[name] = None
        if isinstance(inner, Mapping) and "object" in get_type_names(inner):
            properties[name] = require_fields_at_paths(inner, [path[1:] for path in paths if path and path[0] == name])
    return {**schema, "properties": properties, "required": [*names]} if names else dict(schema)


def wrap_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap a self-contained schema in an object with the single field `WRAPPER`."""
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    shared = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    wrapped = {"type": "object", "properties": {WRAPPER: inner}, "required": [WRAPPER], "additionalProperties": False}
    return {**wrapped, **shared}


def iter_field_names_and_keywords(schema: Any) -> Iterator[str]:
    """Yield every field name and keyword in a self-contained schema."""
    for part in iter_mappings(schema):
        yield from part
        named = part.get("required"), *dict(part.get("dependentRequired", {})).values()
        yield from (name for names in named if isinstance(names, list) for name in names if isinstance(name, str))


# Keywords whose subschemas apply to the same value.
_IN_PLACE_KEYWORDS = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})


def _iter_ref_names(value: Any, *, in_place: bool = False) -> Iterator[str]:
    """Yield the names of the shared schemas that a schema refers to, at any depth.

    Args:
        value: The schema.
        in_place: Whether to only follow references that apply to the value itself, not to parts of it.
    """
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            name = _parse_ref_or_root_name(part.get("$ref"))
            if name is not None:
                yield name
            waiting += [inner for key, inner in part.items() if not in_place or key in _IN_PLACE_KEYWORDS]
        elif isinstance(part, list):
            waiting += part


def _find_recursive_schemas(schemas: Mapping[str, Any], *, in_place: bool = False) -> frozenset[str]:
    """Return the names of shared schemas that refer to themselves, directly or indirectly."""
    reads = {name: {reference for reference in _iter_ref_names(schema, in_place=in_place) if reference in schemas}
             for name, schema in schemas.items()}  # fmt: skip
    return frozenset(name for name, direct in reads.items() if name in find_reachable_names(direct, reads))


def _parse_ref_or_root_name(reference: Any) -> str | None:
    return reference if reference == "#" else parse_ref_name(reference)


class _SchemaInliner:
    """Generates a schema along with any shared schemas it still refers to."""

    def __init__(self, schema: Any, defs: Mapping[str, Any], decided: bool) -> None:
        self._schema = schema
        shared = {**defs, "#": schema}
        # Drop schemas that just refer back to themselves, because they're meaningless and send validators into endless
        # recursion.
        endless = _find_recursive_schemas(shared, in_place=True)
        self._defs = {name: value for name, value in shared.items() if name not in endless}
        self._omitted_keywords = _UNDECIDABLE_KEYWORDS if decided else frozenset()
        self._decided = decided
        self._part_count = 0
        self._shared_names: dict[str, str] = {}
        """Maps shared schemas to their names in the generated `$defs`."""
        self._recursive = _find_recursive_schemas(self._defs)

    def build_schema(self) -> dict[str, Any]:
        """Return the finished schema, including `$defs`."""
        # APIs don't accept a top-level reference.
        schema = self._inline_part(resolve_ref(self._schema, self._defs), 0)
        written: dict[str, Any] = {} if schema is True or self._decided else {"not": {}}
        if isinstance(schema, dict):
            written = schema
        shared: dict[str, Any] = {}
        while missing := [name for name in self._shared_names if self._shared_names[name] not in shared]:
            for name in missing:
                shared[self._shared_names[name]] = self._inline_part(self._defs[name], 1)
        return {**written, "$defs": shared} if shared else written

    def _inline_part(self, schema: Any, depth: int) -> Any:
        self._part_count += 1
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return {}
        if schema.get("nullable") is True:
            rest = {key: value for key, value in schema.items() if key not in ("nullable", "title", "description")}
            texts = {key: schema[key] for key in ("title", "description") if key in schema}
            return {**self._copy_texts(texts), "anyOf": [self._inline_part(rest, depth + 1), {"type": "null"}]}
        written = self._copy_texts(schema)
        kept = _COPIED_KEYWORDS - self._omitted_keywords
        written |= {key: value for key, value in schema.items() if key in kept and is_valid_keyword(key, value)}
        if is_secret(schema, self._defs):
            for key in ("default", "examples", "const", "enum"):
                written.pop(key, None)
        self._inline_subschemas(written, schema, depth)
        name = _parse_ref_or_root_name(schema.get("$ref"))
        if name is None or name not in self._defs:
            return written
        return self._merge_ref_target(written, name, depth)

    def _copy_texts(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {key: visible_lines(schema[key]) for key in _TEXT_KEYWORDS if isinstance(schema.get(key), str)}

    def _inline_subschemas(self, written: dict[str, Any], schema: Mapping[str, Any], depth: int) -> None:
        if isinstance(schema.get("items"), list):
            # Before 2020-12, `items` could be a list of schemas for the leading elements.
            first, rest = get_list_element_schemas(schema)
            schema = {**schema, "prefixItems": first, "items": rest}
        for key, value in schema.items():
            if key in self._omitted_keywords:
                continue
            if key in SCHEMA_VALUED and isinstance(value, (bool, Mapping)):
                written[key] = self._inline_part(value, depth + 1)
            elif key in SCHEMA_LIST_VALUED and isinstance(value, list) and value:
                name = "anyOf" if key == "oneOf" and self._decided else key
                parts = [self._inline_part(element, depth + 1) for element in value]
                if name in written:
                    written["allOf"] = [*written.get("allOf", ()), {name: parts}]
                else:
                    written[name] = parts
            elif key in SCHEMA_MAP_VALUED and isinstance(value, Mapping):
                names = [name for name in value if key != "patternProperties" or is_valid_keyword("pattern", name)]
                written[key] = {str(name): self._inline_part(value[name], depth + 1) for name in names}
        if self._decided and "patternProperties" in schema:
            written.pop("additionalProperties", None)

    def _merge_ref_target(self, written: dict[str, Any], name: str, depth: int) -> Any:
        """Combine a schema with the shared schema it refers to."""
        if name in self._recursive or self._part_count > _MAX_INLINED_PARTS:
            target: Any = {"$ref": f"#/$defs/{self._get_definition_name(name)}"}
        else:
            target = self._inline_part(self._defs[name], depth + 1)
        if not written or not isinstance(target, Mapping):
            return target
        if target.keys().isdisjoint(written):
            return {**target, **written}
        # A title or description next to the reference is more specific than the shared schema's own.
        if written.keys() <= {"title", "description"}:
            return {**target, **written}
        return {**written, "allOf": [*written.get("allOf", ()), target]}

    def _get_definition_name(self, name: str) -> str:
        if name not in self._shared_names:
            plain = re.sub(r"[^A-Za-z0-9_.-]", "_", "root" if name == "#" else name) or "_"
            used, unique, number = {*self._shared_names.values()}, plain, 2
            while unique in used:
                unique, number = f"{plain}_{number}", number + 1
            self._shared_names[name] = unique
        return self._shared_names[name]
