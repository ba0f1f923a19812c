"""The events of a run, as callers read them: with heartbeats."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

from .._base.lazy import lazy_module
from .._codec import requests
from .._data.arguments import check_flag, check_seconds
from .._rules.cursor import Cursor
from .._rules.deadline import deadline_of
from .._telemetry.tracing import annotate
from ..errors import RunTimeoutError
from .following import Follower
from .following_state import Asked, Tick

if TYPE_CHECKING:
    from .. import events
    from .._calls.run_options import EventOptions
    from .._codec.requests import RunId
    from .._telemetry.recorder import Recorder
    from ..events import RunEvent
else:
    events = lazy_module("stepflow_client.events")


class EventSource:
    """Reads the events of runs."""

    def __init__(self, follower: Follower, recorder: Recorder) -> None:
        self._follower = follower
        self._recorder = recorder

    def run_events(
        self,
        run_id: RunId,
        deadline: float | None = None,
        *,
        needs_stream: bool = True,
        **options: Unpack[EventOptions],
    ) -> AsyncGenerator[RunEvent, None]:
        """Return an iterator over the events of a run, from its beginning or from a cursor, until the run ends.

        When the deadline, by `time.monotonic()`, has passed, a heartbeat is due immediately. Without `needs_stream`,
        runs of a server without a stream of events are polled: the only event is their end.
        """
        run_id = requests.check_run_id(run_id)
        after, include_sub_runs = options.get("after"), options.get("include_sub_runs", False)
        Cursor.parse(after, "s" if include_sub_runs else "e")
        include_results = check_flag(options.get("include_results", False), "include_results")
        flags = include_results, check_flag(include_sub_runs, "include_sub_runs")
        heartbeat, until = options.get("heartbeat"), deadline_of(options.get("timeout")) or math.inf
        seconds = math.inf if heartbeat is None else check_seconds(heartbeat, "heartbeat")
        timer = _HeartbeatTimer(seconds, min(until, math.inf if deadline is None else deadline))
        return self._events(Asked(run_id, after, *flags, needs_stream, timer.left), timer, until)

    async def _events(self, asked: Asked, timer: _HeartbeatTimer, until: float) -> AsyncGenerator[RunEvent, None]:
        async with aclosing(self._follower.follow(asked)) as followed:
            async for seen in followed:
                if time.monotonic() >= until:
                    raise RunTimeoutError(f"run {asked.run_id} did not end in time; it continues", run_id=asked.run_id)
                if not isinstance(seen, Tick):
                    if seen.type == "run_completed" and seen.run_id == asked.run_id:
                        annotate(run_status=seen.status.value)
                        self._recorder.ended(seen.run_id, seen.status)
                    yield seen
                elif timer.left() <= 0:
                    yield _heartbeat(asked.run_id, seen.position)
                else:
                    continue
                timer.restart()


class _HeartbeatTimer:
    """Tracks when the next heartbeat is due.

    Args:
        seconds: Seconds between heartbeats; infinite for no heartbeats.
        deadline: When a heartbeat is due at the latest, by `time.monotonic()`; infinite for no limit.
    """

    def __init__(self, seconds: float, deadline: float) -> None:
        self._seconds = seconds
        self._deadline = deadline
        self._last = time.monotonic()

    def restart(self) -> None:
        """Start again, after an event or a heartbeat."""
        self._last = time.monotonic()

    def left(self) -> float:
        """Return the seconds until the next heartbeat is due."""
        return min(self._last + self._seconds, self._deadline) - time.monotonic()


def _heartbeat(run_id: str, position: Cursor) -> RunEvent:
    return events.HeartbeatEvent(
        run_id=run_id,
        sequence_number=position.number,
        timestamp=datetime.now(UTC),
        cursor=str(position),
        inferred=True,
    )
