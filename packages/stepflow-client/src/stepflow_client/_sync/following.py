# Written from _async/following.py by `make generate`. Change that file instead.

"""Following a run until it has ended: by its events or, on servers without a stream of events, by polling.

Nothing else decides whether a run has ended although no event says so: events, progress, waiting for a run that its
server has given up, `runs watch` and the pages all read what the follower yields.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from .._base.logging import logger
from .._codec import responses, run_states
from .._rules import inference
from .._rules.cursor import Cursor
from .._rules.deadline import current_deadline
from .._rules.ending import is_given_up
from .._rules.request_retries import TRANSIENT_ERRORS, Backoff
from ..errors import UnsupportedByServerError
from .connection import Connection
from .following_state import Asked, Look, Tick, look, ticks
from .following_stream import StreamedRun
from .recovery import RecoveryCheck
from .runs import RunReader

if TYPE_CHECKING:
    from ..events import RunEvent
    from ..types import ListStepsResponse


class Follower:
    """Follows runs."""

    def __init__(self, connection: Connection, runs: RunReader, recovery: RecoveryCheck) -> None:
        self._connection = connection
        self._runs = runs
        self._recovery = recovery

    def follow(self, asked: Asked) -> Generator[RunEvent | Tick, None, None]:
        """Yield the events of a run until it has ended, and ticks while there are none.

        Each event is yielded exactly once. The last one is a `run_completed`, which is inferred if the server sends
        none.
        """
        server = self._connection.server()
        if server.capabilities["events"]:
            position = Cursor.parse(asked.after, "s" if asked.include_sub_runs else "e")
            found = StreamedRun(self._connection, self._runs, asked, position).follow()
        else:
            found = self._inferred(asked, Cursor.parse(asked.after, "i"))
        with closing(found) as sequence:
            for seen in sequence:
                yield seen

    def settled(self, run: run_states.RunState) -> run_states.RunState | None:
        """Follow a run that its server has given up, and return its state once it has ended or is lost.

        Returns:
            None if the run may still be executed at the caller's deadline.
        """
        deadline = current_deadline()
        limit = math.inf if deadline is None else deadline
        asked = Asked(run.run_id, next_tick=lambda: limit - time.monotonic())
        logger.info("run %s is marked as failed while its items are running; following it", run.run_id)
        with closing(self.follow(asked)) as sequence:
            for seen in sequence:
                if not isinstance(seen, Tick) and seen.type == "run_completed":
                    now = self._runs.current_state(run.run_id)
                    is_settled = seen.inferred or not is_given_up(now.status, now.running)
                    return now if now.is_finished and is_settled else None
                if time.monotonic() >= limit:
                    break
        return None

    def _inferred(self, asked: Asked, position: Cursor) -> Generator[RunEvent | Tick, None, None]:
        """Yield events inferred from the state of the run and its steps."""
        first = position.number + (1 if position.handled else 0)
        observer = inference.Inference(asked.include_results)
        timings = self._connection.timings
        outage = Backoff(timings.event_first_pause, timings.event_longest_pause)
        backoff = Backoff(timings.event_first_pause, timings.event_longest_pause, 1.5)
        last_contact = began = time.monotonic()
        while True:
            try:
                found, steps = self._look_with_steps(asked.run_id, began)
            except TRANSIENT_ERRORS as error:
                if not error.is_retryable or time.monotonic() - last_contact > timings.event_outage:
                    raise
                for tick in ticks(outage.next(), asked, position):
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
            for tick in ticks(backoff.next(), asked, position):
                yield tick

    def _look_with_steps(self, run_id: str, began: float) -> tuple[Look, ListStepsResponse | None]:
        found = look(self._runs, run_id, None)
        try:
            steps = self._runs.get_run_steps(run_id)
        except UnsupportedByServerError:
            # 0.9 does not return the steps of a batch.
            steps = None
        if not found.run.is_finished:
            self._recovery.check(run_id, began)
        return found, steps
