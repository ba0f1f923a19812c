"""Idempotency keys on slow connections: few requests, and competing callers share one run."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import RequestTimeoutError, StepflowClient

from tests.durable import DurableServer
from tests.fault_proxy import FaultProxy, Script

pytestmark = [pytest.mark.anyio]


def named(prefix: str) -> dict[str, Any]:
    return {"name": f"{prefix}-{time.time_ns()}", "steps": [], "output": {"$input": "n"}}


async def test_a_creation_is_repeated_only_after_another_check(worker_runtime: Any) -> None:
    flow = named("checked")
    cut = Script(cut_request=0, within=b"POST /api/v1/runs")
    with FaultProxy(worker_runtime.url, lambda number: cut if number == 0 else Script()) as proxy:
        async with StepflowClient(proxy.url) as client:
            run_id = await client.submit(flow, {"n": 1}, idempotency_key="k")
        sent = b"".join(bytes(each.request) for each in proxy.connections)
    requests = re.findall(r"((?:GET|POST) /api/v1/\S+) HTTP/1.1", sent.decode())
    creations = [number for number, request in enumerate(requests) if request == "POST /api/v1/runs"]
    assert len(creations) == 2
    (check,) = {requests[number - 1] for number in creations}
    assert check.startswith("GET /api/v1/blobs/")
    async with StepflowClient(worker_runtime.url) as client:
        assert [run.run_id for run in (await client.list_runs(flow_name=flow["name"])).runs] == [run_id]


@pytest.mark.parametrize(
    "delay", [0.5, *(pytest.param(delay, marks=pytest.mark.exhaustive) for delay in (0.1, 1.0, 2.0))]
)
async def test_a_single_caller_needs_few_requests_on_slow_connections(worker_runtime: Any, delay: float) -> None:
    flow = named("slow")
    with FaultProxy(worker_runtime.url, lambda _: Script(delay=delay)) as proxy:
        async with StepflowClient(proxy.url, timeout=60) as client:
            new = await client.run(flow, {"n": 1}, idempotency_key="new")
            assert proxy.requests <= 12
            before = proxy.requests
            warm = await client.run(flow, {"n": 1}, idempotency_key="warm")
            assert proxy.requests - before <= 9
    async with StepflowClient(worker_runtime.url) as client:
        runs = (await client.list_runs(flow_name=flow["name"])).runs
        assert sorted(run.run_id for run in runs) == sorted([new.run_id, warm.run_id])


async def test_a_timeout_reports_the_slow_requests(worker_runtime: Any) -> None:
    with FaultProxy(worker_runtime.url, lambda _: Script(delay=0.5)) as proxy:
        async with StepflowClient(proxy.url) as client:
            await client.health_check()
            with pytest.raises(RequestTimeoutError, match=r"key 'k': .* after \d requests of \d+ms each") as caught:
                await client.run(named("late"), {"n": 1}, idempotency_key="k", timeout=2.5)
    assert "overloaded" not in str(caught.value)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize(
    ("callers", "delay"),
    [(2, 0.0), (6, 0.02), (12, 0.0), *(pytest.param(12, delay, marks=pytest.mark.exhaustive) for delay in (0.1, 0.5))],
)
async def test_simultaneous_callers_return_one_run(
    tmp_path: Path, worker_runtime: Any, release: str, store: str, callers: int, delay: float
) -> None:
    server, flow, keys = DurableServer(tmp_path, release), named("same"), [f"key-{number}" for number in range(5)]
    if store == "sqlite":
        server.start()
        server.wait_ready()
    url = server.url if store == "sqlite" else worker_runtime.url
    try:
        with FaultProxy(url, lambda _: Script(delay=delay)) as proxy:
            async with AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(StepflowClient(proxy.url)) for _ in range(callers)]
                run_ids: list[str] = []
                for key in keys:
                    call = {"idempotency_key": key, "timeout": 3 + 40 * delay}
                    results = await asyncio.gather(*(client.run(flow, {"n": 1}, **call) for client in clients))
                    assert len({result.run_id for result in results}) == 1
                    run_ids.append(results[0].run_id)
        async with StepflowClient(url) as client:
            runs = (await client.list_runs(flow_name=flow["name"])).runs
            assert sorted(run.run_id for run in runs) == sorted(run_ids)
    finally:
        server.kill()
