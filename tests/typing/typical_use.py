"""Typical programs, as their authors annotate them: checked by mypy and pyright in strict mode, never run."""

# pyright: strict

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, Unpack, assert_type

from pydantic import BaseModel, TypeAdapter
from stepflow_client import (
    ClientOptions,
    CreateRunResponse,
    EventStream,
    ExecutionStatus,
    FlowError,
    FlowResult,
    FlowSource,
    History,
    Keep,
    ListRunsResponse,
    LogConfig,
    LogEntry,
    Outcome,
    OutcomeStream,
    Progress,
    RerunPlan,
    RerunResult,
    RestartPolicy,
    ResultCache,
    RetryPolicy,
    RunAccount,
    RunComparison,
    RunDetails,
    RunEvent,
    RunFailedError,
    RunHandle,
    RunOptions,
    ServerInfo,
    StepflowClient,
    StepflowClientError,
    StepflowExecutor,
    StepflowRuntime,
    StoreFlowResponse,
    SubmitOptions,
    SyncEventStream,
    SyncOutcomeStream,
    SyncRunHandle,
    SyncStepflowClient,
    ValidationResult,
    Variables,
)
from stepflow_client.flow_models import TypedFlow
from stepflow_client.testing import CaseResult, StepflowMock, fake_server, read_tests, run_cases, run_mocked


class Invoice(BaseModel):
    total: float


@dataclass
class Reminder:
    text: str


Answer = Invoice | Reminder
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
Output = TypeVar("Output")


# Wrappers annotated with the client's types


class Flow(Generic[Output]):
    """A flow with the type of its output."""

    def __init__(self, client: StepflowClient, source: FlowSource, output_type: type[Output]) -> None:
        self.client, self.source, self.output_type = client, source, output_type

    async def __call__(self, input: Any = None, **options: Unpack[RunOptions]) -> Output:
        result = await self.client.run(self.source, input, output_type=self.output_type, **options)
        return result.unwrap()

    async def start(self, input: Any = None, **options: Unpack[SubmitOptions]) -> RunHandle[Output]:
        return await self.client.start_run(self.source, input, output_type=self.output_type, **options)


class Audited:
    """An executor that wraps another one."""

    def __init__(self, inner: StepflowExecutor, notes: list[str]) -> None:
        self.inner, self.notes = inner, notes

    async def run(self, flow: FlowSource, input: Any = None, **options: Unpack[RunOptions]) -> FlowResult:
        result = await self.inner.run(flow, input, **options)
        self.notes.append(f"{result.run_id} {result.status.value}")
        return result


class HasId(Protocol):
    @property
    def run_id(self) -> str | None: ...


async def wrapped(client: StepflowClient, runtime: StepflowRuntime) -> None:
    invoice = Flow(client, "invoice.yaml", Invoice)
    assert_type(await invoice({"n": 1}, timeout=5, variables={"a": 1}), Invoice)
    handle = await invoice.start([1], max_concurrency=2)
    assert_type(handle, RunHandle[Invoice])
    assert_type((await handle.result()).output, Invoice)
    notes: list[str] = []
    for executor in (client, runtime):
        assert_type(await Audited(executor, notes).run("invoice.yaml", timeout=3, check_input=True), FlowResult)
    ids: list[HasId] = [handle, await client.get_run(handle), await handle.result(), RunFailedError("a")]
    assert_type([each.run_id for each in ids], list[str | None])


async def typed_flow(runtime: StepflowRuntime, sync: SyncStepflowClient) -> None:
    invoice = TypedFlow[Invoice, Invoice, Variables]("invoice.yaml", output_type=Invoice)
    value = Invoice(total=1)
    assert_type(await invoice.run(runtime, value), FlowResult[Invoice])
    assert_type(await invoice.submit(runtime, value), str)
    assert_type(invoice.map(runtime, [value]), OutcomeStream[Invoice])
    assert_type(await invoice.result(runtime, "id"), FlowResult[Invoice])
    assert_type(invoice.result(sync, "id"), FlowResult[Invoice])


# Unions and adapters


async def unions(client: StepflowClient, sync: SyncStepflowClient, runtime: StepflowRuntime) -> str:
    result = await client.run("answer.yaml", output_type=ANSWER)
    assert_type(result, FlowResult[Invoice | Reminder])
    match result.unwrap():
        case Invoice(total=total):
            return f"{total:.2f}"
        case Reminder(text=text):
            assert_type(sync.handle(result, ANSWER), SyncRunHandle[Invoice | Reminder])
            assert_type(await runtime.run("answer.yaml", output_type=ANSWER), FlowResult[Invoice | Reminder])
            return text


# Failures


def reason(result: FlowResult[Invoice]) -> str:
    if result.is_failed:
        return f"{result.error.step_id}: {result.error.message}"
    error: FlowError | None = result.error
    return "fine" if error is None else error.message


def outcome_text(outcome: Outcome[Invoice]) -> str:
    if outcome.is_success:
        return f"{outcome.output.total}"
    message: str = outcome.error.message
    return message if outcome.error.is_retryable else "final"


async def failing(client: StepflowClient) -> float | None:
    try:
        return (await client.run("invoice.yaml", output_type=Invoice)).unwrap().total
    except RunFailedError as error:
        assert_type(error.result, FlowResult | None)
        return None
    except StepflowClientError as error:
        assert_type(error.is_retryable, bool)
        assert_type(error.retry_after, float | None)
        await asyncio.sleep(error.retry_after or 1)
        return None


# Streams


async def texts(events: AsyncIterator[RunEvent]) -> list[str]:
    return [event.type async for event in events]


async def streams(client: StepflowClient, sync: SyncStepflowClient, runtime: StepflowRuntime, run_id: str) -> None:
    async with client.run_events(run_id, after=None, timeout=60) as events:
        assert_type(events, EventStream)
        assert_type(await texts(events), list[str])
        assert_type(events.cursor, str | None)
    async with aclosing(runtime.run_events(run_id)) as again:
        assert_type(again, EventStream)
    with sync.run_events(run_id) as blocking:
        assert_type(blocking, SyncEventStream)
        assert_type([event.run_id for event in blocking], list[str])
    async with client.map("invoice.yaml", inputs(), ordered=True, on_cancel="cancel", timeout=60) as outcomes:
        assert_type(outcomes, OutcomeStream)
        async for outcome in outcomes:
            assert_type(outcome.run_id, str | None)
    assert_type(sync.map("invoice.yaml", range(3)), SyncOutcomeStream)
    assert_type(runtime.map("invoice.yaml", [1]), OutcomeStream)
    async with client.iter_runs(status="failed", since="2026-11-25") as runs:
        assert_type([run.duration async for run in runs], list[float | None])


async def inputs() -> AsyncIterator[dict[str, int]]:
    for number in range(3):
        yield {"n": number}


# Options


def patient(client: StepflowClient, **options: Unpack[ClientOptions]) -> StepflowClient:
    return client.with_options(timeout=300).with_options(**options)


def settings(environment: Mapping[str, str], variables: Variables | None = None) -> SyncStepflowClient:
    history, cache = History(max_age=86_400), ResultCache(max_age=3_600)
    client = SyncStepflowClient(
        environment["URL"], 10, auth=lambda: environment["TOKEN"], retry=RetryPolicy(max_attempts=2), history=history
    )

    def print_fraction(progress: Progress) -> None:
        print(progress.fraction)

    callback: Callable[[Progress], None] = print_fraction
    return client.with_options(variables=variables, cache=cache, progress=callback)


# The runtime has the methods of its client


async def embedded(config: Path) -> ServerInfo:
    logging = LogConfig(level="info", forward=False)
    async with StepflowRuntime.start(config, log_config=logging, restart_policy=RestartPolicy.ON_FAILURE) as runtime:
        handle = await runtime.start_run("invoice.yaml", {"n": 1}, output_type=Invoice, timeout=5)
        assert_type(handle, RunHandle[Invoice])
        assert_type(await handle.logs(), list[LogEntry])
        assert_type(await runtime.get_run(handle, timeout=3), RunDetails)
        assert_type(await runtime.list_runs(ExecutionStatus.FAILED, 3), ListRunsResponse)
        assert_type(await runtime.store_flow("invoice.yaml"), StoreFlowResponse)
        assert_type(await runtime.create_run("id", [1], variables={"a": 1}), CreateRunResponse)
        assert_type(await runtime.check("invoice.yaml", target="0.13"), ValidationResult)
        assert_type(await runtime.plan_rerun(handle, keep="succeeded"), RerunPlan)
        assert_type(await runtime.rerun(handle, keep=Keep(before="a")), RerunResult)
        assert_type(await runtime.explain_run(handle), RunAccount)
        assert_type(await runtime.compare_runs(handle, handle), RunComparison)
        assert_type(runtime.with_options(timeout=3), StepflowClient)
        assert_type(runtime.is_crashed, bool)
        return await runtime.server_info(timeout=3)


# Tests


def mocked(stepflow_mock: StepflowMock, client: SyncStepflowClient, files: Iterable[Path]) -> list[CaseResult]:
    stepflow_mock.mock("/shop/price", lambda value: {"eur": len(value)})
    stepflow_mock.mock("model", {"text": "42"})
    assert_type(stepflow_mock.run("order.yaml", {"sku": "tea"}, variables={"a": 1}, timeout=3), FlowResult)
    assert_type(run_mocked(client, "order.yaml", mocks={"model": 1}), FlowResult)
    with fake_server({"/shop/price": {"eur": 3}}).sync_client() as fake:
        assert_type(fake.run("order.yaml").to_dict(), dict[str, Any])
    tested = [read_tests(file) for file in files]
    return [each for tests in tested for each in run_cases(client, tests, tests.cases)]
