"""Values are checked against JSON Schemas: no valid value is refused, and the time is bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator
from stepflow_cli.lsp.node_scope_and_schemas import find_schemas_at_path
from stepflow_client import InvalidArgumentError
from stepflow_client._base.gc_pauses_and_slices import run_in_slices
from stepflow_client.flows.json_schema import Validator, find_mismatches, resolve_ref
from stepflow_client.flows.run_requirements import check_inputs

_NAMES = st.sampled_from(["name", "nam", "n", "T"])
_SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5, "", "a", "name", 10**400])
_VALUES = st.recursive(_SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(_NAMES, each, max_size=3))
_KINDS = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
_PATTERNS = st.sampled_from(["a", "^n", "e$", "(?=n)", "^(n+)+$"])
_REFERENCES = st.sampled_from(["#/$defs/T", "#/$defs/U"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _KINDS | st.lists(_KINDS, min_size=1, max_size=3, unique=True),
            "enum": st.lists(_VALUES, min_size=1, max_size=3),
            "const": _VALUES,
            "$ref": _REFERENCES,
            "properties": st.dictionaries(_NAMES, inner, max_size=3),
            "required": st.lists(_NAMES, max_size=2, unique=True),
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(_PATTERNS, inner, max_size=2),
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "minimum": st.integers(-2, 2),
            "exclusiveMaximum": st.integers(-2, 2) | st.just(0.5),
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minLength": st.integers(0, 3),
            "maxItems": st.integers(0, 3),
            "pattern": _PATTERNS,
            "if": inner,
            "then": inner,
            "else": inner,
        },
    )


_SCHEMAS = st.recursive(st.booleans() | _schemas(st.booleans()), _schemas, max_leaves=6)


@pytest.mark.parametrize("number", [12, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_no_valid_value_is_refused(number: int) -> None:
    @settings(max_examples=number, deadline=None)
    @given(_SCHEMAS, _SCHEMAS, _SCHEMAS, _VALUES)
    def check(schema: Any, t: Any, u: Any, value: Any) -> None:
        defs = {"T": t, "U": u}
        mismatches = find_mismatches(value, schema, defs)
        try:
            is_valid = bool(mismatches) and Draft202012Validator({"$defs": defs, "allOf": [schema]}).is_valid(value)
        except RecursionError:
            # A schema that only refers to itself.
            return
        assert not is_valid

    check()


@pytest.mark.parametrize(
    ("schema", "value", "is_valid"),
    [
        ({"type": "integer"}, 2.0, True),
        ({"type": "integer"}, 10**400, True),
        ({"type": "integer"}, True, False),
        ({"type": ["string", "null"]}, None, True),
        # OpenAPI's form, which the type check supports too.
        ({"type": "string", "nullable": True}, None, True),
        ({"type": "string", "nullable": True}, 1, False),
        ({"type": "tuple"}, 1, True),
        ({"enum": [1, "a"]}, True, False),
        ({"const": None}, None, True),
        ({"const": [1]}, [True], False),
        ({"enum": ["a", [1], {"a": {"b": 2}}]}, [1.0], True),
        ({"enum": ["a", [1], {"a": {"b": 2}}]}, {"a": {"b": 2.0}}, True),
        ({"enum": ["a", [1], {"a": {"b": 2}}]}, {"a": {"b": 3}}, False),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1, 2], True),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1, "b"], False),
        ({"items": [{"type": "string"}], "additionalItems": False}, ["a", "b"], False),
        ({"$ref": "#/$defs/Tree"}, {"sub": [{"sub": []}]}, True),
        ({"$ref": "#/$defs/Tree"}, {"sub": [{"sub": [1]}]}, False),
        # Each part has its own `properties`.
        ({"$ref": "#/$defs/Tree", "properties": {"sub": {"type": "array"}}, "required": ["x"]}, {"sub": []}, False),
        ({"$ref": "#/$defs/Tree", "properties": {"b": {"type": "string"}}}, {"sub": [], "b": 1}, False),
        ({"$ref": "#/$defs/Closed", "properties": {"b": {"type": "string"}}}, {"a": 1}, True),
        ({"$ref": "#/$defs/Self"}, 1, True),
        ({"$ref": "#/$defs/Endless"}, 1, True),
        (False, None, False),
        ({"items": False}, [], True),
        ({"items": False}, [1], False),
        ({"items": True}, [1], True),
    ],
)
def test_inputs_are_checked_against_the_schema(schema: Any, value: Any, is_valid: bool) -> None:
    defs = {
        "Tree": {"type": "object", "properties": {"sub": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
        "Closed": {"properties": {"a": {}}, "additionalProperties": False},
        "Self": {"$ref": "#/$defs/Self"},
        "Endless": {"allOf": [{"$ref": "#/$defs/Endless"}]},
    }
    flow = {"schemas": {"$defs": defs, "properties": {"input": schema if schema is not False else {"allOf": [False]}}}}
    if is_valid:
        check_inputs(flow, [value])
        return
    with pytest.raises(InvalidArgumentError, match="does not match the flow's schema"):
        check_inputs(flow, [value])


def chain(length: int, link: Callable[[Any], Any]) -> dict[str, Any]:
    """Return shared schemas, each of which refers to the next one twice."""
    defs = {f"T{index}": link({"$ref": f"#/$defs/T{index + 1}"}) for index in range(length)}
    return {**defs, f"T{length}": {"type": "string"}}


@pytest.mark.parametrize("length", [18, 30, 100])
@pytest.mark.parametrize(
    "link",
    [
        lambda each: {"anyOf": [each, each]},
        lambda each: {"oneOf": [each, each]},
        lambda each: {"allOf": [each, each]},
        lambda each: {**each, "allOf": [each]},
        lambda each: {"if": {"type": "string"}, "then": each, "else": each},
    ],
)
def test_nested_references_are_followed_once(length: int, link: Callable[[Any], Any]) -> None:
    defs, slices = chain(length, link), list[int]()
    mismatches = run_in_slices(lambda: find_mismatches(5, {"$ref": "#/$defs/T0"}, defs), lambda: slices.append(1))
    assert mismatches
    assert not find_mismatches("x", {"$ref": "#/$defs/T0"}, defs)
    assert find_schemas_at_path({"properties": {"a": {"$ref": "#/$defs/T0"}}}, ("a",), {"a": "x"}, defs)
    assert not slices


def test_nested_values_are_compared_once_with_each_shared_schema() -> None:
    tree = {"$ref": "#/$defs/Tree"}
    alternatives = [{"properties": {"a": tree, "b": {"type": kind}}} for kind in ("string", "integer")]
    value: Any = {"b": None}
    for _ in range(60):
        value = {"a": value}
    slices: list[int] = []
    assert run_in_slices(
        lambda: find_mismatches(value, tree, {"Tree": {"anyOf": alternatives}}), lambda: slices.append(1)
    )
    assert not slices


def test_schemas_nested_too_deeply_refuse_nothing() -> None:
    defs, value = chain(10_000, lambda each: {"anyOf": [each, each]}), 5
    assert not find_mismatches(value, {"$ref": "#/$defs/T0"}, defs)


def test_only_the_first_mismatches_are_returned() -> None:
    assert len(find_mismatches(["x"] * 100_000, {"items": {"type": "integer"}}, {})) == 100
    names = {str(number): 1 for number in range(100_000)}
    assert len(find_mismatches(names, {"additionalProperties": False, "required": [*names, "x"]}, {})) == 100


def test_explaining_mismatches_is_interruptible() -> None:
    kinds, slices = [{"type": "integer"}, {"type": "boolean"}, {"type": "string"}], list[int]()
    for value, minimum, maximum in ((["x"] * 1_000, 5, 9), ([True] * 1_000, 3, 5), ([1] * 1_000, 0, 1)):
        slices.clear()
        mismatches = run_in_slices(
            lambda value=value: find_mismatches(value, {"items": {"anyOf": kinds}}, {}),  # type: ignore[misc]
            lambda: slices.append(1),
        )
        assert not mismatches
        assert minimum <= len(slices) <= maximum
    slices.clear()
    schema = {"items": {"pattern": "^a"}}
    assert not run_in_slices(lambda: find_mismatches(["abc"] * 3_000, schema, {}), lambda: slices.append(1))
    # Compiling the pattern takes a slice; matching short texts takes hardly any time.
    assert len(slices) == 1


def test_validity_checks_stop_comparing_alternatives_early() -> None:
    names = [f"f{index}" for index in range(20)]
    kinds = [{"properties": {name: {"type": kind} for name in names}} for kind in ("integer", "boolean", "string")]
    values, counts = [dict.fromkeys(names, "x")] * 100, list[int]()
    validator = Validator({"anyOf": kinds}, {})
    for check in (lambda: all(validator.find_mismatches(value) == () for value in values),
                  lambda: validator.are_values_valid(values),
                  lambda: validator.require_valid_inputs(values) is None):  # fmt: skip
        slices = list[int]()
        assert run_in_slices(check, lambda slices=slices: slices.append(1))  # type: ignore[misc]
        counts.append(len(slices))
    assert counts[0] > 10
    assert max(counts[1:]) <= 2


def test_elements_without_constraints_are_skipped() -> None:
    for items, is_visited in (({}, False), ({"title": "Any"}, False), ({"minimum": 0}, True)):
        slices = list[int]()
        mismatches = run_in_slices(
            lambda items=items: find_mismatches([1] * 10_000, {"items": items}, {}),  # type: ignore[misc]
            lambda slices=slices: slices.append(1),  # type: ignore[misc]
        )
        assert not mismatches
        assert bool(slices) is is_visited


PLUGIN = {
    "properties": {"type": {"enum": ["a", "b"]}},
    "required": ["type"],
    "allOf": [
        {"if": {"properties": {"type": {"const": "a"}}, "required": ["type"]}, "then": {"$ref": "#/$defs/a"}},
        {"if": {"properties": {"type": {"const": "b"}}, "required": ["type"]}, "then": {"required": ["url"]}},
    ],
}
DEFS: dict[str, Any] = {"a": {"properties": {"type": {}, "n": {"type": "integer"}}, "additionalProperties": False}}


@pytest.mark.parametrize(
    "value", [{"type": "a"}, {"type": "a", "n": 1}, {"type": "a", "n": "x"}, {"type": "a", "m": 1}, {"type": "b"}, {}]
)
def test_a_condition_selects_its_branch(value: Any) -> None:
    mismatches = find_mismatches(value, PLUGIN, DEFS)
    assert bool(mismatches) != Draft202012Validator({**PLUGIN, "$defs": DEFS}).is_valid(value)


@pytest.mark.parametrize("value", [{"a": 1}, {"a": "x"}, {}])
def test_additional_fields_are_checked(value: Any) -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    assert bool(find_mismatches(value, schema, {})) != Draft202012Validator(schema).is_valid(value)


def test_an_unsupported_condition_selects_no_branch() -> None:
    schema = {"if": {"pattern": "^a"}, "then": False, "else": False}
    assert not find_mismatches("b", schema, {})


def test_a_condition_on_an_expression_selects_no_branch() -> None:
    value = {"type": {"$input": "$.x"}, "url": 1}
    assert not find_mismatches(value, PLUGIN, DEFS, evaluated=True)


@pytest.mark.parametrize("schema", [{"enum": [{"a": 1}, [1]]}, {"const": {"a": 1}}])
def test_a_value_with_expressions_may_match_an_enum(schema: Any) -> None:
    expression = {"$input": "$.x"}
    for value in ({"a": expression}, [expression], {"b": 2, "a": expression}):
        assert not find_mismatches(value, schema, {}, evaluated=True)
        assert find_mismatches(value, schema, {})
    for value in ({"a": 2}, [2], {"a": [expression]}, 5):
        assert find_mismatches(value, schema, {}, evaluated=True)


def test_find_schemas_at_path() -> None:
    schema = {"properties": {"list": {"items": PLUGIN}}, "additionalProperties": {"title": "other"}}
    value = {"list": [{"type": "a"}, {"type": "b"}], "more": 1}
    schemas = find_schemas_at_path(schema, ("list", 0, "n"), value, DEFS)
    assert schemas == [{"type": "integer"}]
    assert find_schemas_at_path(schema, ("list", 1, "n"), value, DEFS) == []
    assert find_schemas_at_path(schema, ("more",), value, DEFS) == [{"title": "other"}]
    assert find_schemas_at_path(schema, ("absent", 0), value, DEFS) == []


def describe_mismatches(value: Any, schema: Any) -> list[str]:
    return [f"{each.path}: {each.message}" for each in find_mismatches(value, schema, {})]


@pytest.mark.parametrize(
    ("value", "schema", "message"),
    [
        (50, {"maximum": 10}, "at most 10, not 50"),
        (0, {"minimum": 1}, "at least 1, not 0"),
        (10, {"exclusiveMaximum": 10}, "less than 10"),
        (1.5, {"exclusiveMinimum": 1.5}, "more than 1.5"),
        (7, {"multipleOf": 5}, "a multiple of 5"),
        ("ab", {"minLength": 3}, "at least 3 characters, not 2"),
        ("abcd", {"maxLength": 3}, "at most 3 characters"),
        ("nope", {"pattern": r"^\d+$"}, r"matches ^\d+$"),
        ([1], {"minItems": 2}, "at least 2 elements, not 1"),
        ([1, 2], {"maxItems": 1}, "at most 1 elements"),
    ],
)
def test_values_beyond_a_limit_are_mismatches(value: Any, schema: Any, message: str) -> None:
    (mismatch,) = describe_mismatches({"a": value}, {"properties": {"a": schema}})
    assert mismatch.startswith("$.a: ")
    assert message in mismatch


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (10, {"minimum": 10, "maximum": 10}),
        (0.3, {"multipleOf": 0.1}),
        (10**400, {"multipleOf": 0.1}),
        (True, {"minimum": 5, "minLength": 5}),
        ("abc", {"minimum": 10, "exclusiveMinimum": 10, "minItems": 9, "minLength": 3, "maxLength": 3}),
        ("x", {"pattern": "(?<name"}),
        ("x", {"pattern": 5, "minLength": "7"}),
        ("axb", {"pattern": "x"}),
        ("tomorrow", {"format": "date"}),
        (None, {"minLength": 5}),
    ],
)
def test_values_within_limits_match(value: Any, schema: Any) -> None:
    assert describe_mismatches(value, schema) == []


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ({}, ["$: the required field 'a' is missing"]),
        (5, ["$: the schema expects at least 10, not 5"]),
        (None, ["$: does not match any of the 3 allowed forms: the schema expects integer, not null; "
                "the schema expects object, not null; no value is allowed here"]),
    ],
)  # fmt: skip
def test_the_only_alternative_of_the_type_is_explained(value: Any, messages: list[str]) -> None:
    forms = [{"type": "integer", "minimum": 10}, {"type": "object", "required": ["a"]}, False]
    assert describe_mismatches(value, {"anyOf": forms}) == messages


@pytest.mark.parametrize(
    ("condition", "is_decided"),
    [
        ({"const": 1}, True),
        ({"$ref": "#/$defs/one"}, True),
        ({"$ref": "#/$defs/loop"}, True),
        ({"$ref": "#/$defs/text"}, False),
        ({"properties": {"a": True}, "anyOf": [{"enum": [1]}]}, True),
        ({"properties": {"a": {"minimum": 1}}}, False),
        ({"anyOf": [{"not": {}}]}, False),
        ({"properties": {"a": 5}}, False),
        (True, True),
    ],
)
def test_supported_conditions_select_a_branch(condition: Any, is_decided: bool) -> None:
    defs = {"one": {"const": 1}, "loop": {"const": 1, "$ref": "#/$defs/loop"}, "text": {"pattern": "^a"}}
    assert bool(find_mismatches(1, {"if": condition, "then": False, "else": False}, defs)) is is_decided


def test_type_mismatches_describe_the_expected_object_or_list() -> None:
    for schema, hint in (
        ({"type": "object", "properties": {"a": {}}}, "fields are: a"),
        ({"type": ["object", "null"], "properties": {"a": {}}, "required": ["a"]}, "fields are: a (required)"),
        ({"type": "object"}, None),
        ({"type": "string", "properties": {"a": {}}}, None),
        ({"type": "array", "items": {"type": "string"}}, "write [...], with elements that are: string"),
        ({"type": "array"}, None),
    ):
        (mismatch,) = find_mismatches(5, schema, {})
        assert mismatch.hint == hint


@pytest.mark.parametrize(
    ("value", "allowed", "value_text", "hint"),
    [
        ({"a": 2}, [{"a": 1}], '{"a": 2}', 'did you mean {"a": 1}?'),
        ([True], [[True, None]], "[true]", "did you mean [true, null]?"),
        (None, [1], "null", "one of: 1"),
        (3, ["3"], "3", "did you mean '3'?"),
        ("3", [3], "'3'", "did you mean 3?"),
        ("x", [{"é": "b"}, None], "'x'", 'one of: {"é": "b"}, null'),
        ("rd", ["red"], "'rd'", "did you mean 'red'?"),
    ],
)
def test_values_are_shown_as_json_and_plain_strings_in_quotes(
    value: Any, allowed: Any, value_text: str, hint: str
) -> None:
    (mismatch,) = find_mismatches(value, {"enum": allowed}, {})
    assert (mismatch.message, mismatch.hint) == (f"{value_text} is not one of the allowed values", hint)
    (mismatch,) = find_mismatches([value], {"const": value}, {})
    assert mismatch.message == f"the schema expects {value_text}"


def test_messages_and_hints_are_shortened() -> None:
    (mismatch,) = find_mismatches("x" * 500, {"enum": ["a"]}, {})
    assert mismatch.message == f"'{'x' * 97}...{'x' * 98}' is not one of the allowed values"
    (mismatch,) = find_mismatches(1, {"const": [*range(30)]}, {})
    assert mismatch.message == f"the schema expects [{', '.join(map(str, range(20)))}, ...]"
    (mismatch,) = find_mismatches("b", {"pattern": "a" * 900}, {})
    assert mismatch.message == f"the schema expects a string that matches {'a' * 499}…"
    for number, more in ((12, ""), (13, ", ...")):
        fields = {f"f{index}": {} for index in range(number)}
        (mismatch,) = find_mismatches({"x": 1}, {"properties": fields, "additionalProperties": False}, {})
        assert mismatch.hint == f"fields are: {', '.join([*fields][:12])}{more}"
    for number, more in ((12, ""), (13, " or ...")):
        choices = {"enum": [*range(number)]}
        (mismatch,) = find_mismatches({}, {"properties": {"a": choices}, "required": ["a"]}, {})
        assert mismatch.hint == f"add a: {' or '.join(map(str, range(12)))}{more}"
    long = {"properties": {"n" * 300 + str(index): {} for index in range(5)}, "additionalProperties": False}
    (mismatch,) = find_mismatches({"x": 1}, long, {})
    assert mismatch.hint is not None
    assert len(mismatch.hint) == len("fields are: ") + 1_000


def test_hints_describe_nested_types_up_to_a_depth() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "integer"}

    hints = []
    for depth in range(5):
        (mismatch,) = find_mismatches({}, {"properties": {"a": nested(depth)}, "required": ["a"]}, {})
        hints.append(mismatch.hint)
    assert hints == [
        "add a: integer", "add a: array of integer", "add a: array of (array of integer)",
        "add a: array of (array of array)", "add a: array of (array of array)",
    ]  # fmt: skip


def test_chained_references_are_followed_up_to_a_depth() -> None:
    defs: dict[str, Any] = {f"T{index}": {"$ref": f"#/$defs/T{index + 1}"} for index in range(40)}
    for last, expected in ((28, {"title": "x"}), (29, {})):
        assert resolve_ref({"$ref": "#/$defs/T0"}, {**defs, f"T{last}": {"title": "x"}}) == expected


def test_alternatives_are_listed() -> None:
    card = {"type": "object", "properties": {"kind": {"const": "card"}, "number": {"type": "string"}}}
    iban = {"type": "object", "properties": {"kind": {"const": "iban"}, "iban": {"type": "string"}}}
    method = {"oneOf": [{**each, "additionalProperties": False} for each in (card, iban)]}
    (mismatch,) = find_mismatches({"method": {"kind": "iban", "number": "1"}}, {"properties": {"method": method}}, {})
    assert mismatch.hint == (
        "write one of: object with kind ('card'), number (string); object with kind ('iban'), iban (string)"
    )
    (mismatch,) = find_mismatches({}, {"properties": {"method": method}, "required": ["method"]}, {})
    assert mismatch.hint is not None
    assert mismatch.hint.endswith("(object with kind ('iban'), iban (string))")
