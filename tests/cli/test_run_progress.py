"""The progress of a run is collected from its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from stepflow_cli.runs.follow_run import describe_event
from stepflow_client._rules.run_progress import RunProgress
from stepflow_client.events import (
    RunCompletedEvent,
    RunCreatedEvent,
    RunEvent,
    StepCompletedEvent,
    StepsNeededEvent,
    StepStartedEvent,
    SubRunCreatedEvent,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
COMMON = {"sequence_number": 0, "cursor": "e0.1"}


def started(step: str | None, index: int, seconds: float | None, *, run: str = "run", item: int = 0) -> RunEvent:
    time = None if seconds is None else START + timedelta(seconds=seconds)
    return StepStartedEvent(run_id=run, step_id=step, step_index=index, item_index=item, timestamp=time, **COMMON)


def ended(
    step: str | None, index: int, seconds: float | None, *, run: str = "run", item: int = 0, status: str = "completed"
) -> RunEvent:
    time = None if seconds is None else START + timedelta(seconds=seconds)
    return StepCompletedEvent(
        run_id=run, step_id=step, step_index=index, item_index=item, timestamp=time, status=status, **COMMON
    )


def test_step_is_waiting_then_running_then_completed() -> None:
    run = RunProgress("run", ("flow", {0: "a", 1: "b"}), created_at=START)
    run.apply_event(StepsNeededEvent(run_id="run", step_ids=["b", "a"], **COMMON))
    assert [(step.step_id, step.get_status(1, run.is_over)) for step in run.steps] == [
        ("a", "waiting"),
        ("b", "waiting"),
    ]
    run.apply_event(started("a", 0, 1))
    assert run.steps[0].get_status(1, run.is_over) == "running"
    assert run.steps[0].get_duration(START + timedelta(seconds=3)) == 2
    assert run.apply_event(ended("a", 0, 2.5)) == 1.5
    assert run.steps[0].get_status(1, run.is_over) == "completed"
    assert run.steps[0].get_duration(START + timedelta(seconds=9)) == 1.5
    assert run.apply_event(RunCompletedEvent(run_id="run", timestamp=START + timedelta(seconds=4), **COMMON)) == 4
    assert run.steps[1].get_status(1, run.is_over) == "not run"


def test_duration_includes_earlier_attempts() -> None:
    run = RunProgress("run")
    run.apply_event(started("a", 0, 1))
    again = StepStartedEvent(
        run_id="run", step_id="a", step_index=0, attempt=2, timestamp=START + timedelta(seconds=5), **COMMON
    )
    run.apply_event(again)
    assert describe_event(again, run) == "step a: running, attempt 2"
    assert run.apply_event(ended("a", 0, 6)) == 5
    assert run.steps[0].count_items_with_status("completed") == 1


def test_items_of_a_batch_are_counted() -> None:
    run = RunProgress("run", total=3)
    for item in range(3):
        run.apply_event(started("a", 0, 0, item=item))
    run.apply_event(ended("a", 0, 1, item=0))
    run.apply_event(ended("a", 0, 1, item=1, status="failed"))
    (step,) = run.steps
    assert (len(step.ended), step.failed_count, len(step.running), step.get_status(3, False)) == (2, 1, 1, "running")
    run.apply_event(ended("a", 0, 1, item=2))
    assert step.get_status(3, False) == "failed"
    # After a restart, the server executes steps again.
    run.apply_event(started("a", 0, 2, item=1))
    assert (step.failed_count, step.get_status(3, False)) == (0, "running")
    run.apply_event(ended("a", 0, 3, item=1))
    assert (step.count_items_with_status("completed"), step.get_status(3, False)) == (3, "completed")


def test_steps_of_sub_runs() -> None:
    requests: list[tuple[str, int]] = []

    def flow_of(run_id: str, item: int) -> tuple[str, dict[int, str]]:
        requests.append((run_id, item))
        return "child", {0: "inner"}

    run = RunProgress("run", ("parent", {0: "each"}), flow_of=flow_of)
    run.apply_event(SubRunCreatedEvent(run_id="below", parent_run_id="run", item_count=2, timestamp=START, **COMMON))
    first = started("each", 0, 0, run="below")
    run.apply_event(first)
    assert describe_event(first, run) == "sub-run below, item 0, step inner: running"
    # A step that remains unknown is requested only once.
    for _ in range(3):
        run.apply_event(started(None, 1, 0, run="below", item=1))
    assert requests == [("below", 0), ("below", 1)]
    assert [step.step_id for step in run.sub_runs["below"].steps] == ["inner", "#1"]
    assert run.sub_runs["below"].flow_name == "child"
    assert not run.steps


def test_descriptions_of_start_and_end() -> None:
    run = RunProgress("run", created_at=START)
    created = RunCreatedEvent(run_id="run", item_count=2, **COMMON)
    run.apply_event(created)
    assert describe_event(created, run) == "run run: running, 2 items"
    end = RunCompletedEvent(run_id="run", status="failed", **COMMON)
    assert describe_event(end, run, run.apply_event(end)) == "run run: failed"
