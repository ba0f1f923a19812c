# Written from _async/following.py by `make generate`. Change that file instead.

"""Follows a run until it ends, either by its events or (if the server doesn't stream any) by polling its state.

Only the follower decides whether a run has ended without an event to say so. Event streams, progress, `runs watch`, the
web pages, and waiting for a run its server has given up on are all built on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

from .._base.lazy import lazy_module
from .._base.logging import logger
from .._base.not_given import NotGiven
from .._codec import requests
from .._data.arguments import check_flag, check_seconds
from .._rules.releases import require_capability
from .._rules.retries import TRANSIENT_ERRORS, Backoff
from .._rules.run_progress import Cursor
from .._rules.timeouts import compute_deadline, current_deadline, deadline_scope, has_passed
from .._telemetry.tracing import annotate_operation
from ..errors import RequestTimeoutError, RunTimeoutError, TransportError
from ..types.statuses import is_given_up
from .event_stream import FollowRequest, Idle, StreamedRun, infer_run_end, sleep_with_idles

if TYPE_CHECKING:
    from .. import events
    from .._calls.call_options import EventOptions
    from .._codec.requests import RunId
    from .._rules.run_progress import StepTimes
    from ..events import RunEvent
    from ..types import RunDetails, StepDetails
    from .context import ClientContext
else:
    events = lazy_module("stepflow_client.events")


class IdleTimer:
    """Tracks when the next `Idle` is due.

    Args:
        interval: Seconds without an event after which one is due.
        until: When the caller stops following, on the `time.monotonic()` clock.
    """

    def __init__(self, interval: float = math.inf, until: float = math.inf) -> None:
        self._every = interval
        self.until = until
        self.restart()

    def restart(self) -> None:
        """Restart the timer after something was yielded."""
        self._last = time.monotonic()

    def seconds_left(self) -> float:
        """Return the number of seconds until the next `Idle`."""
        return min(self._last + self._every, self.until) - time.monotonic()


class Follower:
    """Follows runs."""

    def __init__(self, context: ClientContext) -> None:
        self._connection = context.connection
        self._runs = context.runs
        self._recorder = context.recorder

    def follow(self, request: FollowRequest) -> Generator[RunEvent | Idle, None, None]:
        """Yield a run's events until it has ended, with an `Idle` whenever there are none.

        Each event is yielded exactly once. The last is a `run_completed`, inferred if the server doesn't send one. If
        the server doesn't support event streams, it's also the only one.

        Raises:
            UnsupportedByServerError: If the caller needs an event stream but the server doesn't support them.
        """
        server = self._connection.detect_server()
        if request.needs_stream:
            require_capability(server, "events", "a stream of events")
        position = Cursor.parse(request.after, "s" if request.include_sub_runs else "e")
        if server.capabilities["events"]:
            followed = StreamedRun(self._connection, self._runs, request, position).follow()
        else:
            followed = self._poll_states(request, position)
        with closing(followed) as sequence:
            for update in sequence:
                yield update

    def _poll_states(self, request: FollowRequest, position: Cursor) -> Generator[RunEvent | Idle, None, None]:
        """Poll the run's state until it has ended, yielding each state and finally the inferred end."""
        timings = self._connection.timings
        outage = Backoff(timings.event_first_pause, timings.event_longest_pause)
        backoff = Backoff(timings.event_first_pause, timings.event_longest_pause, 1.5)
        while True:
            try:
                run = self._runs.get_run_without_steps(request.run_id)
                ending = self._runs.determine_ending(run)
            except TRANSIENT_ERRORS as error:
                if not error.is_retryable or outage.elapsed > timings.event_outage:
                    raise
                pause = outage.next_delay()
            else:
                outage.reset()
                if ending.is_finished:
                    yield infer_run_end(run, position)
                    return
                yield Idle(position, run)
                pause = backoff.next_delay()
            for idle in sleep_with_idles(pause, request, position):
                yield idle

    def follow_with_timer(self, request: FollowRequest, timer: IdleTimer) -> Generator[RunEvent | Idle, None, None]:
        """Yield a run's events until it has ended, with an `Idle` whenever its state is known or the timer is due.

        Raises:
            RunTimeoutError: If the run doesn't end in time.
        """
        until = None if timer.until == math.inf else timer.until
        late = RunTimeoutError(f"run {request.run_id} has not ended yet", run_id=request.run_id, hint="it continues")
        with closing(self.follow(request._replace(next_idle=timer.seconds_left))) as sequence:
            while True:
                try:
                    # Apply the deadline to requests as well, in case the server doesn't respond.
                    with deadline_scope(until):
                        update = next(sequence)
                except StopIteration:
                    return
                except TransportError as error:
                    if not has_passed(until):
                        raise
                    raise late from error
                if has_passed(until):
                    raise late
                if not isinstance(update, Idle) or timer.seconds_left() <= 0:
                    yield update
                    if isinstance(update, Idle) or request.is_wanted(update):
                        timer.restart()
                elif update.run is not None:
                    yield update

    def follow_given_up_run(self, run: RunDetails) -> RunDetails | None:
        """Follow a run that its server has given up on, and return its state once it has ended or is lost.

        Returns:
            None if the run may still be executing at the caller's deadline.
        """
        timer = IdleTimer(until=current_deadline() or math.inf)
        logger.info("run %s is marked as failed while its items are running; following it", run.run_id)
        with suppress(RunTimeoutError):
            with closing(self.follow_with_timer(FollowRequest(run.run_id), timer)) as sequence:
                for update in sequence:
                    if not isinstance(update, Idle) and update.type == "run_completed":
                        now = self._runs.get_run_without_steps(run.run_id)
                        is_settled = update.inferred or not is_given_up(now.status, now.items.running)
                        return now if now.is_finished and is_settled else None
        return None

    def run_events(self, run_id: RunId, **options: Unpack[EventOptions]) -> Generator[RunEvent, None, None]:
        """Iterate over a run's events, from the beginning or from a cursor, until the run ends."""
        run_id = requests.check_run_id(run_id)
        after, include_sub_runs = options.get("after"), options.get("include_sub_runs", False)
        Cursor.parse(after, "s" if include_sub_runs else "e")
        include_results = check_flag(options.get("include_results", False), "include_results")
        flags = include_results, check_flag(include_sub_runs, "include_sub_runs")
        types = options.get("event_types")
        event_types = None if types is None else events.check_event_types(types)
        heartbeat, until = options.get("heartbeat"), compute_deadline(options.get("timeout")) or math.inf
        seconds = math.inf if heartbeat is None else check_seconds(heartbeat, "heartbeat")
        request = FollowRequest(run_id, after, *flags, needs_stream=True, event_types=event_types)
        return self._iterate_events(request, IdleTimer(seconds, until))

    def _iterate_events(self, request: FollowRequest, timer: IdleTimer) -> Generator[RunEvent, None, None]:
        with closing(self.follow_with_timer(request, timer)) as followed:
            for update in followed:
                if not isinstance(update, Idle):
                    if update.type == "run_completed" and update.run_id == request.run_id:
                        annotate_operation(run_status=update.status.value)
                        self._recorder.record_end(update.run_id, update.status)
                    if request.is_wanted(update):
                        yield update
                elif timer.seconds_left() <= 0:
                    yield events.HeartbeatEvent(
                        run_id=request.run_id,
                        sequence_number=update.position.number,
                        timestamp=datetime.now(UTC),
                        cursor=str(update.position),
                        inferred=True,
                    )

    def read_step_times(
        self, run_id: str, steps: Sequence[StepDetails], timeout: float | NotGiven | None = None
    ) -> StepTimes:
        """Return the times of steps that the server has just listed. Empty if it doesn't support event streams.

        Servers don't mark a running run's latest event, so reading stops once there are events for everything listed,
        or when the events pause.

        Args:
            run_id: The run.
            steps: The steps.
            timeout: Seconds to spend reading all events, or None for no limit.

        Raises:
            RequestTimeoutError: If the timeout expires.
        """
        from .._rules.run_progress import StepTimes

        times = StepTimes(run_id, steps)
        deadline = compute_deadline(timeout)
        with deadline_scope(deadline):
            if not steps or not (self._connection.detect_server()).capabilities["events"]:
                return times
            limit = math.inf if deadline is None else deadline
            request = FollowRequest(run_id, next_idle=lambda: limit - time.monotonic())
            with closing(self.follow(request)) as sequence:
                for update in sequence:
                    if has_passed(deadline):
                        raise RequestTimeoutError(f"timed out waiting for events of run {run_id}", run_id=run_id)
                    if isinstance(update, Idle):
                        if update.run is not None:
                            break
                        continue
                    times.add_event(update)
                    if times.is_after_listed_steps(update):
                        break
        return times
