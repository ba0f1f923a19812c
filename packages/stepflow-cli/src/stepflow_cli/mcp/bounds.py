"""The limits of one server for its agents: the rate of calls, the size of arguments, and the number of runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MAX_ARGUMENT_BYTES = 4 * 2**20
"""Maximum size of the arguments of a call, as JSON."""
MAX_ANSWER_LENGTH = 40_000
"""Maximum length of an output in an answer, in characters of JSON. Hosts cut answers off at about that."""


@dataclass(frozen=True)
class Bounds:
    """The bounds of a server."""

    runs: int = 20
    """Maximum number of runs at once."""
    rate: float = 20.0
    """Calls a second, on average."""
    max_wait: float = 50.0
    """Seconds that a call waits for a run. Hosts give a call up after 60."""


class RateLimiter:
    """Counts calls against a rate. Bursts may have the calls of ten seconds.

    Args:
        per_second: Calls a second.
        clock: Returns the time in seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, 10 * per_second)
        self._clock = clock
        self._available = self._capacity
        self._updated = clock()

    def acquire(self) -> float:
        """Count a call; return 0 if it is allowed, else the seconds after which one is."""
        now = self._clock()
        self._available = min(self._capacity, self._available + (now - self._updated) * self._per_second)
        self._updated = now
        if self._available < 1:
            return (1 - self._available) / self._per_second
        self._available -= 1
        return 0.0
