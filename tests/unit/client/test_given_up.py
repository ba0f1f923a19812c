"""Runs that the server gave up because no orchestrator was executing them; some complete after all."""

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
    keep_open,
    types_of,
)


@pytest.fixture(autouse=True)
def frequent_status_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients check the run's status often, so that tests do not wait for it."""
    set_timings(monkeypatch, event_look=0.2, event_late=0.2)


GIVEN_UP_AT = datetime.fromisoformat(SUMMARY["completedAt"])


class GivingUpServer(EventServer):
    """A server that gave up its only run `age` seconds ago by its own clock.

    Args:
        streams: As for `EventServer`.
        age: Seconds.
        started: Whether a step of the run is listed as started.
    """

    def __init__(self, streams: Callable[[int], Script], *, age: float = 0.0, started: bool = True) -> None:
        super().__init__(3, streams)
        self.opened_before = 0
        """Streams that were opened before the run completed."""
        self.age, self.started = age, started

    def complete_run(self) -> None:
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
        steps = [STEP | ({} if has_ended else {"status": 1, "output": None})] if self.started else []
        return {"steps": steps} if "/steps" in path else {"summary": summary, "steps": steps, "results": [item]}


def until_completed(server: GivingUpServer, seconds: float) -> Iterator[bytes | float]:
    """Yield the events of a run that completes after `seconds`."""
    yield from (STREAM, CREATED, STARTED, seconds)
    server.complete_run()
    yield ENDED


CALLS: dict[str, Callable[[Any], Any]] = {
    "wait_run": lambda client: client.wait_run(RUN_ID),
    "get_result": lambda client: client.get_result(RUN_ID),
    "get_results": lambda client: client.get_results(RUN_ID),
    "progress": lambda client: client.wait_run(RUN_ID, progress=lambda progress: None),
}


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", CALLS)
def test_a_run_that_completes_after_all_succeeds(name: str, twin: str) -> None:
    server: GivingUpServer = GivingUpServer(lambda number: until_completed(server, 0.8))
    with server:
        results = call(twin, None, CALLS[name], server.url)
        # The status was requested while the one stream stayed open.
        assert server.opened_before == 1
        assert sum(path.startswith("/runs?") for path in server.paths) >= 2
    (result,) = results if isinstance(results, list) else [results]
    assert result.status == "completed"


@pytest.mark.parametrize("twin", TWINS)
def test_its_events_continue_on_one_connection(twin: str) -> None:
    server: GivingUpServer = GivingUpServer(lambda number: until_completed(server, 0.8))
    with server:
        events = events_of(twin, server)
        assert server.opened_before == 1
    assert types_of(events) == ["run_created", "step_started", "run_completed"]
    assert (events[-1].inferred, events[-1].status) == (False, "completed")


@pytest.mark.parametrize("twin", TWINS)
def test_its_items_are_still_running(twin: str) -> None:
    with GivingUpServer(lambda number: keep_open(STREAM), age=29.0) as server:
        (item,) = call(twin, None, lambda client: client.get_run_items(RUN_ID), server.url).items
        assert (item.status, item.result) == ("running", None)
        with pytest.raises(RunTimeoutError, match="not ended yet"):
            call(twin, None, lambda client: client.get_result(RUN_ID, wait=False), server.url)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("max_items", [1000, 0])
def test_its_items_are_still_running_in_a_snapshot(max_items: int, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds even with too many items to read their steps."""
    for package in ("_async", "_sync"):
        monkeypatch.setattr(f"stepflow_client.{package}.snapshot_reader.MAX_ITEMS_FOR_STEPS", max_items)
    with GivingUpServer(lambda number: keep_open(STREAM), age=29.0) as server:
        snapshot = call(twin, None, lambda client: client.snapshot(RUN_ID, include=["items"]), server.url)
    assert [(item.status, item.result) for item in snapshot.items] == [("running", None)]


@pytest.mark.parametrize("twin", TWINS)
def test_the_deadline_applies_during_the_grace_period(twin: str) -> None:
    with GivingUpServer(lambda number: keep_open(STREAM, STARTED)) as server:
        start_time = time.monotonic()
        with pytest.raises(RunTimeoutError):
            call(twin, None, lambda client: client.wait_run(RUN_ID, timeout=0.8), server.url)
        assert time.monotonic() - start_time < 30


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("started", "code"), [(True, "lost"), (False, "lost_before_start")])
def test_it_is_lost_if_nothing_happens_in_the_grace_period(started: bool, code: str, twin: str) -> None:
    with GivingUpServer(lambda number: keep_open(STREAM, CREATED), age=31.0, started=started) as server:
        result = call(twin, None, lambda client: client.get_result(RUN_ID), server.url)
        assert (result.status, result.error.code) == ("failed", code)
        # The run may still be executing, so the message must not call a rerun safe.
        assert "safe" not in result.error.message
        (item,) = call(twin, None, lambda client: client.get_run_items(RUN_ID), server.url).items
        assert item.result == result
        for parts in (["items"], ["items", "steps"]):
            snapshot = call(twin, None, lambda client, parts=parts: client.snapshot(RUN_ID, include=parts), server.url)
            assert [each.result for each in snapshot.items] == [result]
        assert call(twin, None, lambda client: client.wait_run(RUN_ID), server.url).status == "failed"


@pytest.mark.parametrize("twin", TWINS)
def test_an_event_restarts_the_grace_period(twin: str) -> None:
    alive = frame(1, timestamp=None)
    at = (GIVEN_UP_AT + timedelta(seconds=20)).isoformat()
    alive = alive.replace(b'{"sequenceNumber": 1', f'{{"timestamp": "{at}", "sequenceNumber": 1'.encode())

    def stream(number: int) -> Script:
        yield from (STREAM, CREATED, alive, 1.0)
        if number == 0:
            # Not lost yet, 11 s after the event.
            assert not server.opened[1:]
            server.age = 51.0
        yield 60.0

    server: GivingUpServer = GivingUpServer(stream, age=31.0)
    with server:
        events = events_of(twin, server)
        assert server.age == 51.0
    assert (events[-1].type, events[-1].inferred, events[-1].status) == ("run_completed", True, "failed")


@pytest.mark.parametrize("twin", TWINS)
def test_a_failed_status_check_does_not_close_the_stream(twin: str) -> None:
    def stream(number: int) -> Script:
        server.answer = "503 Service Unavailable"
        yield from (STREAM, CREATED, STARTED, 0.8)
        server.answer = "200 OK"
        server.complete_run()
        yield ENDED

    server: GivingUpServer = GivingUpServer(stream)
    with server:
        assert types_of(events_of(twin, server))[-1] == "run_completed"
        assert server.opened_before == 1
        assert any(path.startswith("/runs?") for path in server.paths)


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
        # Usually less than 1 s, longer on a busy machine.
        assert time.monotonic() - cancelled_at[0] < 40
        assert len(server.opened) == 2
    assert (events[-1].inferred, events[-1].status) == (True, "cancelled")


@pytest.mark.parametrize("twin", TWINS)
def test_a_run_given_up_in_the_creation_response_is_still_waited_for(twin: str) -> None:

    server: GivingUpServer = GivingUpServer(lambda number: until_completed(server, 0.8))
    with server:
        result = call(twin, None, lambda client: client.run({"steps": [], "output": 1}), server.url)
        assert "/runs" in server.paths
    assert result.is_success


@pytest.mark.parametrize("twin", TWINS)
def test_map_yields_the_outcomes_of_a_run_that_completes_after_all(twin: str) -> None:
    server: GivingUpServer = GivingUpServer(lambda number: until_completed(server, 0.8))
    with server:
        (outcome,) = call(twin, None, lambda client: client.map({"steps": [], "output": 1}, [{}]), server.url)
    assert (outcome.status, outcome.error) == ("completed", None)
