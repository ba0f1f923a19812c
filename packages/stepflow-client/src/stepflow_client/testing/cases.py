"""Runs the test cases of a flow on a server: all as one batch, or one by one if steps are pinned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..errors import RunTimeoutError, StepflowClientError
from ..flows.matching import Difference, shorten
from .recordings import Recording

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from ..flows.cases import FlowCase, FlowTests
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
    seconds: float = 0.0
    """Duration of its run in seconds; in a batch, each case has the duration of the batch."""
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
    timeout: float | None = None,
) -> list[CaseResult]:
    """Run cases of a flow and return their results, in their order, attempt by attempt.

    Args:
        client: A client of the server.
        tests: The flow and its tests, from `read_tests`.
        cases: The cases to run.
        repeat: Number of times to run each case. Default 1.
        replay: Recorded outputs of steps, which are then not executed; each case is then a separate run.
        record: A function that returns, for the id of a step, whether to put its output in `CaseResult.steps`.
        timeout: Seconds that the cases may take, all together in a batch. None, the default, sets no limit.
    """
    wanted = [(case, attempt) for attempt in range(1, repeat + 1) for case in cases]
    pins = [replay.outputs(tests.path, case.name) if replay else {} for case, _ in wanted]
    if not any(pins):
        return _run_batch(client, tests, wanted, record, timeout)
    done: list[CaseResult] = []
    for (case, attempt), outputs in zip(wanted, pins, strict=True):
        done += _run_pinned(client, tests, (case, attempt), outputs, timeout)
    return done


_Wanted = tuple["FlowCase", int]


def _run_batch(
    client: SyncStepflowClient,
    tests: FlowTests,
    wanted: Sequence[_Wanted],
    record: Callable[[str], bool] | None,
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
        steps = _step_outputs(client, run_id, record, len(wanted)) if record else [{}] * len(wanted)
    except StepflowClientError as error:
        seconds = time.monotonic() - started
        told = _told(error, timeout)
        return [CaseResult(case, "error", message=told, attempt=each, seconds=seconds) for case, each in wanted]
    seconds = time.monotonic() - started
    done = []
    for (case, attempt), result, outputs in zip(wanted, results, steps, strict=True):
        verdict, differences = judge(case, result)
        done.append(CaseResult(case, verdict, differences, result, "", attempt, seconds, outputs))
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
    return _run_batch(client, tests, [wanted], None, timeout, flow, overrides)


def _step_outputs(
    client: SyncStepflowClient, run_id: str, record: Callable[[str], bool], count: int
) -> list[dict[str, Any]]:
    """Return the outputs of the steps to record, item by item; servers from 0.12 on return them."""
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for step in client.get_run_steps(run_id):
        if record(step.step_id) and step.status == "completed" and step.item_index < count:
            found[step.item_index][step.step_id] = step.output
    return found


def failure_text(done: CaseResult, *, limit: int = 20) -> str:
    """Return why a case failed, with one line for each difference.

    Args:
        done: The result of the case.
        limit: Maximum number of differences to list. Default 20.
    """
    if done.verdict == "error":
        return done.message
    lines = [str(each) for each in done.differences[:limit]]
    if len(done.differences) > limit:
        lines.append(f"and {len(done.differences) - limit} more")
    if done.result is not None and done.result.is_success and done.differences:
        lines.append(f"the output was {shorten(done.result.output, 500)}")
    return "\n".join(lines)
