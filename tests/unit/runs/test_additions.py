"""What the client adds to a flow comes off again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stepflow_client import ExecutionStatus, StepDetails
from stepflow_client._runs.stored_flow_form import (
    RerunOrigin,
    add_tag_to_flow,
    collect_examples,
    mark_kept_steps,
    parse_rerun_origin,
    remove_cases,
    restore_flow,
)

FLOW: dict[str, Any] = {
    "steps": [
        {"id": "a", "component": "/x/paid", "input": {"$input": "n"}, "onError": {"action": "retry", "maxRetries": 2}},
        {"component": "/x/without_an_id"},
        {"id": "b", "component": "/x/paid", "input": {"$step": "a"}, "metadata": {"mine": 1}, "mustExecute": True},
    ],
    "metadata": {"stepflow": "other"},
    "output": {"$step": "b"},
}


@pytest.mark.parametrize(
    "flow",
    [{"steps": []}, {"metadata": {"a": 1}, "steps": []}, {"steps": [], "metadata": {"a": {"b": None}}, "output": 1}],
)
def test_a_tag_comes_off_again(flow: dict[str, Any]) -> None:
    before = repr(flow)
    made = add_tag_to_flow(flow, "t")
    assert made["metadata"]["stepflow-client"] == "t"
    assert repr(restore_flow(made)) == before
    assert repr(restore_flow(flow)) == before
    assert restore_flow(add_tag_to_flow(made, "other")) == flow
    assert parse_rerun_origin(made) is None


@pytest.mark.parametrize("metadata", ["text", ["a"], 5, False])
def test_metadata_that_servers_refuse_stays_as_it_is(metadata: Any) -> None:
    flow = {"metadata": metadata, "steps": []}
    assert add_tag_to_flow(flow, "t") == flow
    assert restore_flow(flow) == flow


@pytest.mark.parametrize("kept", [{}, {"a": None}, {"b": {"$step": "zz", "n": [None]}}, {"a": 1, "b": {"c": None}}])
def test_pins_come_off_again_and_can_be_read(kept: dict[str, Any]) -> None:
    before = repr(FLOW)
    stored = json.loads(json.dumps(add_tag_to_flow(FLOW, "t", RerunOrigin("run", kept, [3]))))
    assert repr(FLOW) == before
    assert repr(restore_flow(stored)) == before
    assert parse_rerun_origin(stored) == RerunOrigin("run", kept)
    changed = [step.get("id") for step, was in zip(stored["steps"], FLOW["steps"], strict=True) if step != was]
    assert changed == list(kept)
    again = add_tag_to_flow(restore_flow(stored), "u", RerunOrigin("another", {"b": 5}))
    assert (restore_flow(again), parse_rerun_origin(again)) == (FLOW, RerunOrigin("another", {"b": 5}))


def test_a_pinned_flow_that_someone_runs_as_theirs_is_theirs() -> None:
    stored = add_tag_to_flow(FLOW, "t", RerunOrigin("run", {"a": 1}))
    theirs = add_tag_to_flow(stored, "u")
    assert restore_flow(theirs)["steps"] == stored["steps"]
    assert parse_rerun_origin(theirs) is None


@pytest.mark.parametrize(
    "added",
    [5, None, [], {}, {"rerun_of": 5}, {"rerun_of": "r", "steps": 5}, {"rerun_of": "r", "steps": {"zz": {"id": "zz"}}}],
)
def test_additions_of_another_shape_do_no_harm(added: Any) -> None:
    flow = {**FLOW, "metadata": {"stepflow-client": added}}
    assert restore_flow(flow)["steps"] == FLOW["steps"]
    found = parse_rerun_origin(flow)
    assert found is None or found.kept == {}


def test_steps_that_a_rerun_keeps_are_marked_and_have_their_own_component() -> None:
    stored = add_tag_to_flow(FLOW, "t", RerunOrigin("run", {"a": 1}))
    listed = [
        StepDetails(step_id=name, status=ExecutionStatus.COMPLETED, component="/builtin/pin") for name in ("b", "a")
    ]
    marked = mark_kept_steps(listed, stored)
    assert [(step.step_id, step.component, step.is_kept) for step in marked] == [
        ("b", "/builtin/pin", False),
        ("a", "/x/paid", True),
    ]
    assert mark_kept_steps(listed, FLOW) == listed


def test_test_cases_are_stored_as_examples() -> None:
    cases = [
        {"name": "one", "input": 1, "output": 2},
        {"name": "two", "input": None, "description": "d"},
        {"name": "x"},
    ]
    flow = {**FLOW, "examples": [{"name": "zero", "input": 0}, {"name": "one", "input": 9}], "test": {"cases": cases}}
    assert collect_examples(flow) == [
        {"name": "zero", "input": 0},
        {"name": "one", "input": 9},
        {"name": "two", "input": None, "description": "d"},
    ]
    assert remove_cases(flow) == remove_cases({**FLOW, "test": {"cases": []}}) == FLOW
    assert collect_examples({**FLOW, "test": {"cases": []}}) == []
