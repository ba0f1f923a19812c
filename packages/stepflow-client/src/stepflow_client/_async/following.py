"""Following a run until it has ended: by its events or, on servers without a stream of events, by polling.

Nothing else decides whether a run has ended although no event says so: events, progress, waiting for a run that its
server has given up, `runs watch` and the pages all read what the follower yields.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .._codec import answers
from .._lazy import lazy_module
from .._logging import logger
from .._rules import bindings as api
from .._rules.cursor import Cursor
from .._rules.ending import Ending, is_given_up
from .._rules.statuses import ExecutionStatus
from .._rules.timings import Timings
from .._rules.transient import TRANSIENT_ERRORS, Backoff, is_transient
from ..errors import ServerConnectionError, UnsupportedByServerError
from .connection import Connection
from .event_stream import event_stream
from .recovery import RecoveryCheck
from .runs import RunReader

if TYPE_CHECKING:
    from .. import events
    from .._codec import responses
    from .._rules import inference
    from ..events import RunCompletedEvent, RunEvent
    from ..types import ListStepsResponse
else:
    inference = lazy_module("stepflow_client._rules.inference")
    responses = lazy_module("stepflow_client._codec.responses")
    events = lazy_module("stepflow_client.events")

__all__ = ["Asked", "Follower", "Tick"]

_TOLD = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED)
"""The statuses that servers announce with an event."""


class Asked(NamedTuple):
    """What to follow, and how."""

    run_id: str
    since: str | int | None = None
    """The cursor of the last event that was handled, or a sequence number; None for all events."""
    include_results: bool = False
    include_sub_runs: bool = False
    next_tick: Callable[[], float] = lambda: math.inf
    """Returns the maximum number of seconds until the next tick, if no event arrives."""


class Tick(NamedTuple):
    """No event has arrived for a while."""

    position: Cursor
    """The position after the last event."""
    run: answers.RunState | None = None
    """The state of the run, if it was just requested, and has not ended: all events of its past were yielded."""


class _Look(NamedTuple):
    """What was found when the state of a run was requested."""

    run: answers.RunState
    ending: Ending

    @property
    def has_ended(self) -> bool:
        return self.ending.is_final

    @property
    def is_told(self) -> bool:
        """Whether the server announces this end with an event."""
        return self.ending is Ending.ENDED and self.run.status in _TOLD


class Follower:
    """Follows runs.

    Args:
        connection: The connection.
        runs: Reads runs.
        recovery: Detects runs that will never end.
    """

    def __init__(self, connection: Connection, runs: RunReader, recovery: RecoveryCheck) -> None:
        self._connection = connection
        self._runs = runs
        self._recovery = recovery

    async def follow(self, asked: Asked) -> AsyncGenerator[RunEvent | Tick, None]:
        """Yield the events of a run until it has ended, and ticks while there are none.

        Each event is yielded exactly once. The last one is a `run_completed`, which is inferred if the server sends
        none.
        """
        server = await self._connection.server()
        if server.capabilities["events"]:
            position = Cursor.parse(asked.since, "s" if asked.include_sub_runs else "e")
            found = self._streamed(asked, position)
        else:
            found = self._inferred(asked, Cursor.parse(asked.since, "i"))
        async with aclosing(found) as sequence:
            async for seen in sequence:
                yield seen

    async def settled(self, run: answers.RunState, deadline: float | None) -> answers.RunState | None:
        """Follow a run that its server has given up, and return its state once it has ended or is lost.

        Args:
            run: The state of the run.
            deadline: When to stop, by `time.monotonic()`; None for no limit.

        Returns:
            None if the run may still be executed.
        """
        limit = math.inf if deadline is None else deadline
        asked = Asked(run.run_id, next_tick=lambda: limit - time.monotonic())
        logger.info("run %s is marked as failed while its items are running; following it", run.run_id)
        async with aclosing(self.follow(asked)) as sequence:
            async for seen in sequence:
                if not isinstance(seen, Tick) and seen.type == "run_completed":
                    now = await self._runs.standing(run.run_id)
                    is_lost = seen.inferred and is_given_up(now.status, now.running)
                    return now if is_lost or not is_given_up(now.status, now.running) else None
                if time.monotonic() >= limit:
                    break
        return None

    async def _streamed(self, asked: Asked, position: Cursor) -> AsyncGenerator[RunEvent | Tick, None]:
        """Yield the events that the server sends; reconnect as often as necessary."""
        begin, contact = position, _Contact(self._connection.timings)
        ended: _Look | None = None
        latest: datetime | None = None
        while True:
            before, is_silent = position, False
            found: _Look | None = None
            contact.opens(ended)
            try:
                async with aclosing(self._stream(asked, position, contact)) as stream:
                    async for seen in stream:
                        is_silent = isinstance(seen, Tick)
                        if isinstance(seen, Tick):
                            if contact.look_in <= 0:
                                found = await self._look_beside(asked.run_id, latest) or found
                                contact.has_looked()
                                if found is not None and found.has_ended:
                                    break
                                seen = Tick(position, found.run if found and contact.has_repeated else None)
                            yield seen
                            continue
                        event, place = seen
                        latest, found = event.timestamp or latest, None
                        if place != position:
                            position = place
                            yield event
                        # After the yield, because handling an event may take long.
                        contact.has_event(is_new=position != before)
                        if event.type == "run_completed" and event.run_id == asked.run_id:
                            return
                found = found or await self._look(asked.run_id, latest)
            except TRANSIENT_ERRORS as error:
                if not is_transient(error) or self._connection.closed:
                    raise
                if contact.is_lost:
                    raise _broke_off(asked.run_id, error.message, position) from error
                pause = contact.fails(f"the events of run {asked.run_id} broke off: {error.message}")
                async for tick in _ticks(pause, asked, position):
                    yield tick
                continue
            contact.has_answer()
            brought_nothing = position == before
            if found.has_ended and ended is not None and brought_nothing:
                # The run had ended before this stream was opened, and the server has sent every event: it repeated the
                # last one, or sent nothing for a while. An empty stream closed immediately proves nothing by itself.
                beyond = isinstance(asked.since, int) and position == begin
                if is_silent or contact.has_repeated or beyond or not found.is_told:
                    yield _inferred_end(found.run, position)
                    return
                if contact.is_silent:
                    raise _broke_off(asked.run_id, "they end before the run does", position)
            if not found.has_ended and is_silent and contact.has_repeated:
                yield Tick(position, found.run)
            if brought_nothing and found.has_ended == (ended is not None) and not is_silent:
                # Do not reconnect immediately after a connection that brought no new events.
                async for tick in _ticks(contact.next_pause(), asked, position):
                    yield tick
            ended = found if found.has_ended else None
            logger.info("the events of run %s ended without its end; asked for again", asked.run_id)

    async def _look(self, run_id: str, latest: datetime | None) -> _Look:
        run = await self._runs.standing(run_id)
        return _Look(run, await self._runs.ending(run, latest))

    async def _look_beside(self, run_id: str, latest: datetime | None) -> _Look | None:
        """Request the state of the run while the stream stays open; None if the server is unavailable."""
        try:
            return await self._look(run_id, latest)
        except TRANSIENT_ERRORS as error:
            if not is_transient(error) or self._connection.closed:
                raise
            # How long the server may be unavailable is decided when the stream breaks, or is opened again.
            return None

    async def _stream(
        self, asked: Asked, position: Cursor, contact: _Contact
    ) -> AsyncGenerator[tuple[RunEvent, Cursor] | Tick, None]:
        """Yield the events of one connection, each with the position after it, until it ends or falls silent.

        Events that were handled before are yielded again with the position unchanged. The last value is a tick if the
        connection falls silent.
        """
        run_id = asked.run_id
        request = api.get_run_events._get_kwargs(
            run_id,
            run_id=run_id,
            since=position.number or api.UNSET,
            include_results=True if asked.include_results else api.UNSET,
            include_sub_runs=True if asked.include_sub_runs else api.UNSET,
        )
        skip = position.handled
        frames = event_stream(
            self._connection,
            "get_run_events",
            request,
            silence=contact.longest_silence,
            run_id=run_id,
            next_look=lambda: min(contact.look_in, asked.next_tick()),
        )
        async with aclosing(frames):
            async for frame in frames:
                if frame is None:
                    yield Tick(position)
                    continue
                number = answers.build(events.sequence_number, frame, "an event")
                if number == position.number and skip > 0:
                    skip -= 1
                else:
                    skip = 0
                    position = position.after(number)
                read = partial(
                    events.read_event, run_id, cursor=str(position), reading=self._connection.reading(run_id)
                )
                yield answers.build(read, frame, "an event"), position

    async def _inferred(self, asked: Asked, position: Cursor) -> AsyncGenerator[RunEvent | Tick, None]:
        """Yield events inferred from the state of the run and its steps."""
        first = position.number + (1 if position.handled else 0)
        observer = inference.Inference(asked.include_results)
        timings = self._connection.timings
        outage = Backoff(timings.event_first_pause, timings.event_longest_pause)
        backoff = Backoff(timings.event_first_pause, timings.event_longest_pause, 1.5)
        last_contact = began = time.monotonic()
        while True:
            try:
                found, steps = await self._look_with_steps(asked.run_id, began)
            except TRANSIENT_ERRORS as error:
                if not is_transient(error) or time.monotonic() - last_contact > timings.event_outage:
                    raise
                async for tick in _ticks(outage.next(), asked, position):
                    yield tick
                continue
            last_contact = time.monotonic()
            outage.reset()
            for event in observer.look(responses.details(found.run), steps, has_ended=found.has_ended):
                backoff.reset()
                if event.sequence_number >= first:
                    position = Cursor("i", event.sequence_number, 1)
                    yield event
            if found.has_ended:
                return
            yield Tick(position, found.run)
            async for tick in _ticks(backoff.next(), asked, position):
                yield tick

    async def _look_with_steps(self, run_id: str, began: float) -> tuple[_Look, ListStepsResponse | None]:
        found = await self._look(run_id, None)
        try:
            steps = await self._runs.get_run_steps(run_id)
        except UnsupportedByServerError:
            # 0.9 does not return the steps of a batch.
            steps = None
        if not found.run.is_finished:
            await self._recovery.check(run_id, began)
        return found, steps


class _Contact:
    """Tracks when the server last responded, when to look beside the stream, and how long to wait after a failure.

    Args:
        timings: The client's timings.
    """

    def __init__(self, timings: Timings) -> None:
        """Take the current time as that of the last response and event."""
        self._timings = timings
        self._answered = self._last_event = time.monotonic()
        self._backoff = Backoff(timings.event_first_pause, timings.event_longest_pause)
        self._is_outage = False
        self.opens(None)

    def opens(self, ended: _Look | None) -> None:
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
            self._last_event = self._answered
            self._backoff.reset()

    def has_answer(self) -> None:
        """Record that the server has responded."""
        self._answered, self._is_outage = time.monotonic(), False

    def fails(self, words: str) -> float:
        """Record that the server is unavailable, and return the seconds to wait.

        Args:
            words: The log message: a warning the first time in an outage, to explain why no events arrive.
        """
        (logger.info if self._is_outage else logger.warning)("%s; asking again", words)
        self._is_outage = True
        return self.next_pause()

    def next_pause(self) -> float:
        """Return the seconds to wait; they increase with each call, up to a limit."""
        return self._backoff.next()

    @property
    def is_lost(self) -> bool:
        """Whether the server has been unavailable for too long."""
        return time.monotonic() - self._answered > self._timings.event_outage

    @property
    def is_silent(self) -> bool:
        """Whether the server has sent no new event for too long."""
        return time.monotonic() - self._last_event > self._timings.event_outage


async def _ticks(seconds: float, asked: Asked, position: Cursor) -> AsyncGenerator[Tick, None]:
    """Sleep for some seconds; yield a tick whenever one is due, and at the end."""
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 0:
        await asyncio.sleep(min(remaining, max(asked.next_tick(), 0.0)))
        yield Tick(position)


def _broke_off(run_id: str, reason: str, position: Cursor) -> ServerConnectionError:
    return ServerConnectionError(
        f"the events of run {run_id} broke off: {reason}",
        run_id=run_id,
        details={"cursor": str(position)},
        hint="run_events(since=cursor) goes on behind the last one",
    )


def _inferred_end(run: answers.RunState, position: Cursor) -> RunCompletedEvent:
    known = responses.details(run)
    return events.RunCompletedEvent(
        run_id=known.run_id,
        status=known.status,
        sequence_number=position.number,
        timestamp=known.completed_at,
        cursor=str(position),
        inferred=True,
    )
