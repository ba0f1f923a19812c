"""Methods that the runtime forwards to its client, and logs of runs, which only a runtime has."""

from __future__ import annotations

import asyncio

import pytest
from stepflow_client import (
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
