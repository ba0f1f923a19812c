"""Differences between two runs."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import ExecutionStatus, RunDetails, StepDetails
from stepflow_client._runs.run_differences import find_run_differences
from stepflow_client.types import RunItem
from stepflow_client.types.runs import RunSnapshot

DONE = ExecutionStatus.COMPLETED
STEPS: list[dict[str, Any]] = [{"id": "a", "component": "/x"}, {"id": "b", "component": "/y", "input": {"$step": "a"}}]


def run(output: Any, *, steps: list[dict[str, Any]] = STEPS, **outputs: Any) -> RunSnapshot:
    """A run with the outputs of its steps."""
    return RunSnapshot(
        RunDetails(run_id="r", flow_id="f", status=DONE),
        items=[RunItem(index=0, status=DONE, output=output)],
        steps=[StepDetails(step_id=name, status=DONE, output=each) for name, each in outputs.items()],
        flow={"steps": steps, "output": {"$step": "b"}},
    )


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ({"n": 1}, {"n": 2}, "changed"),
        ({"n": None}, {"n": 2}, "changed"),
        ({"n": 1}, {}, "removed"),
        ({}, {"n": 2}, "added"),
    ],
)
def test_a_value_is_changed_removed_or_added(a: Any, b: Any, kind: str) -> None:
    (found,) = find_run_differences(run(a), run(b))
    assert (found.path, found.kind, found.a, found.b) == ("$.output.n", kind, a.get("n"), b.get("n"))


def test_a_difference_that_is_handed_on_has_its_origin() -> None:
    found = find_run_differences(run(1, a=1, b=1), run(2, a=2, b=2))
    origin = "$.steps.a.output"
    assert {each.path: each.origin for each in found} == {origin: None, "$.steps.b.output": origin, "$.output": origin}


@pytest.mark.parametrize(
    ("steps", "paths"),
    [
        (STEPS[::-1], []),
        ([STEPS[0], {**STEPS[1], "component": "/z"}], ["$.flow.steps.b.component"]),
        (STEPS[:1], ["$.flow.steps.b"]),
    ],
)
def test_steps_are_compared_by_id(steps: list[dict[str, Any]], paths: list[str]) -> None:
    assert [each.path for each in find_run_differences(run(1), run(1, steps=steps))] == paths
