"""Following a run: the request, the pauses between its events, and reads of its state."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from .._rules.cursor import Cursor
from .._rules.ending import Ending
from ..types.statuses import ExecutionStatus
from .runs import RunReader

if TYPE_CHECKING:
    from ..events import RunEvent
    from ..types import RunDetails

_TOLD = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED)
"""The statuses that servers announce with an event."""


class FollowRequest(NamedTuple):
    """What to follow, and how."""

    run_id: str
    after: str | int | None = None
    """The cursor of the last event that was handled, or a sequence number; None for all events."""
    include_results: bool = False
    include_sub_runs: bool = False
    needs_stream: bool = False
    """Whether a server without a stream of events is an error. If not, its runs are polled."""
    next_tick: Callable[[], float] = lambda: math.inf
    """Returns the maximum number of seconds until the next tick, if no event arrives."""
    wanted: frozenset[str] | None = None
    """The types of the events that the caller wants; None for all."""

    def wants(self, event: RunEvent) -> bool:
        """Return whether the caller wants an event."""
        return self.wanted is None or event.type in self.wanted


class Idle(NamedTuple):
    """No event has arrived for a while."""

    position: Cursor
    """The position after the last event."""
    run: RunDetails | None = None
    """The state of the run, if it was just requested, and has not ended: all events of its past were yielded."""


class Timer:
    """Tracks when the next tick is due.

    Args:
        every: Seconds without an event until a tick.
        until: When the caller stops following, by `time.monotonic()`.
    """

    def __init__(self, every: float = math.inf, until: float = math.inf) -> None:
        self._every = every
        self.until = until
        self.restart()

    def restart(self) -> None:
        """Start again, after an event or a tick."""
        self._last = time.monotonic()

    def left(self) -> float:
        """Return the seconds until the next tick is due."""
        return min(self._last + self._every, self.until) - time.monotonic()


class Look(NamedTuple):
    """What was found when the state of a run was requested."""

    run: RunDetails
    ending: Ending

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is expected of the run."""
        return self.ending.is_finished

    @property
    def is_told(self) -> bool:
        """Whether the server announces this end with an event."""
        return self.ending is Ending.ENDED and self.run.status in _TOLD


async def look(runs: RunReader, run_id: str, latest: datetime | None) -> Look:
    """Request the state of a run.

    Args:
        runs: Reads runs.
        run_id: The run.
        latest: The server's time of the last event, if events are read.
    """
    run = await runs.state(run_id)
    return Look(run, await runs.ending(run, latest))


async def ticks(seconds: float, request: FollowRequest, position: Cursor) -> AsyncGenerator[Idle, None]:
    """Sleep for some seconds; yield a tick whenever one is due, and at the end."""
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 0:
        await asyncio.sleep(min(remaining, max(request.next_tick(), 0.0)))
        yield Idle(position)
