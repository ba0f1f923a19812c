"""The progress of a followed run, computed from its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stepflow_client import ExecutionStatus, Outcome
from stepflow_client._rules.run_progress import BatchCount, FlowOutline, ItemsByState, RunProgress, StepProgress
from stepflow_client.events import (
    RunCompletedEvent,
    RunCreatedEvent,
    RunEvent,
    StepCompletedEvent,
    StepsNeededEvent,
    StepStartedEvent,
    SubRunCreatedEvent,
)
from stepflow_client.types import ItemCounts

BEGIN = datetime(2026, 11, 25, tzinfo=UTC)
OUTLINE: FlowOutline = ("flow", {0: "a", 1: "b"})


def event_fields(second: float = 0.0, run: str = "r") -> dict[str, Any]:
    return {"run_id": run, "timestamp": BEGIN + timedelta(seconds=second), "sequence_number": 0, "cursor": ""}


def started(step: str, item: int = 0, second: float = 0.0, attempt: int = 1) -> RunEvent:
    return StepStartedEvent(step_id=step, item_index=item, attempt=attempt, **event_fields(second))


def ended(step: str, item: int = 0, second: float = 0.0, status: str = "completed") -> RunEvent:
    return StepCompletedEvent(step_id=step, item_index=item, status=ExecutionStatus(status), **event_fields(second))


def follow(*events: RunEvent, total: int = 1, outline: FlowOutline = OUTLINE) -> RunProgress:
    run = RunProgress("r", outline, total=total, created_at=BEGIN)
    for event in events:
        run.apply_event(event)
    return run


# Steps and items


def test_a_step_lasts_from_its_start_to_its_end() -> None:
    run = follow()
    assert run.apply_event(started("a", second=1.0)) is None
    assert run.apply_event(ended("a", second=3.5)) == 2.5
    assert run.apply_event(ended("b", second=4.0)) is None, "the step has no start"
    assert run.apply_event(RunCompletedEvent(**event_fields(7.0))) == 7.0
    assert (run.status, run.is_over, run.get_duration(BEGIN + timedelta(seconds=99))) == ("completed", True, 7.0)


def test_the_duration_of_an_active_run_is_up_to_now() -> None:
    run = follow(started("a", second=1.0))
    now = BEGIN + timedelta(seconds=4)
    assert run.get_duration(now) == 4.0
    assert run.steps[0].get_duration(now) == 3.0
    assert run.get_duration(BEGIN - timedelta(seconds=1)) == 0.0, "the clocks differ"
    run.apply_event(ended("a", second=2.0))
    assert run.steps[0].get_duration(now) == 1.0
    assert RunProgress("r").get_duration(now) is None
    assert (run.flow_name, run.status, run.is_over) == ("flow", "running", False)


def test_a_restarted_step_keeps_its_first_start_time() -> None:
    run = follow(started("a", second=1.0), ended("a", second=2.0, status="failed"), started("a", second=5.0, attempt=2))
    (step,) = run.steps
    assert (step.attempt, step.ended, step.failed_count) == (2, {}, 0)
    assert run.apply_event(ended("a", second=6.0)) == 1.0
    assert step.get_duration(BEGIN) == 5.0


def test_steps_come_in_the_order_of_the_flow() -> None:
    run = follow(started("z"), started("b"), started("a"))
    assert [step.step_id for step in run.steps] == ["a", "b", "z"]
    assert [step.step_id for step in follow(StepsNeededEvent(step_ids=["b", "a"], **event_fields())).steps] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], ItemsByState(set(), set(), set())),
        ([started("a")], ItemsByState(set(), set(), {0})),
        ([ended("a")], ItemsByState(set(), set(), {0})),
        ([ended("a"), ended("b")], ItemsByState({0}, set(), set())),
        ([ended("a"), ended("b", status="skipped")], ItemsByState({0}, set(), set())),
        ([ended("a"), ended("b", status="failed")], ItemsByState(set(), {0}, set())),
        ([ended("a", status="failed")], ItemsByState(set(), {0}, set())),
        ([ended("a"), ended("b"), ended("a", 1), started("b", 1)], ItemsByState({0}, set(), {1})),
        ([ended("a"), ended("b"), started("a")], ItemsByState(set(), set(), {0})),
        ([StepsNeededEvent(step_ids=["b"], **event_fields()), ended("b")], ItemsByState({0}, set(), set())),
        ([StepsNeededEvent(step_ids=["a", "b"], **event_fields()), ended("b")], ItemsByState(set(), set(), {0})),
    ],
)
def test_an_item_has_succeeded_once_its_steps_have(events: list[RunEvent], expected: ItemsByState) -> None:
    assert follow(*events, total=2).infer_item_states() == expected


def test_item_counts_of_a_finished_run_come_from_the_server() -> None:
    run = follow(ended("a"), ended("b"), started("a", 1), ended("a", 2, status="failed"), total=5)
    assert run.count_completed_and_failed() == (1, 1)
    assert run.get_item_counts() == {"total": 5, "completed": 1, "failed": 1, "running": 3}
    run.reported = ItemCounts(total=5, completed=2, failed=1, cancelled=2)
    assert run.count_completed_and_failed() == (1, 1), "the server's counts are outdated until the run ends"
    run.record_run_end("failed", None)
    assert run.count_completed_and_failed() == (2, 3)
    assert run.get_item_counts() == {"total": 5, "completed": 2, "failed": 3, "running": 0}


def test_without_events_the_server_counts_are_used() -> None:
    run = follow(total=3)
    run.reported = ItemCounts(total=3, completed=1, failed=1)
    assert run.count_completed_and_failed() == (1, 1)


def test_unfinished_items_of_a_cancelled_run_are_cancelled() -> None:
    run = follow(ended("a"), ended("b"), RunCompletedEvent(status=ExecutionStatus.CANCELLED, **event_fields()), total=3)
    assert run.get_item_counts() == {"total": 3, "completed": 1, "failed": 0, "cancelled": 2}


@pytest.mark.parametrize("total", [1, 2])
def test_only_single_item_runs_report_steps(total: int) -> None:
    progress = follow(ended("a"), started("b"), total=total).make_progress(1.5)
    assert (progress.run_id, progress.status, progress.total, progress.duration) == ("r", "running", total, 1.5)
    assert (progress.steps, progress.finished_steps) == ((2, 1) if total == 1 else (None, 0))
    assert progress.running_steps == ("b",)


def test_the_number_of_steps_may_be_unknown() -> None:
    assert follow(outline=(None, {})).make_progress(0.0).steps is None
    assert follow(StepsNeededEvent(step_ids=["b"], **event_fields())).make_progress(0.0).steps == 1


def test_the_number_of_items_may_come_with_the_first_event() -> None:
    assert follow(RunCreatedEvent(item_count=4, **event_fields())).total == 4


# Runs of steps


def test_steps_of_a_sub_run_are_named_by_their_position() -> None:
    requested: list[tuple[str, int]] = []

    def flow_of(run_id: str, item: int) -> FlowOutline:
        requested.append((run_id, item))
        return "inner", {0: "x"}

    run = RunProgress("r", OUTLINE, flow_of=flow_of)
    run.apply_event(SubRunCreatedEvent(item_count=3, **event_fields(2.0, "s")))
    run.apply_event(StepsNeededEvent(step_ids=["a"], **event_fields(2.0, "s")))
    for index, item in ((0, 2), (7, 1), (7, 1)):
        run.apply_event(StepStartedEvent(step_id="a", step_index=index, item_index=item, **event_fields(3.0, "s")))
    sub_run = run.sub_runs["s"]
    assert (sub_run.flow_name, sub_run.total, [step.step_id for step in sub_run.steps]) == ("inner", 3, ["x", "#7"])
    assert requested == [("s", 2), ("s", 1)], "an unknown index is looked up once"
    assert run.steps == []
    assert run.apply_event(RunCompletedEvent(**event_fields(5.0, "s"))) == 3.0
    assert (sub_run.is_over, run.is_over) == (True, False)


def test_a_step_without_an_index_has_the_name_from_the_server() -> None:
    run = RunProgress("r")
    run.apply_event(StepStartedEvent(step_id="a", **event_fields(run="s")))
    run.apply_event(StepStartedEvent(step_index=3, **event_fields()))
    assert [step.step_id for step in run.sub_runs["s"].steps] == ["a"]
    assert [step.step_id for step in run.steps] == ["#3"]


def test_running_steps_and_sub_runs_can_be_marked_as_failed() -> None:
    run = follow(ended("a"), started("b"), started("b", 1), total=2)
    for sub_run in ("running", "over"):
        run.apply_event(SubRunCreatedEvent(**event_fields(run=sub_run)))
        run.apply_event(StepStartedEvent(step_id="x", **event_fields(run=sub_run)))
    run.apply_event(RunCompletedEvent(**event_fields(run="over")))
    run.mark_running_as_failed()
    assert {step.step_id: (step.running, step.ended) for step in run.steps} == {
        "a": ({}, {0: "completed"}),
        "b": ({}, {0: "failed", 1: "failed"}),
    }
    assert {name: each.status for name, each in run.sub_runs.items()} == {"running": "failed", "over": "completed"}
    assert run.sub_runs["running"].is_over
    assert [step.ended for step in run.sub_runs["running"].steps] == [{0: "failed"}]
    assert (run.status, run.is_over) == ("running", False), "the server reports the status of the run itself"


# The state of a step


@pytest.mark.parametrize(
    ("statuses", "running", "total", "is_over", "expected"),
    [
        ([], [], 1, False, "waiting"),
        ([], [], 1, True, "not run"),
        ([], [0], 1, False, "running"),
        (["completed"], [], 1, False, "completed"),
        (["completed"], [], 2, False, "running"),
        (["completed"], [], 2, True, "completed"),
        (["completed"], [1], 2, True, "running"),
        (["completed", "cancelled"], [], 2, False, "cancelled"),
        (["completed", "failed", "cancelled"], [], 3, False, "failed"),
    ],
)
def test_the_state_of_a_step(statuses: list[str], running: list[int], total: int, is_over: bool, expected: str) -> None:
    step = StepProgress("a")
    for item, status in enumerate(statuses):
        step.record_item_end(item, None, status)
    for item in running:
        step.record_item_start(item, None, attempt=1)
    assert step.get_status(total, is_over) == step.get_state_text(total, is_over) == expected


def test_a_rerun_keeps_completed_steps() -> None:
    run = RunProgress("r", OUTLINE, kept={"a", "b"})
    run.apply_event(ended("a"))
    run.apply_event(ended("b", status="cancelled"))
    assert [step.get_state_text(1, True) for step in run.steps] == ["kept", "cancelled"]


def at(second: float) -> datetime:
    return BEGIN + timedelta(seconds=second)


def test_a_step_of_a_batch_lasts_from_the_first_start_to_the_last_end() -> None:
    step = StepProgress("a")
    assert step.get_duration(at(9.0)) is None
    step.record_item_start(0, at(1.0), attempt=1)
    step.record_item_start(1, at(2.0), attempt=1)
    step.record_item_start(1, at(3.0), attempt=2)
    assert (step.running, step.attempt) == ({0: at(1.0), 1: at(2.0)}, 2)
    assert step.record_item_end(0, at(4.0), "completed") == 3.0
    assert step.get_duration(at(9.0)) == 8.0
    assert step.record_item_end(1, None, "failed") is None
    assert step.get_duration(at(9.0)) == 3.0
    assert step.record_item_end(2, at(7.0), "cancelled") is None
    assert step.get_duration(at(9.0)) == 6.0
    assert (step.failed_count, step.count_items_with_status("failed"), step.running) == (2, 1, {})


def test_a_restarted_step_no_longer_counts_as_not_run() -> None:
    step = StepProgress("a")
    for item in range(2):
        step.record_item_end(item, None, "failed")
        step.not_run[item] = "fetch"
        step.unclear.add(item)
    step.record_item_start(0, None, attempt=1)
    assert (step.ended, step.not_run, step.unclear) == ({1: "failed"}, {1: "fetch"}, {1})
    step.record_item_end(1, None, "failed")
    assert (step.not_run, step.unclear) == ({}, set())


def test_a_sub_run_begins_with_its_first_event() -> None:
    run = follow()
    first = run.get_or_add_event_run(SubRunCreatedEvent(item_count=2, **event_fields(1.0, "s")))
    assert (first.run_id, first.total, first.created_at) == ("s", 2, at(1.0))
    assert run.get_or_add_event_run(StepStartedEvent(step_id="a", **event_fields(2.0, "s"))) is first
    assert run.get_or_add_event_run(started("a")) is run
    assert run.get_or_add_event_run(StepStartedEvent(step_id="a", **event_fields(2.0, "t"))).total == 1
    assert [*run.sub_runs] == ["s", "t"]


# Batches


def outcome(status: str, duration: float | None, run_id: str | None = "r") -> Outcome:
    return Outcome(0, None, run_id, ExecutionStatus(status), duration=duration)


def test_the_inputs_of_a_batch_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    count = BatchCount(9)
    assert count.seconds > 0, "rates need a duration above zero"
    count.is_estimated = True
    now = 54.0
    for each in (outcome("completed", 1.0), outcome("failed", 2.0), outcome("completed", None)):
        count.add_outcome(each)
    count.add_outcome(outcome("failed", None, run_id=None))
    progress = count.make_progress()
    assert (progress.status, progress.total, progress.completed, progress.failed) == ("running", 9, 2, 2)
    assert (progress.known, progress.duration, progress.is_estimated) == (1, 4.0, True)
    count.add_earlier_item_count(3)
    end = count.make_progress(is_over=True)
    assert (end.status, end.total, end.completed, end.failed) == ("failed", 7, 5, 2)
    assert (end.known, end.is_estimated) == (4, False)


def test_a_batch_without_failures_has_completed() -> None:
    count = BatchCount()
    count.add_outcome(outcome("completed", 1.0))
    assert (count.make_progress().total, count.make_progress(is_over=True).status) == (None, "completed")


def test_only_outcomes_from_a_journal_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 50.0)
    count = BatchCount()
    for run_id, duration in (("r", None), ("s", None), (None, None), ("t", 1.0)):
        count.add_outcome(outcome("completed", duration, run_id))
    assert (count.known, count.done, count.failed, count.is_estimated) == (2, 4, 0, False)
    assert count.seconds == 1e-6
