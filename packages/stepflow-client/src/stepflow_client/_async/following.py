"""Following a run until it has ended: by its events or, on servers without a stream of events, by polling its state.

Nothing else decides whether a run has ended although no event says so: events, progress, waiting for a run that its
server has given up, `runs watch` and the pages all read what the follower yields.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from .._base.logging import logger
from .._rules.backoff import Backoff
from .._rules.cursor import Cursor
from .._rules.deadline import current_deadline, deadline_scope, has_passed
from .._rules.ending import is_given_up
from .._rules.releases import require
from .._rules.request_retries import TRANSIENT_ERRORS
from ..errors import RunTimeoutError, TransportError
from .connection import Connection
from .following_state import FollowRequest, Idle, Timer, look, ticks
from .following_stream import StreamedRun, inferred_end
from .runs import RunReader

if TYPE_CHECKING:
    from ..events import RunEvent
    from ..types import RunDetails


class Follower:
    """Follows runs."""

    def __init__(self, connection: Connection, runs: RunReader) -> None:
        self._connection = connection
        self._runs = runs

    async def follow(self, request: FollowRequest) -> AsyncGenerator[RunEvent | Idle, None]:
        """Yield the events of a run until it has ended, and ticks while there are none.

        Each event is yielded exactly once. The last one is a `run_completed`, which is inferred if the server sends
        none. It is the only one of a server without a stream of events.

        Raises:
            UnsupportedByServerError: If the server has no stream of events, and the caller needs one.
        """
        server = await self._connection.server()
        if request.needs_stream:
            require(server, "events", "a stream of events")
        position = Cursor.parse(request.after, "s" if request.include_sub_runs else "e")
        if server.capabilities["events"]:
            found = StreamedRun(self._connection, self._runs, request, position).follow()
        else:
            found = self._polled(request, position)
        async with aclosing(found) as sequence:
            async for seen in sequence:
                yield seen

    async def timed(self, request: FollowRequest, timer: Timer) -> AsyncGenerator[RunEvent | Idle, None]:
        """Yield the events of a run until it has ended, and ticks with its state or when the timer has expired.

        Raises:
            RunTimeoutError: If the run has not ended in time.
        """
        until = None if timer.until == math.inf else timer.until
        async with aclosing(self.follow(request._replace(next_tick=timer.left))) as sequence:
            while True:
                try:
                    # Requests end at the deadline too, in case the server does not respond.
                    with deadline_scope(until):
                        seen = await anext(sequence)
                except StopAsyncIteration:
                    return
                except TransportError as error:
                    if not has_passed(until):
                        raise
                    raise _not_ended(request.run_id) from error
                if has_passed(until):
                    raise _not_ended(request.run_id)
                if not isinstance(seen, Idle) or timer.left() <= 0:
                    yield seen
                    if isinstance(seen, Idle) or request.wants(seen):
                        timer.restart()
                elif seen.run is not None:
                    yield seen

    async def settled(self, run: RunDetails) -> RunDetails | None:
        """Follow a run that its server has given up, and return its state once it has ended or is lost.

        Returns:
            None if the run may still be executed at the caller's deadline.
        """
        timer = Timer(until=current_deadline() or math.inf)
        logger.info("run %s is marked as failed while its items are running; following it", run.run_id)
        with suppress(RunTimeoutError):
            async with aclosing(self.timed(FollowRequest(run.run_id), timer)) as sequence:
                async for seen in sequence:
                    if not isinstance(seen, Idle) and seen.type == "run_completed":
                        now = await self._runs.state(run.run_id)
                        is_settled = seen.inferred or not is_given_up(now.status, now.items.running)
                        return now if now.is_finished and is_settled else None
        return None

    async def _polled(self, request: FollowRequest, position: Cursor) -> AsyncGenerator[RunEvent | Idle, None]:
        """Request the state of the run until it has ended; yield ticks with it, and the inferred end."""
        timings = self._connection.timings
        outage = Backoff(timings.event_first_pause, timings.event_longest_pause)
        backoff = Backoff(timings.event_first_pause, timings.event_longest_pause, 1.5)
        while True:
            try:
                found = await look(self._runs, request.run_id, None)
            except TRANSIENT_ERRORS as error:
                if not error.is_retryable or outage.elapsed > timings.event_outage:
                    raise
                async for tick in ticks(outage.next(), request, position):
                    yield tick
                continue
            outage.reset()
            if found.has_ended:
                yield inferred_end(found.run, position)
                return
            yield Idle(position, found.run)
            async for tick in ticks(backoff.next(), request, position):
                yield tick


def _not_ended(run_id: str) -> RunTimeoutError:
    return RunTimeoutError(f"run {run_id} has not ended yet", run_id=run_id, hint="it continues")
