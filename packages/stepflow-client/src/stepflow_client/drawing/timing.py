"""How long the steps and items of a run took, from its events. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..events import RunEvent

__all__ = ["ItemTime", "StepTime", "item_times", "percentile", "step_times"]


@dataclass(slots=True)
class StepTime:
    """When one step of one item ran."""

    item_index: int
    step_id: str
    attempts: list[datetime] = field(default_factory=list)
    """When it was given to its component, each time; a retry is told before its wait."""
    end: datetime | None = None
    status: str = "running"

    @property
    def seconds(self) -> float | None:
        """From the first attempt to the end; None while it runs."""
        return (self.end - self.attempts[0]).total_seconds() if self.end and self.attempts else None


@dataclass(frozen=True, slots=True)
class ItemTime:
    """When an item ran: from its first step's start to its last step's end."""

    index: int
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long."""
        return (self.end - self.start).total_seconds()


def step_times(events: Iterable[RunEvent], run_id: str) -> list[StepTime]:
    """Return when steps ran, in the order in which they started; events of other runs are left out."""
    found: dict[tuple[int, str], StepTime] = {}
    for event in events:
        if event.run_id != run_id or event.timestamp is None:
            continue
        if event.type == "step_started" and event.step_id is not None:
            key = (event.item_index, event.step_id)
            found.setdefault(key, StepTime(*key)).attempts.append(event.timestamp)
        elif event.type == "step_completed" and event.step_id is not None:
            key = (event.item_index, event.step_id)
            step = found.setdefault(key, StepTime(*key))
            step.end, step.status = event.timestamp, event.status.value
    return list(found.values())


def item_times(steps: Iterable[StepTime]) -> list[ItemTime]:
    """Return when items ran, of those with a step that has ended, by index."""
    spans: dict[int, tuple[datetime, datetime]] = {}
    for step in steps:
        if step.attempts and step.end is not None:
            start, end = spans.get(step.item_index, (step.attempts[0], step.end))
            spans[step.item_index] = (min(start, step.attempts[0]), max(end, step.end))
    return [ItemTime(index, *spans[index]) for index in sorted(spans)]


def percentile(sorted_values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part (0 to 1) of the values do not exceed."""
    return sorted_values[max(0, math.ceil(len(sorted_values) * part) - 1)]
