"""Clients that are closed, forgotten or cancelled at any point leak no connections and no tasks."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from stepflow_client import (
    RetryPolicy,
    StepflowClient,
    StepflowClientError,
)

from tests.fault_proxy import FaultProxy, Script
from tests.server.faults.proxied import (
    close_client,
    flow,
    make_client,
    other_tasks,
    sockets,
    wait_until_closed,
)
from tests.server.flows import unique

pytestmark = [pytest.mark.faults, pytest.mark.anyio]


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_forgotten_client_leaves_nothing(twin: str, server_url: str, release: str) -> None:
    tasks_before, sockets_before = other_tasks(), sockets(server_url)
    client = make_client(twin, server_url, server_release=release)
    await asyncio.gather(*(client.run(flow(unique("forgotten")), {"n": number}) for number in range(20)))
    assert sockets(server_url) > sockets_before
    del client
    gc.collect()
    await wait_until_closed(server_url, most=sockets_before)
    assert other_tasks() <= tasks_before


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_closed_client_leaves_nothing(twin: str, server_url: str, release: str) -> None:
    tasks_before, sockets_before = other_tasks(), sockets(server_url)
    client = make_client(twin, server_url, server_release=release)
    runs = [client.run(flow(unique("closed")), {"n": number}) for number in range(20)]
    await asyncio.gather(*runs)
    assert sockets(server_url) > sockets_before
    await close_client(client)
    await wait_until_closed(server_url, most=sockets_before)
    assert other_tasks() <= tasks_before


async def test_a_client_closed_while_it_works_leaves_nothing(server_url: str, release: str) -> None:
    chance = random.Random(3)
    tasks_before = other_tasks()
    with FaultProxy(server_url, lambda number: Script(delay=0.01)) as proxy:
        for _ in range(40):
            client = StepflowClient(proxy.url, server_release=release, retry=RetryPolicy(max_attempts=1))
            calls = [asyncio.ensure_future(client.health_check()) for _ in range(5)]
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice((0, 0, 0.003, 0.008, 0.015)))
            await client.aclose()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert all(not isinstance(each, BaseException) or isinstance(each, StepflowClientError) for each in done)
        await wait_until_closed(proxy.url)
    assert other_tasks() <= tasks_before


@pytest.mark.usefixtures("own_connections")
async def test_tasks_cancelled_anywhere_leave_nothing(server_url: str, release: str) -> None:
    chance = random.Random(5)
    tasks_before = other_tasks()
    limits = httpx.Limits(max_connections=4)
    with FaultProxy(server_url, lambda number: Script(delay=0.002)) as proxy:
        client = StepflowClient(proxy.url, server_release=release, limits=limits, timeout=5)
        both = flow(unique("cancelled"))
        run_id = await client.submit(both, {"n": 0})

        async def events() -> None:
            async for _ in client.run_events(run_id):
                pass

        for round in range(60):
            works: list[Awaitable[Any]] = [client.run(both, {"n": round}, private_copy=True) for _ in range(5)]
            works += [events(), client.get_result(run_id), client.store_flow(flow(unique("cancelled")))]
            tasks = [asyncio.ensure_future(work) for work in works]
            for task in tasks:
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                if chance.random() < 0.4:
                    await asyncio.sleep(chance.random() * 0.01)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # No slot of the pool was lost, and no connection returns the response to another request.
        results = await asyncio.gather(*(client.run(both, {"n": n}, private_copy=True) for n in range(12)))
        assert [result.output for result in results] == [{"n": n} for n in range(12)]
        await wait_until_closed(proxy.url, most=4)
        await client.aclose()
        await wait_until_closed(proxy.url)
    assert other_tasks() <= tasks_before
