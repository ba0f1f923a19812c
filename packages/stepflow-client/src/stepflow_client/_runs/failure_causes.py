"""Finds the step where an item's failure began.

Servers propagate failures: a step that depends on a failed step is also listed as failed, with the same error, even
though its component was never called. To distinguish the step that actually failed from the steps that never ran
because of it, this module re-evaluates the flow with the recorded outcomes. If that isn't enough, it compares the
steps' errors. If the server doesn't report the errors either, the cause is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from ..flows.graph import FlowSteps
from ..flows.interpreter import EXPRESSION_ERRORS, NOT_KNOWN, Failure, NotKnownError, RecordedInterpreter, StepRun
from ..types import ErrorCode, FlowError, StepDetails
from ..types.run_explanation import FailureKind
from ..types.statuses import FAILED_STATUSES, FAILED_STEP, NO_REASON, ExecutionStatus

_STALLED_MESSAGE = re.compile(r"^Step (?P<id>.+) not completed$")
_EXPRESSION_MESSAGE = re.compile(r"^(Input path|Path) .* not found$|^Undefined variable: ", re.DOTALL)
_LOST_CODES = (ErrorCode.LOST, ErrorCode.LOST_BEFORE_START)


def says_only_step_failed(error: FlowError) -> bool:
    """Return whether an error says nothing except that a step failed."""
    return error.message == NO_REASON or FAILED_STEP.match(error.message) is not None


class Cause(NamedTuple):
    """Why an item didn't succeed."""

    kind: FailureKind | None
    step_id: str | None = None


@dataclass(eq=False)
class ItemRecord:
    """The information recorded about a single item of a run, and the causes of failure inferred from it."""

    flow: Mapping[str, Any]
    """The flow with the run's overrides applied, or an empty mapping if unknown."""
    status: ExecutionStatus
    """The item's status, or the run's status if the item never finished."""
    error: FlowError | None
    """The error that the server reports for this item."""
    steps: Sequence[StepDetails]
    """The steps that the server lists for this item."""
    input: Any = NOT_KNOWN
    variables: Any = NOT_KNOWN
    has_steps: bool = True
    """Whether the server lists this item's steps. If it does, unlisted steps were never started."""
    flow_steps: FlowSteps | None = None
    """The flow's steps, if they have already been collected."""
    kept: Collection[str] = ()
    """Steps whose outputs a rerun kept. The server lists such a step only if another step or the output needs it."""

    def __post_init__(self) -> None:
        """Prepare to evaluate the flow with the recorded outcomes."""
        self._flow_steps = self.flow_steps or FlowSteps(self.flow)
        self.definitions = {name: step.value for name, step in self._flow_steps.by_id.items()}
        self.listed = {step.step_id: step for step in self.steps}
        self.has_outputs = any(step.output is not None for step in self.steps)
        ended: dict[str, StepRun] = {}
        for name, step in self.listed.items():
            if step.status is ExecutionStatus.COMPLETED:
                ended[name] = StepRun({}, 0, output=step.output if self.has_outputs else NOT_KNOWN)
            elif step.status in FAILED_STATUSES:
                ended[name] = StepRun({}, 0, failure=Failure(0, step.error.message if step.error else NO_REASON))
        is_complete = self.is_over and self.has_steps
        self.evaluation = RecordedInterpreter(self.flow, self.input, self.variables, ended, is_over=is_complete)
        self._cause_by_step: dict[str, str | None] = {}

    @property
    def is_over(self) -> bool:
        """Whether the item ended normally, which means that no more steps will start."""
        is_lost = self.error is not None and self.error.code in _LOST_CODES
        return self.status is ExecutionStatus.COMPLETED or (self.status in FAILED_STATUSES and not is_lost)

    def _find_evaluation_failures(self, expression: Any) -> list[Failure] | None:
        """Evaluate an expression and return its failures (none if it has a value), or None if we can't tell."""
        try:
            self.evaluation.evaluate(expression)
        except Failure as failure:
            return [failure, *failure.others]
        except (NotKnownError, *EXPRESSION_ERRORS):
            return None
        return []

    def _find_failed_dependencies(self, reader: str | None) -> list[str]:
        """Return the failed steps that may have made a step (or the output, if it's None) fail, ignoring conditions."""
        steps = self._flow_steps
        reads = steps.output_reads if reader is None else steps.by_id[reader].reads if reader in steps.by_id else ()
        names = [read.step for read in reads if read.step and not read.is_in_condition and not read.is_in_default]
        return [name for name in names if name in self.listed and self._has_step_failed(name)]

    def _has_step_failed(self, step_id: str) -> bool:
        return self.listed[step_id].status in FAILED_STATUSES

    def _get_step_error_key(self, step_id: str) -> tuple[str, ErrorCode | None] | None:
        """Return a step's error in comparable form, or None if the server doesn't report it."""
        return _get_error_key(self.listed[step_id].error)

    def find_causing_step(self, step_id: str) -> str | None:
        """Return the step that made a step fail: the step itself, a failed step it depends on, or None if unknown."""
        if step_id not in self._cause_by_step:
            self._cause_by_step[step_id] = self._compute_causing_step(step_id)
        return self._cause_by_step[step_id]

    def _compute_causing_step(self, step_id: str) -> str | None:
        error = self.listed[step_id].error
        if step_id not in self.definitions:
            # Without the flow, the message is the only clue as to which step it might have read.
            named = FAILED_STEP.match(error.message) if error is not None else None
            if named is None:
                return None
            return named["id"] if named["id"] in self.listed and self._has_step_failed(named["id"]) else step_id
        key = _get_error_key(error)
        failures = self._find_evaluation_failures(self.definitions[step_id].get("input"))
        if failures == []:
            return step_id
        if key is None:
            if failures and failures[0].is_sure:
                return failures[0].step or step_id
            return None if self._find_failed_dependencies(step_id) else step_id
        # The step never ran if evaluating its input fails with the step's own error, or if the input refers to a step
        # with that error.
        for failure in sorted(failures or (), key=lambda failure: failure.step is None):
            if failure.step is None and failure.message == key[0]:
                return step_id
            if failure.step is not None and self._get_step_error_key(failure.step) in (key, None):
                return failure.step
        failed = self._find_failed_dependencies(step_id)
        return next((name for name in failed if self._get_step_error_key(name) in (key, None)), step_id)

    def find_step_root_cause(self, step_id: str) -> str:
        """Trace a step's failure back to the step where it began, as far as that's possible."""
        seen = [step_id]
        while (source := self.find_causing_step(seen[-1])) is not None and source not in seen:
            seen.append(source)
        return seen[-1]

    @cached_property
    def cause(self) -> Cause:
        """Why the item didn't succeed, and which step caused that."""
        if self.status is ExecutionStatus.CANCELLED:
            return Cause("cancelled")
        if self.status not in FAILED_STATUSES or self.error is None:
            return Cause(None)
        if self.error.code in _LOST_CODES:
            return Cause("lost")
        if not self.flow:
            return self._find_cause_by_errors(self.error)
        if not self.has_steps:
            named = self._step_named_by_server
            return Cause("step", named) if named else Cause("stall" if self.stalled_step else "unknown")
        failures = self._find_evaluation_failures(self.flow.get("output")) or []
        roots = [None if failure.step is None else self.find_step_root_cause(failure.step) for failure in failures]
        for failure, root in zip(failures, roots, strict=True):
            if root is None and failure.message == self.error.message:
                return Cause("stall" if self.stalled_step else "output")
            if (
                root is not None
                and self._is_error_from_step(root)
                and (self._get_step_error_key(root) is not None or self._is_expression_error)
            ):
                # The item's error is this step's own error, or comes from evaluating this step's input.
                return self._make_step_cause(root)
        # If there's just one candidate, it must have failed, even if the server doesn't report its error.
        only = roots[0] if len(set(roots)) == 1 and failures[0].is_sure else None
        candidates = dict.fromkeys(map(self.find_step_root_cause, self._find_failed_dependencies(None)))
        fits = {name: self._is_error_from_step(name) for name in candidates}
        if only is not None and fits.get(only) is not False:
            return self._make_step_cause(only)
        sure = [name for name, fit in fits.items() if fit]
        if len(sure) == 1 or (sure and self._get_step_error_key(sure[0]) is not None):
            return self._make_step_cause(sure[0])
        if sure or None in fits.values():
            return Cause("unknown")
        if self.stalled_step:
            return Cause("stall")
        return Cause("output" if self._is_expression_error else "unknown")

    def _make_step_cause(self, step_id: str) -> Cause:
        return Cause("step", step_id) if self.find_causing_step(step_id) == step_id else Cause("unknown")

    @property
    def _step_named_by_server(self) -> str | None:
        """The step named by the item's error, unless a sub-flow uses the same step ID."""
        named = None if self.error is None else self.error.step_id
        return named if named in self.definitions and named not in self._flow_steps.inner_step_ids else None

    def _is_error_from_step(self, step_id: str) -> bool | None:
        """Return whether the item's error came from a step, or None if unknown."""
        assert self.error is not None
        key = self._get_step_error_key(step_id)
        if key is not None:
            return key == _get_error_key(self.error)
        if self._step_named_by_server is not None:
            return self._step_named_by_server == step_id
        failures = self._find_evaluation_failures(self.definitions.get(step_id, {}).get("input"))
        if failures and failures[0].is_sure and all(failure.step is None for failure in failures):
            return any(failure.message == self.error.message for failure in failures)
        # Any other message could have come from the step's component.
        return None if self._is_expression_error else True

    @property
    def _is_expression_error(self) -> bool:
        """Whether the item's error is about an expression that couldn't be evaluated."""
        return self.error is not None and _EXPRESSION_MESSAGE.match(self.error.message) is not None

    @property
    def stalled_step(self) -> str | None:
        """The step that the output needs but the server never started, if that's why the item failed."""
        match = None if self.error is None else _STALLED_MESSAGE.match(self.error.message)
        name = None if match is None else match["id"]
        return name if name in self.definitions and name not in self.listed else None

    def _find_cause_by_errors(self, error: FlowError) -> Cause:
        """Find the cause without knowing the flow: the first step that has the same error as the item."""
        key = _get_error_key(error)
        failed = [name for name in self.listed if self._has_step_failed(name)]
        named = FAILED_STEP.match(error.message)
        if named is not None and named["id"] in failed:
            return Cause("step", named["id"])
        same = [name for name in failed if key is not None and self._get_step_error_key(name) == key]
        times = {name: self.listed[name].updated_at for name in same}
        if len(times) == 1 or (times and None not in times.values()):
            return Cause("step", min(times, key=lambda name: times[name] or datetime.min))
        return Cause("unknown")


def _get_error_key(error: FlowError | None) -> tuple[str, ErrorCode | None] | None:
    return None if error is None or error.message == NO_REASON else (error.message, error.code)
