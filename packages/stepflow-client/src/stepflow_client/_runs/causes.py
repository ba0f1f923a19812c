"""Determines why an item of a run failed: the step at which its failure began. Pure.

Servers spread a failure: each step that reads a failed step is listed as failed too, with the same error, although its
component was not called. Here the flow is evaluated with the recorded outcomes to tell the step that failed from the
steps that were not run because of it. Where the recorded outcomes do not suffice, the errors of the steps decide, and
where servers report no errors either, the account says that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..flows.graph import FlowSteps
from ..flows.interpreter import BROKEN, NOT_KNOWN, Failure, NotKnownError, RecordedEvaluation, StepRun
from ..types import ErrorCode
from ..types.account import FailureKind
from ..types.statuses import FAILED_STATUSES, ExecutionStatus

if TYPE_CHECKING:
    from ..types import FlowError, StepDetails

__all__ = ["NOT_KNOWN"]

SILENT = "the server does not say why"
"""The message of an error that the server does not describe."""
FAILED_STEP = re.compile(r'^step "(?P<id>.+)" failed$')
_STALLED = re.compile(r"^Step (?P<id>.+) not completed$")
_EXPRESSION = re.compile(r"^(Input path|Path) .* not found$|^Undefined variable: ", re.DOTALL)
_LOST = (ErrorCode.LOST, ErrorCode.LOST_BEFORE_START)


class Cause(NamedTuple):
    """Why an item did not succeed."""

    kind: FailureKind | None
    step_id: str | None = None


class _Source(NamedTuple):
    """Where the failure of a step comes from."""

    kind: Literal["own", "read", "unknown"]
    step_id: str | None = None
    """For `read`: the failed step that it reads."""


@dataclass(frozen=True)
class ItemRecord:
    """What is known about one item of a run."""

    flow: Mapping[str, Any]
    """The flow, with the overrides of the run; empty if it is not known."""
    status: ExecutionStatus
    """The status of the item; that of the run if the item never ended."""
    error: FlowError | None
    """The error that the server reports for the item."""
    steps: Sequence[StepDetails]
    """The steps that the server lists for the item."""
    input: Any = NOT_KNOWN
    variables: Any = NOT_KNOWN
    has_steps: bool = True
    """Whether the server lists the steps of this item. If so, the others had not been started."""
    flow_steps: FlowSteps | None = None
    """The steps of the flow, if they have been collected already."""
    kept: Collection[str] = ()
    """The steps whose outputs a rerun keeps. The server lists only those that something needs."""


def cause_of(record: ItemRecord) -> Cause:
    """Return why an item did not succeed, and the step that failed first."""
    return ItemCauses(record).cause


def is_bare(error: FlowError) -> bool:
    """Return whether a message says only that a step failed."""
    return error.message == SILENT or FAILED_STEP.match(error.message) is not None


class ItemCauses:
    """An item whose failures are traced."""

    def __init__(self, record: ItemRecord) -> None:
        self.record = record
        self._flow_steps = record.flow_steps or FlowSteps(record.flow)
        self.definitions = {name: step.value for name, step in self._flow_steps.by_id.items()}
        self.listed = {step.step_id: step for step in record.steps}
        self.has_outputs = any(step.output is not None for step in record.steps)
        ended = {name: run for name, step in self.listed.items() if (run := self._run_of(step)) is not None}
        self.evaluation = RecordedEvaluation(
            record.flow, record.input, record.variables, ended, is_over=self.is_over and record.has_steps
        )
        self._sources: dict[str, _Source] = {}

    @property
    def is_over(self) -> bool:
        """Whether the item came to its own end, so that no step is left to be started."""
        record = self.record
        is_lost = record.error is not None and record.error.code in _LOST
        return record.status is ExecutionStatus.COMPLETED or (record.status in FAILED_STATUSES and not is_lost)

    def _run_of(self, step: StepDetails) -> StepRun | None:
        if step.status is ExecutionStatus.COMPLETED:
            return StepRun({}, 0, output=step.output if self.has_outputs else NOT_KNOWN)
        if step.status in FAILED_STATUSES:
            return StepRun({}, 0, failure=Failure(0, step.error.message if step.error else SILENT))
        return None

    def evaluated(self, expression: Any) -> list[Failure] | bool:
        """Return the failures of an expression; True if it has a value, False if that is not known."""
        try:
            self.evaluation.value(expression)
        except Failure as failure:
            return [failure, *failure.others]
        except (NotKnownError, *BROKEN):
            return False
        return True

    def _failed_reads(self, reader: str | None) -> list[str]:
        """Return the failed steps whose failure a step, or the output (None), may inherit, as conditions do not."""
        steps = self._flow_steps
        reads = steps.output_reads if reader is None else steps.by_id[reader].reads if reader in steps.by_id else ()
        names = [each.step for each in reads if each.step and not each.in_condition and not each.in_default]
        return [name for name in names if name in self.listed and self._has_failed(name)]

    def _has_failed(self, step_id: str) -> bool:
        return self.listed[step_id].status in FAILED_STATUSES

    def _key(self, step_id: str) -> tuple[str, ErrorCode | None] | None:
        """Return the error of a step for comparisons; None if the server does not report it."""
        return _key_of(self.listed[step_id].error)

    def source(self, step_id: str) -> _Source:
        """Return where the failure of a step comes from."""
        if step_id not in self._sources:
            self._sources[step_id] = self._traced(step_id)
        return self._sources[step_id]

    def _traced(self, step_id: str) -> _Source:
        if step_id not in self.definitions:
            return self._traced_by_name(step_id)
        key = self._key(step_id)
        found = self.evaluated(self.definitions[step_id].get("input"))
        if found is True:
            return _Source("own")
        failures = found if isinstance(found, list) else []
        if key is None:
            if failures and failures[0].is_sure:
                first = failures[0].step
                return _Source("own") if first is None else _Source("read", first)
            return _Source("unknown" if self._failed_reads(step_id) else "own")
        # A step whose input fails in the same way as a step that it reads would not have run anyway.
        for failure in sorted(failures, key=lambda each: each.step is None):
            if failure.step is None and failure.message == key[0]:
                return _Source("own")
            if failure.step is not None and self._key(failure.step) in (key, None):
                return _Source("read", failure.step)
        same = [name for name in self._failed_reads(step_id) if self._key(name) in (key, None)]
        return _Source("read", same[0]) if same else _Source("own")

    def _traced_by_name(self, step_id: str) -> _Source:
        """Trace a step of a flow that is not known: only its message may name another step."""
        error = self.listed[step_id].error
        named = FAILED_STEP.match(error.message) if error is not None else None
        if named is None:
            return _Source("unknown")
        other = named["id"]
        is_read = other != step_id and other in self.listed and self._has_failed(other)
        return _Source("read", other) if is_read else _Source("own")

    def root(self, step_id: str) -> str:
        """Return the step at which the failure of a step began, as far as it can be traced."""
        seen = [step_id]
        while (source := self.source(seen[-1])).step_id is not None and source.step_id not in seen:
            seen.append(source.step_id)
        return seen[-1]

    @cached_property
    def cause(self) -> Cause:
        """Why the item did not succeed."""
        record = self.record
        if record.status is ExecutionStatus.CANCELLED:
            return Cause("cancelled")
        if record.status not in FAILED_STATUSES or record.error is None:
            return Cause(None)
        if record.error.code in _LOST:
            return Cause("lost")
        if not record.flow:
            return self._cause_by_errors()
        if not record.has_steps:
            named = self._named_by_server
            return Cause("step", named) if named else Cause("stall" if self.stalled else "unknown")
        found = self.evaluated(record.flow.get("output"))
        failures = found if isinstance(found, list) else []
        roots = [None if failure.step is None else self.root(failure.step) for failure in failures]
        for failure, root in zip(failures, roots, strict=True):
            if root is None and failure.message == record.error.message:
                return Cause("stall" if self.stalled else "output")
            if root is not None and self._is_certain(root):
                return self._named(root)
        # If nothing else can have failed, this has, even if the server does not report its error.
        is_sure = len(set(roots)) == 1 and failures[0].is_sure
        return self._cause_among(self._failed_reads(None), roots[0] if is_sure else None)

    def _is_certain(self, step_id: str) -> bool:
        """Return whether the item has the error of a step: the reported one, or that of its input, which is known."""
        if self._key(step_id) is not None:
            return self._key(step_id) == _key_of(self.record.error)
        return self._is_expression and self._fits(step_id) is True

    def _cause_among(self, read: Sequence[str], only: str | None) -> Cause:
        """Return the cause among the failed steps that the output reads; `only` is the only possible one, if known."""
        fits = {name: self._fits(name) for name in dict.fromkeys(map(self.root, read))}
        if only is not None and fits.get(only) is not False:
            return self._named(only)
        sure = [name for name, fit in fits.items() if fit]
        if len(sure) == 1 or (sure and self._key(sure[0]) is not None):
            return self._named(sure[0])
        if sure or None in fits.values():
            return Cause("unknown")
        if self.stalled:
            return Cause("stall")
        return Cause("output" if self._is_expression else "unknown")

    def _named(self, step_id: str) -> Cause:
        return Cause("step", step_id) if self.source(step_id).kind == "own" else Cause("unknown")

    @property
    def _named_by_server(self) -> str | None:
        """The step that the item's error names, unless a step of a sub-flow has the same id."""
        error = self.record.error
        named = None if error is None else error.step_id
        return named if named in self.definitions and named not in self._flow_steps.inner_ids else None

    def _fits(self, step_id: str) -> bool | None:
        """Return whether the item's error is the one of this step; None if that is not known."""
        error = self.record.error
        assert error is not None
        key = self._key(step_id)
        if key is not None:
            return key == _key_of(error)
        if self._named_by_server is not None:
            return self._named_by_server == step_id
        found = self.evaluated(self.definitions.get(step_id, {}).get("input"))
        if isinstance(found, list) and found[0].is_sure and all(failure.step is None for failure in found):
            return any(failure.message == error.message for failure in found)
        # A component may fail with any message.
        return None if self._is_expression else True

    @property
    def _is_expression(self) -> bool:
        """Whether the item's message is that of an expression that could not be evaluated."""
        error = self.record.error
        return error is not None and _EXPRESSION.match(error.message) is not None

    @property
    def stalled(self) -> str | None:
        """The step that the output needs and that the server did not start, if that is why the item failed."""
        error = self.record.error
        named = None if error is None else _STALLED.match(error.message)
        name = None if named is None else named["id"]
        return name if name in self.definitions and name not in self.listed else None

    def _cause_by_errors(self) -> Cause:
        """Return the cause in a flow that is not known: the first of the steps that have the item's error."""
        error = self.record.error
        key = _key_of(error)
        failed = [name for name in self.listed if self._has_failed(name)]
        named = FAILED_STEP.match(error.message) if error is not None else None
        if named is not None and named["id"] in failed:
            return Cause("step", named["id"])
        times = {name: self.listed[name].updated_at for name in failed if key is not None and self._key(name) == key}
        if len(times) == 1 or (times and None not in times.values()):
            return Cause("step", min(times, key=lambda name: times[name] or datetime.min))
        return Cause("unknown")


def _key_of(error: FlowError | None) -> tuple[str, ErrorCode | None] | None:
    return None if error is None or error.message == SILENT else (error.message, error.code)
