"""Methods that the runtime forwards to its client, and logs of runs, which only a runtime has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from stepflow_client import (
    ClientClosedError,
    LogConfig,
    RequestTimeoutError,
    ServerStartTimeoutError,
    StepflowClient,
    StepflowRuntime,
    SyncStepflowClient,
    UnsupportedByServerError,
)

FLOW = {
    "steps": [{"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": "Hello"}}],
    "output": {"$step": "a", "$path": "$.messages[0].content"},
}


async def test_runs_are_started_read_and_followed_through_a_runtime() -> None:
    async with StepflowRuntime.start(log_config=LogConfig(level="info", forward=False)) as runtime:
        handle = await runtime.start_run(FLOW, {"n": 1})
        async with runtime.run_events(handle) as events:
            assert [event.type async for event in events][-1] == "run_completed"
        async with runtime.map(FLOW, [1, 2], max_concurrency=1) as outcomes:
            assert sorted([outcome.index async for outcome in outcomes]) == [0, 1]
        async with runtime.iter_runs(page_size=2) as runs:
            assert len([run async for run in runs]) == 2
        stored = await runtime.store_flow(FLOW)
        created = await runtime.create_run(stored.flow_id, {"n": 1})
        assert (await runtime.wait_run(created, timeout=10)).status == "completed"
        assert (await runtime.with_options(timeout=10).run(FLOW)).is_success
        assert (await runtime.server_info(timeout=5)).url == runtime.url

        other = await runtime.start_run(FLOW, {"n": 2})
        assert (await other.result(timeout=10)).is_success
        lines = await handle.logs()
        assert lines
        assert handle.run_id in lines[0].run_ids | lines[-1].run_ids
        assert not any(line.run_ids and handle.run_id not in line.run_ids for line in lines)
        again = await asyncio.to_thread(lambda: runtime.sync_client.handle(handle).logs())
        assert [line.message for line in again][: len(lines)] == [line.message for line in lines]


async def test_logs_of_another_server_are_unsupported() -> None:
    run_id = "01900000-0000-7000-8000-000000000001"
    async with StepflowClient("http://127.0.0.1:9") as client:
        with pytest.raises(UnsupportedByServerError, match="read it from a StepflowRuntime"):
            await client.handle(run_id).logs()
    with SyncStepflowClient("http://127.0.0.1:9") as sync, pytest.raises(UnsupportedByServerError, match="log"):
        sync.handle(run_id).logs()


async def test_the_timeout_includes_the_wait_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = StepflowRuntime.start()
    never = asyncio.Event()
    monkeypatch.setattr(runtime, "await_ready", never.wait)
    try:
        for call in (runtime.server_info(timeout=0.05), runtime.list_runs(timeout=0.05)):
            with pytest.raises(RequestTimeoutError, match="not ready in time"):
                await call
    finally:
        await runtime.aclose()


async def test_a_server_that_is_not_ready_in_time_is_reported_as_such() -> None:
    runtime = StepflowRuntime.start(startup_timeout=0.001)
    for call in (runtime.health_check(), runtime.list_runs(timeout=60)):
        with pytest.raises(ServerStartTimeoutError, match=r"not ready within 0\.001 s"):
            await call


async def test_cleanup_is_completed_in_a_cancel_scope_of_anyio(tmp_path: Path) -> None:
    # Until the task has left such a scope, whatever it waits for is cancelled again.
    step = {"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": 60_000}}
    nap = {"steps": [step], "output": {"$step": "nap"}}
    journal = tmp_path / "journal"

    async def run(client: Any) -> None:
        await client.run(nap, on_cancel="cancel")

    async def run_batch(client: Any) -> None:
        async with client.map(nap, [1, 2], chunk_size=1, on_cancel="cancel", journal=journal) as outcomes:
            async for _ in outcomes:
                pass

    async def wait_with_several_connections(client: Any) -> None:
        async with StepflowClient(client.url) as other:
            pool: Any = other._connection.dialect.inner.inner
            await asyncio.gather(*(other.health_check() for _ in range(3)))
            connections.extend(pool._idle)
            await anyio.sleep(60)

    async def use_runtime(client: Any) -> None:
        async with StepflowRuntime.start() as started:
            runtimes.append(started)
            await started.run(nap)

    async def leave(call: Callable[[Any], Any], seconds: float) -> None:
        with anyio.move_on_after(seconds) as scope:
            await call(runtime)
        assert scope.cancelled_caught

    connections: list[Any] = []
    runtimes: list[StepflowRuntime] = []
    async with StepflowRuntime.start() as runtime:
        await leave(run, 1.0)
        await leave(run_batch, 1.5)
        assert [run.status for run in (await runtime.list_runs()).runs] == ["cancelled"] * 3
        async with runtime.map(nap, [1, 2], chunk_size=1, journal=journal) as outcomes:
            assert [outcome.status async for outcome in outcomes] == ["cancelled"] * 2
        await leave(wait_with_several_connections, 1.0)
        assert [connection._ended for connection in connections] == [True] * 3
        await leave(use_runtime, 1.5)
        assert [started.is_alive for started in runtimes] == [False]


async def test_stopping_a_runtime_closes_the_clients_of_all_event_loops() -> None:
    runtime = StepflowRuntime.start()
    await runtime.await_ready()

    async def use_client() -> StepflowClient:
        assert (await runtime.client.health_check()).status == "healthy"
        return runtime.client

    clients = [await use_client(), await asyncio.to_thread(asyncio.run, use_client())]
    runtime.stop()
    for client in clients:
        with pytest.raises(ClientClosedError):
            await client.health_check()
