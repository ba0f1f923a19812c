# Written from _async/events.py by `make generate`. Change that file instead.

"""The events of a run, as they happen."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .. import _operations as api
from .. import _requests
from .._cursor import Cursor
from .._lazy import lazy_module
from .._logging import logger
from ..errors import (
    InvalidResponseError,
    RateLimitError,
    ServerConnectionError,
    ServerFaultError,
    TransportError,
    UnsupportedByServerError,
)
from .waiting import Waiting

if TYPE_CHECKING:
    from .. import _inference, _wire, events
    from ..events import RunCompletedEvent, RunEvent
    from ..types import ListStepsResponse, RunDetails
else:
    _inference = lazy_module("stepflow_client._inference")
    events = lazy_module("stepflow_client.events")
    _wire = lazy_module("stepflow_client._wire")

__all__ = ["Events"]


_SILENCE = 10.0
"""Seconds without a byte after which the run itself is looked at: a cancelled run sends no event and a dead connection
says nothing. Servers send a sign of life only after 15."""
_OUTAGE = 60.0
"""Seconds without a connection after which we give up."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_UNTOLD = ("cancelled", "recovery_failed")
"""How a run may end without an event."""


class Events(Waiting):
    """The part of the client that follows runs."""

    def run_events(
        self,
        run_id: str | UUID,
        *,
        since: str | int | None = None,
        include_results: bool = False,
        include_sub_runs: bool = False,
    ) -> Generator[RunEvent, None, None]:
        """Go through the events of a run, from its beginning or a cursor on, until it ends.

        Each event comes exactly once and in order, though the connection may break in between: the client connects
        again by itself. The last event is a `RunCompletedEvent`. For a run that was cancelled the server sends none,
        so it is inferred when nothing has come for 10 s.

        Servers before 0.12 have no stream of events; there the client looks at the run again and again and infers
        what happened (`event.inferred`). From 0.10 to 0.11 steps show only when the run has ended, on 0.9 those of
        batches not at all.

        Example:
            for event in client.run_events(run_id):
                print(event.type, event.timestamp)

        Who leaves the loop early closes the stream at once with `contextlib.closing(client.run_events(...))`.

        Args:
            run_id: The run.
            since: The `cursor` of the last event that was handled, or a sequence number to begin with.
            include_results: Whether `StepCompletedEvent.output` is filled.
            include_sub_runs: Whether events of runs that steps created come too. Their step ids are not reliable
                (0.12 and 0.13 give the parent's, or none): `get_run_steps` of the sub-run tells them.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If `since` is not a cursor of such events.
            ServerConnectionError: If the server cannot be reached for a minute.
            UnsupportedByServerError: If the run will not end: its server was started again and resumes none (0.9).
        """
        run_id = _requests.check_run_id(run_id)
        server = self._connection.server()
        if server.capabilities["events"]:
            found = self._told_events(run_id, since, include_results, include_sub_runs)
        else:
            found = self._inferred_events(run_id, since, include_results)
        with closing(found) as events_of_run:
            for event in events_of_run:
                yield event

    def _told_events(
        self, run_id: str, since: str | int | None, include_results: bool, include_sub_runs: bool
    ) -> Generator[RunEvent, None, None]:
        """Go through the events that the server tells, over as many connections as it takes."""
        position = begin = Cursor.parse(since, "s" if include_sub_runs else "e")
        flags = {
            "include_results": True if include_results else api.UNSET,
            "include_sub_runs": True if include_sub_runs else api.UNSET,
        }
        contact, was_final = _Contact(), False
        while True:
            before = position
            try:
                with closing(self._stream(run_id, position, flags)) as stream:
                    for event, place in stream:
                        if place != position:
                            position = place
                            yield event
                        # Not before: whoever handles an event may take long.
                        contact.has_event()
                        if event.type == "run_completed" and event.run_id == run_id:
                            return
                run = self._state(run_id)
            except (TransportError, ServerFaultError, RateLimitError) as error:
                if isinstance(error, InvalidResponseError) or self._connection.closed:
                    raise
                if contact.is_lost:
                    raise _broke_off(run_id, error.message, position) from error
                time.sleep(contact.fails(f"the events of run {run_id} broke off: {error.message}"))
                continue
            contact.has_answer()
            brought_nothing = position == before
            if run.is_finished and was_final and brought_nothing:
                # Nobody tells of the end of a cancelled run, nor of what is beyond it.
                if run.status in _UNTOLD or (isinstance(since, int) and position == begin):
                    yield _inferred_end(run, position)
                    return
                if contact.is_silent:
                    raise _broke_off(run_id, "they end before the run does", position)
            if brought_nothing and run.is_finished == was_final:
                # A connection that ends without bringing anything is not made again at once.
                time.sleep(contact.next_pause())
            was_final = run.is_finished
            logger.info("the events of run %s ended without its end; asked for again", run_id)

    def _stream(
        self, run_id: str, position: Cursor, flags: dict[str, Any]
    ) -> Generator[tuple[RunEvent, Cursor], None, None]:
        """Give the events of one connection with the cursor behind each; end when it ends or falls silent.

        Events that were handled before come again with the cursor unchanged.
        """
        request = api.get_run_events._get_kwargs(run_id, run_id=run_id, since=position.number or api.UNSET, **flags)
        skip = position.handled
        frames = self._connection.stream("get_run_events", request, silence=_SILENCE, run_id=run_id)
        with closing(frames):
            for frame in frames:
                number = _wire.build(_sequence_number, frame, "an event")
                if number == position.number and skip > 0:
                    skip -= 1
                else:
                    skip = 0
                    position = position.after(number)
                read = partial(
                    events.read_event, run_id, cursor=str(position), reading=self._connection.reading(run_id)
                )
                yield _wire.build(read, frame, "an event"), position

    def _inferred_events(
        self, run_id: str, since: str | int | None, include_results: bool
    ) -> Generator[RunEvent, None, None]:
        """Go through what must have happened, as far as the run itself shows it."""
        position = Cursor.parse(since, "i")
        first = position.number + (1 if position.handled else 0)
        inference = _inference.Inference(include_results)
        pause, last_contact = _FIRST_PAUSE, time.monotonic()
        checked: float | None = None
        while True:
            steps: ListStepsResponse | None = None
            try:
                run = self.get_run(run_id)
                try:
                    steps = self.get_run_steps(run_id)
                except UnsupportedByServerError:
                    # 0.9 does not tell the steps of a batch.
                    steps = None
                if not run.is_finished:
                    checked = self._check_recovery(run, checked)
            except (TransportError, ServerFaultError, RateLimitError) as error:
                if isinstance(error, InvalidResponseError) or time.monotonic() - last_contact > _OUTAGE:
                    raise
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            last_contact = time.monotonic()
            for event in inference.look(run, steps):
                pause = _FIRST_PAUSE
                if event.sequence_number >= first:
                    yield event
            if run.is_finished:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)


def _sequence_number(frame: dict[str, Any]) -> int:
    number = frame["sequenceNumber"]
    if type(number) is not int or number < 0:
        raise TypeError(f"sequenceNumber is {number!r}")
    return number


class _Contact:
    """When a server was heard last, and how long to wait before it is asked again."""

    def __init__(self) -> None:
        """Begin now."""
        self._answered = self._told = time.monotonic()
        self._pause = _FIRST_PAUSE
        self._is_outage = False

    def has_event(self) -> None:
        """Note an event."""
        self.has_answer()
        self._told, self._pause = self._answered, _FIRST_PAUSE

    def has_answer(self) -> None:
        """Note that the server is there."""
        self._answered, self._is_outage = time.monotonic(), False

    def fails(self, words: str) -> float:
        """Note that the server is not there, and give the seconds to wait.

        Args:
            words: What is logged: the first time in an outage people want to know why nothing comes.
        """
        logger.log(logging.INFO if self._is_outage else logging.WARNING, "%s; asking again", words)
        self._is_outage = True
        return self.next_pause()

    def next_pause(self) -> float:
        """Give the seconds to wait; it is longer each time."""
        pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
        return pause

    @property
    def is_lost(self) -> bool:
        """Whether the server has been away for too long."""
        return time.monotonic() - self._answered > _OUTAGE

    @property
    def is_silent(self) -> bool:
        """Whether it has been there, and told nothing, for too long."""
        return time.monotonic() - self._told > _OUTAGE


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
