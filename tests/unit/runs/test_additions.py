"""The client's additions to a stored flow (tags, pinned steps) can be read and removed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stepflow_client import ExecutionStatus, StepDetails
from stepflow_client._runs.strip_and_restore_flow import (
    RerunOrigin,
    add_tag_to_flow,
    collect_examples,
    mark_kept_step_details,
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
def test_a_tag_can_be_removed(flow: dict[str, Any]) -> None:
    before = repr(flow)
    tagged = add_tag_to_flow(flow, "t")
    assert tagged["metadata"]["stepflow-client"] == "t"
    assert repr(restore_flow(tagged)) == before
    assert repr(restore_flow(flow)) == before
    assert restore_flow(add_tag_to_flow(tagged, "other")) == flow
    assert parse_rerun_origin(tagged) is None


@pytest.mark.parametrize("metadata", ["text", ["a"], 5, False])
def test_invalid_metadata_is_left_unchanged(metadata: Any) -> None:
    flow = {"metadata": metadata, "steps": []}
    assert add_tag_to_flow(flow, "t") == flow
    assert restore_flow(flow) == flow


@pytest.mark.parametrize("kept", [{}, {"a": None}, {"b": {"$step": "zz", "n": [None]}}, {"a": 1, "b": {"c": None}}])
def test_pinned_steps_can_be_read_and_removed(kept: dict[str, Any]) -> None:
    before = repr(FLOW)
    stored = json.loads(json.dumps(add_tag_to_flow(FLOW, "t", RerunOrigin("run", kept, [3]))))
    assert repr(FLOW) == before
    assert repr(restore_flow(stored)) == before
    assert parse_rerun_origin(stored) == RerunOrigin("run", kept)
    changed = [step.get("id") for step, was in zip(stored["steps"], FLOW["steps"], strict=True) if step != was]
    assert changed == list(kept)
    again = add_tag_to_flow(restore_flow(stored), "u", RerunOrigin("another", {"b": 5}))
    assert (restore_flow(again), parse_rerun_origin(again)) == (FLOW, RerunOrigin("another", {"b": 5}))


def test_pinned_steps_of_a_submitted_flow_are_part_of_it() -> None:
    stored = add_tag_to_flow(FLOW, "t", RerunOrigin("run", {"a": 1}))
    submitted = add_tag_to_flow(stored, "u")
    assert restore_flow(submitted)["steps"] == stored["steps"]
    assert parse_rerun_origin(submitted) is None


@pytest.mark.parametrize(
    "added",
    [5, None, [], {}, {"rerun_of": 5}, {"rerun_of": "r", "steps": 5}, {"rerun_of": "r", "steps": {"zz": {"id": "zz"}}}],
)
def test_malformed_additions_are_ignored(added: Any) -> None:
    flow = {**FLOW, "metadata": {"stepflow-client": added}}
    assert restore_flow(flow)["steps"] == FLOW["steps"]
    origin = parse_rerun_origin(flow)
    assert origin is None or origin.kept == {}


def test_kept_steps_are_marked_and_have_their_original_component() -> None:
    stored = add_tag_to_flow(FLOW, "t", RerunOrigin("run", {"a": 1}))
    listed = [
        StepDetails(step_id=name, status=ExecutionStatus.COMPLETED, component="/builtin/pin") for name in ("b", "a")
    ]
    marked = mark_kept_step_details(listed, stored)
    assert [(step.step_id, step.component, step.is_kept) for step in marked] == [
        ("b", "/builtin/pin", False),
        ("a", "/x/paid", True),
    ]
    assert mark_kept_step_details(listed, FLOW) == listed


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
