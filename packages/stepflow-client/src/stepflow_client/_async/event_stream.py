"""Reading one stream of server-sent events."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from .._codec import json_bodies, status_errors
from .._http.messages import MIN_TIMEOUT, HttpError, HttpRequest
from .._http.sse import EventDecoder
from .._rules.deadline import has_passed
from .._rules.operations import Request
from .._rules.transport_errors import error_from
from ..errors import InvalidResponseError, StepflowClientError
from .connection import Connection
from .transport.base import Stream

_EVENTS = "text/event-stream"
_MAX_ERROR_LENGTH = 64 * 1024
"""Maximum number of bytes read from a response that is not a stream of events."""


async def event_stream(
    connection: Connection, request: Request, silence: float, next_look: Callable[[], float] = lambda: math.inf
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Iterate over the JSON objects of a stream of server-sent events, until it ends or is silent for too long.

    None is yielded in between while no event has arrived. If the stream is abandoned because it is silent, the last
    value is None.

    Args:
        connection: Opens the stream.
        request: The request.
        silence: Seconds without an event after which the stream is abandoned. Keep-alive comments are not events.
        next_look: Returns the maximum number of seconds until the next None (over httpx, only the first value counts).

    Raises:
        TransportError: If the connection fails or breaks, or the response is not a stream of events.
        ApiError: If the server responds with an error.
    """
    from .transport.httpx_bridge import unpacked

    sent = connection.prepare(request, connection.timeout.reading(silence))
    sent = sent._replace(headers=sent.headers | {"accept": _EVENTS, "cache-control": "no-store"})
    with connection.traced(request.operation.name, is_current=False) as span:
        sent = span.sends(sent, connection.url, request.run_id)
        try:
            async with connection.dialect.stream(sent) as stream:
                span.note(status_code=stream.status)
                stream.remaining = max(MIN_TIMEOUT, min(silence, next_look()))
                async with aclosing(unpacked(stream.chunks, stream.headers.get("content-encoding", ""))) as chunks:
                    if not _has_events(stream):
                        longest = sent.remaining(min(silence, connection.timeout.read))
                        problem = await _error_of(sent, stream, chunks, longest)
                        problem.run_id = request.run_id
                        raise problem
                    decoder = EventDecoder(min(connection.timings.max_event_bytes, connection.max_response_bytes))
                    last_event = time.monotonic()
                    async for chunk in chunks:
                        events = decoder.feed(chunk)
                        for event in events:
                            yield json_bodies.value(event, str(sent))
                            last_event = time.monotonic()
                        left = silence - (time.monotonic() - last_event)
                        if not events:
                            yield None
                        if left <= 0:
                            return
                        stream.remaining = max(MIN_TIMEOUT, min(left, next_look()))
        except (HttpError, OSError, ValueError) as error:
            if isinstance(error, StepflowClientError):
                raise
            raise error_from(error, sent, connection.url_of(error), connection.proxy, request.run_id) from error


def _has_events(stream: Stream) -> bool:
    kind = stream.headers.get("content-type", "").partition(";")[0]
    return stream.status == 200 and kind.strip().lower() == _EVENTS


async def _error_of(
    sent: HttpRequest, stream: Stream, chunks: AsyncIterator[bytes], limit: float
) -> StepflowClientError:
    """Return the error for a response that is not a stream of events.

    Args:
        sent: The request.
        stream: The response.
        chunks: Its body.
        limit: Seconds for which the body is read.
    """
    content, until = b"", time.monotonic() + limit
    async for chunk in chunks:
        content += chunk
        if not chunk or len(content) > _MAX_ERROR_LENGTH or has_passed(until):
            break
    kind = stream.headers.get("content-type", "")
    problem = status_errors.error_for(stream.status, kind, content, str(sent))
    return problem or InvalidResponseError(f"{sent} did not return a stream of events")
