"""Inferred types agree with a JSON Schema validator: valid values match the type, and certain conflicts are real."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st
from jsonschema import Draft202012Validator
from stepflow_client._checks.type_comparison import find_conflict, is_compatible
from stepflow_client.flows.type_system import make_union, schema_to_type, type_to_schema, value_to_type

_KINDS = ["null", "boolean", "integer", "number", "string", "array", "object"]
_NAMES = ["a", "b", "c"]
_SCALARS = [None, True, False, 0, 1, -3, 1.0, 2.5, "", "a", "b"]
_DEFS = {
    "Text": {"type": "string"},
    "Tree": {"type": "object", "properties": {"a": {"$ref": "#/$defs/Tree"}, "b": {"$ref": "#/$defs/Text"}}},
}


def _compound_schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3)
    several = st.lists(inner, min_size=1, max_size=3)
    extra = st.one_of(st.booleans(), inner)
    required = st.lists(st.sampled_from(_NAMES), unique=True, max_size=2)
    return st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda items: {"type": "array", "prefixItems": items}, several),
        st.builds(lambda p, r: {"type": "object", "properties": p, "required": r}, properties, required),
        st.builds(lambda p, e: {"type": "object", "properties": p, "additionalProperties": e}, properties, extra),
        st.builds(lambda p, r: {"properties": p, "required": r}, properties, required),
        st.builds(
            lambda p, e: {"type": "object", "patternProperties": {"^[cd]$": e}, "additionalProperties": False, **p},
            st.builds(lambda p: {"properties": p}, properties),
            inner,
        ),
        st.builds(
            lambda key, parts, p: {"type": "object", "properties": p, key: parts},
            st.sampled_from(["anyOf", "oneOf", "allOf"]),
            several,
            properties,
        ),
        st.builds(lambda key, parts: {key: parts}, st.sampled_from(["anyOf", "oneOf", "allOf"]), several),
        st.builds(lambda kind, part: {"type": kind, "not": part}, st.sampled_from(_KINDS), inner),
        st.builds(
            lambda kinds, items: {"type": kinds, "items": items},
            st.lists(st.sampled_from(_KINDS), unique=True, min_size=1, max_size=3),
            inner,
        ),
    )


_SCHEMAS = st.recursive(
    st.one_of(
        st.sampled_from([{}, True, False, {"minLength": 1}, {"type": "integer", "minimum": 1}, {"format": "date"}]),
        st.sampled_from(_KINDS).map(lambda kind: {"type": kind}),
        st.lists(st.sampled_from(_SCALARS), min_size=1, max_size=3).map(lambda values: {"enum": values}),
        st.sampled_from([*_SCALARS, [1], {"a": 1}]).map(lambda value: {"const": value}),
        st.sampled_from(["#/$defs/Text", "#/$defs/Tree"]).map(lambda name: {"$ref": name}),
    ),
    _compound_schemas,
    max_leaves=6,
).map(lambda schema: {**schema, "$defs": _DEFS} if isinstance(schema, dict) else schema)
_VALUES = st.recursive(
    st.sampled_from(_SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*_NAMES, "d"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def _is_valid(value: Any, schema: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def _has_empty_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_empty_list, value.values()))
    return isinstance(value, list) and (not value or any(map(_has_empty_list, value)))


_PAIRS = [{"type": "array", "prefixItems": [{"type": "string"}, {"type": second}]} for second in ("integer", "boolean")]
_MANY = pytest.param(200, marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)])


@pytest.mark.parametrize("number", [30, _MANY])
def test_a_value_that_is_valid_for_a_schema_matches_its_type(number: int) -> None:
    @settings(max_examples=number, deadline=None)
    @example({"anyOf": [{"type": "array", "items": {}}, {"type": ["null", "array"], "items": False}]}, [None, [], [1]])
    @given(_SCHEMAS, st.lists(_VALUES, min_size=1, max_size=8))
    def check(schema: Any, values: list[Any]) -> None:
        type = schema_to_type(schema)
        again = type_to_schema(type)
        Draft202012Validator.check_schema(again)
        for value in values:
            if _is_valid(value, schema):
                assert find_conflict(value_to_type(value), type) is None, (value, schema)
                assert _is_valid(value, again), (value, again)

    check()


@pytest.mark.parametrize("number", [30, _MANY])
def test_no_value_is_valid_for_both_schemas_of_a_certain_conflict(number: int) -> None:
    @settings(max_examples=number, deadline=None)
    @example(*_PAIRS, [["a"]])
    @given(_SCHEMAS, _SCHEMAS, st.lists(_VALUES, min_size=1, max_size=8))
    def check(first: Any, second: Any, values: list[Any]) -> None:
        reason = find_conflict(schema_to_type(first), schema_to_type(second))
        if reason is None or not reason.is_certain:
            return
        # Lists conflict for certain if no element fits both, but an empty list is valid for both.
        for value in (each for each in values if not _has_empty_list(each)):
            assert not (_is_valid(value, first) and _is_valid(value, second)), (value, reason)

    check()


@pytest.mark.parametrize("number", [20, _MANY])
def test_a_value_is_valid_for_the_schema_of_its_type(number: int) -> None:
    @settings(max_examples=number, deadline=None)
    @given(st.lists(_VALUES, min_size=1, max_size=4))
    def check(values: list[Any]) -> None:
        types = [value_to_type(each) for each in values]
        for value, type in zip(values, types, strict=True):
            assert _is_valid(value, type_to_schema(type))
            assert is_compatible(type, make_union(types))
            assert _is_valid(value, type_to_schema(make_union(types)))

    check()
