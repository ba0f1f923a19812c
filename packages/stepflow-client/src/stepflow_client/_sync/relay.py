# Written from _async/relay.py by `make generate`. Change that file instead.

"""The events of a run as server-sent events of a web application."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from .._codec.problem_details import problem_details
from .._data.arguments import check_function, check_instance
from ..errors import InvalidArgumentError, StepflowClientError
from ..events import HeartbeatEvent, RunCompletedEvent, RunEvent
from .handle import SyncRunHandle

if TYPE_CHECKING:
    from .._codec.problem_details import Problem
    from .streams import SyncEventStream

_HEADERS = {
    "content-type": "text/event-stream",
    # Proxies neither store nor compress the stream, and do not collect it.
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
}
_COMMENT = b":\n\n"


@dataclass(frozen=True)
class SyncEventResponse:
    """A response of a web application: a stream of server-sent events, or why there is none."""

    status: int
    """200; 204 if there is nothing after the last event; 400, 404 or another status of an error."""
    headers: dict[str, str]
    """The headers of the response."""
    frames: Generator[bytes, None, None]
    """The body; empty for 204. Closing it closes the connection to the server."""


def sse_events(
    handle: SyncRunHandle[Any],
    *,
    last_event_id: str | None = None,
    heartbeat: float | None = 15.0,
    include_results: bool = False,
    include_sub_runs: bool = False,
    payload: Callable[[RunEvent], Any] | None = None,
) -> SyncEventResponse:
    """Relay the events of a run to a browser's EventSource.

    Each event of the run is a frame whose id is the event's cursor and whose data is the event as JSON. A frame of the
    type `end` follows the last one; its data holds the `run_id` and the `status`. An error is a frame of the type
    `problem` with the body of `problem_details`.

    A browser reconnects by itself and names the last event it has. It gets what follows; after the last event it gets
    status 204, and stops. Status 400 responds to an id that is not one of these events, 404 to a run that does not
    exist. An EventSource never returns after such a status, so an error that may soon pass is a frame of a 200.

    Args:
        handle: The run.
        last_event_id: The value of the header `Last-Event-ID`. None, or an empty text: from the beginning.
        heartbeat: Seconds without an event after which a comment is sent, so that proxies keep the connection open.
            Default 15. None: no comments.
        include_results: Whether the events contain the outputs of steps. Default False.
        include_sub_runs: Whether events of runs that steps created are included. Default False.
        payload: A function of an event that returns the data to send as JSON, or None to leave the event out. Default
            None: the whole event.

    Raises:
        InvalidArgumentError: If an argument other than `last_event_id` is invalid.
    """
    check_instance(handle, "handle", SyncRunHandle)
    check_function(payload, "payload")
    after = last_event_id or None
    events_of = partial(handle.events, include_results=include_results, include_sub_runs=include_sub_runs)
    # Wrong options are the application's fault, not its caller's.
    events_of(heartbeat=heartbeat)
    try:
        events = events_of(after=after, heartbeat=heartbeat)
    except InvalidArgumentError as error:
        return _make_refusal(problem_details(error, statuses={InvalidArgumentError: 400}))
    try:
        details = handle.details()
        if after is not None and details.is_finished:
            # What follows the last event is known at once. If nothing does, the browser must not come again.
            with events_of(after=after) as following:
                if next(following, None) is None:
                    return SyncEventResponse(204, {"cache-control": "no-store"}, _iterate_frames())
    except StepflowClientError as error:
        problem = problem_details(error)
        return (
            SyncEventResponse(200, _HEADERS, _iterate_frames(_format_problem(problem)))
            if error.is_retryable
            else _make_refusal(problem)
        )
    return SyncEventResponse(200, _HEADERS, _generate_frames(events, handle.run_id, payload))


def _generate_frames(
    events: SyncEventStream, run_id: str, payload: Callable[[RunEvent], Any] | None
) -> Generator[bytes, None, None]:
    """Return the frames of a run's stream of events."""
    with events:
        # Some web servers send the headers with the first part of the body.
        yield _COMMENT
        try:
            for event in events:
                if isinstance(event, HeartbeatEvent):
                    yield _COMMENT
                    continue
                data = event.to_dict() if payload is None else payload(event)
                if data is not None:
                    yield _format_frame(data, f"id: {event.cursor}\n")
                if isinstance(event, RunCompletedEvent) and event.run_id == run_id:
                    yield _format_frame({"run_id": run_id, "status": event.status}, "event: end\n")
        except StepflowClientError as error:
            yield _format_problem(problem_details(error))


def _format_frame(data: Any, head: str = "") -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=datetime.isoformat)
    return f"{head}data: {text}\n\n".encode("utf-8", "backslashreplace")


def _format_problem(problem: Problem) -> bytes:
    delay = problem.headers.get("retry-after")
    return _format_frame(problem.body, (f"retry: {delay}000\n" if delay else "") + "event: problem\n")


def _make_refusal(problem: Problem) -> SyncEventResponse:
    return SyncEventResponse(problem.status, problem.headers, _iterate_frames(json.dumps(problem.body).encode()))


def _iterate_frames(*frames: bytes) -> Generator[bytes, None, None]:
    for frame in frames:
        yield frame
