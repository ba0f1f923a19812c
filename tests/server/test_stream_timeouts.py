"""The timeout of a stream limits the time from the call to the last element, in both clients."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, RequestTimeoutError, RunTimeoutError, StepflowClient

from tests.server.flows import SLEEP, one_step, slow_run, unique

pytestmark = pytest.mark.anyio

ENOUGH = 5.5
"""Seconds by which a stream with a timeout of 0.5 s has ended, even on a busy machine, but before the run has."""


async def read(stream: Any) -> list[Any]:
    async with stream:
        return [each async for each in stream]


@pytest.mark.usefixtures("needs_events")
async def test_events_end_at_the_timeout(client: Any) -> None:
    async with slow_run(client, seconds=6.0) as run_id:
        began = time.monotonic()
        with pytest.raises(RunTimeoutError, match="it continues") as caught:
            await read(client.run_events(run_id, timeout=0.5))
        assert caught.value.run_id == run_id
        assert time.monotonic() - began < ENOUGH


async def test_a_batch_ends_at_the_timeout(client: Any) -> None:
    flow = one_step(SLEEP, name=unique("slow"))
    began = time.monotonic()
    outcomes = client.map(flow, [{"seconds": 6.0, "value": 1}] * 3, chunk_size=1, timeout=0.5)
    # Some servers hold the request that creates a run, so the client may not know the run's ID yet.
    with pytest.raises(RunTimeoutError, match="timed out waiting for the batch"):
        await read(outcomes)
    assert time.monotonic() - began < ENOUGH


async def test_a_timeout_does_not_affect_a_quick_stream(client: Any) -> None:
    flow = one_step(SLEEP, name=unique("quick"))
    async with client.map(flow, [{"seconds": 0.0, "value": n} for n in range(3)], timeout=30) as outcomes:
        assert sorted([outcome.index async for outcome in outcomes]) == [0, 1, 2]
    await asyncio.sleep(0)
    # The timeout does not apply to the caller's own calls, between outcomes or afterwards.
    async with client.map(flow, [{"seconds": 0.0, "value": 1}] * 2, chunk_size=1, timeout=30) as outcomes:
        async for outcome in outcomes:
            assert (await client.get_run(outcome)).run_id == outcome.run_id


async def test_wrong_timeouts_are_refused_at_the_call(client: Any) -> None:
    for call in (
        lambda: client.map({"steps": []}, [1], timeout=-1),
        lambda: client.run_events("01900000-0000-7000-8000-000000000001", timeout="1"),
    ):
        with pytest.raises(InvalidArgumentError, match="timeout"):
            call()


async def test_server_info_ends_at_the_timeout() -> None:
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    async with StepflowClient(f"http://127.0.0.1:{port}", retry=0) as client:
        with pytest.raises(RequestTimeoutError):
            await client.server_info(timeout=0.3)
    assert time.monotonic() - began < ENOUGH
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    server.close()
