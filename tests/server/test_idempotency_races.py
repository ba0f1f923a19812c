"""Callers that use a key at the same time, held at every point of their requests: all get the same run."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from stepflow_client import (
    AmbiguousRunError,
    IdempotencyConflictError,
    RequestTimeoutError,
    RunTimeoutError,
    StepflowClient,
    SyncStepflowClient,
)

from tests.durable import DurableServer
from tests.timings import set_timings

KEY = "doc-42"
FlowsOf = Callable[[], list[dict[str, Any]]]
_numbers = count()


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, key_lease=1.0)


class Gate(Protocol):
    """Called before each request of a caller is sent, and after its response has arrived; it may wait or raise."""

    def __call__(self, request: httpx.Request, when: str) -> None: ...


class Gated(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Sends requests through a gate, for one caller in a thread of its own, which even an async caller may block."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # Reading the list of authorities would take longer than the calls, which use no TLS.
        self._wire = httpx.HTTPTransport(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._gate(request, "before")
        response = self._wire.handle_request(request)
        content = response.read()
        self._gate(request, "after")
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)

    def close(self) -> None:
        self._wire.close()

    async def aclose(self) -> None:
        self._wire.close()


def open_gate(request: httpx.Request, when: str) -> None:
    """Let every request pass."""


class Killed(BaseException):
    """Ends a caller as if its process was killed."""


class Hold:
    """Holds a caller at one of the points of its requests, until it is released.

    Args:
        number: The number of the point.
        kill: Whether the caller ends there.
    """

    def __init__(self, number: int, *, kill: bool = False) -> None:
        self.passed: list[str] = []
        self.reached, self.released = threading.Event(), threading.Event()
        self._number, self._kill = number, kill

    def __call__(self, request: httpx.Request, when: str) -> None:
        self.passed.append(f"{when} {request.method} {request.url.path}")
        if len(self.passed) == self._number + 1:
            self.reached.set()
            if self._kill:
                raise Killed
            assert self.released.wait(30)


def run(twin: str, url: str, flow: dict[str, Any], number: int, gate: Gate = open_gate) -> str:
    """Run a flow under the key in the calling thread, and return the id of its run. Versions share a scope."""
    given: Any = (flow, {"n": number})
    options: Any = {"idempotency_key": KEY, "idempotency_scope": flow.get("metadata", {}).get("scope")}
    if twin == "sync":
        with SyncStepflowClient(url, transport=Gated(gate)) as client:
            return client.run(*given, **options).run_id

    async def main() -> str:
        async with StepflowClient(url, transport=Gated(gate)) as client:
            return (await client.run(*given, **options)).run_id

    return asyncio.run(main())


def outcome(*given: Any) -> str:
    """Return the id of the run, or `refused` if the key stands for another input."""
    try:
        return run(*given)
    except IdempotencyConflictError as error:
        return "refused" if "different input" in error.message else error.message


def new_flow() -> dict[str, Any]:
    return {"name": f"race-{time.time_ns()}-{next(_numbers)}", "steps": [], "output": {"$input": "n"}}


def versions() -> list[dict[str, Any]]:
    """Return three versions of a flow, which share a scope; each but the first has another name."""
    flow = new_flow()
    return [
        {**flow, "name": f"{flow['name']}{name}", "version": name, "metadata": {"scope": flow["name"]}}
        for name in ("", "-two", "-three")
    ]


def same_flow() -> list[dict[str, Any]]:
    return [new_flow()] * 3


def runs_of(url: str, flows: list[dict[str, Any]]) -> list[str]:
    with SyncStepflowClient(url) as client:
        names = {flow["name"] for flow in flows}
        return [each.run_id for name in names for each in client.list_runs(flow_name=name).runs]


@pytest.fixture
def url(request: pytest.FixtureRequest, release: str, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield request.getfixturevalue("worker_runtime").url
        return
    server = DurableServer(tmp_path, release)
    server.start()
    try:
        server.wait_ready()
        yield server.url
    finally:
        server.kill()


VERSIONS, SAME_FLOW = ("async", "memory", versions), ("async", "memory", same_flow)
OTHERS = [
    ("sync", "memory", versions),
    # Only the server differs, for which both twins and all flows are the same.
    ("async", "sqlite", same_flow),
]


def callers(*chosen: tuple[str, str, FlowsOf]) -> pytest.MarkDecorator:
    """Try three callers, with one flow or with versions of it under a key with a scope: more in test-exhaustive."""
    others = [each for each in (VERSIONS, SAME_FLOW, *OTHERS) if each not in chosen]
    values = [*chosen, *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in others)]
    return pytest.mark.parametrize(("twin", "url", "flows_of"), values, indirect=["url"])


def points(twin: str, url: str, flows_of: FlowsOf) -> list[str]:
    """Return the points of a call that uses a key first, when it is alone."""
    holds = [Hold(-1) for _ in range(3)]
    for hold in holds:
        run(twin, url, flows_of()[0], 1, hold)
    # A call that is slow, because its process imports modules, starts over.
    return min((hold.passed for hold in holds), key=len)


def at_every_point(twin: str, url: str, flows_of: FlowsOf, check: Callable[[int, str], None]) -> None:
    names = points(twin, url, flows_of)
    assert "before POST /api/v1/runs" in names
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(check, range(len(names)), names))


@callers(VERSIONS, SAME_FLOW)
def test_a_caller_that_is_held_anywhere(
    twin: str, url: str, flows_of: FlowsOf, caplog: pytest.LogCaptureFixture
) -> None:
    """While the first caller is held, the second one runs to its end."""
    while_one_is_held(1, twin, url, flows_of, caplog)


@callers(VERSIONS)
def test_a_caller_with_another_input_is_held_anywhere(
    twin: str, url: str, flows_of: FlowsOf, caplog: pytest.LogCaptureFixture
) -> None:
    while_one_is_held(2, twin, url, flows_of, caplog)


def while_one_is_held(number: int, twin: str, url: str, flows_of: FlowsOf, caplog: pytest.LogCaptureFixture) -> None:
    """Hold the first caller at each point, and let a second one, with the same (1) or another input (2), end."""

    def check(point: int, name: str) -> None:
        flows, hold, told = flows_of(), Hold(point), list[str]()
        first = threading.Thread(target=lambda: told.append(outcome(twin, url, flows[0], 1, hold)))
        first.start()
        assert hold.reached.wait(30)
        second = outcome(twin, url, flows[1], number)
        hold.released.set()
        first.join(30)
        runs = runs_of(url, flows)
        # Only a creation that is held on its way to the server for longer than its lease makes a second run.
        is_late = name == "before POST /api/v1/runs"
        if number == 1:
            assert {*told, second} <= {*runs}, name
            assert told == [second], name
            assert len(runs) == (2 if is_late else 1), name
            newer = max(runs)
            text = f"two runs exist for the idempotency key {KEY!r}: {second}, which is returned, and {newer}"
            assert (text in caplog.messages) is is_late, name
        else:
            assert sorted([*told, second]) == [*runs, "refused"], name
        assert outcome(twin, url, flows[2], 1) == told[0], name

    at_every_point(twin, url, flows_of, check)


@callers(VERSIONS)
def test_a_caller_that_is_killed_anywhere(twin: str, url: str, flows_of: FlowsOf) -> None:
    def check(point: int, name: str) -> None:
        flows = flows_of()
        with pytest.raises(Killed):
            run(twin, url, flows[0], 1, Hold(point, kill=True))
        again = [outcome(twin, url, flow, 1) for flow in flows[1:]]
        assert again == runs_of(url, flows) * 2, name
        assert outcome(twin, url, flows[0], 2) == "refused", name

    at_every_point(twin, url, flows_of, check)


@callers(VERSIONS)
def test_a_call_that_runs_out_of_time_says_whom_it_waited_for(
    twin: str, url: str, flows_of: FlowsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls of one process with less time than the lease continue the wait of the call before."""
    set_timings(monkeypatch, key_lease=3.0)
    create = points(twin, url, flows_of).index("before POST /api/v1/runs")
    flows = flows_of()
    with pytest.raises(Killed):
        run(twin, url, flows[0], 1, Hold(create, kill=True))
    told: list[str] = []
    with SyncStepflowClient(url) as client:
        options: Any = {"idempotency_key": KEY, "idempotency_scope": flows[1].get("metadata", {}).get("scope")}
        while not runs_of(url, flows):
            assert len(told) < 30
            try:
                client.run(flows[1], {"n": 1}, timeout=0.5, **options)
            except RequestTimeoutError as error:
                told.append(str(error))
            except (AmbiguousRunError, RunTimeoutError):
                # On a busy machine, the time of the call that takes over ends while it creates the run or waits for it.
                continue
    for reason in ("another call is creating its run", "a call that may have created its run is not responding"):
        assert any(reason in message for message in told)
    assert not any("overloaded" in message for message in told)


class Turns:
    """Lets the requests of several callers through one at a time, in a random order."""

    def __init__(self, seed: int, callers: int) -> None:
        self._random = random.Random(seed)
        self._waiting: list[threading.Event] = []
        self._changed = threading.Condition()
        self.left = callers

    def __call__(self, request: httpx.Request, when: str) -> None:
        turn = threading.Event()
        with self._changed:
            self._waiting.append(turn)
            self._changed.notify_all()
        assert turn.wait(30)

    def ended(self) -> None:
        with self._changed:
            self.left -= 1
            self._changed.notify_all()

    def go(self) -> None:
        """Let the callers through until all have ended."""
        with self._changed:
            while self.left:
                # A caller that is between two requests is waited for, but not one that pauses for long.
                self._changed.wait_for(lambda: len(self._waiting) >= self.left, timeout=0.02)
                if self._waiting:
                    self._waiting.pop(self._random.randrange(len(self._waiting))).set()


@callers(VERSIONS, SAME_FLOW)
@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 18), marks=pytest.mark.exhaustive)], ids=str)
def test_callers_whose_requests_interleave_at_random(twin: str, url: str, flows_of: FlowsOf, seeds: range) -> None:
    def check(seed: int) -> None:
        flows, numbers = flows_of(), [1, 1, 1 + seed % 2]
        turns, told = Turns(seed, len(numbers)), dict[int, str]()

        def call(caller: int) -> None:
            try:
                told[caller] = outcome(twin, url, flows[caller], numbers[caller], turns)
            finally:
                turns.ended()

        threads = [threading.Thread(target=call, args=[caller]) for caller in range(len(numbers))]
        for thread in threads:
            thread.start()
        turns.go()
        for thread in threads:
            thread.join(30)
        (only,) = runs_of(url, flows)
        winners = {numbers[caller] for caller in told if told[caller] == only}
        assert len(winners) == 1
        wanted = {caller: only if number in winners else "refused" for caller, number in enumerate(numbers)}
        assert told == wanted

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, seeds))
