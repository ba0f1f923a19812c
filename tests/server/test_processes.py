"""Clients and runtimes used by several processes (pickled or forked) and by several event loops."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import warnings
import weakref
from typing import Any

import pytest
from stepflow_client import StepflowClient, StepflowRuntime, SyncStepflowClient

from tests.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio

RUN_PICKLED = """
import asyncio, pickle, sys

client = pickle.load(sys.stdin.buffer)
flow = {"steps": [], "output": {"$input": "$"}}

async def main():
    async with client:
        return await client.run(flow, 7)

if type(client).__name__ == "StepflowClient":
    result = asyncio.run(main())
else:
    with client:
        result = client.run(flow, 7)
print(result.output)
"""


def run_in_another_process(client: Any) -> None:
    command = [sys.executable, "-W", "error", "-c", RUN_PICKLED]
    done = subprocess.run(command, input=pickle.dumps(client), capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"7\n", b"")


async def test_a_pickled_client_runs_a_flow_in_another_process(server_url: str) -> None:
    async with StepflowClient(server_url, auth="token") as client:
        await client.health_check()
        run_in_another_process(client)
        assert (await client.health_check()).status == "healthy"
    with SyncStepflowClient(server_url, auth="token") as twin:
        twin.health_check()
        run_in_another_process(twin)
        assert twin.health_check().status == "healthy"


def test_the_clients_of_a_runtime_can_be_pickled_but_not_the_runtime(runtime: StepflowRuntime) -> None:
    run_in_another_process(runtime.sync_client)
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"send runtime\.url or a client"):
            way(runtime)


# A parent uses its connections while a forked child closes or uses the client that it has inherited.
FORKED = """
import asyncio, gc, os, sys
from contextlib import aclosing
from stepflow_client import StepflowClient, SyncStepflowClient

url, release, what = sys.argv[1:]
flow = {"steps": [], "output": {"$input": "$"}}
# Shorter than the silence after which the client checks the run and may reopen the stream.
slow = {"steps": [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 200}}],
        "output": {"$step": "a"}}

def in_child(act):
    child = os.fork()
    if not child:
        try:
            act()
            gc.collect()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def sockets(connection):
    pool = connection.dialect.inner.inner
    return {*pool._idle, *pool._busy}

def blocking():
    client = SyncStepflowClient(url, server_release=release)
    run_id = client.submit(slow)
    client.get_run(run_id)
    before = sockets(client._connection)
    if what == "close":
        in_child(client.close)
    elif what == "use":
        in_child(lambda: client.run(flow).raise_for_failure())
    elif what == "stream":
        events = client.run_events(run_id)
        next(events)
        during = sockets(client._connection)
        in_child(events.close)
        next(event for event in events if event.type == "step_completed")
        assert sockets(client._connection) == during > before
        events.close()
    client.get_run(run_id)
    # The parent still uses the same connection.
    assert sockets(client._connection) == before, (sockets(client._connection), before)
    client.close()

async def asynchronous():
    client = StepflowClient(url, server_release=release)
    run_id = await client.submit(slow)
    await client.get_run(run_id)
    before = sockets(client._connection)

    def in_loop_of_child(coroutine):
        # The child does not run the event loop that it has inherited.
        asyncio._set_running_loop(None)
        return asyncio.run(coroutine)

    if what == "close":
        in_child(lambda: in_loop_of_child(client.aclose()))
    elif what == "use":
        in_child(lambda: in_loop_of_child(client.run(flow)).raise_for_failure())
    else:
        async with aclosing(client.run_events(run_id)) as events:
            await anext(events)
            during = sockets(client._connection)
            in_child(lambda: in_loop_of_child(events.aclose()))
            while (await anext(events)).type != "step_completed":
                pass
            assert sockets(client._connection) == during > before
    await client.get_run(run_id)
    assert sockets(client._connection) == before, (sockets(client._connection), before)
    await client.aclose()

def inherited_loop():
    loop = asyncio.new_event_loop()
    client = StepflowClient(url, server_release=release)
    loop.run_until_complete(client.health_check())
    before = sockets(client._connection)
    in_child(lambda: loop.run_until_complete(client.run(flow)))
    loop.run_until_complete(client.health_check())
    assert sockets(client._connection) == before
    loop.run_until_complete(client.aclose())
    loop.close()

blocking()
asyncio.run(asynchronous())
if what == "use":
    inherited_loop()
"""


@pytest.mark.parametrize("what", ["close", "use", "stream"])
def test_a_fork_does_not_touch_the_connections_of_its_parent(server_url: str, release: str, what: str) -> None:
    command = [sys.executable, "-W", "error", "-c", FORKED, server_url, release, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# Event loops


def test_a_runtime_forgets_event_loops_that_have_ended(runtime: StepflowRuntime) -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> int:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        result = await runtime.run({"steps": [], "output": {"$input": "$"}}, len(loops))
        if len(loops) == 4:
            await runtime.client.aclose()
        return int(result.raise_for_failure().output)

    with warnings.catch_warnings():
        # asyncio warns when the sockets of a closed loop are garbage-collected.
        warnings.simplefilter("ignore", ResourceWarning)
        assert [asyncio.run(main()) for _ in range(4)] == [1, 2, 3, 4]
        gc.collect()
    # The runtime forgets each loop when the next one uses it.
    assert [loop() for loop in loops[:3]] == [None, None, None]


# Behind a proxy, httpx manages the connections


def test_a_client_behind_a_proxy_works_in_one_event_loop_after_another(server_url: str) -> None:
    with FaultProxy(server_url) as proxy, warnings.catch_warnings():
        # asyncio warns when the sockets of a closed loop are garbage-collected.
        warnings.simplefilter("ignore", ResourceWarning)
        client = StepflowClient("http://server.invalid", proxy=proxy.url)
        for _ in range(3):
            assert asyncio.run(client.health_check()).status == "healthy"
        asyncio.run(client.aclose())
        del client
        gc.collect()
        assert len(proxy.connections) == 3


def test_a_fork_behind_a_proxy_has_a_connection_of_its_own(server_url: str) -> None:
    with FaultProxy(server_url) as proxy, SyncStepflowClient("http://server.invalid", proxy=proxy.url) as client:
        client.health_check()
        with warnings.catch_warnings():
            # Python warns about forking with threads; the child does not need the proxy's thread.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            status = 1
            try:
                status = int(client.health_check().status != "healthy")
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        client.health_check()
        assert len(proxy.connections) == 2
