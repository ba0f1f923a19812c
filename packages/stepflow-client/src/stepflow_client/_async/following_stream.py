"""Following a run by the events that its server sends."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from .._base.lazy import lazy_module
from .._base.logging import logger
from .._codec import json_bodies
from .._rules import operations as api
from .._rules.backoff import Backoff
from .._rules.cursor import Cursor
from .._rules.request_retries import TRANSIENT_ERRORS
from .._rules.timings import Timings
from ..errors import ServerConnectionError, StepflowClientError
from .connection import Connection
from .event_stream import event_stream
from .following_state import FollowRequest, Idle, Look, look, ticks
from .runs import RunReader

if TYPE_CHECKING:
    from .. import events
    from ..events import RunCompletedEvent, RunEvent
    from ..types import RunDetails
else:
    events = lazy_module("stepflow_client.events")


class StreamedRun:
    """One run whose events are read, over as many connections as necessary.

    Args:
        connection: The connection.
        runs: Reads runs.
        request: What to follow.
        position: Where to start.
    """

    def __init__(self, connection: Connection, runs: RunReader, request: FollowRequest, position: Cursor) -> None:
        self._connection = connection
        self._runs = runs
        self._request = request
        self._begin = self._position = position
        self._contact = _StreamHealth(connection.timings)
        self._latest: datetime | None = None
        """The server's time of the last event."""
        self._ended: Look | None = None
        """How the run ended, if that was known before the stream was opened."""
        self._found: Look | None = None
        """What the last look beside the stream found, if no event has arrived since."""
        self._is_silent = False
        """Whether nothing has arrived since the last event of this stream."""
        self._is_over = False
        """Whether the server has sent the run's end, now or again."""

    async def follow(self) -> AsyncGenerator[RunEvent | Idle, None]:
        """Yield the events until the run has ended, and ticks while there are none."""
        while True:
            before = self._position
            try:
                async with aclosing(self._followed_stream()) as stream:
                    async for seen in stream:
                        yield seen
                if self._is_over:
                    return
                found = self._found or await self._look()
            except TRANSIENT_ERRORS as error:
                async for tick in ticks(self._pause_after(error), self._request, self._position):
                    yield tick
                continue
            self._contact.has_answer()
            brought_nothing = self._position == before
            if brought_nothing and self._has_all(found):
                yield inferred_end(found.run, self._position)
                return
            if self._is_silent and self._contact.has_repeated and not found.has_ended:
                yield Idle(self._position, found.run)
            if brought_nothing and found.has_ended == (self._ended is not None) and not self._is_silent:
                # Do not reconnect immediately after a connection that brought no new events.
                async for tick in ticks(self._contact.backoff.next(), self._request, self._position):
                    yield tick
            self._ended = found if found.has_ended else None
            logger.info("the events of run %s ended without its end; requesting them again", self._request.run_id)

    def _has_all(self, found: Look) -> bool:
        """Return whether a run has ended, and every event was yielded, if the last stream brought nothing new.

        Args:
            found: What was found when the stream had ended.

        Raises:
            ServerConnectionError: If the events end before the run does, again and again.
        """
        if not found.has_ended or self._ended is None:
            return False
        # The run had ended before this stream was opened, and the server has sent every event: it repeated the last
        # one, or sent nothing for a while. An empty stream closed immediately proves nothing by itself.
        beyond = isinstance(self._request.after, int) and self._position == self._begin
        if self._is_silent or self._contact.has_repeated or beyond or not found.is_told:
            return True
        if self._contact.is_silent:
            raise _broke_off(self._request.run_id, "they end before the run does", self._position)
        return False

    def _pause_after(self, error: StepflowClientError) -> float:
        """Return the seconds to wait after an error.

        Raises:
            StepflowClientError: The error, if it is not transient or the server was unavailable for too long.
        """
        if not error.is_retryable or self._connection.closed:
            raise error
        pause = self._contact.pause_after_failure()
        if pause is None:
            raise _broke_off(self._request.run_id, error.message, self._position) from error
        # A warning the first time in an outage, to explain why no events arrive.
        log = logger.warning if self._contact.failures == 1 else logger.info
        log("the events of run %s broke off: %s; requesting them again", self._request.run_id, error.message)
        return pause

    async def _followed_stream(self) -> AsyncGenerator[RunEvent | Idle, None]:
        """Yield the new events of one connection, and look at the run beside it when it is silent.

        It ends with the stream, with the event of the run's end, or when a look finds that the run has ended.
        """
        self._contact.opens(self._ended)
        self._found, self._is_silent, before = None, False, self._position
        async with aclosing(self._stream(self._position)) as stream:
            async for seen in stream:
                if not isinstance(seen, Idle):
                    event, position = seen
                    self._latest, self._found, self._is_silent = event.timestamp or self._latest, None, False
                    if position != self._position:
                        self._position = position
                        yield event
                    # After the yield, because handling an event may take long.
                    self._contact.has_event(is_new=self._position != before)
                    self._is_over = event.type == "run_completed" and event.run_id == self._request.run_id
                    if self._is_over:
                        return
                    continue
                self._is_silent = True
                if self._contact.look_in > 0:
                    yield seen
                    continue
                self._found = await self._look_beside() or self._found
                self._contact.has_looked()
                if self._found is not None and self._found.has_ended:
                    return
                past = self._found if self._contact.has_repeated else None
                yield Idle(self._position, past.run if past is not None else None)

    async def _look(self) -> Look:
        return await look(self._runs, self._request.run_id, self._latest)

    async def _look_beside(self) -> Look | None:
        """Request the state of the run while the stream stays open; None if the server does not tell."""
        try:
            return await self._look()
        except StepflowClientError:
            if self._connection.closed:
                raise
            # What a server that cannot be read means is decided when the stream ends.
            return None

    async def _stream(self, position: Cursor) -> AsyncGenerator[tuple[RunEvent, Cursor] | Idle, None]:
        """Yield the events of one connection, each with the position after it, until it ends or falls silent.

        Events that were handled before are yielded again with the position unchanged. The last value is a tick if the
        connection falls silent.
        """
        followed, contact, run_id = self._request, self._contact, self._request.run_id
        request = api.get_run_events(
            run_id,
            since=position.number or None,
            include_results=followed.include_results or None,
            include_sub_runs=followed.include_sub_runs or None,
        )
        skip = position.handled
        frames = event_stream(
            self._connection,
            request,
            contact.longest_silence,
            lambda: min(contact.look_in, followed.next_tick()),
        )
        async with aclosing(frames):
            async for frame in frames:
                if frame is None:
                    yield Idle(position)
                    continue
                number = json_bodies.build(events.sequence_number, frame, "an event")
                if number == position.number and skip > 0:
                    skip -= 1
                else:
                    skip = 0
                    position = position.after(number)
                read = partial(
                    events.read_event, run_id, cursor=str(position), reading=self._connection.reading(run_id)
                )
                yield json_bodies.build(read, frame, "an event"), position


class _StreamHealth:
    """Tracks whether the server responds, when to look beside the stream, and how long to wait after a failure.

    Args:
        timings: The client's timings.
    """

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._last_event = time.monotonic()
        self.backoff = Backoff(timings.event_first_pause, timings.event_longest_pause)
        self.failures = 0
        """Number of failures since the server last responded."""
        self.opens(None)

    def opens(self, ended: Look | None) -> None:
        """Record that a stream is opened.

        Args:
            ended: How the run ended, if it is known to have ended.
        """
        self._ended = ended
        self.has_repeated = False
        """Whether this stream has brought an event, new or not."""
        self._has_looked = False
        self._quiet_since = time.monotonic()

    @property
    def longest_silence(self) -> float:
        """Seconds without an event after which the stream is closed."""
        return self._timings.event_silence if self._ended is None else self._timings.event_silence_after_end

    @property
    def look_in(self) -> float:
        """Seconds until the state of the run is due to be requested beside the stream, unless an event arrives."""
        seconds = self._timings.event_look
        if self.has_repeated and not self._has_looked:
            seconds = self._timings.event_late
        if self._ended is not None and (self._ended.is_told or not self.has_repeated):
            seconds = math.inf
        return self._quiet_since + seconds - time.monotonic()

    def has_looked(self) -> None:
        """Record that the state of the run was requested."""
        self._has_looked, self._quiet_since = True, time.monotonic()

    def has_event(self, *, is_new: bool) -> None:
        """Record an event.

        Args:
            is_new: Whether this stream has brought an event that no stream has brought before.
        """
        self.has_repeated, self._quiet_since = True, time.monotonic()
        if is_new:
            self.has_answer()
            self._last_event = time.monotonic()
            self.backoff.reset()

    def has_answer(self) -> None:
        """Record that the server has responded."""
        self.failures, self.backoff.deadline = 0, None

    def pause_after_failure(self) -> float | None:
        """Record that the server is unavailable, and return the seconds to wait; None after too long an outage."""
        self.failures += 1
        if self.failures == 1:
            self.backoff.deadline = time.monotonic() + self._timings.event_outage
        return None if self.backoff.is_over else self.backoff.next()

    @property
    def is_silent(self) -> bool:
        """Whether the server has sent no new event for too long."""
        return time.monotonic() - self._last_event > self._timings.event_outage


def _broke_off(run_id: str, reason: str, position: Cursor) -> ServerConnectionError:
    return ServerConnectionError(
        f"the events of run {run_id} broke off: {reason}",
        run_id=run_id,
        details={"cursor": str(position)},
        hint="run_events(after=cursor) goes on behind the last one",
    )


def inferred_end(run: RunDetails, position: Cursor) -> RunCompletedEvent:
    """Return the end of a run, for a server that sends none."""
    return events.RunCompletedEvent(
        run_id=run.run_id,
        status=run.status,
        sequence_number=position.number,
        timestamp=run.completed_at,
        cursor=str(position),
        inferred=True,
    )
