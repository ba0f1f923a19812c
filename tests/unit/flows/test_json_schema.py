"""Where a value does not match a JSON Schema, and which schemas apply to a part of a value."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client.flows.json_schema import mismatches, schemas_at
from stepflow_client.flows.source import node_of

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
def test_the_branch_of_a_condition_counts(value: Any) -> None:
    found = list(mismatches(node_of(value), PLUGIN, DEFS))
    assert bool(found) != Draft202012Validator({**PLUGIN, "$defs": DEFS}).is_valid(value)


@pytest.mark.parametrize("value", [{"a": 1}, {"a": "x"}, {}])
def test_additional_fields_have_a_schema(value: Any) -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    assert bool(list(mismatches(node_of(value), schema, {}))) != Draft202012Validator(schema).is_valid(value)


def test_a_condition_that_is_not_understood_decides_nothing() -> None:
    schema = {"if": {"pattern": "^a"}, "then": False, "else": False}
    assert list(mismatches(node_of("b"), schema, {})) == []


def test_expressions_decide_nothing() -> None:
    value = {"type": {"$input": "$.x"}, "url": 1}
    assert list(mismatches(node_of(value), PLUGIN, DEFS, evaluated=True)) == []


def test_the_schemas_of_a_part() -> None:
    schema = {"properties": {"list": {"items": PLUGIN}}, "additionalProperties": {"title": "other"}}
    value = node_of({"list": [{"type": "a"}, {"type": "b"}], "more": 1})
    found = schemas_at(schema, ("list", 0, "n"), value, DEFS)
    assert found == [{"type": "integer"}]
    assert schemas_at(schema, ("list", 1, "n"), value, DEFS) == []
    assert schemas_at(schema, ("more",), value, DEFS) == [{"title": "other"}]
    assert schemas_at(schema, ("absent", 0), value, DEFS) == []
