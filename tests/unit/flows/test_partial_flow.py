"""A flow is cut down to a step and the steps it reads."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client.flows.graph import cut_flow_to_step, flow_of_step


def step(name: str, *reads: str) -> dict[str, Any]:
    return {"id": name, "component": "/builtin/noop", "input": [{"$step": each} for each in reads]}


FLOW: dict[str, Any] = {
    "name": "six",
    "schemas": {"properties": {"input": {"type": "object"}, "output": {"type": "string"}}},
    "steps": [step("a"), step("b", "a"), step("c"), step("d", "b"), step("e", "d", "c")],
    "output": {"$step": "e"},
}


@pytest.mark.parametrize(("until", "remaining"), [("a", "a"), ("b", "ab"), ("c", "c"), ("d", "abd"), ("e", "abcde")])
def test_the_step_and_the_steps_it_reads_remain(until: str, remaining: str) -> None:
    flow, overrides = cut_flow_to_step(FLOW, until)
    assert "".join(each["id"] for each in flow["steps"]) == remaining
    assert (flow["output"], overrides) == ({"$step": until}, None)
    assert flow["schemas"] == {"properties": {"input": {"type": "object"}}}
    assert len(FLOW["steps"]) == 5


def test_overrides_of_removed_steps_are_dropped_and_new_references_are_followed() -> None:
    changes = [{"b": {"input": {"$step": "c"}}}, {"e": {"input": 1}}, {"unknown": {"input": 1}}]
    flow, overrides = cut_flow_to_step(FLOW, "b", changes)
    assert [each["id"] for each in flow["steps"]] == ["a", "b", "c"]
    assert sorted(overrides) == ["b", "unknown"]


def test_malformed_overrides_are_kept_with_the_schemas() -> None:
    flow = {**FLOW, "schemas": {"$defs": {"A": {}}, "properties": {"steps": {}}}}
    cut, overrides = cut_flow_to_step(flow, "a", {"steps": {"a": {"$type": "merge_patch", "value": None}}})
    assert [each["id"] for each in cut["steps"]] == ["a"]
    assert list(overrides) == ["a"]
    assert cut["schemas"] == flow["schemas"]
    bare = {key: value for key, value in FLOW.items() if key != "schemas"}
    assert "schemas" not in cut_flow_to_step(bare, "a")[0]


@pytest.mark.parametrize(
    ("steps", "name", "hint"),
    [
        ([step("save"), step("load")], "sav", "did you mean 'save'?"),
        ([step("save"), step("load")], "xyz", "it has save, load"),
        ([], "a", "it has no steps"),
    ],
)
def test_an_unknown_step_is_rejected(steps: list[Any], name: str, hint: str) -> None:
    for call in (cut_flow_to_step, flow_of_step):
        with pytest.raises(InvalidArgumentError, match=f"^the flow has no step '{name}'") as caught:
            call({"steps": steps, "output": 1}, name)
        assert caught.value.hint == hint


def test_a_single_step_gets_the_flow_input() -> None:
    alone = {"steps": [{**step("b"), "input": {"$input": "$"}}], "output": {"$step": "b"}}
    assert flow_of_step({**FLOW, "version": "1", "test": {}}, "b") == {"name": "six/b", "version": "1", **alone}
    assert flow_of_step({"steps": FLOW["steps"], "name": 5}, "b") == alone
