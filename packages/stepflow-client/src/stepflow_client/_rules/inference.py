"""Events inferred from the state of a run, for servers without a stream of events. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..events import RunCompletedEvent, RunCreatedEvent, RunEvent, StepCompletedEvent, StepStartedEvent
from ..types import ExecutionStatus, ListStepsResponse, RunDetails, StepDetails
from .cursor import Cursor


class Inference:
    """Compares each state of a run with the previous one and yields the events that led to it.

    Args:
        include_results: Whether the events include step outputs, if the server returns them.
    """

    def __init__(self, include_results: bool) -> None:
        self.include_results = include_results
        self.count = 0
        self.created = False
        self.started: set[tuple[int, str]] = set()
        self.ended: set[tuple[int, str]] = set()

    def look(self, run: RunDetails, steps: ListStepsResponse | None, *, has_ended: bool) -> Iterator[RunEvent]:
        """Yield the events since the previous state.

        Args:
            run: The current state of the run.
            steps: Its steps; None if the server does not return them.
            has_ended: Whether the run has ended.
        """
        if not self.created:
            self.created = True
            yield RunCreatedEvent(flow_id=run.flow_id, item_count=run.items.total, **self._common(run, run.created_at))
        for step in steps.steps if steps is not None else []:
            yield from self._step(run, step)
        if has_ended:
            yield RunCompletedEvent(status=run.status, **self._common(run, run.completed_at))

    def _step(self, run: RunDetails, step: StepDetails) -> Iterator[RunEvent]:
        key = (step.item_index, step.step_id)
        where: dict[str, Any] = {"item_index": step.item_index, "step_index": step.step_index, "step_id": step.step_id}
        if key not in self.started:
            self.started.add(key)
            yield StepStartedEvent(**where, **self._common(run, None))
        if key not in self.ended and step.status.is_finished:
            self.ended.add(key)
            succeeded = step.status is ExecutionStatus.COMPLETED
            output = step.output if self.include_results and succeeded else None
            yield StepCompletedEvent(**where, status=step.status, output=output, **self._common(run, None))

    def _common(self, run: RunDetails, timestamp: datetime | None) -> dict[str, Any]:
        number, self.count = self.count, self.count + 1
        return {
            "run_id": run.run_id,
            "sequence_number": number,
            "timestamp": timestamp,
            "cursor": str(Cursor("i", number, 1)),
            "inferred": True,
        }
