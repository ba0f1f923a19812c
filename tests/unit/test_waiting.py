"""Waiting through what happens meanwhile."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from stepflow_client import (
    RetryPolicy,
    RunTimeoutError,
    ServerConnectionError,
    SyncStepflowClient,
    UnsupportedByServerError,
)

RUN = "01900000-0000-7000-8000-000000000001"


class Server:
    """Has one run, and fails as its script says: one entry for each request that is about the run."""

    def __init__(self, script: list[object], total: int = 1, old: bool = False) -> None:
        self.script = script
        self.total = total
        self.old = old
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path == "/health":
            return httpx.Response(200, json={"version": "0.9.0"} if self.old else {"build": {}})
        self.paths.append(path)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        if step in (502, 503):
            return httpx.Response(int(str(step)))
        items = {"total": self.total, "completed": 0, "running": 1, "failed": 0, "cancelled": 0}
        run: dict[str, Any] = {
            "runId": RUN,
            "flowId": "f",
            "items": items,
            "rootRunId": RUN,
            "createdAt": "2026-11-24T00:00:00Z",
        }
        run["status"] = {"running": "running" if self.old else 1, "completed": 2}[str(step)]
        if path == "/runs":
            return httpx.Response(200, json={"runs": [run]})
        return httpx.Response(200, json=run if self.old else {"summary": run, "steps": []})


def waiting(server: Server, **more: Any) -> Any:
    with SyncStepflowClient(
        "http://server", transport=httpx.MockTransport(server), retry=RetryPolicy(max_attempts=1)
    ) as client:
        return client.wait_run(RUN, **more)


@pytest.mark.parametrize("trouble", [httpx.ConnectError("down"), httpx.ReadError("broke"), 502, 503])
def test_trouble_in_between_does_not_end_the_wait(trouble: object) -> None:
    server = Server(["running", trouble, trouble, "running", "completed"])
    assert waiting(server).is_finished


def test_an_outage_ends_the_wait_and_names_the_run() -> None:
    with pytest.raises(ServerConnectionError) as caught:
        waiting(Server(["running", httpx.ConnectError("down")]))
    assert caught.value.run_id == RUN


def test_the_deadline_holds_in_an_outage_too() -> None:
    with pytest.raises(RunTimeoutError):
        waiting(Server(["running", httpx.ConnectError("down")]), timeout=0.02)


def test_a_server_that_resumes_nothing_is_not_waited_for() -> None:
    with pytest.raises(UnsupportedByServerError, match=r"0\.10") as caught:
        waiting(Server(["running", httpx.ConnectError("down"), "running"], old=True))
    assert caught.value.run_id == RUN


def test_a_large_batch_is_asked_for_its_summary_only() -> None:
    server = Server(["running", "running", "completed"], total=1000)
    assert waiting(server).is_finished
    assert set(server.paths) == {"/runs"}
