"""The executor protocol, on the async client, the blocking client and the embedded server."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from stepflow_api.api.flow import store_flow
from stepflow_api.models import StoreFlowRequest, StoreFlowResponse
from stepflow_client import (
    ExecutionStatus,
    FlowFileError,
    InvalidArgumentError,
    InvalidFlowError,
    NotFoundError,
    RunTimeoutError,
    StepflowClient,
    StepflowExecutor,
    StepflowRuntime,
    SyncStepflowClient,
)

from tests.differences import has
from tests.server.awaited import Awaited
from tests.server.flows import ECHO, FAIL, SLEEP, one_step, slow_run, unique

pytestmark = pytest.mark.anyio

UNKNOWN = UUID(int=0)
GREETING = {
    "name": "greeting",
    "steps": [{"id": "greet", "component": ECHO, "input": {"to": {"$input": "name"}}}],
    "output": {"$step": "greet"},
}
GREETING_YAML = """\
name: greeting
steps:
  - id: greet
    component: /python/echo
    input:
      to: {$input: name}
output: {$step: greet}
"""


@pytest.fixture(params=["StepflowClient", "SyncStepflowClient", "StepflowRuntime"])
async def executor(request: pytest.FixtureRequest, worker_runtime: StepflowRuntime) -> AsyncIterator[Any]:
    if request.param == "StepflowClient":
        async with StepflowClient(worker_runtime.url) as client:
            assert isinstance(client, StepflowExecutor)
            yield client
    elif request.param == "SyncStepflowClient":
        with SyncStepflowClient(worker_runtime.url) as twin:
            assert isinstance(twin, StepflowExecutor)
            yield Awaited(twin)
    else:
        assert isinstance(worker_runtime, StepflowExecutor)
        yield worker_runtime
        await worker_runtime.client.aclose()


async def test_url(executor: Any, worker_runtime: StepflowRuntime) -> None:
    assert executor.url == worker_runtime.url


@pytest.mark.parametrize(
    ("name", "text"),
    [("flow.yaml", GREETING_YAML), ("flow.yml", GREETING_YAML), ("flow.json", json.dumps(GREETING)), (None, "")],
)
@pytest.mark.parametrize("kind", [str, Path])
async def test_run_accepts_a_path_or_a_mapping(
    executor: Any, tmp_path: Path, name: str | None, text: str, kind: type
) -> None:
    flow: Any = GREETING
    if name is not None:
        (tmp_path / name).write_text(text)
        flow = kind(tmp_path / name)
    result = await executor.run(flow, {"name": "World"})
    assert (result.status, result.output) == (ExecutionStatus.COMPLETED, {"to": "World"})
    assert UUID(result.run_id)


async def test_run_returns_a_failure_as_a_result(executor: Any) -> None:
    result = await executor.run(one_step(FAIL), {"message": "no luck"})
    assert result.is_failed
    assert not result.is_success
    assert result.output is None
    assert "no luck" in result.error.message
    assert result.error.step_id == "only"


async def test_run_accepts_overrides(executor: Any) -> None:
    result = await executor.run(GREETING, {"name": "World"}, {"greet": {"input": {"to": "nobody"}}})
    assert result.output == {"to": "nobody"}


async def test_run_refuses_batches_missing_files_and_invalid_flows(executor: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="get_results"):
        await executor.run(GREETING, [{"name": "a"}, {"name": "b"}])
    with pytest.raises(FlowFileError, match="nowhere"):
        await executor.run(tmp_path / "nowhere.yaml", {})
    with pytest.raises(InvalidFlowError, match="absent") as refused:
        await executor.run({"steps": [], "output": {"$step": "absent"}}, {})
    assert refused.value.diagnostics


async def test_run_times_out(executor: Any) -> None:
    slow = one_step(SLEEP, name=unique("late"))
    # Store the flow and open a connection first, so that the timeout measures the run only.
    await executor.run(slow, {"seconds": 0.0})
    started = time.monotonic()
    with pytest.raises(RunTimeoutError) as late:
        await executor.run(slow, {"seconds": 4.0}, timeout=0.5)
    assert 0.45 < time.monotonic() - started < 3.9
    assert (await executor.get_result(late.value.run_id)).is_success


async def test_submit_and_get_result(executor: Any) -> None:
    run_id = await executor.submit(one_step(SLEEP), {"seconds": 0.2, "value": {"n": 1}})
    assert isinstance(run_id, str)
    assert (await executor.get_result(run_id)).output == {"n": 1}
    assert (await executor.get_result(UUID(run_id), timeout=5)).run_id == run_id
    assert (await executor.get_result(run_id, wait=False)).is_success


async def test_get_result_is_bounded_by_its_timeout(executor: Any) -> None:
    client = executor.client if isinstance(executor, StepflowRuntime) else executor
    async with slow_run(client) as run_id:
        with pytest.raises(RunTimeoutError) as late:
            await executor.get_result(run_id, timeout=0.1)
        assert late.value.run_id == run_id
        with pytest.raises(RunTimeoutError):
            await executor.get_result(run_id, wait=False)
        with pytest.raises(RunTimeoutError):
            await executor.get_results(run_id, timeout=0.1)
        assert (await executor.get_result(run_id)).output == "slept"


async def test_get_results_returns_a_batch_in_order(executor: Any) -> None:
    inputs = [{"seconds": 0.2 - 0.05 * n, "value": n} for n in range(4)]
    run_id = await executor.submit(one_step(SLEEP), inputs, max_concurrency=4)
    results = await executor.get_results(run_id)
    assert [result.output for result in results] == [0, 1, 2, 3]
    assert {result.run_id for result in results} == {run_id}
    with pytest.raises(InvalidArgumentError, match="get_results"):
        await executor.get_result(run_id)

    alone = await executor.submit(one_step(ECHO), [[1, 2]])
    assert (await executor.get_result(alone)).output == [1, 2]
    assert [result.output for result in await executor.get_results(alone)] == [[1, 2]]


async def test_results_of_an_unknown_run(executor: Any) -> None:
    for call in (executor.get_result, executor.get_results):
        with pytest.raises(NotFoundError) as unknown:
            await call(UNKNOWN)
        assert unknown.value.status_code == 404


async def test_validate_of_a_valid_flow_stores_nothing(executor: Any, worker_runtime: StepflowRuntime) -> None:
    flow = one_step(ECHO, name=unique("checked"))
    result = await executor.validate(flow)
    assert result.is_valid
    assert result.errors == []

    async with StepflowClient(worker_runtime.url) as client:
        assert (await client.list_runs(flow_name=flow["name"])).runs == []
        # The server would store the flow under this ID.
        body = StoreFlowRequest(flow=flow, dry_run=True)
        answer = await store_flow.asyncio(client=client.api, body=body)
        assert isinstance(answer, StoreFlowResponse)
        with pytest.raises(NotFoundError):
            await client.get_flow(answer.flow_id)


async def test_validate_reports_errors_and_warnings(executor: Any) -> None:
    twice = one_step(ECHO)
    twice["steps"] *= 2
    invalid = await executor.validate(twice)
    assert not invalid.is_valid
    assert invalid.errors[0].level == "fatal"
    assert invalid.errors[0].kind
    assert "only" in invalid.errors[0].message
    assert invalid.errors[0].path.startswith("$")

    nameless = await executor.validate(one_step(ECHO))
    assert nameless.is_valid
    assert nameless.warnings
    assert nameless.warnings[0].level == "warning"

    unreadable = await executor.validate({"steps": "none"})
    assert not unreadable.is_valid


async def test_list_components(executor: Any, release: str) -> None:
    listed = {component.name: component for component in await executor.list_components()}
    assert {"echo", "sleep", "fail", "create_messages", "eval", "map"} <= set(listed)
    assert listed["echo"].description == "Return the input back."
    assert listed["create_messages"].input_schema is not None
    bare = {component.name: component for component in await executor.list_components(include_schemas=False)}
    assert bare["create_messages"].input_schema is None

    if has(release, "plugins"):
        assert listed["echo"].plugin == "python"
        knows_routes = isinstance(executor, StepflowRuntime)
        assert listed["echo"].path == ("/python/echo" if knows_routes else None)
        assert listed["eval"].path == ("/builtin/eval" if knows_routes else None)
    else:
        assert listed["echo"].plugin is None
        assert listed["echo"].path is None


async def test_the_runtime_and_its_clients_know_component_paths(runtime: StepflowRuntime) -> None:
    listed = {component.name: component.path for component in await runtime.list_components()}
    of_client = {component.name: component.path for component in await runtime.client.list_components()}
    await runtime.client.aclose()
    assert listed["eval"] == "/builtin/eval"
    assert of_client == listed
    assert {component.name: component.path for component in runtime.sync_client.list_components()} == listed
