"""Calls in the background."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop
from stepflow_client._concurrency.background import AsyncWorkers


async def waits_until_the_deadline() -> list[float]:
    """Return by how many seconds waits have ended before their deadlines."""
    workers: AsyncWorkers[None] = AsyncWorkers()
    await workers.start(lambda: asyncio.sleep(60))
    early = []
    for number in range(40):
        deadline = time.monotonic() + 0.005 + number / 20_000
        with pytest.raises(TimeoutError):
            await workers.finished(deadline)
        early.append(deadline - time.monotonic())
    await workers.aclose()
    return early


def test_a_wait_does_not_end_before_its_deadline() -> None:
    # Loops that count milliseconds wake up too early, and callers take that for the timeout of a request.
    assert max(uvloop.run(waits_until_the_deadline())) <= 0
    assert max(asyncio.run(waits_until_the_deadline())) <= 0
