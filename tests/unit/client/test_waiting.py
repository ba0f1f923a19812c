"""Waiting through what happens meanwhile."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from stepflow_client import (
    InvalidArgumentError,
    RetryPolicy,
    RunTimeoutError,
    ServerConnectionError,
    SyncStepflowClient,
    UnsupportedByServerError,
)

from tests.timings import set_timings

RUN = "01900000-0000-7000-8000-000000000001"


class Server:
    """Has one run, and fails as its script says: one entry for each request that is about the run."""

    def __init__(self, script: list[object], total: int = 1, old: bool = False) -> None:
        self.script = script
        self.total = total
        self.old = old
        self.run_id = RUN
        self.paths: list[str] = []
        self.held: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path == "/health":
            now = datetime.now(UTC).isoformat()
            about = {"version": "0.11.1"} if self.old else {"build": {}}
            return httpx.Response(200, json={"status": "healthy", "timestamp": now, **about})
        self.paths.append(path)
        self.held += request.url.params.get_list("timeoutSecs")
        if path.endswith("/flow"):
            return httpx.Response(404, json={"code": 404, "message": "not found"})
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        if step in (502, 503):
            return httpx.Response(int(str(step)))
        total = 0 if step == "recovering" else self.total
        items = {"total": total, "completed": 0, "running": total, "failed": 0, "cancelled": 0}
        run: dict[str, Any] = {
            "runId": RUN,
            "flowId": "f",
            "items": items,
            "rootRunId": RUN,
            "createdAt": "2026-11-24T00:00:00Z",
        }
        run["status"] = {"running": "running" if self.old else 1, "recovering": 1, "completed": 2}[str(step)]
        run["runId"] = run["rootRunId"] = self.run_id
        if path.endswith("/items"):
            done = {"itemIndex": 0, "status": 2, "output": "done", "completedAt": "2026-11-24T00:00:01Z"}
            return httpx.Response(200, json={"results": [done] if total and step == "completed" else []})
        if path == "/runs":
            return httpx.Response(200, json={"runs": [run]})
        return httpx.Response(200, json=run if self.old else {"summary": run, "steps": []})


def waiting(server: Server, *, attempts: int = 1, **more: Any) -> Any:
    retry = RetryPolicy(max_attempts=attempts, first_delay=0)
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        return client.wait_run(server.run_id, **more)


@pytest.mark.parametrize("trouble", [httpx.ConnectError("down"), httpx.ReadError("broke"), 502, 503])
def test_trouble_in_between_does_not_end_the_wait(trouble: object, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a busy machine takes for four requests.
    set_timings(monkeypatch, wait_outage=30.0)
    server = Server(["running", trouble, trouble, "running", "completed"])
    assert waiting(server).is_finished


def test_a_run_without_items_that_is_being_recovered_is_waited_for() -> None:
    server = Server(["recovering", "recovering", "completed"])
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server)) as client:
        assert client.get_result(RUN, timeout=20).output == "done"
    empty = Server(["completed"], total=0)
    with (
        SyncStepflowClient("http://server", transport=httpx.MockTransport(empty)) as client,
        pytest.raises(InvalidArgumentError, match="a batch of 0 items"),
    ):
        client.get_result(RUN)


def test_an_outage_ends_the_wait_and_names_the_run() -> None:
    with pytest.raises(ServerConnectionError) as caught:
        waiting(Server(["running", httpx.ConnectError("down")]))
    assert caught.value.run_id == RUN


def test_the_deadline_holds_in_an_outage_too() -> None:
    with pytest.raises(RunTimeoutError):
        waiting(Server(["running", httpx.ConnectError("down")]), timeout=0.02)


def test_the_progress_on_a_server_without_events_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, event_first_pause=0.3, event_longest_pause=0.3)
    server = Server([*["running"] * 5, httpx.ReadError("broke"), "running", "completed"], old=True, total=2)
    retry, told = RetryPolicy(max_attempts=1), list[Any]()
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        assert client.wait_run(RUN, progress=told.append).is_finished
        with pytest.raises(UnsupportedByServerError, match="a stream of events: not supported by this server"):
            next(client.run_events(RUN))
    assert [each.status for each in told] == ["running"] * (len(told) - 1) + ["completed"]
    assert len(told) >= 3


def test_a_wait_that_began_after_an_outage_goes_on() -> None:
    server = Server([httpx.ConnectError("down"), "running", "running", "completed"], old=True)
    retry = RetryPolicy(max_attempts=1)
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        with pytest.raises(ServerConnectionError):
            client.get_run(RUN)
        # It may have been created since: nobody knows it for longer than the server is back.
        assert client.wait_run(RUN).is_finished


def test_a_large_batch_is_asked_for_its_summary_only() -> None:
    server = Server(["running", "running", "completed"], total=1000)
    assert waiting(server).is_finished
    assert set(server.paths) == {"/runs"}


@pytest.mark.parametrize(("urls", "held"), [(["http://a"], "25"), (["http://a", "http://b"], "2")])
def test_a_server_that_may_not_notice_the_end_is_not_asked_to_wait_for_long(urls: list[str], held: str) -> None:
    server = Server(["running", "running", "completed"])
    with SyncStepflowClient(urls, transport=httpx.MockTransport(server)) as client:
        assert client.wait_run(RUN).is_finished
    assert set(server.held) == {held}


@pytest.mark.parametrize("script", [["running", httpx.ConnectError("down")], ["completed", httpx.ConnectError("down")]])
def test_who_does_not_wait_for_a_run_does_not_wait_for_its_server(script: list[object]) -> None:
    server = Server(script)
    retry = RetryPolicy(max_attempts=1)
    started = time.monotonic()
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        # It was there once, and is away now.
        assert client.get_run(RUN).run_id == RUN
        with pytest.raises(ServerConnectionError):
            client.get_result(RUN, wait=False)
    assert time.monotonic() - started < 10
