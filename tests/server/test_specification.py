"""Every call in the specification works by name, section by section, on the client and on the runtime."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
import stepflow_client
from stepflow_api.api.run import get_run
from stepflow_client import (
    CreateRunResponse,
    ExecutionStatus,
    ListItemsResponse,
    RunDetails,
    StepflowClient,
    StepflowClientError,
    StepflowExecutor,
    StepflowRuntime,
    StoreFlowResponse,
)

from tests.server.flows import ECHO, FAIL, SLEEP, one_step, slow_run, unique

pytestmark = pytest.mark.anyio

GREETING = """\
name: greeting
steps:
  - id: greet
    component: /python/echo
    input: {to: {$input: name}}
output: {$step: greet, path: to}
"""
ADDITION = {"x": 1, "y": 2}


@pytest.fixture
def workflow(tmp_path: Path) -> str:
    path = tmp_path / "workflow.yaml"
    path.write_text(GREETING)
    return str(path)


@pytest.fixture(params=["client", "runtime"])
async def executor(
    request: pytest.FixtureRequest, worker_runtime: StepflowRuntime
) -> AsyncIterator[StepflowClient | StepflowRuntime]:
    """The two executors of the specification."""
    if request.param == "client":
        async with StepflowClient(worker_runtime.url) as opened:
            yield opened
    else:
        yield worker_runtime
        await worker_runtime.client.aclose()


@pytest.fixture
async def client(executor: StepflowClient | StepflowRuntime) -> StepflowClient:
    """The executor if it is a client, otherwise the runtime's client."""
    return executor.client if isinstance(executor, StepflowRuntime) else executor


async def test_quick_start(executor: StepflowExecutor, workflow: str, tmp_path: Path) -> None:
    assert isinstance(executor, StepflowExecutor)

    result = await executor.run(workflow, {"name": "World"})
    assert result.is_success
    assert result.output == "World"

    failing = tmp_path / "failing.json"
    failing.write_text(json.dumps(one_step(FAIL)))
    result = await executor.run(str(failing), {"message": "on purpose"})
    assert not result.is_success
    assert result.error is not None
    assert "on purpose" in result.error.message


async def test_configuration(worker_runtime: StepflowRuntime, workflow: str) -> None:
    async with StepflowClient(base_url=worker_runtime.url, timeout=30.0) as client:
        assert client.url == worker_runtime.url
        assert (await client.run(workflow, {"name": "World"})).is_success
    async with StepflowClient(worker_runtime.url) as client:
        assert (await client.run(workflow, {"name": "World"})).is_success


async def test_error_handling(executor: StepflowExecutor, client: StepflowClient) -> None:
    with pytest.raises(StepflowClientError) as refused:
        await client.create_run(flow_id="0" * 64, input={"x": 1})
    assert f"Error: {refused.value}" != "Error: "
    assert refused.value.status_code == 404
    assert refused.value.details

    with pytest.raises(StepflowClientError) as missing:
        await executor.run("no-such-workflow.yaml", {"x": 1})
    assert "no-such-workflow.yaml" in str(missing.value)
    assert missing.value.status_code is None
    assert missing.value.details is None


async def test_flow_management(client: StepflowClient, workflow: str) -> None:
    response = await client.store_flow(workflow)
    flow_id = response.flow_id
    assert isinstance(response, StoreFlowResponse)
    assert (await client.store_flow(one_step(ECHO, name=unique("another")))).flow_id != flow_id

    flow = await client.get_flow(flow_id)
    assert flow.flow_id == flow_id
    assert flow.flow["name"] == "greeting"

    await client.delete_flow(flow_id)


async def test_run_management(client: StepflowClient) -> None:
    name = unique("managed")
    flow_id = (
        await client.store_flow(one_step(ECHO, {"sum": {"$input": "x"}, "key": {"$variable": "api_key"}}))
    ).flow_id
    run = await client.create_run(
        flow_id=flow_id,
        input=ADDITION,
        variables={"api_key": "k"},
        debug=False,
    )
    assert isinstance(run, CreateRunResponse)
    assert UUID(str(run.run_id))
    await client.wait_run(run.run_id)

    details = await client.get_run(str(run.run_id))
    assert isinstance(details, RunDetails)
    assert f"Status: {details.status}" == "Status: completed"

    items = await client.get_run_items(str(run.run_id))
    assert isinstance(items, ListItemsResponse)
    assert [item.index for item in items.items] == [0]
    assert items.items[0].result is not None
    assert items.items[0].result.output == {"sum": 1, "key": "k"}

    steps = await client.get_run_steps(str(run.run_id))
    assert [step.step_id for step in steps.steps] == ["only"]

    async with slow_run(client) as run_id:
        assert (await client.get_run(run_id)).status == ExecutionStatus.RUNNING
        await client.cancel_run(run_id)
        assert (await client.get_run(run_id)).status == ExecutionStatus.CANCELLED

    for _ in range(3):
        await client.run(one_step(ECHO, name=name), {"x": 1})
    runs = await client.list_runs(status=ExecutionStatus.COMPLETED, limit=10)
    assert 3 <= len(runs.runs) <= 10
    assert {listed.status for listed in runs.runs} == {ExecutionStatus.COMPLETED}


async def test_batch_execution(client: StepflowClient) -> None:
    flow_id = (await client.store_flow(one_step(SLEEP, {"seconds": 0.01, "value": {"$input": "x"}}))).flow_id
    run = await client.create_run(
        flow_id=flow_id,
        input=[{"x": 1}, {"x": 2}, {"x": 3}],
        max_concurrency=2,
    )
    await client.wait_run(run.run_id)
    items = await client.get_run_items(str(run.run_id))
    assert [(item.index, item.result and item.result.output) for item in items.items] == [(0, 1), (1, 2), (2, 3)]


async def test_health_check(client: StepflowClient) -> None:
    health = await client.health_check()
    assert f"Server status: {health.status}" == "Server status: healthy"


async def test_generated_api_access(client: StepflowClient) -> None:
    run_id = await client.submit(one_step(ECHO), {"x": 1})
    await client.wait_run(run_id)
    response = await get_run.asyncio_detailed(
        client=client.api,
        run_id=run_id,
    )
    assert response.status_code == 200
    assert response.parsed is not None
    assert response.parsed.summary.run_id == run_id  # type: ignore[union-attr]


async def test_response_types(executor: StepflowExecutor, client: StepflowClient) -> None:
    names = {"StoreFlowResponse", "CreateRunResponse", "RunDetails", "ListItemsResponse", "ExecutionStatus"}
    assert names <= set(stepflow_client.__all__)
    for status in ("RUNNING", "COMPLETED", "FAILED", "CANCELLED"):
        assert ExecutionStatus[status] == status.lower()

    run_id = await executor.submit(one_step(ECHO), {"x": 1})
    assert (await executor.get_result(run_id)).output == {"x": 1}
    assert (await executor.validate(one_step(ECHO))).is_valid
    assert "echo" in {component.name for component in await executor.list_components()}
    assert (await client.get_run(run_id)).status is ExecutionStatus.COMPLETED
