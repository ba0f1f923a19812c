"""Which items have their times read. Pure."""

from __future__ import annotations

import time

# Share of the time of an evaluation that reading times may take. Fast flows have many events for each second.
_SHARE = 0.05


class DurationBudget:
    """Decides whose times are read: the same cases for all variants.

    Args:
        include: Whether to read all times, or none; None reads as many as do not delay the evaluation.
    """

    def __init__(self, include: bool | None) -> None:
        """Start the clock."""
        self._include = include
        self._began = time.monotonic()
        self._spent = 0.0
        self._open = 0
        self._decided: dict[int, bool] = {}
        """Whether the times are read, by the number of the first item."""

    def should_read(self, first: int) -> bool:
        """Return whether to read the times of the items of a run, whose first one has this number in its variant."""
        if self._include is not None:
            return self._include
        if first not in self._decided:
            is_late = self._open or self._spent > (time.monotonic() - self._began) * _SHARE
            self._decided[first] = not is_late
        self._open += self._decided[first]
        return self._decided[first]

    def note(self, seconds: float) -> None:
        """Record how long the reading took."""
        self._open -= 1
        self._spent += seconds
