"""JSON Schema validation that reports where a value doesn't match, plus type names and `$ref` lookups."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import islice
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from .._base.error_classes import InvalidArgumentError
from .._base.gc_pauses_and_slices import SLICE_STEPS, Slices, slices
from .._base.suggestions import find_nearest, suggest_nearest, suggest_or_list
from .._base.text_formatting import cut
from .._data.flow_declarations import get_defs as get_defs, get_fields
from .expressions import format_path, is_expression

if TYPE_CHECKING:
    from .linear_time_regex import LinearPattern

_MAX_DEPTH = 30
_DEFINITION_REFERENCE = r"#/(?:schemas/)?(?:\$defs|definitions)/(.*)"


def is_number(value: Any) -> bool:
    """Return whether a value is a number. Booleans don't count."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPE_CHECKS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, (list, tuple)),
    "object": lambda value: isinstance(value, (dict, Mapping)),
}
JSON_TYPES = tuple(_TYPE_CHECKS)


def is_json_type(value: Any, name: Any) -> bool:
    """Return whether a value has the named type. If the name is unknown, return True. Note that `3.0` counts as an
    integer."""
    check = _TYPE_CHECKS.get(name) if isinstance(name, str) else None
    return check is None or check(value)


def get_json_type(value: Any) -> str:
    """Return the name of a value's JSON type."""
    return next(name for name in JSON_TYPES if is_json_type(value, name))


def parse_ref_name(reference: Any) -> str | None:
    """Return the name of the shared schema that a `$ref` points to, or None if it points elsewhere."""
    match = re.fullmatch(_DEFINITION_REFERENCE, reference) if isinstance(reference, str) else None
    return unquote(match[1]).replace("~1", "/").replace("~0", "~") if match else None


def resolve_ref(schema: Any, defs: Mapping[str, Any]) -> Any:
    """Replace a schema's `$ref` with the shared schema. Unresolvable references allow any value."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        target = defs.get(parse_ref_name(schema["$ref"]) or "", {})
        schema = {**target, **rest} if isinstance(target, Mapping) else target
    return {}


def get_type_names(schema: Mapping[str, Any]) -> list[Any]:
    """Return the names of the types that a schema allows, or an empty list if it allows any type."""
    given = schema.get("type")
    return [given] if isinstance(given, str) else given if isinstance(given, list) else []


def get_list_element_schemas(schema: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the schemas of a list's leading elements, along with the schema for all remaining elements.

    The leading schemas come from `prefixItems` or, in drafts up to 2019-09, from a list in `items`.
    """
    first, items = schema.get("prefixItems"), schema.get("items", True)
    if isinstance(first, list):
        return first, items if not isinstance(items, list) else True
    return (items, schema.get("additionalItems", True)) if isinstance(items, list) else ([], items)


class Mismatch(NamedTuple):
    """A place where a value doesn't match its schema."""

    value: Any
    """The offending value."""
    message: str
    hint: str | None = None
    key: str | None = None
    """The unknown key, if the schema has no such field."""
    parts: tuple[str | int, ...] = ()
    """Keys and indexes leading to the value."""

    @property
    def path(self) -> str:
        """The path to the problem, starting at the root value."""
        return format_path(self.parts if self.key is None else (*self.parts, self.key))


Mismatches = Sequence[Mismatch]


class _JsonRepr(reprlib.Repr):
    """Formats values as JSON, except that a string on its own is quoted like other names in messages."""

    def repr_bool(self, value: bool, level: int) -> str:
        return "true" if value else "false"

    def repr_NoneType(self, value: None, level: int) -> str:
        return "null"

    def repr_str(self, x: str, level: int) -> str:
        if level == self.maxlevel:
            return super().repr_str(x, level)
        return cut(json.dumps(x[: self.maxstring], ensure_ascii=False), self.maxstring)


_short = _JsonRepr()
_short.maxstring = _short.maxother = _short.maxlong = 200
_short.maxdict = _short.maxlist = 20
short_repr = _short.repr
"""Formats a value as shortened JSON for messages."""


def make_comparison_key(value: Any, slices: Slices | None = None) -> Hashable:
    """Return a key that compares equal only for equal JSON values. (Unlike in Python, true doesn't equal 1.)"""
    if isinstance(value, bool):
        return bool, value
    if not isinstance(value, (dict, list, tuple, Mapping)):
        key: Hashable = value
        return key
    if slices is not None:
        slices.count_steps(1 + len(value) // 4)
    if isinstance(value, (list, tuple)):
        return tuple(make_comparison_key(element, slices) for element in value)
    return frozenset((name, make_comparison_key(part, slices)) for name, part in value.items())


# The amount of pattern matching (text length times pattern length) that counts as one step.
_PATTERN_WORK_PER_STEP = 64
# Maximum number of mismatches to look for.
_MAX_MISMATCHES = 100
# Maximum number of allowed values listed in a hint.
_MAX_NAMED = 12
# Maximum message length.
_MAX_LENGTH = 500
# Maximum length of a schema description.
_MAX_HINT_LENGTH = 1_000
# Maximum depth to which schema descriptions describe nested values.
_MAX_HINT_DEPTH = 2
# Maximum number of names (or pairs of names) to compare when looking for a typo.
_MAX_COMPARED = 200


def find_mismatches(value: Any, schema: Any, defs: Mapping[str, Any], *, evaluated: bool = False) -> Mismatches:
    """Check a value against a schema and return the first mismatches. See `Validator`."""
    return Validator(schema, defs, evaluated=evaluated).find_mismatches(value)


class Validator:
    """Checks values against a schema, ignoring unsupported keywords.

    The running time is at most proportional to the size of the schema times the size of the value, because each shared
    schema is applied only once per value and patterns are matched in linear time.

    Args:
        schema: The schema, which must not be modified afterwards.
        defs: The shared schemas that it may refer to.
        evaluated: Whether expressions in the value are evaluated. Since their results are unknown, they match any
            schema.
    """

    def __init__(self, schema: Any, defs: Mapping[str, Any], *, evaluated: bool = False) -> None:
        self.schema, self.defs, self.is_evaluated = schema, defs, evaluated
        self.patterns: dict[str, LinearPattern | None] = {}
        self.nullable = set[int]()
        """The `id()` of each schema that also allows null."""
        self._checks: dict[int, _KeywordChecks] = {}
        """Checks for a schema's supported keywords, keyed by the schema's `id()`."""
        self._descriptions: dict[int, str] = {}
        """Cached descriptions, keyed by object `id()`. They're needed even if another `anyOf` alternative matches."""

    def find_mismatches(self, value: Any, max_count: int = _MAX_MISMATCHES) -> Mismatches:
        """Return the first mismatches. The list is empty if the value is nested too deeply to check.

        A low `max_count` means that fewer parts of a value are compared with alternatives that don't match.
        """
        try:
            return _ValueCheck(self, max_count).apply_schema(self.schema, value)[:max_count]
        except RecursionError:
            return ()

    def are_values_valid(self, values: Sequence[Any]) -> bool:
        """Return whether all values match."""
        return not any(self.find_mismatches(value, 1) for value in values)

    def require_valid_input(self, value: Any, which: str = "the input") -> None:
        """Check one of a flow's inputs. The message refers to it as `which`.

        Raises:
            InvalidArgumentError: If it doesn't match.
        """
        for mismatch in self.find_mismatches(value, 1):
            message = f"{which} does not match the flow's schema: {mismatch.message} (at {mismatch.path})"
            raise InvalidArgumentError(message, hint=mismatch.hint)

    def require_valid_inputs(self, inputs: Sequence[Any], advice: str | None = None, file: str | None = None) -> None:
        """Check all inputs of a run, which may come from a file.

        Raises:
            InvalidArgumentError: If an input doesn't match. The hint includes `advice`.
        """
        where = "" if file is None else f" in {file}"
        for index, value in enumerate(inputs):
            which = f"the input{where}" if len(inputs) == 1 else f"input {index}{where} (counting from 0)"
            try:
                self.require_valid_input(value, which)
            except InvalidArgumentError as error:
                error.hint = "; ".join(filter(None, (error.hint, advice)))
                raise

    def get_schema_description(self, schema: Any) -> str:
        """Describe a schema in words. See `describe_schema`."""
        if id(schema) not in self._descriptions:
            self._descriptions[id(schema)] = cut(describe_schema(schema, self.defs), _MAX_HINT_LENGTH)
        return self._descriptions[id(schema)]

    def get_fields_hint(self, properties: Mapping[str, Any], required: Collection[str]) -> str:
        """Return a hint that lists an object's fields. See `format_fields_hint`."""
        if id(properties) not in self._descriptions:
            self._descriptions[id(properties)] = format_fields_hint(properties, required, self.defs)
        return self._descriptions[id(properties)]

    def get_keyword_checks(self, schema: Any) -> _KeywordChecks:
        """Return the checks for a schema's supported keywords, each with its argument. Empty if the schema allows any
        value."""
        if id(schema) not in self._checks:
            self._checks[id(schema)] = self._build_keyword_checks(schema)
        return self._checks[id(schema)]

    def _build_keyword_checks(self, schema: Any) -> _KeywordChecks:
        if not isinstance(schema, Mapping):
            return [(_reject_any_value, None)] if schema is False else []
        checks: _KeywordChecks = []
        names = get_type_names(schema)
        if names and all(isinstance(name, str) and name in _TYPE_CHECKS for name in names):
            checks.append((_check_type, (names, schema)))
        if isinstance(schema.get("enum"), list):
            checks.append((_check_enum, (schema["enum"], set(map(make_comparison_key, schema["enum"])))))
        if "const" in schema:
            checks.append((_check_const, (schema["const"], make_comparison_key(schema["const"]))))
        checks += [(_check_limit, (*_LIMITS[key], schema[key])) for key in _LIMITS if is_number(schema.get(key))]
        if is_number(schema.get("multipleOf")) and schema["multipleOf"] > 0:
            checks.append((_check_multiple, schema["multipleOf"]))
        if isinstance(schema.get("pattern"), str):
            checks.append((_check_pattern, schema["pattern"]))
        patterns, others = schema.get("patternProperties"), schema.get("additionalProperties", True)
        fields = (*get_fields(schema), patterns if isinstance(patterns, Mapping) else {}, others)
        if any(fields[:3]) or others is False or isinstance(others, Mapping):
            checks.append((_check_object, fields))
        first, rest = get_list_element_schemas(schema)
        if first or (rest is not True and self.get_keyword_checks(rest)):
            checks.append((_check_list, (first, rest)))
        if "$ref" in schema:
            checks.append((_check_reference, parse_ref_name(schema["$ref"])))
        parts = {key: schema[key] for key in ("allOf", "anyOf", "oneOf") if isinstance(schema.get(key), list)}
        if parts.get("allOf"):
            checks.append((_check_all_of, parts.pop("allOf")))
        if not self.is_evaluated:
            checks += [(_check_any_of, part) for part in parts.values() if part]
            if "if" in schema and _uses_only_supported_keywords(schema["if"], self.defs):
                checks.append((_check_condition, (schema["if"], schema.get("then", True), schema.get("else", True))))
        if schema.get("nullable") is True:
            self.nullable.add(id(schema))
        return checks


class _ValueCheck:
    """A check of a single value."""

    def __init__(self, validator: Validator, max_count: int) -> None:
        self.validator, self.max_count, self.slices = validator, max_count, slices.get() or Slices()
        self.results: dict[tuple[str | None, int], tuple[Any, Mismatches]] = {}
        """Results keyed by shared schema and the value's `id()`, which stays unique because the value is kept alive."""

    def apply_schema(self, schema: Any, value: Any) -> Mismatches:
        if self.validator.is_evaluated and is_expression(value):
            literal = find_mismatches(value["$literal"], schema, self.validator.defs) if "$literal" in value else ()
            return _prefix_paths("$literal", literal)
        self.slices.count_steps(1)
        checks = self.validator.get_keyword_checks(schema)
        if value is None and id(schema) in self.validator.nullable:
            return ()
        results: Mismatches = ()
        for keyword, argument in checks:
            wrong = keyword(self, argument, value)
            if wrong:
                # Building a message takes longer than comparing a value, so count it as 10 steps.
                self.slices.left -= 10
                results = [*results, *wrong]
                if keyword is _check_type or len(results) >= self.max_count:
                    break
        return results

    def matches_pattern(self, pattern: str, text: str) -> bool | None:
        """Return whether a string matches a pattern, or None if the pattern can't be matched in linear time."""
        known = self.validator.patterns
        if pattern not in known:
            from .linear_time_regex import compile_linear

            self.slices.count_steps(SLICE_STEPS)
            known[pattern] = compile_linear(pattern)
        compiled = known[pattern]
        if compiled is None:
            return None
        self.slices.count_steps(compiled.length * len(text) // _PATTERN_WORK_PER_STEP)
        return compiled.is_found_in(text)


_KeywordChecks = list[tuple[Callable[[_ValueCheck, Any, Any], Mismatches], Any]]


def _prefix_paths(part: str | int, part_mismatches: Mismatches) -> Mismatches:
    """Prefix a part's mismatches with its key or index."""
    return [mismatch._replace(parts=(part, *mismatch.parts)) for mismatch in part_mismatches]


def _reject_any_value(check: _ValueCheck, _: None, value: Any) -> Mismatches:
    return [Mismatch(value, "no value is allowed here")]


def _check_type(check: _ValueCheck, wanted: tuple[list[str], Mapping[str, Any]], value: Any) -> Mismatches:
    names, schema = wanted
    for name in names:
        if _TYPE_CHECKS[name](value):
            return ()
    properties, required = get_fields(schema)
    hint = check.validator.get_fields_hint(properties, required) if "object" in names and properties else None
    if "array" in names and (items := check.validator.get_schema_description(get_list_element_schemas(schema)[1])):
        hint = f"write [...], with elements that are: {items}"
    return [Mismatch(value, f"the schema expects {' or '.join(names)}, not {get_json_type(value)}", hint)]


def _has_expressions(check: _ValueCheck, value: Any) -> bool:
    """Return whether any part of a value is unknown until it's evaluated."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return check.validator.is_evaluated and any(map(is_expression, parts))


def _check_enum(check: _ValueCheck, allowed: tuple[list[Any], set[Hashable]], value: Any) -> Mismatches:
    choices, keys = allowed
    if make_comparison_key(value, check.slices) in keys or _has_expressions(check, value):
        return ()
    check.slices.count_steps(_MAX_COMPARED)
    texts = {choice if isinstance(choice, str) else short_repr(choice): choice for choice in choices[:_MAX_COMPARED]}
    word = value if isinstance(value, str) else short_repr(value)
    similar = find_nearest(word, texts)
    if similar is None or isinstance(texts[similar], str):
        hint = suggest_or_list(word, texts, "one of")
    else:
        hint = f"did you mean {similar}?"
    return [Mismatch(value, f"{short_repr(value)} is not one of the allowed values", hint)]


def _check_const(check: _ValueCheck, wanted: tuple[Any, Hashable], value: Any) -> Mismatches:
    if make_comparison_key(value, check.slices) == wanted[1] or _has_expressions(check, value):
        return ()
    return [Mismatch(value, f"the schema expects {short_repr(wanted[0])}")]


_LIMITS: dict[str, tuple[Any, ...]] = {
    "minimum": (is_number, lambda value: value, ge, "at least", ""),
    "maximum": (is_number, lambda value: value, le, "at most", ""),
    "exclusiveMinimum": (is_number, lambda value: value, gt, "more than", ""),
    "exclusiveMaximum": (is_number, lambda value: value, lt, "less than", ""),
    "minLength": (_TYPE_CHECKS["string"], len, ge, "at least", " characters"),
    "maxLength": (_TYPE_CHECKS["string"], len, le, "at most", " characters"),
    "minItems": (_TYPE_CHECKS["array"], len, ge, "at least", " elements"),
    "maxItems": (_TYPE_CHECKS["array"], len, le, "at most", " elements"),
}


def describe_schema(schema: Any, defs: Mapping[str, Any], depth: int = 0) -> str:
    """Describe the values that a schema allows, e.g. `integer, at least 1`. Return an empty string if they're
    unknown."""
    schema = resolve_ref(schema, defs)
    if not isinstance(schema, Mapping) or depth > _MAX_HINT_DEPTH:
        return ""
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(choices, list):
        return " or ".join(map(short_repr, choices[:_MAX_NAMED])) + (" or ..." if len(choices) > _MAX_NAMED else "")
    forms = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(forms, list) and "properties" not in schema:
        texts = [text for form in forms[:_MAX_NAMED] if (text := describe_schema(form, defs, depth + 1))]
        return " or ".join(f"({text})" if " " in text and len(texts) > 1 else text for text in texts)
    parts = [" or ".join(map(str, get_type_names(schema)))]
    if parts == ["array"] and (items := describe_schema(get_list_element_schemas(schema)[1], defs, depth + 1)):
        parts = [f"array of {items}" if " " not in items else f"array of ({items})"]
    elif parts == ["object"] and (fields := _describe_fields(*get_fields(schema), defs, depth + 1)):
        parts = [f"object with {fields}"]
    for key, (_, _, _, words, unit) in _LIMITS.items():
        parts += [f"{words} {schema[key]}{unit}"] if is_number(schema.get(key)) else []
    if isinstance(schema.get("pattern"), str):
        parts.append(f"matching {cut(schema['pattern'], _MAX_LENGTH)}")
    return ", ".join(filter(None, parts))


def format_fields_hint(properties: Mapping[str, Any], required: Collection[str], defs: Mapping[str, Any]) -> str:
    """Return a hint that lists an object's fields, e.g. `fields are: id (string, required), note`."""
    return f"fields are: {cut(_describe_fields(properties, required, defs, 0), _MAX_HINT_LENGTH) or 'none'}"


def _describe_fields(fields: Mapping[str, Any], required: Collection[str], defs: Mapping[str, Any], depth: int) -> str:
    texts = []
    for name, schema in islice(fields.items(), _MAX_NAMED):
        words = ", ".join(filter(None, (describe_schema(schema, defs, depth), "required" if name in required else "")))
        texts.append(f"{name} ({words})" if words else str(name))
    return ", ".join([*texts, "..."] if len(fields) > _MAX_NAMED else texts)


def _check_limit(check: _ValueCheck, limit: tuple[Any, ...], value: Any) -> Mismatches:
    is_limited, size_of, is_within, words, unit, bound = limit
    if not is_limited(value) or is_within(size_of(value), bound):
        return ()
    return [Mismatch(value, f"the schema expects {words} {bound}{unit}, not {size_of(value)}")]


def _check_multiple(check: _ValueCheck, step: float, value: Any) -> Mismatches:
    if not is_number(value):
        return ()
    try:
        # Allow for rounding errors: 0.3 is a multiple of 0.1.
        is_multiple = abs(round(value / step) * step - value) <= 1e-9 * max(1.0, abs(value))
    except (OverflowError, ValueError):
        is_multiple = True
    return () if is_multiple else [Mismatch(value, f"the schema expects a multiple of {step}, not {value}")]


def _check_pattern(check: _ValueCheck, pattern: str, value: Any) -> Mismatches:
    if not isinstance(value, str) or check.matches_pattern(pattern, value) is not False:
        return ()
    return [Mismatch(value, f"the schema expects a string that matches {cut(pattern, _MAX_LENGTH)}")]


def _check_object(
    check: _ValueCheck, fields: tuple[Mapping[str, Any], list[str], Mapping[str, Any], Any], value: Any
) -> Mismatches:
    if not isinstance(value, (dict, Mapping)):
        return ()
    check.slices.count_steps(len(value) // 8)
    properties, required, patterns, others = fields
    missing = [name for name in required if name not in value]
    unlisted = [name for name in value if name not in properties] if missing else []
    misspelt: dict[str, str] = {}
    """Maps each name that looks misspelled to the missing name it was probably meant to be."""
    if 0 < len(missing) * len(unlisted) <= _MAX_COMPARED:
        check.slices.count_steps(_MAX_COMPARED)
        misspelt = {name: meant for name in unlisted if (meant := find_nearest(name, missing)) is not None}
    results: list[Mismatch] = []
    for name, child in value.items():
        is_known = name in properties
        schemas = (properties[name],) if is_known else ()
        for pattern in patterns:
            is_match = check.matches_pattern(pattern, name)
            is_known = is_known or is_match is not False
            schemas += (patterns[pattern],) if is_match else ()
        if not is_known and (others is False or name in misspelt):
            check.slices.count_steps(_MAX_COMPARED)
            hint = suggest_nearest(name, list(properties)[:_MAX_COMPARED])
            hint = hint or check.validator.get_fields_hint(properties, required)
            results.append(Mismatch(value, f"unknown field {short_repr(name)}", hint, name))
        elif not is_known and others is not True:
            schemas = (others,)
        for schema in schemas:
            if wrong := check.apply_schema(schema, child):
                results += _prefix_paths(name, wrong)
        if len(results) >= check.max_count:
            return results
    # Misspelled fields have already been reported.
    absent = [name for name in missing if name not in misspelt.values()]
    for name in absent[: check.max_count]:
        hint = f"add {name}: {check.validator.get_schema_description(properties.get(name)) or '...'}"
        results.append(Mismatch(value, f"the required field {name!r} is missing", hint))
    return results


def _check_list(check: _ValueCheck, schemas: tuple[list[Any], Any], value: Any) -> Mismatches:
    first, rest = schemas
    results: list[Mismatch] = []
    for index, part in enumerate(value if isinstance(value, (list, tuple)) else ()):
        if wrong := check.apply_schema(first[index] if index < len(first) else rest, part):
            results += _prefix_paths(index, wrong)
            if len(results) >= check.max_count:
                break
    return results


def _check_reference(check: _ValueCheck, name: str | None, value: Any) -> Mismatches:
    key = name, id(value)
    if key not in check.results:
        # Assume a match for now, so that recursive references end here.
        check.results[key] = value, ()
        check.results[key] = value, check.apply_schema(check.validator.defs.get(name or "", True), value)
    return check.results[key][1]


def _check_all_of(check: _ValueCheck, parts: list[Any], value: Any) -> Mismatches:
    results: dict[Any, Mismatch] = {}
    for part in parts:
        results |= {(wrong.parts, wrong.message): wrong for wrong in check.apply_schema(part, value)}
        if len(results) >= check.max_count:
            break
    return list(results.values())


def _check_any_of(check: _ValueCheck, parts: list[Any], value: Any) -> Mismatches:
    """Explain why a value matches none of the alternatives. If only one of them allows its type, explain in detail."""
    results: list[Mismatches] = []
    for part in parts:
        results.append(check.apply_schema(part, value))
        if not results[-1]:
            return ()
    near: list[Mismatches] = []
    """Mismatches with the alternatives that allow the value's type."""
    for wrong, part in zip(results, parts, strict=True):
        schema = resolve_ref(part, check.validator.defs)
        names = get_type_names(schema) if isinstance(schema, Mapping) else []
        if schema is not False and (not names or any(is_json_type(value, name) for name in names)):
            near.append(wrong)
    if len(near) == 1:
        return near[0]
    reasons = "; ".join(dict.fromkeys(alternative[0].message for alternative in near or results))
    texts = dict.fromkeys(filter(None, map(check.validator.get_schema_description, parts[:_MAX_NAMED])))
    hint = f"write one of: {cut('; '.join(texts), _MAX_HINT_LENGTH)}" if texts else None
    return [Mismatch(value, cut(f"does not match any of the {len(parts)} allowed forms: {reasons}", _MAX_LENGTH), hint)]


def _check_condition(check: _ValueCheck, parts: tuple[Any, Any, Any], value: Any) -> Mismatches:
    condition, then, otherwise = parts
    return check.apply_schema(otherwise if check.apply_schema(condition, value) else then, value)


def _uses_only_supported_keywords(schema: Any, defs: Mapping[str, Any]) -> bool:
    """Return whether a condition uses only supported keywords."""
    waiting, seen = [schema], set[str]()
    while waiting:
        part = waiting.pop()
        if not isinstance(part, Mapping):
            if not isinstance(part, bool):
                return False
            continue
        if not part.keys() <= _DECIDABLE_KEYWORDS:
            return False
        waiting += [*get_fields(part)[0].values(), *(part["anyOf"] if isinstance(part.get("anyOf"), list) else ())]
        name = parse_ref_name(part.get("$ref"))
        if name is not None and name not in seen:
            seen.add(name)
            waiting.append(defs.get(name, True))
    return True


_DECIDABLE_KEYWORDS = {"$ref", "type", "properties", "required", "const", "enum", "anyOf", "title", "description"}
