"""Planning the variants of an evaluation, their concurrency and the size of their runs."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client.evaluation import Variant
from stepflow_client.evaluation.records import choose_items_per_run, divide_concurrency, plan_variants

FLOW: dict[str, Any] = {
    "name": "f",
    "test": {"cases": []},
    "steps": [
        {"id": "a", "component": "/x", "input": {"$input": "$"}},
        {"id": "b", "component": "/y", "input": {"$step": "a"}},
    ],
    "output": {"$step": "b"},
}


def test_variants_extend_the_common_settings() -> None:
    variants = {
        "now": Variant(),
        "more": Variant(variables={"b": 3}, overrides={"a": {"component": "/z"}}),
        "other": Variant(flow={**FLOW, "name": "g"}),
    }
    now, more, other = plan_variants(FLOW, variants, {"a": 1, "b": 2}, {"b": {"component": "/w"}})
    assert (now.variables, more.variables) == ({"a": 1, "b": 2}, {"a": 1, "b": 3})
    assert more.overrides == {"b": {"value": {"component": "/w"}}, "a": {"value": {"component": "/z"}}}
    assert "test" not in now.flow
    assert other.flow["name"] == "g"
    assert len({each.settings_digest for each in (now, more, other)}) == 3
    tested = {**FLOW, "test": {"cases": [1]}}
    (same,) = plan_variants(tested, {"x": Variant()}, {"a": 1, "b": 2}, {"b": {"component": "/w"}})
    assert same.settings_digest == now.settings_digest


def test_without_variants_the_flow_is_evaluated_unchanged() -> None:
    (only,) = plan_variants(FLOW, None, None, None)
    assert (only.name, only.variables, only.overrides) == ("flow", {}, None)


def test_lists_of_overrides_are_merged_in_order() -> None:
    common = [{"a": {"input": 1}}, {"a": {"input": 2}, "b": {"input": 2}}]
    (only,) = plan_variants(FLOW, {"x": Variant(overrides=[{"b": {"input": 3}}])}, None, common)
    assert only.overrides == {"a": {"value": {"input": 2}}, "b": {"value": {"input": 3}}}


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({}, "variants is empty"),
        ([Variant()], "variants must be a mapping"),
        ({"a": "flow.yaml"}, "variant 'a' must be a Variant"),
        ({"": Variant()}, "name of a variant"),
        ({"a": Variant(variables=3)}, "variables must be a mapping"),  # type: ignore[arg-type]
        ({"a": Variant(overrides=3)}, "overrides must map step IDs"),
    ],
)
def test_invalid_variants_are_refused(variants: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        plan_variants(FLOW, variants, None, None)


@pytest.mark.parametrize(("max_concurrency", "limit"), [(None, None), (7, 2), (2, 1)])
def test_concurrency_is_divided_among_the_variants(max_concurrency: int | None, limit: int | None) -> None:
    assert divide_concurrency(max_concurrency, 3) == limit


@pytest.mark.parametrize(("items", "size"), [(5, 2), (120, 5), (600, 25), (4_999, 32), (5_000, None)])
def test_there_are_enough_runs_to_compare_their_times(items: int, size: int | None) -> None:
    assert choose_items_per_run(items, 2) == size
    assert choose_items_per_run(items, 1) is None
