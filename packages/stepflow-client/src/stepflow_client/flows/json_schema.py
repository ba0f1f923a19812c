"""JSON Schema: the names of types, references to shared schemas, and the places where a value does not match. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from .._base.text import near, nearest
from .._data.expressions import is_expression, write_path

if TYPE_CHECKING:
    from .source import Node

__all__ = [
    "JSON_TYPES", "Mismatch", "definitions_of", "fields_of", "is_among", "is_json_type", "is_number", "json_type",
    "list_schemas", "mismatches", "referred_name", "resolved", "type_names",
]  # fmt: skip

_DEEPEST = 30
_REFERENCE = r"#/(?:schemas/)?(?:\$defs|definitions)/(.*)"


def is_number(value: Any) -> bool:
    """Return whether a value is a number: booleans are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and float(value).is_integer(),
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, (list, tuple)),
    "object": lambda value: isinstance(value, Mapping),
}
JSON_TYPES = tuple(_TYPES)


def is_json_type(value: Any, name: Any) -> bool:
    """Return whether a value has a type; true if there is no such type. `3.0` is an integer too."""
    check = _TYPES.get(name) if isinstance(name, str) else None
    return check is None or check(value)


def json_type(value: Any) -> str:
    """Return the name of the type of a value."""
    return next(name for name in JSON_TYPES if is_json_type(value, name))


def referred_name(reference: Any) -> str | None:
    """Return the name of the shared schema that a `$ref` refers to; None if it refers to something else."""
    found = re.fullmatch(_REFERENCE, reference) if isinstance(reference, str) else None
    return unquote(found[1]).replace("~1", "/").replace("~0", "~") if found else None


def definitions_of(schema: Any, defs: Any = None) -> dict[str, Any]:
    """Return the shared schemas that the references in a schema can refer to: its own, and those around it."""
    own = (schema.get("definitions"), schema.get("$defs")) if isinstance(schema, Mapping) else ()
    return {name: each for found in (defs, *own) if isinstance(found, Mapping) for name, each in found.items()}


def resolved(schema: Any, defs: Mapping[str, Any]) -> Any:
    """Return a schema with its `$ref` replaced by the shared schema; unknown references stand for any value."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        rest = {key: each for key, each in schema.items() if key != "$ref"}
        target = defs.get(referred_name(schema["$ref"]) or "", {})
        schema = {**target, **rest} if isinstance(target, Mapping) else target
    return {}


def type_names(schema: Mapping[str, Any]) -> list[Any]:
    """Return the types that a schema allows; empty if it allows all."""
    given = schema.get("type")
    return [given] if isinstance(given, str) else given if isinstance(given, list) else []


def fields_of(schema: Any) -> tuple[Mapping[str, Any], list[str]]:
    """Return the schemas of the fields of an object by name, and the names of the required ones."""
    found = (schema.get("properties"), schema.get("required")) if isinstance(schema, Mapping) else (None, None)
    names = [each for each in found[1] if isinstance(each, str)] if isinstance(found[1], list) else []
    return found[0] if isinstance(found[0], Mapping) else {}, names


def list_schemas(schema: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the schemas of the first elements of a list, and that of the elements behind them.

    The first ones are in `prefixItems`, or, in the drafts up to 2019-09, in a list in `items`.
    """
    first, items = schema.get("prefixItems"), schema.get("items", True)
    if isinstance(first, list):
        return first, items if not isinstance(items, list) else True
    return (items, schema.get("additionalItems", True)) if isinstance(items, list) else ([], items)


class Mismatch(NamedTuple):
    """A place where a value does not match a schema."""

    node: Node
    message: str
    hint: str | None = None
    key: str | None = None
    """The key of the value, if the schema has no such field."""

    @property
    def path(self) -> str:
        """The path of the place in the value."""
        return self.node.path if self.key is None else write_path([self.key], self.node.path)


def is_among(value: Any, choices: Iterable[Any]) -> bool:
    """Return whether a value is one of some values. (Python counts true as 1.)"""
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
    kinds = type_names(schema)
    if kinds and not any(is_json_type(node.value, each) for each in kinds):
        wanted = " or ".join(map(str, kinds))
        yield Mismatch(node, f"the schema wants {wanted}, this is {json_type(node.value)}")
        return
    is_open = evaluated and any(is_expression(each.items) for each in (*node.items.values(), *node.elements))
    choices = schema.get("enum")
    if isinstance(choices, list) and not is_open and not is_among(node.value, choices):
        hint = near(str(node.value), choices, "one of")
        yield Mismatch(node, f"{node.value!r} is none of the allowed values", hint)
    if "const" in schema and not is_open and not is_among(node.value, [schema["const"]]):
        yield Mismatch(node, f"the schema wants {schema['const']!r}")
    yield from _beyond_limits(node, schema)
    if isinstance(node.value, Mapping):
        yield from _fields(node, schema, defs, evaluated)
    first, rest = list_schemas(schema)
    for index, each in enumerate(node.elements):
        yield from mismatches(each, first[index] if index < len(first) else rest, defs, evaluated=evaluated)
    parts = schema.get("allOf")
    for part in parts if isinstance(parts, list) else ():
        yield from mismatches(node, part, defs, evaluated=evaluated)


def _beyond_limits(node: Node, schema: Mapping[str, Any]) -> Iterator[Mismatch]:
    """Yield a mismatch for each limit of a number, or of the length of a text or list, that a value is beyond."""
    value = node.value
    size: Any
    names: tuple[str, ...]
    if is_number(value):
        size, names, unit = value, _OF_NUMBERS, ""
    elif isinstance(value, (str, list)):
        size = len(value)
        names, unit = (_OF_TEXTS, " characters") if isinstance(value, str) else (_OF_LISTS, " elements")
    else:
        return
    for name, (is_within, words) in zip(names, _COMPARISONS, strict=False):
        limit = schema.get(name)
        if is_number(limit) and not is_within(size, limit):
            yield Mismatch(node, f"the schema wants {words} {limit}{unit}, this is {size}")
    step: Any = schema.get("multipleOf")
    if is_number(value) and is_number(step) and step > 0 and not _is_multiple(value, step):
        yield Mismatch(node, f"the schema wants a multiple of {step}, this is {value}")
    pattern = schema.get("pattern")
    if isinstance(value, str) and isinstance(pattern, str) and not _has(pattern, value):
        yield Mismatch(node, f"the schema wants a text that matches {pattern}")


_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OF_TEXTS = ("minLength", "maxLength")
_OF_LISTS = ("minItems", "maxItems")
_COMPARISONS: tuple[tuple[Callable[[Any, Any], bool], str], ...] = (
    (ge, "at least"),
    (le, "at most"),
    (gt, "more than"),
    (lt, "less than"),
)


def _is_multiple(value: float, step: float) -> bool:
    try:
        # Otherwise 0.3 would be no multiple of 0.1.
        return abs(round(value / step) * step - value) <= 1e-9 * max(1.0, abs(value))
    except (OverflowError, ValueError):
        return True


def _has(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern anywhere; true if Python does not know the pattern."""
    try:
        return re.search(pattern, text) is not None
    except (re.error, RecursionError, OverflowError):
        return True


def _fields(node: Node, schema: Mapping[str, Any], defs: Mapping[str, Any], evaluated: bool) -> Iterator[Mismatch]:
    properties, names = fields_of(schema)
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
