"""The events of a run, as they happen."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .._codec import answers, requests
from .._lazy import lazy_module
from .._logging import logger
from .._rules import bindings as api
from .._rules.cursor import Cursor
from .._rules.timings import Timings
from .._rules.transient import TRANSIENT_ERRORS, Backoff, is_transient
from .._settings import check_positive
from ..errors import (
    ServerConnectionError,
    UnsupportedByServerError,
)
from .connection import Connection
from .event_stream import event_stream
from .runs import RunReader
from .waiting import Waiter

if TYPE_CHECKING:
    from .. import events
    from .._rules import inference
    from ..events import RunCompletedEvent, RunEvent
    from ..types import ListStepsResponse, RunDetails
else:
    inference = lazy_module("stepflow_client._rules.inference")
    events = lazy_module("stepflow_client.events")

__all__ = ["EventFollower"]

_UNTOLD = ("cancelled", "recovery_failed")
"""The statuses with which a run may end without an event, on every server that has events."""


class EventFollower:
    """Follows the events of runs.

    Args:
        connection: The connection.
        runs: Reads runs.
        waiter: Detects runs that will never end.
    """

    def __init__(self, connection: Connection, runs: RunReader, waiter: Waiter) -> None:
        self._connection = connection
        self._runs = runs
        self._waiter = waiter

    def run_events(
        self,
        run_id: str | UUID,
        *,
        since: str | int | None = None,
        include_results: bool = False,
        include_sub_runs: bool = False,
        heartbeat: float | None = None,
        deadline: float | None = None,
    ) -> AsyncGenerator[RunEvent, None]:
        """Return an iterator over the events of a run, from its beginning or from a cursor, until the run ends.

        When the deadline, by `time.monotonic()`, has passed, a heartbeat is due immediately.
        """
        run_id = requests.check_run_id(run_id)
        Cursor.check(since, "s" if include_sub_runs else "e")
        seconds = math.inf if heartbeat is None else check_positive(heartbeat, "heartbeat")
        pulse = _Pulse(seconds, math.inf if deadline is None else deadline)
        return self._events(run_id, since, include_results, include_sub_runs, pulse)

    async def _events(
        self, run_id: str, since: str | int | None, include_results: bool, include_sub_runs: bool, pulse: _Pulse
    ) -> AsyncGenerator[RunEvent, None]:
        server = await self._connection.server()
        told = server.capabilities["events"]
        mode = ("s" if include_sub_runs else "e") if told else "i"
        position = Cursor.parse(since, mode)
        if told:
            found = self._streamed_events(run_id, since, position, include_results, include_sub_runs, pulse)
        else:
            found = self._inferred_events(run_id, position, include_results, pulse)
        cursor, number = str(position), position.number
        async with aclosing(found) as events_of_run:
            async for event in events_of_run:
                if event is not None:
                    cursor, number = event.cursor, event.sequence_number
                    yield event
                    pulse.beat()
                elif pulse.left <= 0:
                    yield events.HeartbeatEvent(
                        run_id=run_id, sequence_number=number, timestamp=datetime.now(UTC), cursor=cursor, inferred=True
                    )
                    pulse.beat()

    async def _streamed_events(
        self,
        run_id: str,
        since: str | int | None,
        position: Cursor,
        include_results: bool,
        include_sub_runs: bool,
        pulse: _Pulse,
    ) -> AsyncGenerator[RunEvent | None, None]:
        """Iterate over the events that the server sends, reconnecting as often as necessary.

        None is yielded in between, often enough for heartbeats.
        """
        begin = position
        flags = {
            "include_results": True if include_results else api.UNSET,
            "include_sub_runs": True if include_sub_runs else api.UNSET,
        }
        timings = self._connection.timings
        contact, was_final = _Contact(timings), False
        while True:
            before, is_silent, is_known = position, False, False
            try:
                silence = timings.event_silence_after_end if was_final else timings.event_silence
                frames = self._stream(run_id, position, flags, silence, pulse)
                async with aclosing(frames) as stream:
                    async for event, place in stream:
                        is_silent = event is None
                        if event is None:
                            yield None
                            continue
                        is_known = True
                        if place != position:
                            position = place
                            yield event
                            # After the yield, because handling an event may take long; not for repeated events.
                            contact.has_event()
                        if event.type == "run_completed" and event.run_id == run_id:
                            return
                run = await self._runs.state(run_id)
            except TRANSIENT_ERRORS as error:
                if not is_transient(error) or self._connection.closed:
                    raise
                if contact.is_lost:
                    raise _broke_off(run_id, error.message, position) from error
                pause = contact.fails(f"the events of run {run_id} broke off: {error.message}")
                async for _ in pulse.during(pause):
                    yield None
                continue
            contact.has_answer()
            brought_nothing = position == before
            if run.is_finished and was_final and brought_nothing:
                # The run had ended before this stream was opened, and the server has sent every event: it repeated the
                # last one, or sent nothing for a while. An empty stream closed immediately proves nothing by itself.
                beyond = isinstance(since, int) and position == begin
                if is_silent or is_known or beyond or run.status in _UNTOLD:
                    yield _inferred_end(run, position)
                    return
                if contact.is_silent:
                    raise _broke_off(run_id, "they end before the run does", position)
            if brought_nothing and run.is_finished == was_final and not is_silent:
                # Do not reconnect immediately after a connection that brought no new events.
                async for _ in pulse.during(contact.next_pause()):
                    yield None
            was_final = run.is_finished
            logger.info("the events of run %s ended without its end; asked for again", run_id)

    async def _stream(
        self, run_id: str, position: Cursor, flags: dict[str, Any], silence: float, pulse: _Pulse
    ) -> AsyncGenerator[tuple[RunEvent | None, Cursor], None]:
        """Iterate over the events of one connection, each with the cursor after it, until it ends or falls silent.

        Events that were handled before are yielded again with the cursor unchanged. None means that no event has
        arrived yet; it is the last value if the connection falls silent.
        """
        request = api.get_run_events._get_kwargs(run_id, run_id=run_id, since=position.number or api.UNSET, **flags)
        skip = position.handled
        frames = event_stream(
            self._connection, "get_run_events", request, silence=silence, run_id=run_id, next_look=lambda: pulse.left
        )
        async with aclosing(frames):
            async for frame in frames:
                if frame is None:
                    yield None, position
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

    async def _inferred_events(
        self, run_id: str, position: Cursor, include_results: bool, pulse: _Pulse
    ) -> AsyncGenerator[RunEvent | None, None]:
        """Iterate over events inferred from the state of the run and its steps; None as in `_streamed_events`."""
        first = position.number + (1 if position.handled else 0)
        observer = inference.Inference(include_results)
        timings = self._connection.timings
        outage = Backoff(timings.event_first_pause, timings.event_longest_pause)
        backoff = Backoff(timings.event_first_pause, timings.event_longest_pause, 1.5)
        began = time.monotonic()
        last_contact = began
        while True:
            steps: ListStepsResponse | None = None
            try:
                run = await self._runs.get_run(run_id)
                try:
                    steps = await self._runs.get_run_steps(run_id)
                except UnsupportedByServerError:
                    # 0.9 does not return the steps of a batch.
                    steps = None
                if not run.is_finished:
                    await self._waiter.check_recovery(run.run_id, began)
            except TRANSIENT_ERRORS as error:
                if not is_transient(error) or time.monotonic() - last_contact > timings.event_outage:
                    raise
                async for _ in pulse.during(outage.next()):
                    yield None
                continue
            last_contact = time.monotonic()
            outage.reset()
            for event in observer.look(run, steps):
                backoff.reset()
                if event.sequence_number >= first:
                    yield event
            if run.is_finished:
                return
            async for _ in pulse.during(backoff.next()):
                yield None


class _Pulse:
    """Tracks when the next heartbeat is due.

    Args:
        seconds: Seconds between heartbeats; infinite for no heartbeats.
        deadline: When a heartbeat is due at the latest, by `time.monotonic()`; infinite for no limit.
    """

    def __init__(self, seconds: float, deadline: float) -> None:
        self._seconds = seconds
        self._deadline = deadline
        self._last = time.monotonic()

    def beat(self) -> None:
        """Record an event or a heartbeat."""
        self._last = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the next heartbeat is due."""
        return min(self._last + self._seconds, self._deadline) - time.monotonic()

    async def during(self, seconds: float) -> AsyncGenerator[None, None]:
        """Sleep for some seconds; yield whenever a heartbeat is due, and at the end."""
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            await asyncio.sleep(min(remaining, max(self.left, 0.0)))
            yield


class _Contact:
    """Tracks when the server last responded, and how long to wait before the next request.

    Args:
        timings: The client's timings.
    """

    def __init__(self, timings: Timings) -> None:
        """Take the current time as that of the last response and event."""
        self._outage = timings.event_outage
        self._answered = self._last_event = time.monotonic()
        self._backoff = Backoff(timings.event_first_pause, timings.event_longest_pause)
        self._is_outage = False

    def has_event(self) -> None:
        """Record a new event."""
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
        return time.monotonic() - self._answered > self._outage

    @property
    def is_silent(self) -> bool:
        """Whether the server has sent no new event for too long."""
        return time.monotonic() - self._last_event > self._outage


def _broke_off(run_id: str, reason: str, position: Cursor) -> ServerConnectionError:
    return ServerConnectionError(
        f"the events of run {run_id} broke off: {reason}",
        run_id=run_id,
        details={"cursor": str(position)},
        hint="run_events(since=cursor) goes on behind the last one",
    )


def _inferred_end(run: RunDetails, position: Cursor) -> RunCompletedEvent:
    return events.RunCompletedEvent(
        run_id=run.run_id,
        status=run.status,
        sequence_number=position.number,
        timestamp=run.completed_at,
        cursor=str(position),
        inferred=True,
    )
