"""Step and item times from events, and the event at which reading may stop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from stepflow_client import ExecutionStatus, StepDetails
from stepflow_client._rules.run_progress import ItemTime, ItemTimes, StepTime, StepTimes
from stepflow_client.events import RunCompletedEvent, RunEvent, StepCompletedEvent, StepStartedEvent

from tests.unit.both_twins import RUN_ID, STEP, TWINS, Server, call_with_handler

BEGIN = datetime(2026, 11, 25, tzinfo=UTC)


def common(second: float, run: str = "r") -> dict[str, Any]:
    return {"run_id": run, "timestamp": BEGIN + timedelta(seconds=second), "sequence_number": 0, "cursor": ""}


def started(second: float, step: str = "a", attempt: int = 1, **more: Any) -> RunEvent:
    return StepStartedEvent(step_id=step, attempt=attempt, **common(second, **more))


def ended(second: float, step: str = "a", status: str = "completed") -> RunEvent:
    return StepCompletedEvent(step_id=step, status=ExecutionStatus(status), **common(second))


def listed(step: str, status: str, second: float) -> StepDetails:
    return StepDetails(step_id=step, status=ExecutionStatus(status), updated_at=BEGIN + timedelta(seconds=second))


def read(steps: list[StepDetails], events: list[RunEvent]) -> tuple[StepTimes, int]:
    """Read events as the client does; return the times and the number of events read."""
    times = StepTimes("r", steps)
    for count, event in enumerate(events, start=1):
        times.add_event(event)
        if times.is_newer_than_listed_steps(event):
            return times, count
    return times, len(events)


def test_the_events_of_a_busy_run_are_read_up_to_the_listing() -> None:
    steps = [listed("a", "completed", 1.0), listed("b", "running", 1.1)]
    more = [started(2.0 + each, f"later{each}") for each in range(100)]
    times, count = read(steps, [started(0.0), ended(1.0), started(1.1, "b"), *more])
    assert count == 4
    first, second = map(times.add_times_to, steps)
    assert (first.duration, first.attempts, second.duration, second.attempts) == (1.0, 1, None, 1)
    assert second.started_at == BEGIN + timedelta(seconds=1.1)


def test_a_step_that_ends_several_times_is_read_to_its_last_end() -> None:
    attempts = [started(0.0), ended(1.0, status="failed"), started(2.0, attempt=2), ended(3.0, status="failed")]
    steps = [listed("a", "failed", 3.0)]
    times, count = read(steps, attempts)
    assert count == 4
    assert (times.add_times_to(steps[0]).duration, times.add_times_to(steps[0]).attempts) == (3.0, 2)


def test_an_end_after_the_listing_is_ignored() -> None:
    steps = [listed("a", "running", 0.0)]
    times, _ = read(steps, [ended(1.0)])
    assert times.add_times_to(steps[0]) == steps[0], "there is no start"
    times, _ = read(steps, [started(0.0), ended(1.0)])
    assert times.add_times_to(steps[0]).completed_at is None


@pytest.mark.parametrize("step_id", [None, "another"])
def test_steps_of_sub_runs_are_matched_by_position(step_id: str | None) -> None:
    step = replace(listed("b", "completed", 1.0), step_index=1)
    begin = StepStartedEvent(step_id=step_id, step_index=1, **common(0.0))
    end = StepCompletedEvent(step_id=step_id, step_index=1, status=ExecutionStatus.COMPLETED, **common(1.0))
    times, _ = read([step], [begin, end])
    assert times.add_times_to(step).duration == 1.0


def test_an_item_lasts_from_its_first_start_to_its_last_end() -> None:
    times = ItemTimes("r")
    other = StepCompletedEvent(step_id="a", **common(9.0, run="other"))
    unended = StepStartedEvent(step_id="a", item_index=7, **common(0.0))
    for event in (started(3.0), started(1.0, "b"), ended(4.0), ended(2.0, "b"), other, unended):
        times.add_event(event)
    assert [(each.index, each.duration) for each in times.times] == [(0, 3.0)]


def test_events_of_other_runs_and_steps_are_ignored() -> None:
    steps = [listed("a", "completed", 0.0)]
    times, _ = read(steps, [started(0.0, run="below"), started(0.0, "b"), ended(5.0, "b")])
    assert times.add_times_to(steps[0]) == steps[0]
    assert not any(times.is_newer_than_listed_steps(event) for event in (started(9.0), ended(9.0)))


def test_the_times_of_steps_come_in_the_order_of_their_first_events() -> None:
    without_time = {**common(0.0), "timestamp": None}
    events = [
        started(1.0, "b"),
        started(0.0),
        ended(2.0, "b", status="failed"),
        started(3.0, "b", attempt=2),
        ended(9.0, "c"),
        StepStartedEvent(step_id="d", **without_time),
        StepStartedEvent(**common(0.0)),
        RunCompletedEvent(**common(9.0)),
        StepCompletedEvent(step_id="a", item_index=4, **common(7.0)),
    ]
    times, items = StepTimes("r"), ItemTimes("r")
    for event in events:
        times.add_event(event)
        items.add_event(event)
        assert not times.is_newer_than_listed_steps(event), "no steps were listed"
    at = [BEGIN + timedelta(seconds=second) for second in range(10)]
    assert times.times == [
        StepTime(0, "b", [at[1], at[3]], at[2], "failed"),
        StepTime(0, "a", [at[0]], None, "running"),
        StepTime(0, "c", [], at[9], "completed"),
        StepTime(4, "a", [], at[7], "completed"),
    ]
    assert [each.duration for each in times.times] == [1.0, None, None, None]
    assert items.times == [ItemTime(0, at[0], at[9])]


def test_running_and_unreported_steps_have_no_end() -> None:
    steps = [listed("a", "completed", 1.0), listed("b", "completed", 1.0), listed("c", "completed", 1.0)]
    times, _ = read(steps, [started(0.0), ended(0.5, "b"), started(0.2, "c"), ended(1.0, "c")])
    first, second, third = map(times.add_times_to, steps)
    assert (first.started_at, first.attempts, first.completed_at) == (BEGIN, 1, None)
    assert second == steps[1]
    assert (third.completed_at, third.duration) == (BEGIN + timedelta(seconds=1), 0.8)


def test_events_at_the_time_of_the_listing_are_not_after_it() -> None:
    times = StepTimes("r", [listed("a", "completed", 1.0), listed("b", "running", 2.0)])
    results = []
    for event in (ended(1.0), started(2.0, "b"), started(2.0, "c"), started(2.1, "c")):
        times.add_event(event)
        results.append(times.is_newer_than_listed_steps(event))
    assert results == [False, False, False, True]


class Events(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A practically endless stream of a running run's events."""

    def __init__(self) -> None:
        self.read = 0

    def frames(self) -> Iterator[bytes]:
        for self.read in range(1, 5_000):
            name = "StepCompleted" if self.read % 2 == 0 else "StepStarted"
            step = {"runId": RUN_ID, "itemIndex": self.read // 2, "stepIndex": 0, "stepId": "a", "status": 2}
            time = (BEGIN + timedelta(seconds=self.read)).isoformat()
            event = {"sequenceNumber": self.read, "timestamp": time, "event": {name: step}}
            yield f"data: {json.dumps(event)}\n\n".encode()

    def __iter__(self) -> Iterator[bytes]:
        return self.frames()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for frame in self.frames():
            yield frame


@pytest.mark.parametrize("twin", TWINS)
def test_a_busy_run_is_not_followed_to_its_end(twin: str) -> None:
    server, events = Server(), Events()
    steps = [{**STEP, "itemIndex": item, "updatedAt": (BEGIN + timedelta(seconds=6)).isoformat()} for item in (1, 2)]

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=events)
        if request.url.path.endswith("/steps"):
            return httpx.Response(200, json={"steps": steps})
        return server(request)

    timed = call_with_handler(twin, respond, lambda client: client.get_run_steps(RUN_ID, include_times=True))
    assert [(step.item_index, step.attempts) for step in timed] == [(1, 1), (2, 1)]
    assert events.read < 1_000
