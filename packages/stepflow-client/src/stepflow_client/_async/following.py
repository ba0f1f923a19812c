"""Follows a run until it ends, either by its events or (if the server doesn't stream any) by polling its state.

This is the only place that can decide that a run has ended when no event says so. It's used by event streams, progress,
`runs watch`, the web pages, and the code that waits for a run after its server has given up on it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from .. import errors
from .._base.lazy import lazy_module
from .._base.logging import logger
from .._base.not_given import NotGiven
from .._codec import call_checks, responses
from .._data.arguments import check_flag, check_seconds
from .._http.http1_format import MIN_TIMEOUT, EventDecoder, HttpError, HttpRequest
from .._rules import operations_and_releases as api
from .._rules.deadlines import compute_deadline, current_deadline, deadline_scope, has_passed
from .._rules.operations_and_releases import OperationRequest, require_capability
from .._rules.retries import TRANSIENT_ERRORS, Backoff
from .._rules.run_progress import Cursor, StepTimes
from .._rules.transport_errors import convert_error
from .._telemetry.tracing import annotate_operation
from ..types.statuses import ExecutionStatus, RunEnding, is_given_up_by_server
from .connection import Connection
from .run_reader import RunReader
from .transport.base import Stream

if TYPE_CHECKING:
    from .. import events
    from .._calls.method_options import EventOptions
    from .._codec.call_checks import RunId
    from ..events import RunCompletedEvent, RunEvent
    from ..types import RunDetails, StepDetails
    from .client_context import ClientContext
else:
    events = lazy_module("stepflow_client.events")

_EVENT_STREAM_TYPE = "text/event-stream"
# Maximum number of bytes to read from a response that isn't an event stream.
_MAX_ERROR_BYTES = 64 * 1024


class IdleTimer:
    """Tracks when the next `IdleSignal` is due.

    Args:
        interval: Number of seconds without an event after which a signal is due.
        until: The time at which the caller stops following, on the `time.monotonic()` clock.
    """

    def __init__(self, interval: float = math.inf, until: float = math.inf) -> None:
        self._interval = interval
        self.until = until
        self.restart()

    def restart(self) -> None:
        """Restart the timer after yielding something."""
        self._last_update_at = time.monotonic()

    def seconds_left(self) -> float:
        """Return the number of seconds until the next `IdleSignal`."""
        return min(self._last_update_at + self._interval, self.until) - time.monotonic()

    async def sleep_with_idle_signals(self, seconds: float, position: Cursor) -> AsyncGenerator[IdleSignal, None]:
        """Sleep for `seconds`, yielding an `IdleSignal` at the end and whenever one is due."""
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            await asyncio.sleep(min(remaining, max(self.seconds_left(), 0.0)))
            yield IdleSignal(position)


class FollowRequest(NamedTuple):
    """The run to follow, and the options for its stream."""

    run_id: str
    after: str | int | None = None
    """Where to continue: the cursor of the last event handled, or a sequence number. None yields all events."""
    include_results: bool = False
    include_sub_runs: bool = False
    needs_stream: bool = False
    """Whether to fail instead of polling the run if the server doesn't support event streams."""
    timer: IdleTimer = IdleTimer()
    """When the next `IdleSignal` is due, unless an event arrives first."""
    event_types: frozenset[str] | None = None
    """The event types the caller wants, or None for all."""

    def wants_event(self, event: RunEvent) -> bool:
        """Return whether the caller wants an event."""
        return self.event_types is None or event.type in self.event_types


class IdleSignal(NamedTuple):
    """Signals that no event has arrived for a while."""

    position: Cursor
    """The position after the last event."""
    run: RunDetails | None = None
    """The run's state, if it was just requested and the run hasn't ended. All past events have been yielded by then."""


class Follower:
    """Follows runs."""

    def __init__(self, context: ClientContext) -> None:
        self._connection = context.connection
        self._runs = context.runs
        self._recorder = context.recorder

    async def follow(self, request: FollowRequest) -> AsyncGenerator[RunEvent | IdleSignal, None]:
        """Yield a run's events until it has ended, plus an `IdleSignal` whenever no event has arrived for a while.

        Each event is yielded exactly once. The last event is always a `run_completed`. If the server doesn't send that
        event, it's inferred. If the server doesn't support event streams, it's the only one.

        Raises:
            UnsupportedByServerError: If the caller requires an event stream but the server doesn't support them.
        """
        server = await self._connection.detect_server()
        if request.needs_stream:
            require_capability(server, "events", "a stream of events")
        position = Cursor.parse(request.after, "s" if request.include_sub_runs else "e")
        if server.capabilities["events"]:
            followed = EventStreamReader(self._connection, self._runs, request, position).read_until_run_ends()
        else:
            followed = self._poll_run(request, position)
        async with aclosing(followed) as sequence:
            async for update in sequence:
                yield update

    async def _poll_run(self, request: FollowRequest, position: Cursor) -> AsyncGenerator[RunEvent | IdleSignal, None]:
        """Poll the run's state until it has ended, yielding each state and then the inferred end event."""
        timings = self._connection.timings
        outage = Backoff(timings.event_first_pause, timings.event_longest_pause)
        backoff = Backoff(timings.event_first_pause, timings.event_longest_pause, 1.5)
        while True:
            try:
                run = await self._runs.get_run_without_steps(request.run_id)
                ending = await self._runs.determine_ending(run)
            except TRANSIENT_ERRORS as error:
                if not error.is_retryable or outage.elapsed > timings.event_outage:
                    raise
                pause = outage.next_delay()
            else:
                outage.reset()
                if ending.is_finished:
                    yield make_inferred_end_event(run, position)
                    return
                yield IdleSignal(position, run)
                pause = backoff.next_delay()
            async for idle in request.timer.sleep_with_idle_signals(pause, position):
                yield idle

    async def follow_until_deadline(self, request: FollowRequest) -> AsyncGenerator[RunEvent | IdleSignal, None]:
        """Yield a run's events until it has ended, plus an `IdleSignal` after each state request or when one is due.

        Raises:
            RunTimeoutError: If the run doesn't end in time.
        """
        timer = request.timer
        until = None if timer.until == math.inf else timer.until
        message = f"run {request.run_id} has not ended yet"
        late = errors.RunTimeoutError(message, run_id=request.run_id, hint="it continues")
        async with aclosing(self.follow(request)) as sequence:
            while True:
                try:
                    # Apply the deadline to requests as well, in case the server doesn't respond.
                    with deadline_scope(until):
                        update = await anext(sequence)
                except StopAsyncIteration:
                    return
                except errors.TransportError as error:
                    if not has_passed(until):
                        raise
                    raise late from error
                if has_passed(until):
                    raise late
                if not isinstance(update, IdleSignal) or timer.seconds_left() <= 0:
                    yield update
                    if isinstance(update, IdleSignal) or request.wants_event(update):
                        timer.restart()
                elif update.run is not None:
                    yield update

    async def wait_for_end_of_given_up_run(self, run: RunDetails) -> RunDetails | None:
        """Follow a run that its server has given up on. Return its state once it has ended or been lost.

        Returns:
            The run's state, or None if the run may still be executing at the caller's deadline.
        """
        request = FollowRequest(run.run_id, timer=IdleTimer(until=current_deadline() or math.inf))
        logger.info("run %s is marked as failed while its items are running; following it", run.run_id)
        with suppress(errors.RunTimeoutError):
            async with aclosing(self.follow_until_deadline(request)) as sequence:
                async for update in sequence:
                    if not isinstance(update, IdleSignal) and update.type == "run_completed":
                        now = await self._runs.get_run_without_steps(run.run_id)
                        is_settled = update.inferred or not is_given_up_by_server(now.status, now.items.running)
                        return now if now.is_finished and is_settled else None
        return None

    def run_events(self, run_id: RunId, **options: Unpack[EventOptions]) -> AsyncGenerator[RunEvent, None]:
        """Iterate over a run's events, from the beginning or from a cursor, until the run ends."""
        run_id = call_checks.check_run_id(run_id)
        after, include_sub_runs = options.get("after"), options.get("include_sub_runs", False)
        Cursor.parse(after, "s" if include_sub_runs else "e")
        include_results = check_flag(options.get("include_results", False), "include_results")
        flags = include_results, check_flag(include_sub_runs, "include_sub_runs")
        types = options.get("event_types")
        event_types = None if types is None else events.check_event_types(types)
        heartbeat, until = options.get("heartbeat"), compute_deadline(options.get("timeout")) or math.inf
        seconds = math.inf if heartbeat is None else check_seconds(heartbeat, "heartbeat")
        timer = IdleTimer(seconds, until)
        request = FollowRequest(run_id, after, *flags, needs_stream=True, timer=timer, event_types=event_types)
        return self._iter_requested_events(request)

    async def _iter_requested_events(self, request: FollowRequest) -> AsyncGenerator[RunEvent, None]:
        async with aclosing(self.follow_until_deadline(request)) as followed:
            async for update in followed:
                if not isinstance(update, IdleSignal):
                    if update.type == "run_completed" and update.run_id == request.run_id:
                        annotate_operation(run_status=update.status.value)
                        self._recorder.record_end(update.run_id, update.status)
                    if request.wants_event(update):
                        yield update
                elif request.timer.seconds_left() <= 0:
                    yield events.HeartbeatEvent(
                        run_id=request.run_id,
                        sequence_number=update.position.number,
                        timestamp=datetime.now(UTC),
                        cursor=str(update.position),
                        inferred=True,
                    )

    async def read_step_times_from_events(
        self, run_id: str, steps: Sequence[StepDetails], timeout: float | NotGiven | None = None
    ) -> StepTimes:
        """Return the times of steps that the server just listed (empty if it doesn't support event streams).

        Servers don't say which event of a running run is the latest, so this stops reading once every step has an event
        or when no event has arrived for a while.

        Args:
            run_id: The run.
            steps: The steps.
            timeout: Maximum number of seconds to spend reading events, or None for no limit.

        Raises:
            RequestTimeoutError: If the timeout expires.
        """
        times = StepTimes(run_id, steps)
        deadline = compute_deadline(timeout)
        with deadline_scope(deadline):
            if not steps or not (await self._connection.detect_server()).capabilities["events"]:
                return times
            request = FollowRequest(run_id, timer=IdleTimer(until=deadline or math.inf))
            async with aclosing(self.follow(request)) as sequence:
                async for update in sequence:
                    if has_passed(deadline):
                        message = f"timed out waiting for events of run {run_id}"
                        raise errors.RequestTimeoutError(message, run_id=run_id)
                    if isinstance(update, IdleSignal):
                        if update.run is not None:
                            break
                        continue
                    times.add_event(update)
                    if times.is_newer_than_listed_steps(update):
                        break
        return times


class _RequestedState(NamedTuple):
    """A run's state at the time it was requested."""

    run: RunDetails
    ending: RunEnding

    @property
    def expects_end_event(self) -> bool:
        """Whether servers send an event when a run ends in this state."""
        statuses = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED)
        return self.ending is RunEnding.ENDED and self.run.status in statuses


class EventStreamReader:
    """Reads a run's events, reconnecting as often as necessary.

    Args:
        connection: The connection.
        runs: Reads runs.
        request: The run to follow, and the options for its stream.
        position: The position to start from.
    """

    def __init__(self, connection: Connection, runs: RunReader, request: FollowRequest, position: Cursor) -> None:
        self._connection = connection
        self._timings = timings = connection.timings
        self._runs = runs
        self._request = request
        self._start_position = self._position = position
        self._last_time: datetime | None = None
        """The last event's time, by the server's clock."""
        self._last_event = time.monotonic()
        """When the last new event arrived."""
        self._backoff = Backoff(timings.event_first_pause, timings.event_longest_pause)
        self._failures = 0
        """The number of times that the stream has failed since the server last responded."""
        self._ended: _RequestedState | None = None
        """The run's final state, if it had already ended before the stream was opened."""
        self._state: _RequestedState | None = None
        """The state from our last poll while streaming, or None if an event has arrived since then."""
        self._is_silent = False
        """Whether nothing has arrived since this stream's last event."""
        self._has_event = False
        """Whether this stream has delivered any events, including events that we had already seen."""
        self._has_read_state = False
        """Whether the run's state has been requested alongside this stream."""
        self._quiet_since = self._last_event
        self._is_over = False
        """Whether the server has sent the run's end event, even if we had already seen it."""

    async def read_until_run_ends(self) -> AsyncGenerator[RunEvent | IdleSignal, None]:
        """Yield events until the run has ended, plus an `IdleSignal` whenever no event has arrived for a while."""
        run_id = self._request.run_id
        while True:
            before = self._position
            try:
                async with aclosing(self._read_until_disconnected()) as stream:
                    async for update in stream:
                        yield update
                if self._is_over:
                    return
                state = self._state or await self._request_run_state()
            except TRANSIENT_ERRORS as error:
                if not error.is_retryable or self._connection.dialect.closed:
                    raise
                self._failures += 1
                if self._failures == 1:
                    self._backoff.deadline = time.monotonic() + self._timings.event_outage
                if self._backoff.is_past_deadline:
                    raise _make_broken_stream_error(run_id, error.message, self._position) from error
                # Warn once per outage to explain why no events are arriving.
                log = logger.warning if self._failures == 1 else logger.info
                log("the event stream of run %s broke: %s; reconnecting", run_id, error.message)
                async for idle in self._request.timer.sleep_with_idle_signals(
                    self._backoff.next_delay(), self._position
                ):
                    yield idle
                continue
            self._reset_failures()
            has_new_events, has_ended = self._position != before, state.ending.is_finished
            if not has_new_events and has_ended and self._ended is not None and self._has_all_events(state):
                yield make_inferred_end_event(state.run, self._position)
                return
            if self._is_silent and self._has_event and not has_ended:
                yield IdleSignal(self._position, state.run)
            if not has_new_events and has_ended == (self._ended is not None) and not self._is_silent:
                # If a connection delivered no new events, back off instead of reconnecting immediately.
                async for idle in self._request.timer.sleep_with_idle_signals(
                    self._backoff.next_delay(), self._position
                ):
                    yield idle
            self._ended = state if has_ended else None
            logger.info("the event stream of run %s ended before the run; reconnecting", run_id)

    def _has_all_events(self, state: _RequestedState) -> bool:
        """Return whether all of a finished run's events have been yielded. Called when a stream has no new events.

        Raises:
            ServerConnectionError: If the stream has repeatedly ended before the run did.
        """
        # If the server repeated the last event or sent nothing for a while, there are no more events. An empty stream
        # that closes immediately doesn't prove anything.
        beyond = isinstance(self._request.after, int) and self._position == self._start_position
        if self._is_silent or self._has_event or beyond or not state.expects_end_event:
            return True
        if time.monotonic() - self._last_event > self._timings.event_outage:
            raise _make_broken_stream_error(self._request.run_id, "it ended before the run", self._position)
        return False

    async def _read_until_disconnected(self) -> AsyncGenerator[RunEvent | IdleSignal, None]:
        """Yield the new events from one connection, requesting the run's state separately while the stream is silent.

        Stop when the stream ends, after the run's end event, or when the state shows that the run has ended.
        """
        request, run_id, before = self._request, self._request.run_id, self._position
        self._state, self._is_silent, self._has_event, self._has_read_state = None, False, False, False
        self._quiet_since = time.monotonic()
        silence = self._timings.event_silence if self._ended is None else self._timings.event_silence_after_end
        skip = self._position.handled
        frames = read_event_stream(
            self._connection,
            api.get_run_events(
                run_id,
                since=self._position.number or None,
                include_results=request.include_results or None,
                include_sub_runs=request.include_sub_runs or None,
            ),
            silence,
            lambda: min(self._get_delay_before_state_request(), request.timer.seconds_left()),
        )
        async with aclosing(frames):
            async for frame in frames:
                if frame is not None:
                    number = responses.build_from_response(events.read_sequence_number, frame, "an event")
                    is_repeated = number == self._position.number and skip > 0
                    skip = skip - 1 if is_repeated else 0
                    position = self._position if is_repeated else self._position.get_cursor_after(number)
                    decoder = self._connection.get_output_decoder(run_id)
                    read = partial(events.decode_event, run_id, cursor=str(position), decoder=decoder)
                    event = responses.build_from_response(read, frame, "an event")
                    self._last_time, self._state, self._is_silent = event.timestamp or self._last_time, None, False
                    self._position = position
                    if not is_repeated:
                        yield event
                    # Do this after the yield, because the caller may take a long time to handle the event.
                    self._has_event, self._quiet_since = True, time.monotonic()
                    if self._position != before:
                        self._reset_failures()
                        self._last_event = time.monotonic()
                        self._backoff.reset()
                    self._is_over = event.type == "run_completed" and event.run_id == run_id
                    if self._is_over:
                        return
                    continue
                self._is_silent = True
                if self._get_delay_before_state_request() > 0:
                    yield IdleSignal(self._position)
                    continue
                try:
                    self._state = await self._request_run_state()
                except errors.StepflowClientError:
                    if self._connection.dialect.closed:
                        raise
                    # Ignore the error, because the state will be requested again when the stream ends.
                self._has_read_state, self._quiet_since = True, time.monotonic()
                if self._state is not None and self._state.ending.is_finished:
                    return
                run = self._state.run if self._state is not None and self._has_event else None
                yield IdleSignal(self._position, run)

    async def _request_run_state(self) -> _RequestedState:
        run = await self._runs.get_run_without_steps(self._request.run_id)
        return _RequestedState(run, await self._runs.determine_ending(run, self._last_time))

    def _get_delay_before_state_request(self) -> float:
        """Return how many seconds to wait for events before polling the run's state."""
        if self._ended is not None and (self._ended.expects_end_event or not self._has_event):
            return math.inf
        is_first = self._has_event and not self._has_read_state
        seconds = self._timings.event_late if is_first else self._timings.event_look
        return self._quiet_since + seconds - time.monotonic()

    def _reset_failures(self) -> None:
        """Reset the failure count, because the server has responded."""
        self._failures, self._backoff.deadline = 0, None


def _make_broken_stream_error(run_id: str, reason: str, position: Cursor) -> errors.ServerConnectionError:
    message = f"the event stream of run {run_id} broke: {reason}"
    hint = "to continue after the last event, use run_events(after=cursor)"
    return errors.ServerConnectionError(message, run_id=run_id, details={"cursor": str(position)}, hint=hint)


def make_inferred_end_event(run: RunDetails, position: Cursor) -> RunCompletedEvent:
    """Create the event for a run's end, for servers that don't send one."""
    return events.RunCompletedEvent(
        run_id=run.run_id,
        status=run.status,
        sequence_number=position.number,
        timestamp=run.completed_at,
        cursor=str(position),
        inferred=True,
    )


async def read_event_stream(
    connection: Connection,
    request: OperationRequest,
    max_silence: float,
    get_idle_delay: Callable[[], float] = lambda: math.inf,
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Yield JSON objects from a stream of server-sent events until the stream ends or is silent for too long.

    Also yields None now and then while no events are arriving. If the stream is abandoned because it's silent, the last
    value is None.

    Args:
        connection: The connection to open the stream with.
        request: The request.
        max_silence: Number of seconds without an event after which to abandon the stream. Keep-alive comments don't
            count as events.
        get_idle_delay: Returns the maximum number of seconds until the next None (with httpx, only its first value
            counts).

    Raises:
        TransportError: If the connection fails or breaks, or if the response isn't an event stream.
        ApiError: If the server responds with an error.
    """
    from .transport.httpx_bridge import decompress

    sent = connection.build_request(request, connection.timeout.for_stream(max_silence))
    sent = sent._replace(headers=sent.headers | {"accept": _EVENT_STREAM_TYPE, "cache-control": "no-store"})
    with connection.trace_operation(request.operation.name, is_current=False) as span:
        sent = span.add_trace_headers(sent, connection.url, request.run_id)
        try:
            async with connection.dialect.stream(sent) as stream:
                span.record_attributes(status_code=stream.status)
                stream.remaining = max(MIN_TIMEOUT, min(max_silence, get_idle_delay()))
                async with aclosing(decompress(stream.chunks, stream.headers.get("content-encoding", ""))) as chunks:
                    content_type = stream.headers.get("content-type", "")
                    is_event_stream = content_type.partition(";")[0].strip().lower() == _EVENT_STREAM_TYPE
                    if stream.status != 200 or not is_event_stream:
                        longest = sent.get_seconds_allowed(min(max_silence, connection.timeout.read))
                        problem = await _read_error_response(sent, stream, chunks, longest)
                        problem.run_id = request.run_id
                        raise problem
                    decoder = EventDecoder(min(connection.timings.max_event_bytes, connection.max_response_bytes))
                    last_event = time.monotonic()
                    async for chunk in chunks:
                        received = decoder.feed(chunk)
                        for event in received:
                            yield responses.parse_object(event, str(sent))
                            last_event = time.monotonic()
                        left = max_silence - (time.monotonic() - last_event)
                        if not received:
                            yield None
                        if left <= 0:
                            return
                        stream.remaining = max(MIN_TIMEOUT, min(left, get_idle_delay()))
        except (HttpError, OSError, ValueError) as error:
            if isinstance(error, errors.StepflowClientError):
                raise
            url = connection.get_server_url_of_error(error)
            raise convert_error(error, sent, url, connection.proxy, request.run_id) from error


async def _read_error_response(
    sent: HttpRequest, stream: Stream, chunks: AsyncIterator[bytes], limit: float
) -> errors.StepflowClientError:
    """Return the error for a response that isn't an event stream.

    Args:
        sent: The request.
        stream: The response.
        chunks: The response body.
        limit: Maximum number of seconds to spend reading the body.
    """
    content, until = b"", time.monotonic() + limit
    async for chunk in chunks:
        content += chunk
        if not chunk or len(content) > _MAX_ERROR_BYTES or has_passed(until):
            break
    content_type = stream.headers.get("content-type", "")
    problem = responses.find_response_error(stream.status, content_type, content, str(sent))
    return problem or errors.InvalidResponseError(f"{sent} did not return an event stream")
