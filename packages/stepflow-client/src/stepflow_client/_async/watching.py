"""Following one run with its progress, for everything that shows runs while they are executed."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, NamedTuple

from .._rules.deadline import deadline_scope
from ..errors import RunTimeoutError
from ..types.statuses import FAILED_STATUSES
from .following import Follower, Timer
from .following_stream import FollowRequest, Idle
from .snapshots import SnapshotReader
from .waiting import Waiter

if TYPE_CHECKING:
    from .._rules.run_progress import RunProgress
    from ..events import RunEvent
    from ..types import RunDetails
    from ..types.snapshot import RunSnapshot

_END_SECONDS = 5.0
"""Seconds to wait for the final status of a run: its last event may arrive earlier."""


class Followed(NamedTuple):
    """A moment of a run that is followed."""

    progress: RunProgress
    """The steps, and the counts of items, after the event."""
    event: RunEvent | None = None
    seconds: float | None = None
    """The duration of the step or run that has ended with the event; None if none has, or if it is unknown."""
    run: RunDetails | None = None
    """The state of the run, if it was just requested: all events of its past were yielded, unless it has ended."""
    snapshot: RunSnapshot | None = None
    """The run when it has ended. It is the last that is yielded."""


class RunWatcher:
    """Follows runs with their progress."""

    def __init__(self, follower: Follower, snapshots: SnapshotReader, waiter: Waiter) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._waiter = waiter

    async def follow(
        self,
        progress: RunProgress,
        *,
        every: float = math.inf,
        until: float = math.inf,
        after: str | None = None,
        include_sub_runs: bool = False,
    ) -> AsyncGenerator[Followed, None]:
        """Yield the progress of a run at once, with each event, when none arrives for a while, and when it has ended.

        On servers without a stream of events, its state is requested repeatedly; the only event is its end.

        Args:
            progress: The progress so far; it is updated.
            every: Seconds without an event after which the progress is yielded.
            until: When to stop, by `time.monotonic()`.
            after: The cursor of the last event that `progress` includes.
            include_sub_runs: Whether to follow the events of sub-runs too.

        Raises:
            RunTimeoutError: If the run has not ended in time.
        """
        timer = Timer(every, until)
        request = FollowRequest(progress.run_id, after, include_sub_runs=include_sub_runs)
        yield Followed(progress)
        async with aclosing(self._follower.timed(request, timer)) as sequence:
            async for seen in sequence:
                if not isinstance(seen, Idle):
                    yield Followed(progress, seen, progress.see(seen))
                    continue
                if seen.run is not None:
                    progress.reported = seen.run.items
                yield Followed(progress, run=seen.run)
        ended = await self._snapshots.read(progress.run_id)
        if not ended.details.is_finished:
            with suppress(RunTimeoutError), deadline_scope(min(until, time.monotonic() + _END_SECONDS)):
                await self._waiter.wait_run(progress.run_id)
            ended = await self._snapshots.read(progress.run_id)
        run = ended.details
        progress.end(run.status.value, run.completed_at)
        progress.reported = None if run.items.running or run.items.cancelled else run.items
        if run.status in FAILED_STATUSES:
            progress.lose_running()
        yield Followed(progress, snapshot=ended)
