"""Which times of items are read. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from .item_records import EndedItem

_SHARE = 0.05
"""Share of the time of an evaluation that reading times may take. Fast flows have many events for each second."""


class TimeBudget:
    """Decides for which runs the times of the items are read.

    Args:
        wanted: Whether to read all times, or none; None reads as many as do not delay the evaluation.
    """

    def __init__(self, wanted: bool | None) -> None:
        """Start the clock."""
        self._wanted = wanted
        self._began = time.monotonic()
        self._spent = 0.0
        self._open = 0
        self._read: dict[int, int] = {}
        """Number of items whose times are read, by variant."""

    def take(self, items: Sequence[EndedItem], variants: int) -> bool:
        """Return whether to read the times of the items of a run.

        Args:
            items: The items, of one variant.
            variants: The number of variants: none gets more times than the others.
        """
        if self._wanted is not None:
            return self._wanted
        variant = items[0].variant
        others = min(self._read.values(), default=0) if len(self._read) == variants else 0
        is_late = self._open or self._spent > (time.monotonic() - self._began) * _SHARE
        if is_late or self._read.get(variant, 0) > others:
            return False
        self._read[variant] = self._read.get(variant, 0) + len(items)
        self._open += 1
        return True

    def note(self, seconds: float) -> None:
        """Record how long the reading took."""
        self._open -= 1
        self._spent += seconds


def with_durations(items: Sequence[EndedItem], found: Mapping[int | None, float]) -> list[EndedItem]:
    """Return the items of a run with their times, which are given by the index of the item within the run."""
    return [each._replace(duration=found.get(each.outcome.item_index)) for each in items]
