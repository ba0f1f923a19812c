"""What the fault tests share: clients that talk to a real server through a proxy that fails."""

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

AT_ONCE = 24
LOOKED_AT = 50
"""Runs that are looked at first where a run is lost: few, so that looking costs little and going on is tested too."""
CREATE = b"POST /api/v1/runs "
Fault = Callable[[int], Script]


def flow(name: str) -> dict[str, Any]:
    """A flow that any server runs in no time: no component at all."""
    return {"name": name, "steps": [], "output": {"$input": "$"}}


def first(script: Script) -> Fault:
    """Return the first connection a script, and leave the others alone."""
    return lambda number: script if number == 0 else Script()


def made(twin: str, url: str, **settings: Any) -> Any:
    return StepflowClient(url, **settings) if twin == "async" else Awaited(SyncStepflowClient(url, **settings))


async def closed(client: Any) -> None:
    await (client.close() if isinstance(client, Awaited) else client.aclose())


async def hung_up(proxy: FaultProxy, twin: str) -> None:
    """Cut all connections and wait until the client knows: its next requests make new ones."""
    proxy.drop_all()
    if twin == "async":
        await settled(proxy.url)


async def over_proxies(url: str, work: Callable[[FaultProxy, Any], Awaitable[None]], items: list[Any]) -> None:
    """Do something with each item, each through a proxy of its own, several at once."""
    todo = list(reversed(items))

    async def worker(proxy: FaultProxy) -> None:
        while todo:
            await work(proxy, todo.pop())

    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(url)) for _ in range(min(AT_ONCE, len(items)))]
        async with asyncio.TaskGroup() as group:
            for proxy in proxies:
                group.create_task(worker(proxy))


def sockets(url: str) -> int:
    """Count the connections of this process to a server."""
    port = int(url.rpartition(":")[2])
    return sum(bool(each.raddr) and each.raddr.port == port for each in psutil.Process().net_connections("tcp"))


async def settled(url: str, *, most: int = 0) -> None:
    """Wait until no more connections are left; what was closed goes with the next turns of the loop."""
    for _ in range(200):
        if sockets(url) <= most:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{sockets(url)} connections are left")


def others() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
