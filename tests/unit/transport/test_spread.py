"""Spreading new runs over servers that share a store: which server gets a run, and no run is lost or created twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from stepflow_client import (
    InvalidArgumentError,
    NotFoundError,
    Outcome,
    StepflowClient,
    SyncStepflowClient,
)
from stepflow_client._async.transport import failover
from stepflow_client._async.transport.base import Transport
from stepflow_client._http.http1_format import ConnectFailed, HttpRequest, HttpResponse
from stepflow_client._rules.server_loads import ServerLoads

from tests.scripted_server import decoded, listening, message
from tests.timings import set_timings
from tests.unit.both_twins import EVENT, HEALTH, RUN_ID, TWINS

FLOW: dict[str, Any] = {"steps": [], "output": {"$input": "n"}}


class Store:
    """The store that the servers share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.flows: set[str] = set()
        self.runs: dict[str, dict[str, Any]] = {}
        self.inputs: dict[str, list[Any]] = {}
        """The inputs that were executed, by run."""

    @property
    def executed(self) -> list[Any]:
        return sorted(each["n"] for inputs in self.inputs.values() for each in inputs)


class Member:
    """One of the servers."""

    def __init__(self, store: Store, skew: float = 0.0) -> None:
        self.store, self.skew = store, skew
        self.created = 0
        self.request_lines: list[str] = []
        self.seconds = 0.0
        """The duration of a run."""
        self.cuts: list[str] = []
        """For the next creations, whether the connection breaks `before` or `after` the run is created."""
        self.held = threading.Event()
        self.held.set()

    def __call__(self, connection: socket.socket, head: bytes) -> None:
        method, target, _ = head.decode("latin-1").split(" ", 2)
        path = target.partition("?")[0].removeprefix("/api/v1")
        head, _, content = head.partition(b"\r\n\r\n")
        size = int(decoded(head + b"\r\n\r\n").get("content-length", 0))
        while len(content) < size:
            content += connection.recv(65_536)
        self.request_lines.append(f"{method} {path}")
        if path.endswith("/events"):
            frame = f"data: {json.dumps(EVENT).replace(RUN_ID, path.split('/')[2])}\n\n".encode()
            connection.sendall(message(frame, content_type="text/event-stream"))
            return
        status, body = self.respond(f"{method} {path}", content, connection)
        connection.sendall(message(json.dumps(body).encode(), status=status))

    def respond(self, line: str, content: bytes, connection: socket.socket) -> tuple[int, Any]:
        store = self.store
        if line == "GET /health":
            return 200, HEALTH
        if line == "POST /runs":
            return self.create(json.loads(content), connection)
        if line in ("POST /blobs", "POST /flows"):
            body = json.loads(content)
            flow_id = hashlib.sha256(json.dumps(body.get("data", body.get("flow"))).encode()).hexdigest()
            with store.lock:
                store.flows.add(flow_id)
            return 200, {"blobId": flow_id, "flowId": flow_id, "stored": True, "diagnostics": {"diagnostics": []}}
        if line == "GET /runs":
            with store.lock:
                return 200, {"runs": list(store.runs.values())[::-1]}
        run_id = line.split("/")[2]
        if run_id not in store.runs:
            return 404, {}
        if line.endswith("/items"):
            return 200, {"results": self.results(run_id)}
        return 200, {"summary": store.runs[run_id], "steps": []}

    def create(self, body: dict[str, Any], connection: socket.socket) -> tuple[int, Any]:
        if body["flowId"] not in self.store.flows:
            return 404, {"error": {"code": 5, "message": "Flow not found", "status": "NOT_FOUND"}}
        cut = self.cuts.pop(0) if self.cuts else ""
        if cut == "before":
            raise ConnectionResetError
        with self.store.lock:
            number = len(self.store.runs)
            moment = int((time.time() + self.skew) * 1000)
            run_id = str(UUID(int=(moment << 80) | (7 << 76) | (2 << 62) | number))
            count = len(body["input"])
            items = {"total": count, "completed": count, "running": 0, "failed": 0, "cancelled": 0}
            times = {"createdAt": "2026-11-24T23:42:11Z", "completedAt": "2026-11-24T23:42:12Z", "rootRunId": run_id}
            summary = {"runId": run_id, "flowId": body["flowId"], "status": 2, "items": items, **times}
            self.store.runs[run_id] = summary
            self.store.inputs[run_id] = body["input"]
            self.created += 1
        if cut == "after":
            connection.shutdown(socket.SHUT_RDWR)
        time.sleep(self.seconds)
        self.held.wait(20)
        return 200, {"summary": summary, "results": self.results(run_id)}

    def results(self, run_id: str) -> list[Any]:
        inputs = self.store.inputs[run_id]
        return [{"itemIndex": n, "status": 2, "output": each["n"]} for n, each in enumerate(inputs)]


@contextmanager
def serve(*members: Member) -> Iterator[list[str]]:
    """Serve the members and yield their URLs."""
    with ExitStack() as stack:
        yield [f"http://127.0.0.1:{stack.enter_context(listening(member))}" for member in members]


def run_batch(twin: str, urls: list[str], inputs: list[Any], limit: int | None = None, **options: Any) -> list[Any]:
    """Return the sorted outputs of a batch, or only of the first outcomes; each output is its own input."""
    outcomes: list[Outcome] = []

    async def main() -> None:
        async with (
            StepflowClient(urls, strategy="spread") as client,
            aclosing(client.map(FLOW, inputs, **options)) as stream,
        ):
            async for outcome in stream:
                outcomes.append(outcome)
                if len(outcomes) == limit:
                    break

    if twin == "async":
        asyncio.run(main())
    else:
        with (
            SyncStepflowClient(urls, strategy="spread") as client,
            closing(client.map(FLOW, inputs, **options)) as stream,
        ):
            outcomes.extend(islice(stream, limit))
    assert all(outcome.is_success and outcome.output == outcome.index for outcome in outcomes)
    return sorted(outcome.output for outcome in outcomes)


def numbers(count: int) -> list[Any]:
    return [{"n": number} for number in range(count)]


@pytest.mark.parametrize("kind", [StepflowClient, SyncStepflowClient])
@pytest.mark.parametrize("wrong", ["spred", "", None, 5, ["spread"]])
def test_unknown_strategies_are_rejected(kind: Any, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^strategy must be 'failover' or 'spread', not "):
        kind(["http://a", "http://b"], strategy=wrong)
    with pytest.raises(InvalidArgumentError, match=r"^strategy must be 'failover' or 'spread', not "):
        kind.from_env("http://a", strategy=wrong)


def test_consecutive_runs_take_turns() -> None:
    store = Store()
    a, b, c = Member(store), Member(store), Member(store)
    with serve(a, b, c) as urls, SyncStepflowClient(urls, strategy="spread") as client:
        assert [client.run(FLOW, {"n": number}).output for number in range(9)] == list(range(9))
    assert [a.created, b.created, c.created] == [3, 3, 3]


def test_failover_stays_with_one_server() -> None:
    store = Store()
    a, b = Member(store), Member(store)
    with serve(a, b) as urls, SyncStepflowClient(urls) as client:
        for number in range(4):
            client.run(FLOW, {"n": number})
    assert (a.created, b.created) == (4, 0)
    assert b.request_lines == []


def test_spread_with_a_single_server() -> None:
    member = Member(Store())
    with serve(member) as (url,), SyncStepflowClient(url, strategy="spread") as client:
        assert client.run(FLOW, {"n": 1}).output == 1
    assert run_batch_on(member) == [0, 1, 2]


def run_batch_on(member: Member) -> list[Any]:
    with serve(member) as urls:
        return run_batch("sync", urls, numbers(3))


def test_concurrent_runs_are_balanced() -> None:
    store = Store()
    a, b = Member(store), Member(store)
    for member in (a, b):
        member.held.clear()
    with serve(a, b) as urls, SyncStepflowClient(urls, strategy="spread") as client, ThreadPoolExecutor(10) as pool:
        client.store_flow(FLOW)
        calls = [pool.submit(client.run, FLOW, {"n": number}) for number in range(10)]
        while a.created + b.created < 10:
            time.sleep(0.01)
        assert (a.created, b.created) == (5, 5)
        for member in (a, b):
            member.held.set()
        assert [call.result().output for call in calls] == list(range(10))


def test_requests_about_a_run_go_to_its_server() -> None:
    store = Store()
    a, b = Member(store), Member(store)
    with serve(a, b) as urls, SyncStepflowClient(urls, strategy="spread") as client:
        runs = [client.submit(FLOW, {"n": number}) for number in range(4)]
        for run_id in runs:
            client.get_run(run_id)
            assert len(list(client.run_events(run_id))) == 1
        for member, mine in ((a, runs[::2]), (b, runs[1::2])):
            expected = [f"GET /runs/{run_id}{suffix}" for run_id in mine for suffix in ("", "/events")]
            assert [each for each in member.request_lines if each.startswith("GET /runs/")] == expected


def test_another_server_is_asked_about_the_runs_of_a_stopped_one() -> None:
    store = Store()
    a, b = Member(store), Member(store)
    with serve(b) as (second,), SyncStepflowClient(["http://127.0.0.1:1", second], strategy="spread") as client:
        client.submit(FLOW, {"n": 0})
    with ExitStack() as first, serve(b) as (second,):
        url = f"http://127.0.0.1:{first.enter_context(listening(a))}"
        with SyncStepflowClient([url, second], strategy="spread") as client:
            runs = [client.submit(FLOW, {"n": number}) for number in range(2)]
            assert (a.created, b.created) == (1, 2)
            first.close()
            assert [client.get_run(run_id).run_id for run_id in runs * 3] == runs * 3
            for number in range(4):
                client.submit(FLOW, {"n": number})
    assert (a.created, b.created) == (1, 6)


@pytest.mark.parametrize("twin", TWINS)
def test_chunks_are_spread(twin: str) -> None:
    store = Store()
    a, b = Member(store), Member(store)
    a.seconds = b.seconds = 0.02
    with serve(a, b) as urls:
        assert run_batch(twin, urls, numbers(400), chunk_size=10) == list(range(400))
    assert a.created + b.created == 40
    assert min(a.created, b.created) >= 10
    assert store.executed == list(range(400))


@pytest.mark.parametrize("twin", TWINS)
def test_a_slow_server_gets_fewer_chunks(twin: str) -> None:
    store = Store()
    slow, fast = Member(store), Member(store)
    slow.held.clear()
    # Slow enough that four chunks reach the slow server before this one has run the rest.
    fast.seconds = 0.02

    def release() -> int:
        while fast.created < 30 and slow.created <= 4:
            time.sleep(0.01)
        before = slow.created
        slow.held.set()
        return before

    with serve(slow, fast) as urls, ThreadPoolExecutor(1) as pool:
        released = pool.submit(release)
        assert run_batch(twin, urls, numbers(400), chunk_size=10) == list(range(400))
    # Each server has four chunks in flight; those of the slow server stay there until it responds.
    assert released.result() <= 4
    assert 4 <= slow.created <= 10
    assert fast.created == 40 - slow.created


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("skew", [0.0, 5.0])
def test_a_lost_creation_is_searched_for_before_it_is_sent_to_another_server(
    twin: str, skew: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, arrival_delay=0.02)
    store = Store()
    a, b = Member(store), Member(store, -skew)
    a.cuts, b.cuts = ["before", "", "after"], ["after", "", "before"]
    with serve(a, b) as urls:
        assert run_batch(twin, urls, numbers(120), chunk_size=10) == list(range(120))
    assert len(a.cuts) < 3 > len(b.cuts)
    assert store.executed == list(range(120))
    assert len(store.runs) == 12


def test_the_run_of_a_lost_response_is_found_despite_clock_skew(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, arrival_delay=0.02)
    store = Store()
    ahead, behind = Member(store, 3.0), Member(store, -3.0)
    with serve(ahead, behind) as urls, SyncStepflowClient(urls, strategy="spread") as client:
        assert client.run(FLOW, {"n": 0}).output == 0
        behind.cuts = ["after"]
        client.submit(FLOW, {"n": 1})
    assert store.executed == [0, 1]


@pytest.mark.parametrize("twin", TWINS)
def test_an_interrupted_batch_resumes_on_the_remaining_servers(twin: str, tmp_path: Path) -> None:
    store = Store()
    a, b = Member(store), Member(store)
    a.seconds = b.seconds = 0.02
    journal = tmp_path / "journal"
    with serve(b) as remaining:
        with serve(a) as first:
            outputs = run_batch(twin, first + remaining, numbers(200), chunk_size=5, journal=journal, limit=40)
            assert len(outputs) == 40
        assert a.created >= 4
        before = b.created
        assert run_batch(twin, first + remaining, numbers(200), chunk_size=5, journal=journal) == list(range(200))
        assert b.created > before
    assert store.executed == list(range(200))
    assert len(store.runs) == 40


@pytest.mark.parametrize("twin", TWINS)
def test_an_unreachable_server_gets_no_runs(twin: str) -> None:
    member = Member(Store())
    with serve(member) as urls:
        assert run_batch(twin, ["http://127.0.0.1:1", *urls], numbers(100), chunk_size=10) == list(range(100))
    assert member.created == 10
    assert member.store.executed == list(range(100))


def test_the_hint_asks_whether_the_servers_share_a_store() -> None:
    a, b = Member(Store()), Member(Store())
    with serve(a, b) as urls, SyncStepflowClient(urls, strategy="spread") as client:
        assert client.run(FLOW, {"n": 0}).output == 0
        for call in (lambda: client.run(FLOW, {"n": 1}), lambda: list(client.map(FLOW, numbers(9), chunk_size=1))):
            with pytest.raises(NotFoundError) as caught:
                call()
            assert caught.value.hint == "do the servers share one store? strategy='spread' requires it"


class Stub(Transport):
    """A server that can be unreachable; records its requests."""

    def __init__(self) -> None:
        self.is_reachable, self.status = True, 200
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        if not self.is_reachable:
            raise ConnectFailed("refused")
        return HttpResponse(self.status, {})

    def stream(self, request: HttpRequest) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


class Clock:
    """Replaces the module `time`."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_failed_server_is_skipped_until_it_responds_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(failover, "time", clock)
    a, b = Stub(), Stub()
    transport = failover.Failover([a, b], ServerLoads(2))

    def create(count: int) -> tuple[list[str], int]:
        """Create runs one after another; return the requests to `a` and the number of requests to `b`."""
        a.sent.clear()
        b.sent.clear()
        for _ in range(count):
            request = HttpRequest("POST", "/runs", "", {"content-type": "application/json"}, b"{}", idempotent=False)
            asyncio.run(transport.send(request))
        return [str(request) for request in a.sent], len(b.sent)

    assert create(4) == (["POST /runs"] * 2, 2)
    a.is_reachable = False
    assert create(10) == (["POST /runs"], 10)
    clock.now += 0.6
    assert create(10) == (["GET /health"], 10)
    (health_check,) = a.sent
    assert (health_check.headers, health_check.content, health_check.timeout.read) == ({}, b"", 3.0)
    clock.now += 1.1
    a.is_reachable = True
    assert create(10) == (["GET /health"] + ["POST /runs"] * 5, 5)
    a.is_reachable = b.is_reachable = False
    with pytest.raises(ConnectFailed):
        create(1)
    assert len(a.sent) == len(b.sent) == 1
    clock.now += 0.6
    a.status = 503
    a.is_reachable = b.is_reachable = True
    assert create(10)[0].count("POST /runs") == 0
