"""Helpers of the fault tests: clients that reach a real server through a failing proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import psutil
from stepflow_client import (
    StepflowClient,
    SyncStepflowClient,
)

from tests.fault_proxy import FaultProxy, Script
from tests.server.awaited import Awaited

CONCURRENCY = 24
SEARCHED_RUNS = 50
"""Number of runs that a search for a lost run checks first: few, so that the search is fast and must also continue."""
CREATE = b"POST /api/v1/runs "
Fault = Callable[[int], Script]


def flow(name: str) -> dict[str, Any]:
    """Return a flow without components, which every server runs immediately."""
    return {"name": name, "steps": [], "output": {"$input": "$"}}


def on_first_connection(script: Script) -> Fault:
    """Apply a script to the first connection only."""
    return lambda number: script if number == 0 else Script()


def make_client(twin: str, url: str, **settings: Any) -> Any:
    return StepflowClient(url, **settings) if twin == "async" else Awaited(SyncStepflowClient(url, **settings))


async def close_client(client: Any) -> None:
    await (client.close() if isinstance(client, Awaited) else client.aclose())


async def hang_up(proxy: FaultProxy, twin: str) -> None:
    """Cut all connections and wait until the client has noticed, so that its next requests open new ones."""
    proxy.drop_all()
    if twin == "async":
        await wait_until_closed(proxy.url)


async def run_through_proxies(url: str, work: Callable[[FaultProxy, Any], Awaitable[None]], items: list[Any]) -> None:
    """Process all items with several workers at once, each behind its own proxy."""
    remaining = list(reversed(items))

    async def worker(proxy: FaultProxy) -> None:
        while remaining:
            await work(proxy, remaining.pop())

    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(url)) for _ in range(min(CONCURRENCY, len(items)))]
        async with asyncio.TaskGroup() as group:
            for proxy in proxies:
                group.create_task(worker(proxy))


def sockets(url: str) -> int:
    """Count this process's connections to a server."""
    port = int(url.rpartition(":")[2])
    return sum(bool(each.raddr) and each.raddr.port == port for each in psutil.Process().net_connections("tcp"))


async def wait_until_closed(url: str, *, most: int = 0) -> None:
    """Wait until at most this many connections are left: the event loop closes them in its next iterations."""
    for _ in range(200):
        if sockets(url) <= most:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{sockets(url)} connections are left")


def other_tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
