"""Runs a flow's test cases on a server. Cases with mocked steps run separately, all others in batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

from .._base.text_formatting import short_json
from .._cases.case_selection import iter_steps_reachable_by_case
from .._cases.flow_cases import FlowCase, FlowTests, get_case_variables
from .._cases.mock_outcomes import make_outcome_dict, parse_mock
from .._data.arguments import check_flag, check_function, check_instance, check_instances, check_integer
from .._rules.operations_and_releases import require_capability
from .._runs.failure_causes import ItemRecord
from .._sync.client import SyncStepflowClient
from ..errors import InvalidArgumentError, InvalidRequestError, RunTimeoutError, StepflowClientError
from ..flows.expected_results import Difference, compute_verdict
from ..flows.graph import find_inner_flow, get_steps_by_id
from ..types import FlowResult, StepDetails
from ..types.model_base import Record
from .flow_coverage import FlowCoverage, find_sub_executions
from .mocked_runs import NO_MOCK, MockedFlowRunner, MockedRun, Recording, make_mock_finder


class StepRecord(NamedTuple):
    """A recorded step execution."""

    input: Any
    outcome: Mapping[str, Any]
    """`{outcome: success, result}` or `{outcome: failed, error: {code, message}}`."""


@dataclass(frozen=True)
class CaseResult(Record):
    """The result of a test case."""

    case: FlowCase
    verdict: Literal["passed", "failed", "unchecked", "error"]
    """`unchecked` means that the case ran but has no expected output. `error` means that it could not be run, or that
    one of its mocks was not used."""
    differences: Sequence[Difference] = ()
    result: FlowResult | None = None
    """The run's result, or None if the case could not be run."""
    message: str = ""
    """Why the verdict is `error`."""
    attempt: int = 1
    """The attempt number, starting at 1."""
    duration: float = 0.0
    """How long the case's steps took, in seconds, if step times were requested and are available. Otherwise, how long
    the case's run or the whole batch took."""
    steps: Mapping[str, StepRecord] = field(default_factory=dict, repr=False)
    """The inputs and outcomes of the case's steps, if requested."""

    @property
    def is_failed(self) -> bool:
        """Whether the verdict is `failed` or `error`."""
        return self.verdict in ("failed", "error")


def run_cases(
    client: SyncStepflowClient,
    tests: FlowTests,
    cases: Sequence[FlowCase],
    *,
    repeat: int = 1,
    replay: Recording | None = None,
    replay_only: bool = False,
    record: Callable[[str], bool] | None = None,
    include_times: bool = False,
    coverage: FlowCoverage | None = None,
    on_progress: Callable[[int], object] | None = None,
    timeout: float | None = None,
) -> list[CaseResult]:
    """Run a flow's test cases and return their results in the same order, attempt by attempt.

    Cases with a `fault` aren't run, and their result is an `error`.

    Args:
        client: A client for the server.
        tests: The flow and its tests, as returned by `read_tests`.
        cases: The cases to run.
        repeat: How many times to run each case. Defaults to 1.
        replay: Recorded step outcomes to use instead of executing the steps. If a step has recorded outcomes, but none
            for its current input, the case's result is an `error`.
        replay_only: Whether to report an `error` for cases without recorded outcomes that could execute an unmocked
            step. By default, such steps are executed.
        record: A function that accepts a step ID and returns whether to include the step's input and outcome in
            `CaseResult.steps`.
        include_times: Whether to read step times, so that each case in a batch has its own duration. This takes two
            extra requests. Defaults to False.
        coverage: Collects which of the flow's steps are reached, which requires a separate run for each case. By
            default, coverage isn't collected.
        on_progress: Called with the number of finished case runs whenever it changes. If None (the default), progress
            isn't tracked, which saves a request per batch.
        timeout: Timeout in seconds, shared by all cases in a batch. Defaults to no timeout.
    """
    check_instance(client, "client", SyncStepflowClient)
    check_instance(tests, "tests", FlowTests)
    cases = check_instances(cases, "cases", FlowCase)
    check_integer(repeat, "repeat", least=1)
    if replay is not None:
        check_instance(replay, "replay", Recording)
    if check_flag(replay_only, "replay_only") and replay is None:
        raise InvalidArgumentError("replay_only requires a recording: pass replay")
    check_function(record, "record")
    check_flag(include_times, "include_times")
    if coverage is not None:
        check_instance(coverage, "coverage", FlowCoverage)
    check_function(on_progress, "on_progress")
    if replay is not None and replay_only:
        message = f"{replay.path} has no recording of this case; record it with stepflow test --record"
        faults = [message if may_execute_unmocked_step(tests, case, replay) else "" for case in cases]
        cases = [replace(case, fault=case.fault or fault) for case, fault in zip(cases, faults, strict=True)]
    numbers = range(1, repeat + 1)
    attempts = [CaseResult(case, "error", message=case.fault, attempt=number) for number in numbers for case in cases]
    runner = _CaseRunner(client, tests, replay, record, include_times, coverage, on_progress, timeout)
    results = iter(runner.run_all_attempts([attempt for attempt in attempts if not attempt.case.fault]))
    return [attempt if attempt.case.fault else next(results) for attempt in attempts]


def may_execute_unmocked_step(tests: FlowTests, case: FlowCase, replay: Recording) -> bool:
    """Return whether a case without recorded outcomes could execute an unmocked step."""
    steps = () if replay.steps(tests.path, case.name) else iter_steps_reachable_by_case(tests, case)
    return any(step.get("id") not in case.mocks for step in steps)


@dataclass(frozen=True)
class _CaseRunner:
    """Runs a flow's cases and reads the inputs, outcomes and times of their steps as needed."""

    client: SyncStepflowClient
    tests: FlowTests
    replay: Recording | None
    record: Callable[[str], bool] | None
    include_times: bool
    coverage: FlowCoverage | None
    on_progress: Callable[[int], object] | None
    timeout: float | None

    def run_all_attempts(self, attempts: Sequence[CaseResult]) -> list[CaseResult]:
        """Run cases and return their results. Cases without mocked steps are batched by their variables.

        `attempts` are the results to fill in.
        """
        results: dict[int, CaseResult] = {}
        batches: dict[str, list[int]] = {}
        separate: list[int] = []
        for index, case in enumerate(attempt.case for attempt in attempts):
            is_replayed = self.replay is not None and bool(self.replay.steps(self.tests.path, case.name))
            if case.mocks or is_replayed or self.coverage is not None:
                separate.append(index)
            else:
                variables = json.dumps(get_case_variables(self.tests, case), sort_keys=True)
                batches.setdefault(variables, []).append(index)
        for batch in batches.values():
            done = self._run_batch([attempts[index] for index in batch], len(results))
            results |= zip(batch, done, strict=True)
        for index in separate:
            results[index] = self._run_single_case(attempts[index])
            if self.on_progress is not None:
                self.on_progress(len(results))
        return [results[index] for index in range(len(attempts))]

    def _run_batch(self, attempts: Sequence[CaseResult], finished: int) -> list[CaseResult]:
        """Run a batch of cases that have the same variables. `finished` is the number of cases already finished."""
        report, started = self.on_progress, time.monotonic()
        try:
            inputs = [attempt.case.input for attempt in attempts]
            values, timeout = get_case_variables(self.tests, attempts[0].case), self.timeout
            # Don't check the inputs, because a case might test how the flow handles invalid input.
            run_id = self.client.submit(self.tests.flow, inputs, variables=values, timeout=timeout, check_input=False)
            left = None if timeout is None else max(0.001, started + timeout - time.monotonic())
            if report is not None:
                self.client.wait_run(run_id, timeout=left, progress=lambda counts: report(finished + counts.done))
                left = None
            results = self.client.get_results(run_id, timeout=left)
            seconds = time.monotonic() - started
            steps = self._read_outcomes_and_durations(run_id, len(attempts), seconds, include_times=self.include_times)
            return [
                _judge_case(attempt, result, seconds, self._get_steps_to_record(attempt.case, outcomes))
                for attempt, result, (outcomes, seconds) in zip(attempts, results, steps, strict=True)
            ]
        except StepflowClientError as error:
            if isinstance(error, (InvalidArgumentError, InvalidRequestError)) and len(attempts) > 1:
                # The input of a single case may be to blame.
                return [result for attempt in attempts for result in self._run_batch([attempt], finished)]
            return [self._make_error_result(attempt, error, started) for attempt in attempts]

    def _run_single_case(self, attempt: CaseResult) -> CaseResult:
        """Run a case with mocked steps. The case's duration includes any runs needed to compute step inputs."""
        case, started = attempt.case, time.monotonic()
        try:
            mocks: dict[str, Any] = {}
            if self.replay is not None:
                path = self.tests.path
                for step_id in self.replay.steps(path, case.name) & {*self.tests.step_ids}:
                    mocks[step_id] = partial(self.replay.outcome, path, case.name, step_id)
            mocks |= {step_id: parse_mock(value) for step_id, value in case.mocks.items()}
            find = make_mock_finder(self.tests.flow, mocks)
            flow = MockedFlowRunner(self.client, find, self.timeout, check_input=False)
            result = flow.run(self.tests.flow, case.input, get_case_variables(self.tests, case))
            seconds = time.monotonic() - started
            ((outcomes, _),) = self._read_outcomes_and_durations(result.run_id, 1, seconds, include_times=False)
            steps = self._get_steps_to_record(case, outcomes)
            unused = self._find_unused_mocks_and_add_coverage(case, flow.runs)
        except StepflowClientError as error:
            return self._make_error_result(attempt, error, started)
        done = _judge_case(attempt, result, seconds, steps)
        if not unused or done.is_failed:
            return done
        message = f"the mock for {', '.join(unused)} was not used: the run did not need the step"
        return replace(done, verdict="error", message=message)

    def _find_unused_mocks_and_add_coverage(self, case: FlowCase, runs: Sequence[MockedRun]) -> list[str]:
        """Return the steps whose mocks weren't used, and add the steps that the runs reached to the coverage."""
        if not case.mocks and self.coverage is None:
            return []
        used: set[str] = set()
        reached: set[tuple[str, ...]] = set()
        # Process outer runs before the runs of their sub-flows.
        for run in sorted(runs, key=lambda run: len(run.within)):
            # Skip sub-flows whose step turned out not to be needed, which we only know after they have run.
            if run.within and run.within not in reached:
                continue
            steps = list(self.client.get_run_steps(run.result.run_id))
            executed = {step.step_id for step in steps}
            used |= executed
            reached |= {(*run.within, step_id) for step_id in executed}
            if self.coverage is None:
                continue
            flow = self.tests.flow
            for name in run.within:
                inner = find_inner_flow(get_steps_by_id(flow)[name])
                assert inner is not None
                flow = inner.flow
            record = ItemRecord(flow, run.result.status, run.result.error, steps, run.input, run.variables or {})
            self.coverage._add_run(case.name, run.within, record, run.mocked)
            executed -= run.mocked
            executed -= {other.within[-1] for other in runs if other.within[:-1] == run.within != other.within}
            for within, record in find_sub_executions(self.client, run.result.run_id, run.within, flow, executed):
                self.coverage._add_run(case.name, within, record)
        return [step_id for step_id in case.mocks if step_id not in used]

    def _make_error_result(self, attempt: CaseResult, error: StepflowClientError, started: float) -> CaseResult:
        message = str(error)
        if isinstance(error, RunTimeoutError) and self.timeout is not None:
            message = f"run {error.run_id} did not end within {self.timeout:g} s; it may still be running"
        return replace(attempt, message=message, duration=time.monotonic() - started)

    def _read_outcomes_and_durations(
        self, run_id: str, count: int, seconds: float, *, include_times: bool
    ) -> list[tuple[dict[str, Mapping[str, Any]], float]]:
        """Return each item's duration, along with its step outcomes if they are being recorded.

        If an item has no step times, use the batch's duration, `seconds`.
        """
        outcomes: list[dict[str, Mapping[str, Any]]] = [{} for _ in range(count)]
        times: list[list[datetime]] = [[] for _ in range(count)]
        for step in self._read_steps_if_needed(run_id, include_times=include_times):
            if step.item_index >= count:
                continue
            if self.record is not None and (step.status == "completed" or step.error is not None):
                outcomes[step.item_index][step.step_id] = make_outcome_dict(step.output, step.error)
            times[step.item_index] += [time for time in (step.started_at, step.completed_at) if time is not None]
        durations = [(max(item) - min(item)).total_seconds() if item else seconds for item in times]
        return list(zip(outcomes, durations, strict=True))

    def _read_steps_if_needed(self, run_id: str, *, include_times: bool) -> Iterable[StepDetails]:
        """Return a run's steps, or an empty list if they aren't needed. If only times are needed, ignore errors."""
        if self.record is not None:
            require_capability(self.client.server_info(), "step_outputs", "recording")
            return self.client.get_run_steps(run_id, include_times=include_times)
        if include_times and self.client.server_info().capabilities["events"]:
            with suppress(StepflowClientError):
                return self.client.get_run_steps(run_id, include_times=True)
        return []

    def _get_steps_to_record(self, case: FlowCase, outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, StepRecord]:
        """Return the inputs and outcomes of the steps to record.

        Servers don't report step inputs, so we compute them in additional runs in which every executed step is mocked
        with its outcome. No step is executed twice. If a step's input can't be computed, the step wasn't executed.
        """
        records: dict[str, StepRecord] = {}
        if self.record is None:
            return records
        mocked = MockedFlowRunner(self.client, lambda step: NO_MOCK, None)
        mocks: dict[str, Any] = {}
        variables = get_case_variables(self.tests, case)
        for step_id, step in get_steps_by_id(self.tests.flow).items():
            if step_id not in outcomes:
                continue
            computed = mocked.compute_step_input(self.tests.flow, step, case.input, mocks, variables)
            if computed.is_success:
                mocks[step_id] = parse_mock(outcomes[step_id])
                if self.record(step_id) and step_id not in case.mocks:
                    records[step_id] = StepRecord(computed.output, outcomes[step_id])
        return records


def _judge_case(attempt: CaseResult, result: FlowResult, seconds: float, steps: Mapping[str, StepRecord]) -> CaseResult:
    """Fill in the result of a case that ran."""
    verdict, differences = compute_verdict(attempt.case.expected, result)
    return replace(attempt, verdict=verdict, differences=differences, result=result, duration=seconds, steps=steps)


def failure_text(done: CaseResult, *, limit: int = 20) -> str:
    """Explain why a case failed, with one line per difference.

    Args:
        done: The case's result.
        limit: Maximum number of differences to list. Defaults to 20.
    """
    check_integer(limit, "limit", least=0)
    if check_instance(done, "done", CaseResult).verdict == "error":
        return done.message
    lines = [str(difference) for difference in done.differences[:limit]]
    if len(done.differences) > limit:
        lines.append(f"and {len(done.differences) - limit} more")
    if done.result is not None and done.result.is_success and done.differences:
        lines.append(f"the output was {short_json(done.result.output, 500)}")
    return "\n".join(lines)
