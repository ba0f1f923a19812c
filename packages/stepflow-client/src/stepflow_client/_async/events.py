"""The events of a run, as callers read them: with heartbeats."""

from __future__ import annotations

import math
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
from .following import Follower
from .following_state import FollowRequest, Idle, Timer

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

    def run_events(self, run_id: RunId, **options: Unpack[EventOptions]) -> AsyncGenerator[RunEvent, None]:
        """Return an iterator over the events of a run, from its beginning or from a cursor, until the run ends."""
        run_id = requests.check_run_id(run_id)
        after, include_sub_runs = options.get("after"), options.get("include_sub_runs", False)
        Cursor.parse(after, "s" if include_sub_runs else "e")
        include_results = check_flag(options.get("include_results", False), "include_results")
        flags = include_results, check_flag(include_sub_runs, "include_sub_runs")
        types = options.get("event_types")
        wanted = None if types is None else events.check_event_types(types)
        heartbeat, until = options.get("heartbeat"), deadline_of(options.get("timeout")) or math.inf
        seconds = math.inf if heartbeat is None else check_seconds(heartbeat, "heartbeat")
        return self._events(
            FollowRequest(run_id, after, *flags, needs_stream=True, wanted=wanted), Timer(seconds, until)
        )

    async def _events(self, request: FollowRequest, timer: Timer) -> AsyncGenerator[RunEvent, None]:
        async with aclosing(self._follower.timed(request, timer)) as followed:
            async for seen in followed:
                if not isinstance(seen, Idle):
                    if seen.type == "run_completed" and seen.run_id == request.run_id:
                        annotate(run_status=seen.status.value)
                        self._recorder.ended(seen.run_id, seen.status)
                    if request.wants(seen):
                        yield seen
                elif timer.left() <= 0:
                    yield _heartbeat(request.run_id, seen.position)


def _heartbeat(run_id: str, position: Cursor) -> RunEvent:
    return events.HeartbeatEvent(
        run_id=run_id,
        sequence_number=position.number,
        timestamp=datetime.now(UTC),
        cursor=str(position),
        inferred=True,
    )
