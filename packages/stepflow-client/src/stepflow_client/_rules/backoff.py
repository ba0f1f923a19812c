"""Delays between attempts: with backoff and jitter, within a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._base.lazy import lazy_module
from .deadline import has_passed, limit_to_deadline

if TYPE_CHECKING:
    import random
else:
    # Only needed after a failure.
    random = lazy_module("random")


def random_delay(first: float, max_delay: float, attempt: int) -> float:
    """Return a random delay after an attempt, numbered from 1; the maximum doubles each time ("full jitter")."""
    return random.uniform(0, min(max_delay, first * 2 ** (attempt - 1)))


class Backoff:
    """Pauses between attempts, each longer than the previous one.

    Args:
        first: Seconds to wait after the first attempt.
        longest: Maximum number of seconds. By default, all pauses are as long as the first one.
        factor: The factor by which each pause is longer than the previous one.
        share: Minimum length of a pause, except the first, as a share of the time since the start. Default 0.
        deadline: The time that no pause exceeds, by `time.monotonic()`. It may be changed. Default None: no limit.
        jitter: Whether each pause is random, between half of it and all of it, so that what failed at the same time is
            not repeated at the same time. Default False.
    """

    def __init__(
        self,
        first: float,
        longest: float | None = None,
        factor: float = 2.0,
        *,
        share: float = 0.0,
        deadline: float | None = None,
        jitter: bool = False,
    ) -> None:
        self._first, self._longest, self._factor = first, first if longest is None else longest, factor
        self._share, self._jitter, self.deadline = share, jitter, deadline
        self._next, self._started = first, time.monotonic()
        self.is_last = False
        """Whether the deadline has cut the last pause short."""

    def next_delay(self, least: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt: at least `least`, but no longer than the deadline."""
        pause, shortest = self._next, self._share * self.elapsed
        self._next = min(max(pause * self._factor, shortest), self._longest)
        pause = max(random.uniform(pause / 2, pause) if self._jitter else pause, least)
        left = limit_to_deadline(self.deadline, pause)
        self.is_last = left < pause
        return left

    def reset(self) -> None:
        """Start again with the first pause, after an attempt that succeeded."""
        self._next, self._started = self._first, time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return has_passed(self.deadline)
