"""The types of the public API: checked by mypy and pyright in `make types`, never run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack, assert_type

import attrs
import msgspec
from pydantic import BaseModel, TypeAdapter
from stepflow_api import Client, models
from stepflow_api.api.run import get_run, get_run_events
from stepflow_api.errors import Failure
from stepflow_api.models import GetRunResponse
from stepflow_client import (
    BlobContent,
    ComponentInfo,
    ComponentList,
    CreateRunResponse,
    Diagnostic,
    DiagnosticLevel,
    ErrorCode,
    EventStream,
    ExecutionStatus,
    FlowError,
    FlowResult,
    FlowVariables,
    HealthResponse,
    ListItemsResponse,
    ListRunsResponse,
    ListStepsResponse,
    LogEntry,
    Outcome,
    OutcomeStream,
    RetryPolicy,
    RunDetails,
    RunHandle,
    RunItem,
    RunOptions,
    RunPager,
    ServerInfo,
    StepDetails,
    StepflowClient,
    StepflowClientError,
    StepflowExecutor,
    StepflowRuntime,
    StoreBlobResponse,
    StoredFlow,
    StoreFlowResponse,
    SyncEventStream,
    SyncOutcomeStream,
    SyncRunHandle,
    SyncRunPager,
    SyncStepflowClient,
    ValidationResult,
)


class Model(BaseModel):
    output: int


@dataclass
class Data:
    output: int


@attrs.define
class Attrs:
    output: int


class Packed(msgspec.Struct):
    output: int


class Keys(TypedDict):
    output: int


async def typed_outputs(client: StepflowClient, sync: SyncStepflowClient, runtime: StepflowRuntime) -> None:
    assert_type(await client.run("flow.yaml", Data(1), output_type=Model), FlowResult[Model])
    assert_type((await client.run("flow.yaml", Data(1), output_type=Model)).output, Model)
    assert_type(sync.run("flow.yaml", Model(output=1), output_type=Data), FlowResult[Data])
    assert_type(sync.run("flow.yaml", output_type=Attrs).raise_for_failure().output, Attrs)
    assert_type(await runtime.run("flow.yaml", output_type=Keys), FlowResult[Keys])
    assert_type(await runtime.run("flow.yaml"), FlowResult)
    assert_type(sync.run("flow.yaml").output, Any)


async def handles(client: StepflowClient, sync: SyncStepflowClient, runtime: StepflowRuntime, run_id: str) -> None:
    handle = await client.start_run("flow.yaml", output_type=Model)
    assert_type(handle, RunHandle[Model])
    assert_type(await handle.result(timeout=3), FlowResult[Model])
    assert_type((await handle.result()).unwrap(), Model)
    assert_type(await handle.results(), list[FlowResult[Model]])
    assert_type(handle.events(), EventStream)
    assert_type(await client.get_run(handle), RunDetails)
    assert_type(client.handle(run_id), RunHandle)
    assert_type(sync.handle(run_id, Data), SyncRunHandle[Data])
    assert_type(await runtime.start_run("flow.yaml", output_type=Keys), RunHandle[Keys])
    either: TypeAdapter[Model | Data] = TypeAdapter(Model | Data)
    assert_type((await client.run("flow.yaml", output_type=either)).unwrap(), Model | Data)
    outcomes = client.map("flow.yaml", [1])
    assert_type(outcomes, OutcomeStream)
    assert_type(client.map("flow.yaml", [1], output_type=Model), OutcomeStream[Model])
    assert_type(sync.map("flow.yaml", [1], output_type=Data), SyncOutcomeStream[Data])
    async with outcomes:
        async for outcome in outcomes:
            assert_type(outcome, Outcome)
    assert_type(sync.map("flow.yaml", [1], output_type=Data), SyncOutcomeStream[Data])
    assert_type(runtime.map("flow.yaml", [1], output_type=Keys), OutcomeStream[Keys])
    retried = client.map("flow.yaml", [1], output_type=Model, max_attempts=3, retry_on={ErrorCode.LOST, "timeout"})
    assert_type([outcome.unwrap() async for outcome in retried], list[Model])
    client.map("flow.yaml", [1], max_attempts=2, retry_on=lambda outcome: outcome.index > 0)
    client.map("flow.yaml", [1], idempotency_key=str)


async def wrapped(executor: StepflowExecutor, **options: Unpack[RunOptions]) -> FlowResult:
    return await executor.run("flow.yaml", {"a": 1}, **options)


def objects(client: SyncStepflowClient) -> None:
    for value in (Model(output=1), Data(1), Attrs(1), Packed(1)):
        assert_type(client.run("flow.yaml", value, variables=value), FlowResult)


async def asynchronous(client: StepflowClient, run_id: str) -> None:
    assert_type(await client.run("flow.yaml", {"a": 1}), FlowResult)
    assert_type(await client.submit({"steps": []}, [1]), str)
    assert_type(await client.get_result(run_id), FlowResult)
    assert_type(await client.get_results(run_id), list[FlowResult])
    assert_type(await client.wait_run(run_id, timeout=1), RunDetails)
    assert_type(await client.validate("flow.yaml"), ValidationResult)
    assert_type(await client.list_components(), ComponentList)
    assert_type(await client.store_flow("flow.yaml"), StoreFlowResponse)
    assert_type(await client.get_flow("id"), StoredFlow)
    assert_type(await client.get_flow_variables("id"), FlowVariables)
    assert_type(await client.delete_flow("id"), None)
    assert_type(await client.create_run(flow_id="id", input={"a": 1}, debug=False), CreateRunResponse)
    assert_type(await client.get_run(run_id), RunDetails)
    assert_type(await client.get_run_items(run_id), ListItemsResponse)
    assert_type(await client.get_run_steps(run_id), ListStepsResponse)
    assert_type(await client.get_run_step(run_id, "a"), StepDetails)
    assert_type(await client.get_run_flow(run_id), StoredFlow)
    assert_type(await client.cancel_run(run_id), RunDetails)
    assert_type(await client.delete_run(run_id), None)
    assert_type(await client.list_runs(status=ExecutionStatus.COMPLETED, limit=10), ListRunsResponse)
    assert_type(client.iter_runs(), RunPager)
    assert_type(client.run_events(run_id), EventStream)
    assert_type(await client.store_blob(b"a"), StoreBlobResponse)
    assert_type(await client.get_blob("id"), BlobContent)
    assert_type(await client.health_check(), HealthResponse)
    assert_type(await client.server_info(), ServerInfo)
    assert_type(client.api, Client)
    response = await get_run.asyncio_detailed(client=client.api, run_id=run_id)
    assert_type(response.parsed, GetRunResponse | Failure | None)
    assert_type(response.unwrap(), GetRunResponse)
    async for each in get_run_events.asyncio(run_id, client=client.api):
        assert_type(each, models.RunEvent)
    executor: StepflowExecutor = client
    await executor.run("flow.yaml", 1, variables={"tone": "kind"}, timeout=5.0)
    await executor.submit("flow.yaml", [1], variables="variables.yaml", timeout=5)
    assert_type(await executor.run("flow.yaml"), FlowResult)


async def lists(client: StepflowClient, run_id: str) -> None:
    runs = await client.list_runs()
    assert_type(list(runs), list[RunDetails])
    assert_type(runs[0], RunDetails)
    assert_type(runs[1:], list[RunDetails])
    assert_type(len(runs), int)
    assert_type(runs.to_dicts(), list[dict[str, Any]])
    assert_type(list(await client.get_run_items(run_id)), list[RunItem])
    assert_type((await client.get_run_steps(run_id))[-1], StepDetails)
    assert_type((await client.list_components()).to_dicts(), list[dict[str, Any]])


def constructed() -> None:
    assert_type(FlowResult(status=ExecutionStatus.COMPLETED, output={"a": 1}).is_skipped, bool)
    FlowResult(status=ExecutionStatus.FAILED, error=FlowError(message="m", code=ErrorCode.TIMEOUT))
    assert_type(Diagnostic(level=DiagnosticLevel.ERROR, message="m", path="$.a").location, str)
    assert_type(ValidationResult(valid=False, diagnostics=[]).valid, bool)
    assert_type(ComponentInfo(path="/python/echo", description="d").name, str)


def from_environment() -> None:
    assert_type(StepflowClient.from_env(timeout=5.0), StepflowClient)
    assert_type(SyncStepflowClient.from_env("http://a:1", auth="token", retry=RetryPolicy()), SyncStepflowClient)
    StepflowClient.from_env(time_out=5.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def synchronous(client: SyncStepflowClient, run_id: str) -> None:
    assert_type(client.run("flow.yaml", {"a": 1}), FlowResult)
    assert_type(client.get_run_items(run_id).items, Sequence[RunItem])
    assert_type(client.iter_runs(), SyncRunPager)
    assert_type(client.run_events(run_id), SyncEventStream)


async def embedded(runtime: StepflowRuntime) -> None:
    executor: StepflowExecutor = runtime
    assert_type(executor.url, str)
    assert_type(await runtime.run("flow.yaml"), FlowResult)
    assert_type(runtime.client, StepflowClient)
    assert_type(runtime.sync_client, SyncStepflowClient)
    assert_type(runtime.get_recent_logs(limit=5), list[LogEntry])
    with StepflowRuntime.start() as by_with:
        assert_type(by_with, StepflowRuntime)
    async with StepflowRuntime.start() as by_async_with:
        assert_type(by_async_with, StepflowRuntime)


def values(result: FlowResult, run: RunDetails, validation: ValidationResult, error: StepflowClientError) -> None:
    assert_type(result.is_success, bool)
    assert_type(result.output, Any)
    if result.is_failed:
        message: str = result.error.message
        code: ErrorCode | None = result.error.code
        print(message, code)
    error_or_none: FlowError | None = result.error
    if result.error is not None:
        assert_type(error_or_none, FlowError | None)
    assert_type(run.created_at, datetime | None)
    assert_type(run.items.completed, int)
    assert_type(validation.errors, list[Diagnostic])
    assert_type(error.status_code, int | None)
    assert_type(error.run_id, str | None)
