"""Callers that use a key at the same time get the same run, even if one is held or killed at any of its requests."""

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
    """Called before a caller sends a request and after it receives the response; may wait or raise."""

    def __call__(self, request: httpx.Request, when: str) -> None: ...


class Gated(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Sends requests through a gate. Each caller has its own thread, so even an async caller may block."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # The calls use no TLS, and loading the certificate authorities would take longer than the calls.
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
    """Ends a caller as if its process had been killed."""


class Hold:
    """Holds a caller at one point, before or after one of its requests, until it is released.

    Args:
        number: The number of the point.
        kill: Whether to end the caller there.
    """

    def __init__(self, number: int, *, kill: bool = False) -> None:
        self.points: list[str] = []
        self.reached, self.released = threading.Event(), threading.Event()
        self._number, self._kill = number, kill

    def __call__(self, request: httpx.Request, when: str) -> None:
        self.points.append(f"{when} {request.method} {request.url.path}")
        if len(self.points) == self._number + 1:
            self.reached.set()
            if self._kill:
                raise Killed
            assert self.released.wait(30)


def run(twin: str, url: str, flow: dict[str, Any], number: int, gate: Gate = open_gate) -> str:
    """Run a flow with the key in the calling thread and return the run's ID. Versions of a flow share a scope."""
    arguments: Any = (flow, {"n": number})
    options: Any = {"idempotency_key": KEY, "idempotency_scope": flow.get("metadata", {}).get("scope")}
    if twin == "sync":
        with SyncStepflowClient(url, transport=Gated(gate)) as client:
            return client.run(*arguments, **options).run_id

    async def main() -> str:
        async with StepflowClient(url, transport=Gated(gate)) as client:
            return (await client.run(*arguments, **options)).run_id

    return asyncio.run(main())


def outcome(*arguments: Any) -> str:
    """Return the run's ID, or `refused` if the key has a run with different input."""
    try:
        return run(*arguments)
    except IdempotencyConflictError as error:
        return "refused" if "different input" in error.message else error.message


def new_flow() -> dict[str, Any]:
    return {"name": f"race-{time.time_ns()}-{next(_numbers)}", "steps": [], "output": {"$input": "n"}}


def versions() -> list[dict[str, Any]]:
    """Return three versions of a flow, with a common scope and different names."""
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
    # This tests another store, so one client and one kind of flow are enough.
    ("async", "sqlite", same_flow),
]


def callers(*chosen: tuple[str, str, FlowsOf]) -> pytest.MarkDecorator:
    """Parametrize a test with client, store and flows; `make test-exhaustive` adds the other combinations."""
    others = [each for each in (VERSIONS, SAME_FLOW, *OTHERS) if each not in chosen]
    values = [*chosen, *(pytest.param(*each, marks=pytest.mark.exhaustive) for each in others)]
    return pytest.mark.parametrize(("twin", "url", "flows_of"), values, indirect=["url"])


def points_of_call(twin: str, url: str, flows_of: FlowsOf) -> list[str]:
    """Return the points of a call without competing callers that is the first to use its key."""
    holds = [Hold(-1) for _ in range(3)]
    for hold in holds:
        run(twin, url, flows_of()[0], 1, hold)
    # A slow call, for example during imports, starts over and has more points.
    return min((hold.points for hold in holds), key=len)


def at_every_point(twin: str, url: str, flows_of: FlowsOf, check: Callable[[int, str], None]) -> None:
    names = points_of_call(twin, url, flows_of)
    assert "before POST /api/v1/runs" in names
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(check, range(len(names)), names))


@callers(VERSIONS, SAME_FLOW)
def test_a_second_caller_while_the_first_is_held(
    twin: str, url: str, flows_of: FlowsOf, caplog: pytest.LogCaptureFixture
) -> None:
    """The second caller finishes while the first is held at any point."""
    check_while_first_is_held(1, twin, url, flows_of, caplog)


@callers(VERSIONS)
def test_a_second_caller_with_another_input_while_the_first_is_held(
    twin: str, url: str, flows_of: FlowsOf, caplog: pytest.LogCaptureFixture
) -> None:
    check_while_first_is_held(2, twin, url, flows_of, caplog)


def check_while_first_is_held(
    number: int, twin: str, url: str, flows_of: FlowsOf, caplog: pytest.LogCaptureFixture
) -> None:
    """Hold the first caller at each point while a second one, with the same (1) or another input (2), finishes."""

    def check(point: int, name: str) -> None:
        flows, hold, outcomes = flows_of(), Hold(point), list[str]()
        first = threading.Thread(target=lambda: outcomes.append(outcome(twin, url, flows[0], 1, hold)))
        first.start()
        assert hold.reached.wait(30)
        second = outcome(twin, url, flows[1], number)
        hold.released.set()
        first.join(30)
        runs = runs_of(url, flows)
        # A second run exists only if the creation was held on its way to the server for longer than the lease.
        is_late = name == "before POST /api/v1/runs"
        if number == 1:
            assert {*outcomes, second} <= {*runs}, name
            assert outcomes == [second], name
            assert len(runs) == (2 if is_late else 1), name
            newer = max(runs)
            text = f"two runs exist for the idempotency key {KEY!r}: {second}, which is returned, and {newer}"
            assert (text in caplog.messages) is is_late, name
        else:
            assert sorted([*outcomes, second]) == [*runs, "refused"], name
        assert outcome(twin, url, flows[2], 1) == outcomes[0], name

    at_every_point(twin, url, flows_of, check)


@callers(VERSIONS)
def test_later_callers_after_the_first_was_killed(twin: str, url: str, flows_of: FlowsOf) -> None:
    def check(point: int, name: str) -> None:
        flows = flows_of()
        with pytest.raises(Killed):
            run(twin, url, flows[0], 1, Hold(point, kill=True))
        again = [outcome(twin, url, flow, 1) for flow in flows[1:]]
        assert again == runs_of(url, flows) * 2, name
        assert outcome(twin, url, flows[0], 2) == "refused", name

    at_every_point(twin, url, flows_of, check)


@callers(VERSIONS)
def test_a_timeout_reports_which_caller_was_waited_for(
    twin: str, url: str, flows_of: FlowsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls of one process whose timeout is shorter than the lease continue the wait of the previous call."""
    set_timings(monkeypatch, key_lease=3.0)
    create = points_of_call(twin, url, flows_of).index("before POST /api/v1/runs")
    flows = flows_of()
    with pytest.raises(Killed):
        run(twin, url, flows[0], 1, Hold(create, kill=True))
    messages: list[str] = []
    with SyncStepflowClient(url) as client:
        options: Any = {"idempotency_key": KEY, "idempotency_scope": flows[1].get("metadata", {}).get("scope")}
        while not runs_of(url, flows):
            assert len(messages) < 30
            try:
                client.run(flows[1], {"n": 1}, timeout=0.5, **options)
            except RequestTimeoutError as error:
                messages.append(str(error))
            except (AmbiguousRunError, RunTimeoutError):
                # On a busy machine, the call that takes over may time out while it creates the run or waits for it.
                continue
    for reason in ("another call is creating its run", "a call that may have created its run is not responding"):
        assert any(reason in message for message in messages)
    assert not any("overloaded" in message for message in messages)


class Turns:
    """Lets the requests of several callers through one at a time, in random order."""

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
                # Wait for callers that are between two requests, unless they pause for long.
                self._changed.wait_for(lambda: len(self._waiting) >= self.left, timeout=0.02)
                if self._waiting:
                    self._waiting.pop(self._random.randrange(len(self._waiting))).set()


@callers(VERSIONS, SAME_FLOW)
@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 18), marks=pytest.mark.exhaustive)], ids=str)
def test_callers_whose_requests_interleave_at_random(twin: str, url: str, flows_of: FlowsOf, seeds: range) -> None:
    def check(seed: int) -> None:
        flows, numbers = flows_of(), [1, 1, 1 + seed % 2]
        turns, outcomes = Turns(seed, len(numbers)), dict[int, str]()

        def call(caller: int) -> None:
            try:
                outcomes[caller] = outcome(twin, url, flows[caller], numbers[caller], turns)
            finally:
                turns.ended()

        threads = [threading.Thread(target=call, args=[caller]) for caller in range(len(numbers))]
        for thread in threads:
            thread.start()
        turns.go()
        for thread in threads:
            thread.join(30)
        (only,) = runs_of(url, flows)
        winners = {numbers[caller] for caller in outcomes if outcomes[caller] == only}
        assert len(winners) == 1
        expected = {caller: only if number in winners else "refused" for caller, number in enumerate(numbers)}
        assert outcomes == expected

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, seeds))
