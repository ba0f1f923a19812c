"""Waiting for a run continues through outages, restarts and slow recoveries."""

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
    """A server with one run; each script entry answers or fails one request about the run."""

    def __init__(self, script: list[object], total: int = 1, old: bool = False) -> None:
        self.script = script
        self.total = total
        self.old = old
        self.run_id = RUN
        self.paths: list[str] = []
        self.hold_times: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path == "/health":
            now = datetime.now(UTC).isoformat()
            about = {"version": "0.11.1"} if self.old else {"build": {}}
            return httpx.Response(200, json={"status": "healthy", "timestamp": now, **about})
        self.paths.append(path)
        self.hold_times += request.url.params.get_list("timeoutSecs")
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


def wait_for_run(server: Server, *, attempts: int = 1, **options: Any) -> Any:
    retry = RetryPolicy(max_attempts=attempts, first_delay=0)
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        return client.wait_run(server.run_id, **options)


@pytest.mark.parametrize("failure", [httpx.ConnectError("down"), httpx.ReadError("broke"), 502, 503])
def test_transient_failures_do_not_end_the_wait(failure: object, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than four requests take on a busy machine.
    set_timings(monkeypatch, wait_outage=30.0)
    server = Server(["running", failure, failure, "running", "completed"])
    assert wait_for_run(server).is_finished


def test_a_recovering_run_without_items_is_waited_for() -> None:
    server = Server(["recovering", "recovering", "completed"])
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server)) as client:
        assert client.get_result(RUN, timeout=20).output == "done"
    empty = Server(["completed"], total=0)
    with (
        SyncStepflowClient("http://server", transport=httpx.MockTransport(empty)) as client,
        pytest.raises(InvalidArgumentError, match="a batch of 0 items"),
    ):
        client.get_result(RUN)


def test_a_long_outage_ends_the_wait_and_names_the_run() -> None:
    with pytest.raises(ServerConnectionError) as caught:
        wait_for_run(Server(["running", httpx.ConnectError("down")]))
    assert caught.value.run_id == RUN


def test_the_deadline_applies_during_an_outage() -> None:
    with pytest.raises(RunTimeoutError):
        wait_for_run(Server(["running", httpx.ConnectError("down")]), timeout=0.02)


def test_progress_is_polled_on_a_server_without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, event_first_pause=0.3, event_longest_pause=0.3)
    server = Server([*["running"] * 5, httpx.ReadError("broke"), "running", "completed"], old=True, total=2)
    retry, updates = RetryPolicy(max_attempts=1), list[Any]()
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        assert client.wait_run(RUN, progress=updates.append).is_finished
        with pytest.raises(UnsupportedByServerError, match="a stream of events: not supported by this server"):
            next(client.run_events(RUN))
    assert [each.status for each in updates] == ["running"] * (len(updates) - 1) + ["completed"]
    assert len(updates) >= 3


def test_a_wait_started_after_an_outage_tolerates_an_unknown_run() -> None:
    server = Server([httpx.ConnectError("down"), "running", "running", "completed"], old=True)
    retry = RetryPolicy(max_attempts=1)
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        with pytest.raises(ServerConnectionError):
            client.get_run(RUN)
        # The run may have been created since the server came back.
        assert client.wait_run(RUN).is_finished


def test_waiting_for_a_large_batch_reads_only_its_summary() -> None:
    server = Server(["running", "running", "completed"], total=1000)
    assert wait_for_run(server).is_finished
    assert set(server.paths) == {"/runs"}


@pytest.mark.parametrize(("urls", "hold_time"), [(["http://a"], "25"), (["http://a", "http://b"], "2")])
def test_long_polls_are_short_with_several_servers(urls: list[str], hold_time: str) -> None:
    server = Server(["running", "running", "completed"])
    with SyncStepflowClient(urls, transport=httpx.MockTransport(server)) as client:
        assert client.wait_run(RUN).is_finished
    assert set(server.hold_times) == {hold_time}


@pytest.mark.parametrize("script", [["running", httpx.ConnectError("down")], ["completed", httpx.ConnectError("down")]])
def test_calls_that_do_not_wait_for_a_run_do_not_wait_for_the_server(script: list[object]) -> None:
    server = Server(script)
    retry = RetryPolicy(max_attempts=1)
    started = time.monotonic()
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=retry) as client:
        # The server was reachable before, but is not any more.
        assert client.get_run(RUN).run_id == RUN
        with pytest.raises(ServerConnectionError):
            client.get_result(RUN, wait=False)
    assert time.monotonic() - started < 10
