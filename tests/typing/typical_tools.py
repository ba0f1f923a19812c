"""Typical programs with evaluations, tools and batches: checked by mypy and pyright in strict mode, never run."""

# pyright: strict

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, assert_type

from pydantic import BaseModel, TypeAdapter
from stepflow_client import (
    EventOptions,
    EventStream,
    ExecutionStatus,
    FlowResult,
    FlowSource,
    History,
    MapOptions,
    Outcome,
    OutcomeStream,
    RerunOptions,
    RerunResult,
    RetryOn,
    RunDetails,
    RunFilters,
    RunHandle,
    RunId,
    RunPager,
    StepflowClient,
    StepflowClientError,
    SyncOutcomeStream,
    SyncRunHandle,
    SyncStepflowClient,
    Variables,
    read_inputs,
    write_outcomes,
)
from stepflow_client.drawing import RunReport, StepTime, draw, gather, report_page
from stepflow_client.evaluation import (
    Comparison,
    EvaluationCase,
    EvaluationItem,
    EvaluationReport,
    FlowScore,
    ScoreChange,
    ScoreValue,
    Variant,
    WorstCase,
    close,
    evaluate,
    exact,
    sync_evaluate,
)
from stepflow_client.history import HistoryEntry
from stepflow_client.testing import Delayed, Fails, FakeServer, InTurn, Recording, fake_server
from stepflow_client.tools import FlowTool, FlowTools, SyncFlowTools, ToolResult
from stepflow_client.web import Problem, problem_details, sse_events


class Ticket(BaseModel):
    category: str


@dataclass
class Refusal:
    reason: str


Answer = Ticket | Refusal
ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)
P = ParamSpec("P")
T = TypeVar("T")


# Evaluations


def polite(output: dict[str, Any], expected: Any) -> dict[str, ScoreValue]:
    return {"polite": "please" in output["text"], "length": float(len(output["text"])), "kind": "short"}


async def judged(item: EvaluationItem) -> float:
    return item.duration or 0.0


async def evaluated(client: StepflowClient, sync: SyncStepflowClient, cases: Sequence[EvaluationCase]) -> str:
    variants = {"now": Variant(), "v2": Variant(flow="v2.yaml", variables={"tone": "formal"})}
    scores = [exact("category"), close("price", relative=0.1), polite, judged, FlowScore("judge.yaml")]
    report = await evaluate(
        client, "ticket.yaml", cases, variants=variants, scores=scores, journal="eval", include_durations=True
    )
    assert_type(report, EvaluationReport)
    assert_type(sync_evaluate(sync, "ticket.yaml", [{"input": 1}], scores={"right": exact()}), EvaluationReport)
    assert_type(report.compare("now", "v2"), Comparison)
    assert_type(report.compare("now", "v2")["exact"], ScoreChange)
    assert_type(report.assert_no_regression("now", "v2", "exact", tolerance=0.02).verdict == "worse", bool)
    assert_type(report.worst(3, variant="v2", baseline="now"), list[WorstCase])
    assert_type([each.p95 for each in report.summary().durations], list[float])
    assert_type([item.item_index for item in report], list[int | None])
    assert_type(report.to_dicts(include_outputs=True), list[dict[str, Any]])
    return report.with_baseline(EvaluationReport.load("before"), name="main").to_html("report.html")


# Tools


async def answered(client: StepflowClient, sync: SyncStepflowClient, name: str, arguments: str) -> str | None:
    tools = FlowTools(client, {"order": "order.yaml", "stock": Path("stock.yaml")}, variables="tools.yaml", max_wait=60)
    assert_type(tools.to_openai(api="responses"), list[dict[str, Any]])
    assert_type(tools["order"], FlowTool)
    assert_type([tool.input_schema for tool in tools], list[dict[str, Any]])
    result = await tools.call(name, arguments, idempotency_key="a")
    assert_type(result, ToolResult)
    assert_type(SyncFlowTools(sync, "order.yaml").call(name, {"sku": "tea"}), ToolResult)
    started = await tools[0].start({"sku": "tea"}, timeout=5)
    assert_type(started, RunHandle[Any])
    return result.text if result.is_error else result.run_id


# Wrappers annotated with the client's types


def logged(
    call: Callable[Concatenate[StepflowClient, P], Awaitable[T]],
) -> Callable[Concatenate[StepflowClient, P], Awaitable[T]]:
    async def wrapped(client: StepflowClient, /, *arguments: P.args, **options: P.kwargs) -> T:
        try:
            return await call(client, *arguments, **options)
        except StepflowClientError as error:
            problem: Problem = problem_details(error)
            print(problem.status, error.hint)
            raise

    return wrapped


class Runs:
    """The runs of one application."""

    def __init__(self, client: StepflowClient, sync: SyncStepflowClient, history: History) -> None:
        self.client, self.sync, self.history = client, sync, history

    def events(self, run: RunId, **options: Unpack[EventOptions]) -> EventStream:
        return self.client.run_events(run, **options)

    async def again(self, run: RunId, **options: Unpack[RerunOptions]) -> RerunResult:
        return await self.client.rerun(run, **options)

    def listed(self, status: ExecutionStatus | str = "failed", **filters: Unpack[RunFilters]) -> RunPager:
        return self.client.iter_runs(status, **filters)

    def batch(
        self, flow: FlowSource, inputs: Sequence[object], failures: RetryOn, **options: Unpack[MapOptions]
    ) -> OutcomeStream[Answer]:
        options.setdefault("retry_on", failures)
        return self.client.map(flow, inputs, output_type=ANSWER, **options)

    def entry(self, run: RunId, status: ExecutionStatus) -> HistoryEntry | None:
        self.history.update(run, status=status)
        assert_type(self.history.search(status=status, rerun_of=run), list[HistoryEntry])
        return self.history.get(run)


async def used(runs: Runs, flow: FlowSource, variables: Variables) -> None:
    handle = await runs.client.start_run(flow, {"n": 1}, output_type=ANSWER, variables=variables)
    assert_type(handle, RunHandle[Ticket | Refusal])
    assert_type(await logged(StepflowClient.get_run)(runs.client, handle, timeout=3), RunDetails)
    assert_type((await runs.again(handle, keep="succeeded")).results, Sequence[FlowResult])
    assert_type(runs.client.handle("id", ANSWER).output_type, Any)
    assert_type(runs.sync.handle("id", Ticket), SyncRunHandle[Ticket])


# Streams


async def first_failure(runs: Runs, run: RunId) -> Outcome[Answer] | None:
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(runs.events(run, after="0:1", include_results=True))
        assert_type([event.cursor async for event in events], list[str])
        pages = await stack.enter_async_context(runs.listed(since="2026-11-25", root_run_id=run))
        assert_type([each.run_id async for each in pages], list[str])
        outcomes = await stack.enter_async_context(runs.batch("answer.yaml", [1], ["timeout"], ordered=True))
        assert_type(outcomes, OutcomeStream[Ticket | Refusal])
        async for outcome in outcomes:
            if outcome.is_failed:
                return outcome
    return None


def written(client: SyncStepflowClient, source: str) -> Iterator[Ticket]:
    with (
        read_inputs(source) as inputs,
        write_outcomes("out.jsonl") as file,
        client.map("ticket.yaml", inputs, output_type=Ticket, total=inputs.total) as outcomes,
    ):
        assert_type(outcomes, SyncOutcomeStream[Ticket])
        for outcome in outcomes:
            file.write(outcome)
            yield outcome.unwrap()


async def frames(handle: RunHandle[Answer]) -> AsyncIterator[bytes]:
    response = await sse_events(handle, heartbeat=5)
    async for frame in response.frames:
        yield frame


# Pictures and tests


def drawn(client: SyncStepflowClient, run: RunId) -> str:
    report = gather(client, run, timeout=10)
    assert_type(report, RunReport)
    assert_type(report.times, list[StepTime])
    assert_type([time.duration for time in report.times], list[float | None])
    return draw("ticket.yaml", include_details=False).svg() + report_page([report, report])


def faked(components: Mapping[str, Any]) -> FakeServer:
    outcomes = InTurn(Delayed(Fails("TIMEOUT"), delay=3), {"text": "42"})
    server = fake_server({**components, "/model/draft": outcomes})
    server.advance(3)
    assert_type(Recording.load("recording.json").steps("ticket.yaml", "one"), set[str])
    return server
