"""JSON Schema: the names of types, references to shared schemas, and the places where a value does not match. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import ge, gt, le, lt
from typing import Any, NamedTuple
from urllib.parse import unquote

from .._base.text import near, nearest
from .._data.expressions import is_expression, write_path
from .nodes import Node

_DEEPEST = 30
_DECIDED = {"type", "properties", "required", "const", "enum", "anyOf", "title", "description"}
_REFERENCE = r"#/(?:schemas/)?(?:\$defs|definitions)/(.*)"


def is_number(value: Any) -> bool:
    """Return whether a value is a number: booleans are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and (isinstance(value, int) or value.is_integer()),
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


def _with_target(schema: Any, defs: Mapping[str, Any]) -> Any:
    """Return a schema without a `$ref`: a value must match the shared schema as well as the other keywords."""
    if not isinstance(schema, Mapping) or "$ref" not in schema:
        return schema
    target, rest = resolved({"$ref": schema["$ref"]}, defs), {key: schema[key] for key in schema if key != "$ref"}
    if not rest:
        return target
    parts = rest.get("allOf")
    return {**rest, "allOf": [target, *(parts if isinstance(parts, list) else ())]}


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


def schemas_at(schema: Any, path: Iterable[str | int], node: Node, defs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas that apply to the value at a path in a value, with those inside of them that do too.

    Of alternatives, these are all; of conditions, the branch that the value decides.
    """
    found, at, empty = list(_applying(schema, node, defs)), node, Node(None)
    for part in path:
        at = at.at(part) or empty
        found = [one for each in found for inner in _inner(each, part) for one in _applying(inner, at, defs)]
    return found


def _applying(schema: Any, node: Node, defs: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    schema = resolved(schema, defs)
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return
    yield schema
    for key in ("allOf", "anyOf", "oneOf"):
        for each in schema[key] if isinstance(schema.get(key), list) else ():
            yield from _applying(each, node, defs, depth + 1)
    if "if" in schema:
        branch = "then" if _matches(node, schema["if"], defs) else "else"
        yield from _applying(schema.get(branch), node, defs, depth + 1)


def _inner(schema: Mapping[str, Any], part: str | int) -> Iterator[Any]:
    if isinstance(part, int):
        first, rest = list_schemas(schema)
        yield first[part] if part < len(first) else rest
        return
    properties = fields_of(schema)[0]
    yield properties.get(part, schema.get("additionalProperties"))


def _matches(node: Node, schema: Any, defs: Mapping[str, Any]) -> bool:
    return next(mismatches(node, schema, defs), None) is None


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
    schema = _with_target(schema, defs)
    if schema is False:
        yield Mismatch(node, "no value is allowed here")
    if not isinstance(schema, Mapping) or (node.value is None and schema.get("nullable") is True):
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
    for message in _beyond_limits(node.value, schema):
        yield Mismatch(node, message)
    if isinstance(node.value, Mapping):
        yield from _fields(node, schema, defs, evaluated)
    first, rest = list_schemas(schema)
    for index, each in enumerate(node.elements):
        yield from mismatches(each, first[index] if index < len(first) else rest, defs, evaluated=evaluated)
    parts = schema.get("allOf")
    for part in parts if isinstance(parts, list) else ():
        yield from mismatches(node, part, defs, evaluated=evaluated)
    for key in () if evaluated else ("anyOf", "oneOf"):
        yield from _no_alternative(node, schema.get(key), defs)
    if "if" in schema and not evaluated and _is_decided(schema["if"], defs):
        branch = "then" if _matches(node, schema["if"], defs) else "else"
        yield from mismatches(node, schema.get(branch, True), defs)


def _no_alternative(node: Node, parts: Any, defs: Mapping[str, Any]) -> Iterator[Mismatch]:
    """Yield why a value matches no alternative: the faults of the only one of its type, or one of each."""
    if not isinstance(parts, list) or not parts:
        return
    try:
        found = [list(mismatches(node, each, defs)) for each in parts]
    except RecursionError:
        # An alternative that consists of itself decides nothing.
        return
    if all(found):
        near = [each for each, part in zip(found, parts, strict=True) if _has_type(node.value, part, defs)]
        if len(near) == 1:
            yield from near[0]
            return
        reasons = dict.fromkeys(each[0].message for each in near or found)
        yield Mismatch(node, f"none of the {len(parts)} allowed forms fits: {'; '.join(reasons)}")


def _has_type(value: Any, schema: Any, defs: Mapping[str, Any]) -> bool:
    """Return whether a schema allows the type of a value."""
    schema = resolved(schema, defs)
    kinds = type_names(schema) if isinstance(schema, Mapping) else []
    return schema is not False and (not kinds or any(is_json_type(value, each) for each in kinds))


def _is_decided(schema: Any, defs: Mapping[str, Any]) -> bool:
    """Return whether a condition has only keywords that are supported."""
    schema = resolved(schema, defs)
    if not isinstance(schema, Mapping):
        return isinstance(schema, bool)
    inner = (*fields_of(schema)[0].values(), *(schema["anyOf"] if isinstance(schema.get("anyOf"), list) else ()))
    return schema.keys() <= _DECIDED and all(_is_decided(each, defs) for each in inner)


def _beyond_limits(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield a message for each limit of a number, or of the length of a text or list, that a value is beyond."""
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
            yield f"the schema wants {words} {limit}{unit}, this is {size}"
    step: Any = schema.get("multipleOf")
    if is_number(value) and is_number(step) and step > 0 and not _is_multiple(size, step):
        yield f"the schema wants a multiple of {step}, this is {value}"
    pattern = schema.get("pattern")
    if isinstance(value, str) and isinstance(pattern, str) and not _has(pattern, value):
        yield f"the schema wants a text that matches {pattern}"


_OF_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OF_TEXTS = ("minLength", "maxLength")
_OF_LISTS = ("minItems", "maxItems")
_LIMITS = frozenset((*_OF_NUMBERS, *_OF_TEXTS, *_OF_LISTS, "multipleOf", "pattern"))
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
    extra = schema.get("additionalProperties", True) if "patternProperties" not in schema else True
    closed = extra is False
    for name, child in node.items.items():
        if name in properties:
            yield from mismatches(child, properties[name], defs, evaluated=evaluated)
        elif isinstance(extra, Mapping):
            yield from mismatches(child, extra, defs, evaluated=evaluated)
        elif closed or (missing and nearest(name, missing) is not None):
            yield Mismatch(node, f"there is no field {name!r}", near(name, properties, "fields are"), key=name)
    for name in missing:
        # A misspelt field has a mismatch of its own.
        if name not in meant:
            yield Mismatch(node, f"the required field {name!r} is missing", f"add {name}: ...")


Fits = Callable[[Any], bool]
"""Whether a value fits: true only if `mismatches` finds nothing."""

_EXACT = {"null": type(None), "boolean": bool, "integer": int, "string": str, "array": list, "object": dict}


def compiled(schema: Any, defs: Mapping[str, Any]) -> Fits | None:
    """Return a function that quickly recognises plain values without mismatches; None if any value is allowed.

    Where it returns False, `mismatches` decides: a whole float is an integer, for example.
    """
    return _Compiler(defs).fits(schema)


class _Compiler:
    def __init__(self, defs: Mapping[str, Any]) -> None:
        self.defs = defs
        self.referring: dict[int, list[Fits | None]] = {}
        """What schemas with references were compiled to, by identity; empty while they are compiled."""

    def fits(self, schema: Any) -> Fits | None:
        if not isinstance(schema, Mapping):
            return _never if schema is False else None
        if "$ref" not in schema:
            fits = self._all(self._keywords(schema))
            return (
                fits
                if fits is None or schema.get("nullable") is not True
                else lambda value: value is None or fits(value)
            )
        known = self.referring.get(id(schema))
        if known is None:
            known = self.referring[id(schema)] = []
            known.append(self.fits(_with_target(schema, self.defs)))
        if known:
            return known[0]
        # A schema that contains itself.
        return lambda value: known[0] is None or known[0](value)

    def _all(self, checks: list[Fits]) -> Fits | None:
        if len(checks) < 2:
            return checks[0] if checks else None
        first, second, *others = checks
        both: Fits = lambda value: first(value) and second(value)  # noqa: E731 - the usual two, a type and its parts
        return self._all([both, *others])

    def _keywords(self, schema: Mapping[str, Any]) -> list[Fits]:
        found: list[Fits] = []
        names = type_names(schema)
        if names and all(isinstance(each, str) and each in _TYPES for each in names):
            kinds = frozenset(_EXACT[each] for each in names if each in _EXACT)
            if "number" in names:
                kinds |= {int, float}
            found.append(lambda value: type(value) in kinds)
        choices = [schema["const"]] if "const" in schema else []
        for allowed in (schema.get("enum"), choices):
            if isinstance(allowed, list) and (allowed or allowed is not choices):
                found.append(partial(_is_one_of, choices=allowed))
        if not _LIMITS.isdisjoint(schema):
            found.append(lambda value: next(_beyond_limits(value, schema), None) is None)
        found += filter(None, (self._object(schema), self._list(schema)))
        found += filter(None, (self._any(schema.get(key)) for key in ("anyOf", "oneOf")))
        if "if" in schema:
            # Conditions are rare: `mismatches` decides.
            found.append(_never)
        parts = schema.get("allOf")
        return found + [each for each in map(self.fits, parts if isinstance(parts, list) else ()) if each]

    def _any(self, parts: Any) -> Fits | None:
        checks = [self.fits(each) for each in parts] if isinstance(parts, list) else []
        known = [each for each in checks if each is not None]
        return None if not known or len(known) < len(checks) else lambda value: any(each(value) for each in known)

    def _object(self, schema: Mapping[str, Any]) -> Fits | None:
        properties, names = fields_of(schema)
        required = frozenset(names)
        compiled_fields = {name: self.fits(each) for name, each in properties.items()}
        checks = {name: each for name, each in compiled_fields.items() if each is not None}
        extra = schema.get("additionalProperties") if "patternProperties" not in schema else None
        known = compiled_fields.keys() if extra is False else None
        others = self.fits(extra) if isinstance(extra, Mapping) else None
        if not required and not checks and known is None and others is None:
            return None

        def fits(value: Any) -> bool:
            if not isinstance(value, dict):
                return not isinstance(value, Mapping)
            keys = value.keys()
            if not required <= keys or (known is not None and not keys <= known):
                return False
            for name, check in checks.items():
                if name in value and not check(value[name]):
                    return False
            return others is None or all(others(value[name]) for name in keys - compiled_fields.keys())

        return fits

    def _list(self, schema: Mapping[str, Any]) -> Fits | None:
        first, rest = list_schemas(schema)
        starts, others = [self.fits(each) for each in first], self.fits(rest)
        if others is None and not any(starts):
            return None

        def fits(value: Any) -> bool:
            if not isinstance(value, list):
                return not isinstance(value, tuple)
            if not starts:
                return others is None or all(map(others, value))
            checks = [*starts, *[others] * (len(value) - len(starts))]
            return all(check is None or check(each) for check, each in zip(checks, value, strict=False))

        return fits


def _never(_: Any) -> bool:
    return False


def _is_one_of(value: Any, choices: list[Any]) -> bool:
    return is_among(value, choices)
