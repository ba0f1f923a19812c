# Written from _async/sse_relay.py by `make generate`. Change that file instead.

"""Relays a run's events as server-sent events, for web applications."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from .._codec.web_error_responses import Problem, problem_details
from .._data.arguments import check_function, check_instance
from ..errors import InvalidArgumentError, StepflowClientError
from ..events import HeartbeatEvent, RunCompletedEvent, RunEvent
from .run_handle import SyncRunHandle

if TYPE_CHECKING:
    from .streams import SyncEventStream

_STREAM_HEADERS = {
    "content-type": "text/event-stream",
    # Keep proxies from caching, compressing or buffering the stream.
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}
_KEEP_ALIVE_COMMENT = b":\n\n"


@dataclass(frozen=True)
class SyncEventResponse:
    """A web application's response: either a stream of server-sent events or an explanation of why there isn't one."""

    status: int
    """200, 204 if the last frame received was the `end` frame, or an error status such as 400 or 404."""
    headers: dict[str, str]
    """The response headers."""
    frames: Generator[bytes, None, None]
    """The body (empty for a 204). Closing it closes the connection to the server."""


def sse_events(
    handle: SyncRunHandle[Any],
    *,
    last_event_id: str | None = None,
    heartbeat: float | None = 15.0,
    include_results: bool = False,
    include_sub_runs: bool = False,
    payload: Callable[[RunEvent], Any] | None = None,
) -> SyncEventResponse:
    """Relay a run's events to a browser's EventSource.

    Each event becomes a frame with the event's cursor as its ID and the event as JSON data. The last one is followed by
    an `end` frame, whose data contains the `run_id` and `status`. Errors become `problem` frames, with the body from
    `problem_details`.

    Browsers reconnect automatically, sending the ID of the last frame they received, and get the frames that follow.
    After the `end` frame, they get a 204 and stop. If the ID isn't from one of these frames, they get a 400, and if the
    run doesn't exist, they get a 404. An EventSource never reconnects after either response, so temporary errors are
    sent as a frame in a 200 response instead.

    Args:
        handle: The run.
        last_event_id: The `Last-Event-ID` header. None or an empty string starts from the beginning.
        heartbeat: How many seconds to wait for an event before sending a comment, so that proxies keep the connection
            open. None means that no comments are sent. Defaults to 15.
        include_results: Whether to include step outputs in the events. Defaults to False.
        include_sub_runs: Whether to include events of runs created by steps. Defaults to False.
        payload: A function that takes an event and returns the data to send as JSON, or None to skip the event. By
            default, the whole event is sent.

    Raises:
        InvalidArgumentError: If an argument other than `last_event_id` is invalid.
    """
    check_instance(handle, "handle", SyncRunHandle)
    check_function(payload, "payload")
    after = last_event_id if last_event_id not in ("", "end") else None
    events_of = partial(handle.events, include_results=include_results, include_sub_runs=include_sub_runs)
    # Let invalid options raise an error here: they're a bug in the application, not a bad request.
    events_of(heartbeat=heartbeat)
    try:
        events = events_of(after=after, heartbeat=heartbeat)
    except InvalidArgumentError as error:
        return _make_problem_response(problem_details(error, statuses={InvalidArgumentError: 400}))
    try:
        details = handle.details()
        if last_event_id == "end":
            # Keep the browser from reconnecting.
            return SyncEventResponse(204, {"cache-control": "no-store"}, _yield_given_frames())
    except StepflowClientError as error:
        problem = problem_details(error)
        if error.is_retryable:
            return SyncEventResponse(200, _STREAM_HEADERS, _yield_given_frames(_format_problem_frame(problem)))
        return _make_problem_response(problem)
    frames = _convert_events_to_frames(events, handle.run_id, details.status, payload)
    return SyncEventResponse(200, _STREAM_HEADERS, frames)


def _convert_events_to_frames(
    events: SyncEventStream, run_id: str, status: str, payload: Callable[[RunEvent], Any] | None
) -> Generator[bytes, None, None]:
    """Yield the frames for a run's event stream.

    Args:
        events: The events.
        run_id: The run.
        status: The status to report if the browser has already received the run's last event.
        payload: See `sse_events`.
    """
    with events:
        # Some web servers don't send the headers until they have the first part of the body.
        yield _KEEP_ALIVE_COMMENT
        try:
            for event in events:
                if isinstance(event, HeartbeatEvent):
                    yield _KEEP_ALIVE_COMMENT
                    continue
                data = event.to_dict() if payload is None else payload(event)
                if data is not None:
                    yield _format_frame(data, f"id: {event.cursor}\n")
                if isinstance(event, RunCompletedEvent) and event.run_id == run_id:
                    status = event.status
            yield _format_frame({"run_id": run_id, "status": status}, "id: end\nevent: end\n")
        except StepflowClientError as error:
            yield _format_problem_frame(problem_details(error))


def _format_frame(data: Any, head: str = "") -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=datetime.isoformat)
    return f"{head}data: {text}\n\n".encode("utf-8", "backslashreplace")


def _format_problem_frame(problem: Problem) -> bytes:
    delay = problem.headers.get("retry-after")
    return _format_frame(problem.body, (f"retry: {delay}000\n" if delay else "") + "event: problem\n")


def _make_problem_response(problem: Problem) -> SyncEventResponse:
    return SyncEventResponse(problem.status, problem.headers, _yield_given_frames(json.dumps(problem.body).encode()))


def _yield_given_frames(*frames: bytes) -> Generator[bytes, None, None]:
    for frame in frames:
        yield frame
