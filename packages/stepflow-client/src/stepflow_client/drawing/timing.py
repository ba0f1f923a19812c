"""The times of the items of a run, from the times of its steps. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .._rules.step_times import StepTime, step_times

__all__ = ["ItemTime", "StepTime", "item_times", "percentile", "step_times"]


@dataclass(frozen=True, slots=True)
class ItemTime:
    """The time an item took, from the start of its first step to the end of its last step."""

    index: int
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return (self.end - self.start).total_seconds()


def item_times(steps: Iterable[StepTime]) -> list[ItemTime]:
    """Return the times of the items with at least one step that has ended, sorted by index."""
    spans: dict[int, tuple[datetime, datetime]] = {}
    for step in steps:
        if step.attempts and step.end is not None:
            start, end = spans.get(step.item_index, (step.attempts[0], step.end))
            spans[step.item_index] = (min(start, step.attempts[0]), max(end, step.end))
    return [ItemTime(index, *spans[index]) for index in sorted(spans)]


def percentile(sorted_values: Sequence[float], part: float) -> float:
    """Return a percentile: the smallest value that at least this part (0 to 1) of the values do not exceed."""
    return sorted_values[max(0, math.ceil(len(sorted_values) * part) - 1)]
