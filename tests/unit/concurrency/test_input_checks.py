"""Long checks of inputs: the event loop goes on, and the deadline of the call ends them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest
from stepflow_client import InvalidArgumentError, RequestTimeoutError
from stepflow_client._concurrency import async_compute, sync_compute
from stepflow_client._rules.timeouts import deadline_scope
from stepflow_client.flows.json_schema import find_mismatches

from tests.unit.both_twins import FLOW, HEALTH, TWINS, ask

NUMBERS = {"type": "array", "items": {"type": "integer"}}


class Endless:
    """A check that ends only if something stops it."""

    def __init__(self) -> None:
        self.began, self.ended = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.began.set()
        try:
            while True:
                find_mismatches([1] * 100, NUMBERS, {})
        finally:
            self.ended.set()


@pytest.mark.parametrize("twin", TWINS)
def test_a_check_ends_at_the_deadline(twin: str) -> None:
    endless = Endless()
    with deadline_scope(time.monotonic() + 0.1), pytest.raises(RequestTimeoutError, match="while checking"):
        sync_compute(endless) if twin == "sync" else asyncio.run(async_compute(endless))
    assert endless.ended.wait(10)


def test_a_check_nobody_waits_for_ends() -> None:
    endless = Endless()

    async def cancelled() -> None:
        task = asyncio.ensure_future(async_compute(endless))
        await asyncio.sleep(0.05)
        endless.ended.clear()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert endless.ended.wait(10)


def test_the_event_loop_goes_on_during_a_long_check() -> None:
    async def turns() -> int:
        check = asyncio.ensure_future(async_compute(lambda: find_mismatches([1] * 200_000, NUMBERS, {})))
        count = 0
        while not check.done():
            await asyncio.sleep(0)
            count += 1
        assert not await check
        return count

    assert asyncio.run(turns()) > 10


def test_short_checks_share_a_slice() -> None:
    def thread_of(checks: int) -> str:
        for _ in range(checks):
            assert not find_mismatches([1] * 100, NUMBERS, {})
        return threading.current_thread().name

    here = threading.current_thread().name
    assert asyncio.run(async_compute(lambda: thread_of(1))) == here
    assert asyncio.run(async_compute(lambda: thread_of(1_000))) != here


NESTED = r"^(\w+\s?)*$"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("place", ["input", "variables"])
def test_an_input_that_a_backtracking_engine_does_not_finish_is_refused(twin: str, place: str) -> None:
    def health(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/health")
        return httpx.Response(200, json=HEALTH)

    words = {"properties": {"name": {"type": "string", "pattern": NESTED}}}
    flow = {**FLOW, "schemas": {"properties": {place: words}}}
    given: Any = {"name": "a" * 41 + "!"}
    with pytest.raises(InvalidArgumentError, match="matches"):
        ask(twin, health, lambda client: client.run(flow, **{place: given}, timeout=30))
