"""Concurrent and background calls: order, limits, context, errors and deadlines."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import httpx
import pytest
import uvloop
from stepflow_client._concurrency import AsyncTaskSet, async_gather, sync_call_with_timeout, sync_gather

from tests.unit.both_twins import HEALTH, RUN_ID, SUMMARY, TWINS, call_with_handler

PLACE: ContextVar[str] = ContextVar("place", default="elsewhere")


class ConcurrencyCounter:
    """Calls that record how many of them run at once."""

    def __init__(self) -> None:
        self.running = self.peak = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.running += 1
            self.peak = max(self.peak, self.running)

    def leave(self) -> None:
        with self._lock:
            self.running -= 1

    def blocking(self, number: int) -> tuple[int, str]:
        self.enter()
        time.sleep(0.01)
        self.leave()
        return number, PLACE.get()

    async def waiting(self, number: int) -> tuple[int, str]:
        self.enter()
        await asyncio.sleep(0.01)
        self.leave()
        return number, PLACE.get()


def gather(twin: str, counter: ConcurrencyCounter, count: int, at_once: int) -> list[tuple[int, str]]:
    if twin == "sync":
        return sync_gather([partial(counter.blocking, number) for number in range(count)], at_once)
    return asyncio.run(async_gather([partial(counter.waiting, number) for number in range(count)], at_once))


@pytest.mark.parametrize("twin", TWINS)
def test_results_are_in_order_and_concurrency_is_limited(twin: str) -> None:
    counter = ConcurrencyCounter()
    token = PLACE.set("here")
    try:
        assert gather(twin, counter, 30, 3) == [(number, "here") for number in range(30)]
    finally:
        PLACE.reset(token)
    assert counter.peak == 3
    assert gather(twin, counter, 0, 3) == []


@pytest.mark.parametrize("twin", TWINS)
def test_an_error_propagates(twin: str) -> None:
    def fails() -> Any:
        raise LookupError("gone")

    async def fails_too() -> Any:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        sync_gather([fails] * 5, 2) if twin == "sync" else asyncio.run(async_gather([fails_too] * 5, 2))


def test_an_interrupt_does_not_wait_for_calls() -> None:
    released = threading.Event()
    threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sync_gather([partial(released.wait, 20)] * 2, 2)
    assert time.monotonic() - before < 10
    released.set()


def test_an_error_leaves_no_task_running() -> None:
    async def fails() -> None:
        raise LookupError("gone")

    async def count_tasks() -> int:
        with pytest.raises(LookupError):
            await async_gather([partial(asyncio.sleep, 60), fails, partial(asyncio.sleep, 60)], 2)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(count_tasks()) == 1


def test_an_error_is_raised_after_the_other_calls_end() -> None:
    ended: list[bool] = []

    def fails() -> Any:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        sync_gather([fails, lambda: ended.append(threading.Event().wait(0.1))], 2)
    assert ended == [False]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("status", [200, 503])
def test_errors_of_large_runs_name_the_step_for_the_first_items_only(twin: str, status: int) -> None:
    requested: list[str] = []
    failed = {"status": 3, "errorMessage": "Input path $.x not found", "errorCode": 8}

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path == "/health":
            return httpx.Response(200, json=HEALTH)
        if path == "/runs":
            return httpx.Response(200, json={"runs": [{**SUMMARY, "status": 3}]})
        if path == f"/runs/{RUN_ID}/items":
            return httpx.Response(200, json={"results": [{"itemIndex": n, **failed} for n in range(5000)]})
        assert path == f"/runs/{RUN_ID}/steps"
        index = request.url.params["itemIndex"]
        requested.append(index)
        step = {"stepId": f"s{index}", "stepIndex": 0, "itemIndex": int(index), "component": "c", **failed}
        return httpx.Response(status, json={"steps": [step]})

    get_items: Callable[[Any], Any] = lambda client: client.get_run_items(RUN_ID)  # noqa: E731
    items = call_with_handler(twin, answer, get_items).items
    assert sorted(set(requested), key=int) == [str(number) for number in range(20)]
    named = [item.index for item in items if item.result.error.step_id]
    assert named == (list(range(20)) if status == 200 else [])
    assert [items[n].result.error.step_id for n in named] == [f"s{n}" for n in named]


async def measure_early_wakeups() -> list[float]:
    """Return by how many seconds each wait ended before its deadline."""
    workers: AsyncTaskSet[None] = AsyncTaskSet()
    await workers.start(lambda: asyncio.sleep(60))
    early = []
    for number in range(40):
        deadline = time.monotonic() + 0.005 + number / 20_000
        with pytest.raises(TimeoutError):
            await workers.wait_for_result(deadline)
        early.append(deadline - time.monotonic())
    await workers.aclose()
    return early


def test_a_wait_does_not_end_before_its_deadline() -> None:
    # Event loops with millisecond timers wake up early, which callers would mistake for a request timeout.
    assert max(uvloop.run(measure_early_wakeups())) <= 0
    assert max(asyncio.run(measure_early_wakeups())) <= 0


def test_a_deadline_may_exceed_the_maximum_wait_of_threads() -> None:
    assert sync_call_with_timeout(lambda: "done", 1e12, may_abandon=True) == "done"
