"""The limits of numbers, texts and lists in schemas."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client.flows.json_schema import mismatches
from stepflow_client.flows.source import node_of


def said(value: Any, schema: Any) -> list[str]:
    return [f"{each.path}: {each.message}" for each in mismatches(node_of(value), schema, {})]


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        (50, {"maximum": 10}, "at most 10, this is 50"),
        (0, {"minimum": 1}, "at least 1, this is 0"),
        (10, {"exclusiveMaximum": 10}, "less than 10"),
        (1.5, {"exclusiveMinimum": 1.5}, "more than 1.5"),
        (7, {"multipleOf": 5}, "a multiple of 5"),
        ("ab", {"minLength": 3}, "at least 3 characters, this is 2"),
        ("abcd", {"maxLength": 3}, "at most 3 characters"),
        ("nope", {"pattern": r"^\d+$"}, r"matches ^\d+$"),
        ([1], {"minItems": 2}, "at least 2 elements, this is 1"),
        ([1, 2], {"maxItems": 1}, "at most 1 elements"),
    ],
)
def test_what_is_beyond_a_limit(value: Any, schema: Any, words: str) -> None:
    (found,) = said({"a": value}, {"properties": {"a": schema}})
    assert found.startswith("$.a: ")
    assert words in found


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
def test_what_is_within_its_limits(value: Any, schema: Any) -> None:
    assert said(value, schema) == []
