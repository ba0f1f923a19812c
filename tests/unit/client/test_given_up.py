"""Runs that their server has given up, because it found that nobody executes them: some of them complete after all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from stepflow_client import RunTimeoutError

from tests.timings import set_timings
from tests.unit.both_twins import HEALTH, ITEM, RUN_ID, STEP, SUMMARY, TWINS, call
from tests.unit.client.test_events import (
    CREATED,
    ENDED,
    STARTED,
    STREAM,
    EventServer,
    Script,
    events_of,
    frame,
    types_of,
)


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients look at the state of a run often, so that tests need not wait for a look."""
    set_timings(monkeypatch, event_look=0.2, event_late=0.2)


GIVEN_UP_AT = datetime.fromisoformat(SUMMARY["completedAt"])


class GivingUp(EventServer):
    """Has one run, which it has given up `age` seconds ago by its own clock.

    Args:
        streams: As for `EventServer`.
        age: Seconds.
        started: Whether it lists a step of the run as started.
    """

    def __init__(self, streams: Callable[[int], Script], *, age: float = 0.0, started: bool = True) -> None:
        super().__init__(3, streams)
        self.opened_before = 0
        """Streams that were opened before the run completed."""
        self.age, self.started = age, started

    def completes(self) -> None:
        if self.status != 2:
            self.opened_before = len(self.opened)
        self.status = 2

    def body(self, path: str) -> Any:
        if path == "/health":
            return HEALTH | {"timestamp": (GIVEN_UP_AT + timedelta(seconds=self.age)).isoformat()}
        if path in ("/blobs", "/flows"):
            return {"blobId": "f", "flowId": "f", "stored": True, "diagnostics": {"diagnostics": []}}
        has_ended = self.status == 2
        summary = SUMMARY | {"status": self.status}
        if not has_ended:
            summary |= {"items": {"total": 1, "completed": 0, "running": 1, "failed": 0, "cancelled": 0}}
        item = ITEM if has_ended else {"itemIndex": 0, "status": 1}
        if path.startswith("/runs?"):
            return {"runs": [summary]}
        if path.endswith("/items"):
            return {"results": [item]}
        if "/steps" in path:
            return {"steps": [STEP | ({} if has_ended else {"status": 1, "output": None})] if self.started else []}
        return {"summary": summary, "steps": [], "results": [item]}


def until_completed(server: GivingUp, seconds: float) -> Iterator[bytes | float]:
    """Events of a run that completes after some seconds."""
    yield from (STREAM, CREATED, STARTED, seconds)
    server.completes()
    yield ENDED


def held(*said: bytes) -> Script:
    return [*said, 60.0]


CALLS: dict[str, Callable[[Any], Any]] = {
    "wait_run": lambda client: client.wait_run(RUN_ID),
    "get_result": lambda client: client.get_result(RUN_ID),
    "get_results": lambda client: client.get_results(RUN_ID),
    "progress": lambda client: client.wait_run(RUN_ID, progress=lambda progress: None),
}


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", CALLS)
def test_a_run_that_completes_after_all_was_not_lost(name: str, twin: str) -> None:
    server: GivingUp = GivingUp(lambda number: until_completed(server, 0.8))
    with server:
        found = call(twin, None, CALLS[name], server.url)
        # Beside the one stream, the state was requested.
        assert server.opened_before == 1
        assert sum(path.startswith("/runs?") for path in server.asked) >= 2
    (result,) = found if isinstance(found, list) else [found]
    assert result.status == "completed"


@pytest.mark.parametrize("twin", TWINS)
def test_its_events_go_on_on_one_connection(twin: str) -> None:
    server: GivingUp = GivingUp(lambda number: until_completed(server, 0.8))
    with server:
        events = events_of(twin, server)
        assert server.opened_before == 1
    assert types_of(events) == ["run_created", "step_started", "run_completed"]
    assert (events[-1].inferred, events[-1].status) == (False, "completed")


@pytest.mark.parametrize("twin", TWINS)
def test_its_items_are_still_running(twin: str) -> None:
    with GivingUp(lambda number: held(STREAM), age=29.0) as server:
        (item,) = call(twin, None, lambda client: client.get_run_items(RUN_ID), server.url).items
        assert (item.status, item.result) == ("running", None)
        with pytest.raises(RunTimeoutError, match="not ended yet"):
            call(twin, None, lambda client: client.get_result(RUN_ID, wait=False), server.url)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("max_items", [1000, 0])
def test_its_items_are_still_running_in_a_snapshot(max_items: int, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it has so many items that their steps are not read."""
    for package in ("_async", "_sync"):
        monkeypatch.setattr(f"stepflow_client.{package}.snapshot_reader.MAX_ITEMS_FOR_STEPS", max_items)
    with GivingUp(lambda number: held(STREAM), age=29.0) as server:
        snapshot = call(twin, None, lambda client: client.snapshot(RUN_ID, include=["items"]), server.url)
    assert [(item.status, item.result) for item in snapshot.items] == [("running", None)]


@pytest.mark.parametrize("twin", TWINS)
def test_the_deadline_holds_meanwhile(twin: str) -> None:
    with GivingUp(lambda number: held(STREAM, STARTED)) as server:
        began = time.monotonic()
        with pytest.raises(RunTimeoutError):
            call(twin, None, lambda client: client.wait_run(RUN_ID, timeout=0.8), server.url)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("started", "code"), [(True, "lost"), (False, "lost_before_start")])
def test_it_is_lost_if_nothing_happens_for_the_grace_time(started: bool, code: str, twin: str) -> None:
    with GivingUp(lambda number: held(STREAM, CREATED), age=31.0, started=started) as server:
        result = call(twin, None, lambda client: client.get_result(RUN_ID), server.url)
        assert (result.status, result.error.code) == ("failed", code)
        # That nobody executes it any more is not proven.
        assert "safe" not in result.error.message
        (item,) = call(twin, None, lambda client: client.get_run_items(RUN_ID), server.url).items
        assert item.result == result
        assert call(twin, None, lambda client: client.wait_run(RUN_ID), server.url).status == "failed"


@pytest.mark.parametrize("twin", TWINS)
def test_an_event_is_a_sign_of_life(twin: str) -> None:
    alive = frame(1, timestamp=None)
    at = (GIVEN_UP_AT + timedelta(seconds=20)).isoformat()
    alive = alive.replace(b'{"sequenceNumber": 1', f'{{"timestamp": "{at}", "sequenceNumber": 1'.encode())

    def stream(number: int) -> Script:
        yield from (STREAM, CREATED, alive, 1.0)
        if number == 0:
            # Not lost until here, 11 s after the event.
            assert not server.opened[1:]
            server.age = 51.0
        yield 60.0

    server: GivingUp = GivingUp(stream, age=31.0)
    with server:
        events = events_of(twin, server)
        assert server.age == 51.0
    assert (events[-1].type, events[-1].inferred, events[-1].status) == ("run_completed", True, "failed")


@pytest.mark.parametrize("twin", TWINS)
def test_a_look_that_fails_does_not_close_the_stream(twin: str) -> None:
    def stream(number: int) -> Script:
        server.answer = "503 Service Unavailable"
        yield from (STREAM, CREATED, STARTED, 0.8)
        server.answer = "200 OK"
        server.completes()
        yield ENDED

    server: GivingUp = GivingUp(stream)
    with server:
        assert types_of(events_of(twin, server))[-1] == "run_completed"
        assert server.opened_before == 1
        assert any(path.startswith("/runs?") for path in server.asked)


# A cancelled run


@pytest.mark.parametrize("twin", TWINS)
def test_a_cancellation_is_noticed_soon(twin: str) -> None:
    cancelled_at: list[float] = []

    def stream(number: int) -> Script:
        yield from (STREAM, CREATED, STARTED)
        if number == 0:
            yield 0.8
            server.status = 4
            cancelled_at.append(time.monotonic())
        yield 60.0

    server = EventServer(1, stream)
    with server:
        events = events_of(twin, server)
        # It takes less than 1 s, and more on a busy machine.
        assert time.monotonic() - cancelled_at[0] < 40
        assert len(server.opened) == 2
    assert (events[-1].inferred, events[-1].status) == (True, "cancelled")


@pytest.mark.parametrize("twin", TWINS)
def test_a_run_just_created_may_be_given_up(twin: str) -> None:
    """The response to its creation already says so, with its items."""
    server: GivingUp = GivingUp(lambda number: until_completed(server, 0.8))
    with server:
        result = call(twin, None, lambda client: client.run({"steps": [], "output": 1}), server.url)
        assert "/runs" in server.asked
    assert result.is_success


@pytest.mark.parametrize("twin", TWINS)
def test_a_batch_has_its_outcomes_in_the_end(twin: str) -> None:
    server: GivingUp = GivingUp(lambda number: until_completed(server, 0.8))
    with server:
        (outcome,) = call(twin, None, lambda client: client.map({"steps": [], "output": 1}, [{}]), server.url)
    assert (outcome.status, outcome.error) == ("completed", None)
