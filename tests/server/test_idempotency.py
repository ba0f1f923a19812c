"""Runs with an idempotency key: one run per key, whichever process uses it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import (
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidRequestError,
    StepflowClient,
    StepflowRuntime,
    SyncStepflowClient,
)

from tests import releases
from tests.durable import DurableServer
from tests.fault_proxy import FaultProxy, Script
from tests.server.flows import SLEEP, one_step

pytestmark = [pytest.mark.anyio]


def named(prefix: str) -> dict[str, Any]:
    return {"name": f"{prefix}-{time.time_ns()}", "steps": [], "output": {"$input": "n"}}


async def runs_of(client: Any, flow: dict[str, Any]) -> int:
    return len((await client.list_runs(flow_name=flow["name"])).runs)


async def test_a_key_has_one_run(client: Any, worker_runtime: Any) -> None:
    flow = named("keyed")
    assert await client.find_run(flow, idempotency_key="doc-42") is None
    first = await client.run(flow, {"n": 1}, idempotency_key="doc-42")
    again = await client.run(flow, {"n": 1}, idempotency_key="doc-42")
    assert (first.output, again.output, again.run_id) == (1, 1, first.run_id)
    with SyncStepflowClient(worker_runtime.url) as other:
        assert other.submit(flow, {"n": 1}, idempotency_key="doc-42") == first.run_id
    found = await client.find_run(flow, idempotency_key="doc-42")
    assert (found.run_id, found.status) == (first.run_id, "completed")
    assert await runs_of(client, flow) == 1
    # The flow that the client returns does not contain the key.
    assert "metadata" not in (await client.get_run_flow(first.run_id)).flow


async def test_other_keys_and_other_flows_have_their_own_runs(client: Any) -> None:
    flow, other = named("apart"), named("other")
    ids = {
        await client.submit(flow, {"n": 1}, idempotency_key="a"),
        await client.submit(flow, {"n": 1}, idempotency_key="b"),
        await client.submit(other, {"n": 1}, idempotency_key="a"),
        await client.submit(flow, {"n": 1}),
    }
    assert len(ids) == 4


async def test_a_different_input_for_a_key_is_refused(client: Any) -> None:
    flow = named("refused")
    run_id = await client.submit(flow, {"n": 1, "m": 2}, idempotency_key="k")
    for other in ({"n": 2}, [{"n": 1, "m": 2}, {"n": 3}]):
        with pytest.raises(IdempotencyConflictError, match=f"run {run_id} already exists for the idempotency key 'k'"):
            await client.submit(flow, other, idempotency_key="k")
    with pytest.raises(IdempotencyConflictError, match="different input, variables"):
        await client.submit(flow, {"n": 1, "m": 2}, variables={"x": 1}, idempotency_key="k")
    assert await client.submit(flow, {"m": 2.0, "n": 1}, idempotency_key="k") == run_id
    assert await runs_of(client, flow) == 1


async def test_a_failed_run_keeps_its_key(client: Any) -> None:
    flow = named("failed")
    failed = await client.run(flow, {}, idempotency_key="k")
    assert failed.is_failed
    assert (await client.run(flow, {}, idempotency_key="k")).run_id == failed.run_id
    again = (await client.rerun(failed.run_id, input={})).result
    assert again.run_id != failed.run_id
    assert (await client.find_run(flow, idempotency_key="k")).run_id == failed.run_id


async def test_a_rejected_run_frees_its_key(worker_runtime: Any) -> None:
    # Servers keep a run whose overrides they reject, but never execute it.
    flow, key = one_step("/builtin/create_messages", {"user_prompt": "a"}), {"idempotency_key": "rejected"}
    flow["name"] = f"rejected-{time.time_ns()}"
    step = flow["steps"][0]["id"]
    async with StepflowClient(worker_runtime.url) as client, StepflowClient(worker_runtime.url) as other:
        for caller in (client, other):
            with pytest.raises(InvalidRequestError):
                await caller.run(flow, {}, {step: {"component": 5}}, **key)
            assert await caller.find_run(flow, **key) is None
        result = await client.run(flow, {}, timeout=10, **key)
        assert result.is_success
        assert (await other.run(flow, {}, timeout=10, **key)).run_id == result.run_id
        found = await other.find_run(flow, **key)
        assert found is not None
        assert found.run_id == result.run_id


async def test_a_running_run_is_waited_for(client: Any) -> None:
    flow = {**one_step(SLEEP), "name": f"waited-{time.time_ns()}"}
    flow_input = {"seconds": 0.5, "value": 7}
    run_id = await client.submit(flow, flow_input, idempotency_key="k")
    result = await client.run(flow, flow_input, idempotency_key="k", timeout=30)
    assert (result.run_id, result.output) == (run_id, 7)


async def test_simultaneous_calls_of_one_client_share_one_run(worker_runtime: Any) -> None:
    flow = named("turns")
    async with StepflowClient(worker_runtime.url) as client:
        results = await asyncio.gather(*(client.run(flow, {"n": 1}, idempotency_key="k") for _ in range(20)))
        assert len({result.run_id for result in results}) == 1
        assert await runs_of(client, flow) == 1


async def test_a_flow_id_is_refused(client: Any) -> None:
    stored = await client.store_flow(named("stored"))
    with pytest.raises(InvalidArgumentError, match="needs the flow itself"):
        await client.run(stored.flow_id, {"n": 1}, idempotency_key="k")


async def test_a_batch_may_have_a_key(client: Any) -> None:
    flow = named("batch")
    inputs = [{"n": number} for number in range(3)]
    run_id = await client.submit(flow, inputs, idempotency_key="k")
    assert await client.submit(flow, inputs, idempotency_key="k") == run_id


async def test_a_run_whose_response_was_lost_is_found(worker_runtime: Any) -> None:
    flow = named("lost")
    lost: list[bool] = []

    def script(_: int) -> Script:
        lost.append(len(lost) < 2)
        return Script(cut_answer=0, within=b"POST /api/v1/runs") if lost[-1] else Script()

    with FaultProxy(worker_runtime.url, script) as proxy:
        async with StepflowClient(proxy.url) as client:
            first = await client.run(flow, {"n": 1}, idempotency_key="k")
    async with StepflowClient(worker_runtime.url) as client:
        assert await client.submit(flow, {"n": 1}, idempotency_key="k") == first.run_id
        assert await runs_of(client, flow) == 1


async def test_a_runtime_accepts_keys(client: Any, worker_runtime: StepflowRuntime) -> None:
    flow = named("runtime")
    done = await worker_runtime.run(flow, {"n": 1}, idempotency_key="k")
    assert await worker_runtime.submit(flow, {"n": 1}, idempotency_key="k") == done.run_id
    found = await worker_runtime.find_run(flow, idempotency_key="k")
    assert found is not None
    assert found.run_id == done.run_id == (await client.find_run(flow, idempotency_key="k")).run_id


KILLED = """
import os, sys
from stepflow_client import SyncStepflowClient
from stepflow_client._sync.run_creation import RunCreator
create = RunCreator.create_run_of_copy
def and_die(*args, **more):
    print(create(*args, **more).run_id, flush=True)
    os.kill(os.getpid(), 9)
RunCreator.create_run_of_copy = and_die
with SyncStepflowClient(sys.argv[1]) as client:
    client.run({"name": sys.argv[2], "steps": [], "output": {"$input": "n"}}, {"n": 1}, idempotency_key="doc-42")
"""


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_process_that_was_killed_leaves_one_run(tmp_path: Path, release: str, restarted: bool) -> None:
    server, flow = DurableServer(tmp_path, release), named("killed")
    server.start()
    try:
        server.wait_ready()
        command = [sys.executable, "-c", KILLED, server.url, flow["name"]]
        killed = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert killed.returncode == -9, killed.stderr
        if restarted:
            server.kill()
            server.start()
            server.wait_ready()
        with SyncStepflowClient(server.url) as client:
            found = client.find_run(flow, idempotency_key="doc-42")
            assert found is not None
            again = client.run(flow, {"n": 1}, idempotency_key="doc-42")
            assert killed.stdout.strip() == found.run_id == again.run_id
            assert len(client.list_runs(flow_name=flow["name"]).runs) == 1
            with pytest.raises(IdempotencyConflictError, match="different input"):
                client.run(flow, {"n": 2}, idempotency_key="doc-42")
    finally:
        server.kill()


RACE = """
import sys
from stepflow_client import SyncStepflowClient
with SyncStepflowClient(sys.argv[1]) as client:
    client.health_check()
    print(flush=True)
    sys.stdin.readline()
    flow = {"name": sys.argv[2], "steps": [], "output": {"$input": "n"}}
    print(client.run(flow, {"n": 1}, idempotency_key="doc-42").run_id)
"""


def test_simultaneous_programs_create_one_run(tmp_path: Path) -> None:
    server, flow = DurableServer(tmp_path, releases.NEWEST), named("race")
    server.start()
    try:
        server.wait_ready()
        command = [sys.executable, "-c", RACE, server.url, flow["name"]]
        pipe = subprocess.PIPE
        callers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
        for caller in callers:
            assert caller.stdout is not None
            caller.stdout.readline()
        run_ids = [caller.communicate("\n")[0].strip() for caller in callers]
        with SyncStepflowClient(server.url) as client:
            last = client.run(flow, {"n": 1}, idempotency_key="doc-42").run_id
            assert {*run_ids, last} == {last}
            assert [run.run_id for run in client.list_runs(flow_name=flow["name"]).runs] == [last]
    finally:
        server.kill()
