"""The variants of an evaluation."""

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


def test_variants_add_to_what_all_have() -> None:
    given = {
        "now": Variant(),
        "more": Variant(variables={"b": 3}, overrides={"a": {"component": "/z"}}),
        "other": Variant(flow={**FLOW, "name": "g"}),
    }
    now, more, other = plan_variants(FLOW, given, {"a": 1, "b": 2}, {"b": {"component": "/w"}})
    assert (now.variables, more.variables) == ({"a": 1, "b": 2}, {"a": 1, "b": 3})
    assert more.overrides == {"b": {"value": {"component": "/w"}}, "a": {"value": {"component": "/z"}}}
    assert "test" not in now.flow
    assert other.flow["name"] == "g"
    assert len({each.settings_digest for each in (now, more, other)}) == 3
    tested = {**FLOW, "test": {"cases": [1]}}
    (same,) = plan_variants(tested, {"x": Variant()}, {"a": 1, "b": 2}, {"b": {"component": "/w"}})
    assert same.settings_digest == now.settings_digest


def test_without_variants_the_flow_is_evaluated_as_it_is() -> None:
    (only,) = plan_variants(FLOW, None, None, None)
    assert (only.name, only.variables, only.overrides) == ("flow", {}, None)


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ({}, "variants is empty"),
        ([Variant()], "variants must be a mapping"),
        ({"a": "flow.yaml"}, "variant 'a' must be a Variant"),
        ({"": Variant()}, "name of a variant"),
        ({"a": Variant(variables=3)}, "variables must be a mapping"),  # type: ignore[arg-type]
        ({"a": Variant(overrides=3)}, "overrides must map step IDs"),
    ],
)
def test_wrong_variants_are_refused(variants: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        plan_variants(FLOW, variants, None, None)


@pytest.mark.parametrize(("most", "found"), [(None, None), (7, 2), (2, 1)])
def test_all_variants_have_the_same_limit(most: int | None, found: int | None) -> None:
    assert divide_concurrency(most, 3) == found


@pytest.mark.parametrize(("items", "size"), [(5, 2), (120, 5), (600, 25), (4_999, 32), (5_000, None)])
def test_runs_are_enough_to_compare_their_times(items: int, size: int | None) -> None:
    assert choose_items_per_run(items, 2) == size
    assert choose_items_per_run(items, 1) is None
