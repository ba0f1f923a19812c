"""Runs the test cases of a flow on a server: all as one batch, or one by one if steps are pinned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._base.text import short_json
from .._data.arguments import check_function, check_instance, check_instances, check_integer
from ..errors import RunTimeoutError, StepflowClientError
from ..flows.cases import FlowCase, FlowTests
from ..flows.matching import Difference
from .recordings import Recording

if TYPE_CHECKING:
    from datetime import datetime

    from .._sync.client import SyncStepflowClient
    from ..types import FlowResult

__all__ = ["CaseResult", "failure_text", "run_cases"]


@dataclass(frozen=True)
class CaseResult:
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
    steps: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The outputs of its completed steps, if they were requested."""

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
    timeout: float | None = None,
) -> list[CaseResult]:
    """Run cases of a flow and return their results, in their order, attempt by attempt.

    A case with a fault is not run; its result is an `error`.

    Args:
        client: A client of the server.
        tests: The flow and its tests, from `read_tests`.
        cases: The cases to run.
        repeat: Number of times to run each case. Default 1.
        replay: Recorded outputs of steps, which are then not executed; each case is then a separate run.
        record: A function that returns, for the id of a step, whether to put its output in `CaseResult.steps`.
        include_times: Whether to read the times of steps, so that each case of a batch has a duration of its own. This
            takes two more requests. Default False.
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
    every = [(case, attempt) for attempt in range(1, repeat + 1) for case in cases]
    wanted = [each for each in every if not each[0].fault]
    done = iter(_run_wanted(client, tests, wanted, replay, _Reading(record, include_times), timeout))
    return [
        CaseResult(case, "error", message=case.fault, attempt=attempt) if case.fault else next(done)
        for case, attempt in every
    ]


_Wanted = tuple["FlowCase", int]


class _Reading(NamedTuple):
    """What to read about the steps of a batch."""

    record: Callable[[str], bool] | None = None
    times: bool = False


def _run_wanted(
    client: SyncStepflowClient,
    tests: FlowTests,
    wanted: Sequence[_Wanted],
    replay: Recording | None,
    reading: _Reading,
    timeout: float | None,
) -> list[CaseResult]:
    pins = [replay.outputs(tests.path, case.name) if replay else {} for case, _ in wanted]
    if not any(pins):
        return _run_batch(client, tests, wanted, reading, timeout)
    done: list[CaseResult] = []
    for (case, attempt), outputs in zip(wanted, pins, strict=True):
        done += _run_pinned(client, tests, (case, attempt), outputs, timeout)
    return done


def _run_batch(
    client: SyncStepflowClient,
    tests: FlowTests,
    wanted: Sequence[_Wanted],
    reading: _Reading,
    timeout: float | None,
    flow: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[CaseResult]:
    from ..flows.cases import judge

    if not wanted:
        return []
    started = time.monotonic()
    try:
        inputs = [case.input for case, _ in wanted]
        run_id = client.submit(flow or tests.flow, inputs, overrides, timeout=timeout)
        left = None if timeout is None else max(0.001, started + timeout - time.monotonic())
        results = client.get_results(run_id, timeout=left)
        seconds = time.monotonic() - started
        steps = _read_steps(client, run_id, reading, len(wanted), seconds)
    except StepflowClientError as error:
        seconds = time.monotonic() - started
        told = _told(error, timeout)
        return [CaseResult(case, "error", message=told, attempt=each, duration=seconds) for case, each in wanted]
    done = []
    for (case, attempt), result, (outputs, took) in zip(wanted, results, steps, strict=True):
        verdict, differences = judge(case, result)
        done.append(CaseResult(case, verdict, differences, result, "", attempt, took, outputs))
    return done


def _told(error: StepflowClientError, timeout: float | None) -> str:
    if isinstance(error, RunTimeoutError) and timeout is not None:
        return f"run {error.run_id} had not ended after {timeout:g} s; on a server of its own it goes on"
    return error.message if error.hint is None else f"{error.message} ({error.hint})"


def _run_pinned(
    client: SyncStepflowClient, tests: FlowTests, wanted: _Wanted, outputs: Mapping[str, Any], timeout: float | None
) -> list[CaseResult]:
    from .mocks import pinned

    known = {step: output for step, output in outputs.items() if step in tests.step_ids}
    try:
        flow, overrides = pinned(client, tests.flow, known)
    except StepflowClientError as error:
        return [CaseResult(wanted[0], "error", message=error.message, attempt=wanted[1])]
    return _run_batch(client, tests, [wanted], _Reading(), timeout, flow, overrides)


def _read_steps(
    client: SyncStepflowClient, run_id: str, reading: _Reading, count: int, seconds: float
) -> list[tuple[dict[str, Any], float]]:
    """Return, item by item, the outputs of the steps to record and the duration; servers from 0.12 on return both.

    An item whose steps have no times gets the duration of the batch, `seconds`. Results do not depend on times: if only
    these are requested and cannot be read, all items get it.
    """
    outputs: list[dict[str, Any]] = [{} for _ in range(count)]
    times: list[list[datetime]] = [[] for _ in range(count)]
    if reading.record is None and not (reading.times and client.server_info().capabilities["events"]):
        return [({}, seconds)] * count
    try:
        steps = client.get_run_steps(run_id, include_times=reading.times)
    except StepflowClientError:
        if reading.record is not None:
            raise
        return [({}, seconds)] * count
    for step in steps:
        if step.item_index >= count:
            continue
        if reading.record is not None and reading.record(step.step_id) and step.status == "completed":
            outputs[step.item_index][step.step_id] = step.output
        times[step.item_index] += [each for each in (step.started_at, step.completed_at) if each is not None]
    spans = [(max(each) - min(each)).total_seconds() if each else seconds for each in times]
    return list(zip(outputs, spans, strict=True))


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
