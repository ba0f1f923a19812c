"""Runs the test cases of a flow on a server: all as one batch, but each case with mocked steps as a run of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._base.text import short_json
from .._data.arguments import check_flag, check_function, check_instance, check_instances, check_integer
from ..errors import RunTimeoutError, StepflowClientError, UnsupportedByServerError
from ..flows.cases import FlowCase, FlowTests
from ..flows.coverage import FlowCoverage
from ..flows.graph import steps_by_id
from ..flows.matching import Difference
from ..types.shown import Record
from .outcomes import flow_result, of_flow_result
from .recordings import Recording

if TYPE_CHECKING:
    from datetime import datetime

    from .._sync.client import SyncStepflowClient
    from ..types import FlowResult
    from .mocked_flow import MockedRun


class StepRecord(NamedTuple):
    """The execution of a step."""

    input: Any
    outcome: Mapping[str, Any]
    """`{outcome: success, result}` or `{outcome: failed, error: {code, message}}`."""


@dataclass(frozen=True)
class CaseResult(Record):
    """The result of a test case."""

    case: FlowCase
    verdict: Literal["passed", "failed", "unchecked", "error"]
    """`unchecked`: the case ran and has no expected output. `error`: it could not be run."""
    differences: Sequence[Difference] = ()
    result: FlowResult | None = None
    """The result of the run; None if the case could not be run."""
    message: str = ""
    """The reason why the case could not be run."""
    attempt: int = 1
    """The number of this run of the case, from 1."""
    duration: float = 0.0
    """Duration of the case in seconds: from the start of its first step to the end of its last one if the times of
    steps were requested and the server has them (0.12 and newer), otherwise of its run or of the whole batch."""
    steps: Mapping[str, StepRecord] = field(default_factory=dict, repr=False)
    """The inputs and outcomes of its steps, if they were requested."""

    @property
    def is_failed(self) -> bool:
        """Whether the case failed or could not be run."""
        return self.verdict in ("failed", "error")


def run_cases(
    client: SyncStepflowClient,
    tests: FlowTests,
    cases: Sequence[FlowCase],
    *,
    repeat: int = 1,
    replay: Recording | None = None,
    record: Callable[[str], bool] | None = None,
    include_times: bool = False,
    coverage: FlowCoverage | None = None,
    on_progress: Callable[[int], object] | None = None,
    timeout: float | None = None,
) -> list[CaseResult]:
    """Run cases of a flow and return their results, in their order, attempt by attempt.

    A case with a fault is not run; its result is an `error`.

    Args:
        client: A client of the server.
        tests: The flow and its tests, from `read_tests`.
        cases: The cases to run.
        repeat: Number of times to run each case. Default 1.
        replay: Recorded outcomes of steps, which are then not executed. A case with a step that is recorded, but not
            with the input that it now has, is an `error`.
        record: A function that returns, for the id of a step, whether to put its input and outcome in
            `CaseResult.steps`.
        include_times: Whether to read the times of steps, so that each case of a batch has a duration of its own. This
            takes two more requests. Default False.
        coverage: Collects which parts of the flow the cases reach. Each case is then a run of its own. None, the
            default, collects nothing.
        on_progress: Is called with the number of runs of cases that have ended, whenever it changes. None, the default:
            progress is not followed, which saves a request for each batch.
        timeout: Seconds that the cases may take, all together in a batch. None, the default, sets no limit.
    """
    from .._sync.client import SyncStepflowClient

    check_instance(client, "client", SyncStepflowClient)
    check_instance(tests, "tests", FlowTests)
    check_instances(cases, "cases", FlowCase)
    check_integer(repeat, "repeat", least=1)
    if replay is not None:
        check_instance(replay, "replay", Recording)
    check_function(record, "record")
    check_flag(include_times, "include_times")
    if coverage is not None:
        check_instance(coverage, "coverage", FlowCoverage)
    every = [(case, attempt) for attempt in range(1, repeat + 1) for case in cases]
    wanted = [each for each in every if not each[0].fault]
    check_function(on_progress, "on_progress")
    reading = _Reading(record, include_times, coverage, on_progress)
    done = iter(_run_wanted(client, tests, wanted, replay, reading, timeout))
    return [
        CaseResult(case, "error", message=case.fault, attempt=attempt) if case.fault else next(done)
        for case, attempt in every
    ]


_Wanted = tuple["FlowCase", int]


class _Reading(NamedTuple):
    """What to read about the steps of a case."""

    record: Callable[[str], bool] | None = None
    times: bool = False
    coverage: FlowCoverage | None = None
    on_progress: Callable[[int], object] | None = None

    def told(self, count: int) -> None:
        """Report how many runs of cases have ended."""
        if self.on_progress is not None:
            self.on_progress(count)


def _run_wanted(
    client: SyncStepflowClient,
    tests: FlowTests,
    wanted: Sequence[_Wanted],
    replay: Recording | None,
    reading: _Reading,
    timeout: float | None,
) -> list[CaseResult]:
    """Run cases, those without mocked steps as one batch."""
    recorded = set[int]()
    if replay is not None:
        recorded = {case.index for case, _ in wanted if replay.steps(tests.path, case.name)}
    alone = {case.index for case, _ in wanted if case.mocks or case.index in recorded or reading.coverage is not None}
    together = [each for each in wanted if each[0].index not in alone]
    batch = _run_batch(client, tests, together, reading, timeout)
    done, results, ended = iter(batch), list[CaseResult](), len(batch)
    for each in wanted:
        if each[0].index in alone:
            results.append(_run_alone(client, tests, each, replay, reading, timeout))
            ended += 1
            reading.told(ended)
        else:
            results.append(next(done))
    return results


def _run_batch(
    client: SyncStepflowClient,
    tests: FlowTests,
    wanted: Sequence[_Wanted],
    reading: _Reading,
    timeout: float | None,
) -> list[CaseResult]:
    if not wanted:
        return []
    started = time.monotonic()
    try:
        inputs = [case.input for case, _ in wanted]
        # A case may say what a flow does with a wrong input.
        run_id = client.submit(tests.flow, inputs, timeout=timeout, check_input=False)
        left = None if timeout is None else max(0.001, started + timeout - time.monotonic())
        if reading.on_progress is not None:
            client.wait_run(run_id, timeout=left, progress=lambda now: reading.told(now.done))
            left = None
        results = client.get_results(run_id, timeout=left)
        seconds = time.monotonic() - started
        steps = _read_steps(client, run_id, reading, len(wanted), seconds)
        records = [
            _records(client, tests, case, outcomes, reading.record)
            for (case, _), (outcomes, _) in zip(wanted, steps, strict=True)
        ]
    except StepflowClientError as error:
        seconds = time.monotonic() - started
        told = _told(error, timeout)
        return [CaseResult(case, "error", message=told, attempt=each, duration=seconds) for case, each in wanted]
    return [
        _judged(each, result, took, recorded)
        for each, result, (_, took), recorded in zip(wanted, results, steps, records, strict=True)
    ]


def _judged(wanted: _Wanted, result: FlowResult, seconds: float, steps: Mapping[str, StepRecord]) -> CaseResult:
    from ..flows.cases import judge

    case, attempt = wanted
    verdict, differences = judge(case, result)
    return CaseResult(case, verdict, differences, result, "", attempt, seconds, steps)


def _run_alone(
    client: SyncStepflowClient,
    tests: FlowTests,
    wanted: _Wanted,
    replay: Recording | None,
    reading: _Reading,
    timeout: float | None,
) -> CaseResult:
    """Run a case with mocked steps. Its time includes the runs that compute the inputs of these steps."""
    from .mocks import mocked_flow

    case, attempt = wanted
    started = time.monotonic()
    try:
        flow = mocked_flow(client, tests.flow, _mocks(case, tests, replay), timeout, check_input=False)
        result = flow.run(tests.flow, case.input)
        seconds = time.monotonic() - started
        ((outcomes, _),) = _read_steps(client, result.run_id, reading._replace(times=False), 1, seconds)
        steps = _records(client, tests, case, outcomes, reading.record)
        unused = _unused_mocks(client, tests, case, flow.runs, reading.coverage)
    except StepflowClientError as error:
        seconds = time.monotonic() - started
        return CaseResult(case, "error", message=_told(error, timeout), attempt=attempt, duration=seconds)
    done = _judged(wanted, result, seconds, steps)
    if not unused or done.is_failed:
        return done
    message = f"the mock of {', '.join(unused)} was not used: the run needed no such step"
    return replace(done, verdict="error", message=message)


def _unused_mocks(
    client: SyncStepflowClient,
    tests: FlowTests,
    case: FlowCase,
    runs: Sequence[MockedRun],
    coverage: FlowCoverage | None,
) -> list[str]:
    """Return the steps with a mock in a case that its run did not need, and add to the coverage what it has reached."""
    from .executions import Executions

    if not case.mocks and coverage is None:
        return []
    used: set[str] = set()
    for done in Executions(client, tests.flow).of(runs, with_created=coverage is not None):
        # A step that is not told may be used.
        used |= {step.step_id for step in done.steps} if done.has_steps else {*done.mocked}
        if coverage is not None:
            coverage._add(case.name, done)
    return [step_id for step_id in case.mocks if step_id not in used]


def _mocks(case: FlowCase, tests: FlowTests, replay: Recording | None) -> dict[str, Any]:
    """Return the mocks of a case by step id: those of the case itself, and recorded outcomes."""
    recorded = replay.steps(tests.path, case.name) & {*tests.step_ids} if replay is not None else set()
    found: dict[str, Any] = {
        step_id: partial(replay.outcome, tests.path, case.name, step_id) for step_id in recorded if replay is not None
    }
    return found | {step_id: of_flow_result(value) for step_id, value in case.mocks.items()}


def _told(error: StepflowClientError, timeout: float | None) -> str:
    if isinstance(error, RunTimeoutError) and timeout is not None:
        return f"run {error.run_id} had not ended after {timeout:g} s; on a server of its own it goes on"
    return error.message if error.hint is None else f"{error.message} ({error.hint})"


def _read_steps(
    client: SyncStepflowClient, run_id: str, reading: _Reading, count: int, seconds: float
) -> list[tuple[dict[str, Mapping[str, Any]], float]]:
    """Return, item by item, the outcomes of the steps, if they are recorded, and the duration; servers from 0.12 on
    return both.

    An item whose steps have no times gets the duration of the batch, `seconds`. Results do not depend on times: if only
    these are requested and cannot be read, all items get it.
    """
    outcomes: list[dict[str, Mapping[str, Any]]] = [{} for _ in range(count)]
    times: list[list[datetime]] = [[] for _ in range(count)]
    if reading.record is None and not reading.times:
        return [({}, seconds)] * count
    capabilities = client.server_info().capabilities
    if reading.record is None and not capabilities["events"]:
        return [({}, seconds)] * count
    if not capabilities["step_outputs"]:
        raise UnsupportedByServerError("recording needs a server of 0.12 or newer: older ones do not return outputs")
    try:
        steps = client.get_run_steps(run_id, include_times=reading.times)
    except StepflowClientError:
        if reading.record is not None:
            raise
        return [({}, seconds)] * count
    for step in steps:
        if step.item_index >= count:
            continue
        if reading.record is not None and (step.status == "completed" or step.error is not None):
            outcomes[step.item_index][step.step_id] = flow_result(step.output, step.error)
        times[step.item_index] += [each for each in (step.started_at, step.completed_at) if each is not None]
    spans = [(max(each) - min(each)).total_seconds() if each else seconds for each in times]
    return list(zip(outcomes, spans, strict=True))


def _records(
    client: SyncStepflowClient,
    tests: FlowTests,
    case: FlowCase,
    outcomes: Mapping[str, Mapping[str, Any]],
    record: Callable[[str], bool] | None,
) -> dict[str, StepRecord]:
    """Return the inputs and outcomes of the steps to record.

    Servers do not tell the inputs of steps. They are computed by runs in which all steps that were executed have the
    outcomes that they had, so nothing is executed again. A step whose input cannot be computed was not executed.
    """
    from .mocked_flow import NO_MOCK, MockedFlow

    mocked = MockedFlow(client, lambda step: NO_MOCK, None)
    records: dict[str, StepRecord] = {}
    known: dict[str, Any] = {}
    if record is None:
        return records
    for step_id, step in steps_by_id(tests.flow).items():
        given = mocked.input_of(tests.flow, step, case.input, known) if step_id in outcomes else None
        if given is not None and given.is_success:
            known[step_id] = of_flow_result(outcomes[step_id])
            if record(step_id) and step_id not in case.mocks:
                records[step_id] = StepRecord(given.output, outcomes[step_id])
    return records


def failure_text(done: CaseResult, *, limit: int = 20) -> str:
    """Return why a case failed, with one line for each difference.

    Args:
        done: The result of the case.
        limit: Maximum number of differences to list. Default 20.
    """
    check_integer(limit, "limit", least=0)
    if check_instance(done, "done", CaseResult).verdict == "error":
        return done.message
    lines = [str(each) for each in done.differences[:limit]]
    if len(done.differences) > limit:
        lines.append(f"and {len(done.differences) - limit} more")
    if done.result is not None and done.result.is_success and done.differences:
        lines.append(f"the output was {short_json(done.result.output, 500)}")
    return "\n".join(lines)
