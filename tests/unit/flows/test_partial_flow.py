"""A flow up to a step: what the step reads stays, all else goes."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client.flows.graph import cut_flow_to_step


def step(name: str, *reads: str) -> dict[str, Any]:
    return {"id": name, "component": "/builtin/noop", "input": [{"$step": each} for each in reads]}


FLOW: dict[str, Any] = {
    "name": "six",
    "schemas": {"properties": {"input": {"type": "object"}, "output": {"type": "string"}}},
    "steps": [step("a"), step("b", "a"), step("c"), step("d", "b"), step("e", "d", "c")],
    "output": {"$step": "e"},
}


@pytest.mark.parametrize(("until", "kept"), [("a", "a"), ("b", "ab"), ("c", "c"), ("d", "abd"), ("e", "abcde")])
def test_the_step_and_what_it_reads_stay(until: str, kept: str) -> None:
    flow, overrides = cut_flow_to_step(FLOW, until)
    assert "".join(each["id"] for each in flow["steps"]) == kept
    assert (flow["output"], overrides) == ({"$step": until}, None)
    assert flow["schemas"] == {"properties": {"input": {"type": "object"}}}
    assert len(FLOW["steps"]) == 5


def test_overrides_of_other_steps_go_and_those_that_read_others_count() -> None:
    changes = [{"b": {"input": {"$step": "c"}}}, {"e": {"input": 1}}, {"unknown": {"input": 1}}]
    flow, overrides = cut_flow_to_step(FLOW, "b", changes)
    assert [each["id"] for each in flow["steps"]] == ["a", "b", "c"]
    assert sorted(overrides) == ["b", "unknown"]


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="no step 'f'"):
        cut_flow_to_step(FLOW, "f")
