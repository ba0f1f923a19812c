"""Which times of items are read. Pure."""

from __future__ import annotations

import time

_SHARE = 0.05
"""Share of the time of an evaluation that reading times may take. Fast flows have many events for each second."""


class TimeBudget:
    """Decides of which items the times are read.

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

    def take(self, variant: int, count: int, variants: int) -> bool:
        """Return whether to read the times of items.

        Args:
            variant: The number of their variant.
            count: Number of items.
            variants: Number of variants: none gets more times than the others.
        """
        if self._wanted is not None:
            return self._wanted
        others = min(self._read.values(), default=0) if len(self._read) == variants else 0
        own = self._read.get(variant, 0)
        is_late = self._open or self._spent > (time.monotonic() - self._began) * _SHARE
        # The times of one variant alone say nothing.
        is_behind = own < max(self._read.values(), default=0)
        if not is_behind and (is_late or own > others):
            return False
        self._read[variant] = own + count
        self._open += 1
        return True

    def note(self, seconds: float) -> None:
        """Record how long the reading took."""
        self._open -= 1
        self._spent += seconds
