"""Long input checks do not block the event loop and stop at the call's deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest
from stepflow_client import InvalidArgumentError, RequestTimeoutError
from stepflow_client._concurrency import async_compute, sync_compute
from stepflow_client._rules.deadlines import deadline_scope
from stepflow_client.flows.json_schema import find_mismatches

from tests.unit.both_twins import FLOW, HEALTH, TWINS, call_with_handler

NUMBERS = {"type": "array", "items": {"type": "integer"}}


class Endless:
    """A check that runs until it is stopped."""

    def __init__(self) -> None:
        self.started, self.stopped = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.started.set()
        try:
            while True:
                find_mismatches([1] * 100, NUMBERS, {})
        finally:
            self.stopped.set()


@pytest.mark.parametrize("twin", TWINS)
def test_a_check_stops_at_the_deadline(twin: str) -> None:
    endless = Endless()
    with deadline_scope(time.monotonic() + 0.1), pytest.raises(RequestTimeoutError, match="while checking"):
        sync_compute(endless) if twin == "sync" else asyncio.run(async_compute(endless))
    assert endless.stopped.wait(10)


def test_a_cancelled_check_stops() -> None:
    endless = Endless()

    async def cancelled() -> None:
        task = asyncio.ensure_future(async_compute(endless))
        await asyncio.sleep(0.05)
        endless.stopped.clear()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert endless.stopped.wait(10)


def test_a_long_check_does_not_block_the_event_loop() -> None:
    async def turns() -> int:
        check = asyncio.ensure_future(async_compute(lambda: find_mismatches([1] * 200_000, NUMBERS, {})))
        count = 0
        while not check.done():
            await asyncio.sleep(0)
            count += 1
        assert not await check
        return count

    assert asyncio.run(turns()) > 10


def test_only_long_checks_move_to_a_thread() -> None:
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
def test_a_pattern_that_causes_catastrophic_backtracking_is_still_checked(twin: str, place: str) -> None:
    def health(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/health")
        return httpx.Response(200, json=HEALTH)

    words = {"properties": {"name": {"type": "string", "pattern": NESTED}}}
    flow = {**FLOW, "schemas": {"properties": {place: words}}}
    value: Any = {"name": "a" * 41 + "!"}
    with pytest.raises(InvalidArgumentError, match="matches"):
        call_with_handler(twin, health, lambda client: client.run(flow, **{place: value}, timeout=30))
