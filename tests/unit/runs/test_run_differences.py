"""Differences between two runs: paths, kinds, origins, items and ignored paths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stepflow_client import ErrorCode, ExecutionStatus, FlowError, InvalidArgumentError, RunDetails, StepDetails
from stepflow_client._runs.run_differences import find_run_differences, parse_ignored_paths, reduce_to_item
from stepflow_client._runs.strip_and_restore_flow import RerunOrigin, add_tag_to_flow
from stepflow_client.types import RunItem
from stepflow_client.types.runs import RunSnapshot

DONE = ExecutionStatus.COMPLETED
STEPS: list[dict[str, Any]] = [{"id": "a", "component": "/x"}, {"id": "b", "component": "/y", "input": {"$step": "a"}}]


def run(output: Any, *, steps: list[dict[str, Any]] = STEPS, **outputs: Any) -> RunSnapshot:
    """Return a run with these step outputs."""
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
    (difference,) = find_run_differences(run(a), run(b))
    assert (difference.path, difference.kind, difference.a, difference.b) == (
        "$.output.n",
        kind,
        a.get("n"),
        b.get("n"),
    )


def test_a_propagated_difference_has_an_origin() -> None:
    differences = find_run_differences(run(1, a=1, b=1), run(2, a=2, b=2))
    origin = "$.steps.a.output"
    assert {each.path: each.origin for each in differences} == {
        origin: None,
        "$.steps.b.output": origin,
        "$.output": origin,
    }


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


def batch(*outputs: Any, run_id: str = "r") -> RunSnapshot:
    """Return a run with several items, each with a single step that returns the item's output."""
    return RunSnapshot(
        RunDetails(run_id=run_id, flow_id="f", status=DONE),
        items=[RunItem(index=index, status=DONE, output=output) for index, output in enumerate(outputs)],
        steps=[
            StepDetails(step_id="a", item_index=index, status=DONE, output=output)
            for index, output in enumerate(outputs)
        ],
        flow={"steps": STEPS[:1], "output": {"$step": "a"}},
    )


def test_items_of_a_batch_are_compared_by_index() -> None:
    differences = find_run_differences(batch(1, 2, 3), batch(1, 5))
    assert [(each.path, each.kind, each.item_index, each.step_id, each.origin) for each in differences] == [
        ("$.items[1].steps.a.output", "changed", 1, "a", None),
        ("$.items[1].output", "changed", 1, None, "$.items[1].steps.a.output"),
        ("$.items[2]", "removed", 2, None, None),
    ]


def test_a_batch_of_two_items() -> None:
    differences = find_run_differences(batch(1, 2), batch(1, 3))
    assert [each.path for each in differences] == ["$.items[1].steps.a.output", "$.items[1].output"]


def test_an_empty_batch_lacks_the_item_of_the_other_run() -> None:
    (difference,) = find_run_differences(batch(), batch(1))
    assert (difference.path, difference.kind, difference.item_index) == ("$.items[0]", "added", 0)
    assert find_run_differences(batch(), batch()) == []


def test_a_step_of_only_one_run_is_reported() -> None:
    (difference,) = find_run_differences(run(1, a=1), run(1))
    assert (difference.path, difference.kind, difference.step_id) == ("$.steps.a", "removed", "a")


@pytest.mark.parametrize(
    ("a", "b", "paths"),
    [
        ([1, 2], [1, 3], ["$.output[1]"]),
        ([1, 2], [1], ["$.output[1]"]),
        ([1], [1, 2], ["$.output[1]"]),
        ([{"n": 1}, {"n": 2}], [{"n": 1.0}, {"n": 3}], ["$.output[1].n"]),
        ([1], {"0": 1}, ["$.output"]),
        (1, True, ["$.output"]),
    ],
)
def test_lists_are_compared_element_by_element(a: Any, b: Any, paths: list[str]) -> None:
    assert [each.path for each in find_run_differences(run(a), run(b))] == paths


def test_statuses_and_errors_are_compared() -> None:
    failed = ExecutionStatus.FAILED
    error = FlowError(message="no", code=ErrorCode.TIMEOUT)
    other = RunSnapshot(
        RunDetails(run_id="s", flow_id="f", status=failed),
        items=[RunItem(index=0, status=failed, error=error)],
        steps=[
            StepDetails(step_id="a", status=failed, error=error),
            StepDetails(step_id="b", status=failed, error=error, state="not_run"),
        ],
        flow={"steps": STEPS, "output": {"$step": "b"}},
    )
    differences = find_run_differences(run(None, a=None, b=None), other)
    failure = {"code": "timeout", "message": "no"}
    assert [(each.path, each.a, each.b, each.origin) for each in differences] == [
        ("$.status", "completed", "failed", None),
        ("$.steps.a.status", "completed", "failed", None),
        ("$.steps.a.error", None, failure, None),
        ("$.steps.b.status", "completed", "not_run", None),
        ("$.error", None, failure, "$.steps.a.error"),
    ]


def test_status_differences_have_no_origin() -> None:
    failed = [
        StepDetails(step_id=name, status=ExecutionStatus.FAILED, error=FlowError(message=f"no {name}")) for name in "ab"
    ]
    differences = find_run_differences(run(1, a=None, b=None), replace(run(1), steps=failed))
    origins = {each.path: each.origin for each in differences}
    assert (origins["$.steps.a.status"], origins["$.steps.b.status"]) == (None, None)


def test_a_kept_step_of_a_rerun_counts_as_completed() -> None:
    rerun = replace(run(1, b=1), _stored=add_tag_to_flow({"steps": STEPS}, "t", RerunOrigin("r", {"a": 5})))
    assert find_run_differences(run(1, a=5, b=1), rerun) == []
    (difference,) = find_run_differences(run(1, a=6, b=1), rerun)
    assert (difference.path, difference.a, difference.b) == ("$.steps.a.output", 6, 5)


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [
        ([], ["$.steps.a.output.n", "$.steps.b.output[1].n", "$.output"]),
        ("steps.*.output", ["$.output"]),
        (["$.steps.b.output[*].n", "output"], ["$.steps.a.output.n"]),
        (["steps.b.output[0].n"], ["$.steps.a.output.n", "$.steps.b.output[1].n", "$.output"]),
        ([" $.steps "], ["$.output"]),
        (["steps.*.*.n.deeper"], ["$.steps.a.output.n", "$.steps.b.output[1].n", "$.output"]),
    ],
)
def test_ignored_paths_include_everything_below(patterns: Any, paths: list[str]) -> None:
    a, b = (run(n, a={"n": n}, b=[{"n": 0}, {"n": 7 + n}]) for n in (1, 2))
    assert [each.path for each in find_run_differences(a, b, parse_ignored_paths(patterns))] == paths


@pytest.mark.parametrize(("pattern", "problem"), [("$", "it is the whole comparison"), ("", ""), ("$.a[", "")])
def test_invalid_ignore_patterns_are_rejected(pattern: str, problem: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_ignored_paths([pattern])
    assert caught.value.message.startswith(f"cannot ignore {pattern!r}: {problem}")
    assert caught.value.hint == "use the path of a difference, with * for any key: $.steps.*.output.time"


def test_a_chosen_item_is_compared_like_a_single_item_run() -> None:
    chosen = reduce_to_item(batch(1, 2, 3), 1)
    assert chosen.items == [RunItem(index=0, status=DONE, output=2)]
    assert [(step.item_index, step.output) for step in chosen.steps or ()] == [(0, 2)]
    assert find_run_differences(chosen, reduce_to_item(batch(2), 0)) == []
    with pytest.raises(InvalidArgumentError, match=r"^run r has no item 3$"):
        reduce_to_item(batch(1, 2, 3), 3)


def test_a_chosen_item_has_the_status_of_the_run() -> None:
    snapshot = batch(1, 2)
    snapshot = replace(snapshot, items=[RunItem(index=1, status=ExecutionStatus.CANCELLED)])
    assert reduce_to_item(snapshot, 1).details.status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize("steps", [None, "text", [{"component": "/x"}], [STEPS[0], STEPS[0]]])
def test_steps_without_unique_ids_are_compared_by_their_order(steps: Any) -> None:
    assert find_run_differences(run(1, steps=steps), run(1, steps=steps)) == []
    (difference,) = find_run_differences(run(1, steps=[{"component": "/x"}]), run(1, steps=[{"component": "/y"}]))
    assert difference.path == "$.flow.steps[0].component"


def test_only_secrets_of_the_flow_are_masked() -> None:
    variables = {"type": "object", "properties": {"key": {"type": "string", "is_secret": True, "default": "hunter22"}}}

    def flow_with(component: str) -> RunSnapshot:
        flow = {"schemas": {"properties": {"variables": variables}}, "steps": [{"id": "a", "component": component}]}
        return replace(run(f"hunter22 {component}"), flow=flow)

    differences = {each.path: (each.a, each.b) for each in find_run_differences(flow_with("/x"), flow_with("/y"))}
    assert differences == {"$.flow.steps.a.component": ("/x", "/y"), "$.output": ("*** /x", "*** /y")}
