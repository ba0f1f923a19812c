# Written from _async/transport/httpx_bridge.py by `make generate`. Change that file instead.

"""Bridges to httpx: user-supplied transports and hooks, and the generated client on top of our connections."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import httpx

from ..._concurrency import sync_call_with_timeout
from ..._data.arguments import check_instance
from ..._http import http1_format
from ..._http.decompression import Decompressor
from ..._http.event_hooks import Hook, sync_call_hooks
from ..._http.http1_format import HttpError, HttpRequest, HttpResponse
from ..._http.settings import API_PATH, MAX_TIMEOUT, ServerUrl, Timeouts, check_headers
from ..._http.sync_socket import identify_process
from ..._rules.operations_and_releases import find_operation, get_run_events
from ...errors import InvalidArgumentError, StepflowClientError
from .base import Middleware, Stream, Transport


class HttpxTransport(Transport):
    """Sends requests through an httpx transport, enforcing deadlines even if the transport doesn't.

    Args:
        transport: The transport to wrap. Closing this object also closes the transport.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, transport: httpx.BaseTransport, root: ServerUrl) -> None:
        self._transport = check_instance(transport, "transport", httpx.BaseTransport)
        self._api = str(root) + API_PATH
        # Transports of other types might only work in the thread that created them.
        self._may_run_in_thread = isinstance(transport, httpx.HTTPTransport)

    def close(self) -> None:
        """Close the wrapped transport."""
        self._transport.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the complete response."""
        if request.deadline is None:
            return self._send_and_read_body(request)
        with _convert_from_httpx_errors():
            send, seconds = partial(self._send_and_read_body, request), request.get_seconds_allowed(math.inf) + _GRACE
            return sync_call_with_timeout(send, seconds, may_abandon=self._may_run_in_thread)

    def _send_and_read_body(self, request: HttpRequest) -> HttpResponse:
        with self._open_response(request, convert_request_to_httpx(request, self._api)) as response:
            headers = _get_response_headers(response)
            raw = _iterate_raw_body(response, request, request.check_deadline)
            size, pieces = 0, []
            with closing(raw), closing(decompress(raw, headers.pop("content-encoding", ""))) as body:
                for piece in body:
                    size += len(piece)
                    if size > request.max_response_bytes:
                        raise http1_format.TooLarge(f"it has more than {request.max_response_bytes} bytes")
                    pieces.append(piece)
        return HttpResponse(response.status_code, headers, b"".join(pieces))

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request and return the response as it arrives, possibly compressed (see `decompress`)."""
        sent = convert_request_to_httpx(request, self._api)
        with self._open_response(request, sent) as response:
            read = partial(self._iterate_stream_body, response, request, sent.extensions["timeout"])
            yield Stream(response.status_code, _get_response_headers(response), read, request.timeout.read)

    @staticmethod
    def _iterate_stream_body(
        response: httpx.Response, request: HttpRequest, limits: dict[str, float], stream: Stream
    ) -> Generator[bytes, None, None]:
        # Transports read this only once, when we request the first chunk.
        limits["read"] = stream.remaining
        limit = request._replace(timeout=request.timeout.for_stream(stream.remaining))
        try:
            with closing(_iterate_raw_body(response, limit)) as chunks:
                for chunk in chunks:
                    if chunk:
                        yield chunk
        except http1_format.ReadTimeout:
            yield b""

    @contextmanager
    def _open_response(self, request: HttpRequest, sent: httpx.Request) -> Generator[httpx.Response, None, None]:
        """Send a request and return the response as soon as its headers have been read."""
        # Allow time for every phase, plus extra time to upload a large body over a slow connection.
        longest = sum(request.timeout.as_dict().values()) + len(request.content) / _MIN_UPLOAD_SPEED
        with _convert_from_httpx_errors():
            send = partial(self._transport.handle_request, sent)
            response = sync_call_with_timeout(send, request.get_seconds_allowed(longest) + _GRACE)
            if not isinstance(response, httpx.Response):
                raise http1_format.Unreadable(f"the transport returned {type(response).__name__}")
        try:
            yield response
        finally:
            # If closing fails, don't lose a response that has already been read.
            with suppress(HttpError), _convert_from_httpx_errors():
                sync_call_with_timeout(response.close, _GRACE)


def _get_response_headers(response: httpx.Response) -> dict[str, str]:
    headers = http1_format.normalize_headers(response.headers.multi_items())
    if _get_loaded_response_body(response) is not None:
        headers.pop("content-encoding", None)
    return headers


def _get_loaded_response_body(response: httpx.Response) -> bytes | None:
    """Return a response's body (decompressed by httpx) if the response was created with one, or None otherwise."""
    try:
        return response.content
    except httpx.ResponseNotRead:
        return None


def _iterate_raw_body(
    response: httpx.Response, request: HttpRequest, check: Callable[[], None] = lambda: None
) -> Generator[bytes, None, None]:
    """Yield the body's chunks as they arrive.

    Args:
        response: The response.
        request: The request, which limits how long each chunk may take.
        check: Called after each chunk. It can raise an error.
    """
    if (content := _get_loaded_response_body(response)) is not None:
        yield content
        return
    # Don't use `aiter_raw`: if closing the stream fails, so does `aiter_raw`, even when the body is complete.
    stream: Any = response.stream
    with _convert_from_httpx_errors():
        chunks: Iterator[bytes] = stream.__iter__()
    while True:
        with _convert_from_httpx_errors():
            seconds = request.get_seconds_allowed(request.timeout.read) + _GRACE
            try:
                chunk = sync_call_with_timeout(chunks.__next__, seconds)
            except StopIteration:
                return
        check()
        yield chunk


def decompress(chunks: Iterator[bytes], encoding: str) -> Generator[bytes, None, None]:
    """Decompress a body (if it's compressed), yielding it in pieces of limited size.

    Args:
        chunks: The body.
        encoding: The `content-encoding` header.

    Raises:
        Unreadable: If the body can't be decompressed.
    """
    unpacker = Decompressor(encoding)
    for chunk in chunks:
        if not chunk:
            # An empty chunk means that nothing has arrived for a while.
            yield chunk
        for piece in unpacker.feed(chunk):
            yield piece
    unpacker.check_body_is_complete()


class TransportBridge(httpx.BaseTransport):
    """Lets the generated code's httpx client send requests through our transport.

    Args:
        sender: Our transport. Closing this object doesn't close it.
        root: The server's URL, without `/api/v1`.
        max_response_bytes: Maximum size of a response body, in bytes.
    """

    def __init__(self, sender: Transport, root: ServerUrl, max_response_bytes: int = http1_format.MAX_BYTES) -> None:
        self._sender = sender
        self._max_response_bytes = max_response_bytes
        self._root_path = root.path + API_PATH

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the response."""
        raw_path, _, query = request.url.raw_path.decode("ascii").partition("?")
        path = raw_path.removeprefix(self._root_path)
        operation = find_operation(request.method, path)
        phases: Mapping[str, float | None] = request.extensions.get("timeout") or {}
        ours = HttpRequest(
            method=request.method,
            path=path,
            query=query,
            headers=_get_end_to_end_headers(request),
            content=request.read(),
            timeout=Timeouts(**{phase: MAX_TIMEOUT if limit is None else limit for phase, limit in phases.items()}),
            idempotent=operation is None or operation.is_idempotent,
            max_response_bytes=self._max_response_bytes,
            operation="" if operation is None else operation.name,
        )
        with _convert_to_httpx_errors(self._sender, request):
            if operation is get_run_events:
                opened = self._sender.stream(ours)
                stream = opened.__enter__()
                body = _EventStreamBody(self._sender, request, opened, stream)
                return httpx.Response(stream.status, headers=stream.headers, stream=body, request=request)
            response = self._sender.send(ours)
        return httpx.Response(response.status, headers=response.headers, content=response.content, request=request)


@contextmanager
def _convert_to_httpx_errors(sender: Transport, request: httpx.Request) -> Iterator[None]:
    """Convert our errors to httpx errors."""
    try:
        yield
    except HttpError as error:
        sender.forget_server()
        kind: type[httpx.TransportError] = httpx.RemoteProtocolError
        if not isinstance(error, (http1_format.NotHttp, http1_format.TooLarge, http1_format.Unreadable)):
            kind = next((theirs for theirs, ours in _ERROR_TYPES if isinstance(error, ours)), httpx.ReadError)
        raise kind(str(error), request=request) from error


class _EventStreamBody(httpx.SyncByteStream):
    """An event stream's body, read as it arrives."""

    def __init__(
        self, sender: Transport, request: httpx.Request, opened: AbstractContextManager[Stream], stream: Stream
    ) -> None:
        self._sender, self._request = sender, request
        self._open_response, self._stream = opened, stream

    def __iter__(self) -> Iterator[bytes]:
        with _convert_to_httpx_errors(self._sender, self._request):
            with closing(self._stream.chunks) as chunks:
                for chunk in chunks:
                    if not chunk:
                        raise http1_format.ReadTimeout("no event arrived in time")
                    yield chunk

    def close(self) -> None:
        self._open_response.__exit__(None, None, None)


class ForkSafeTransport(httpx.HTTPTransport):
    """httpx's own transport.

    It's reset after a fork or in a new event loop, where its existing connections can't be used.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._settings = settings
        self._home: tuple[object, ...] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection that belongs to this process and event loop."""
        self._reset_for_new_owner()
        return super().handle_request(request)

    def close(self) -> None:
        """Close only the connections that belong to this process and event loop."""
        self._reset_for_new_owner()
        super().close()

    def _reset_for_new_owner(self) -> None:
        home = identify_process()
        if self._home is not None and home != self._home:
            super().__init__(**self._settings)
        self._home = home


_HOP_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
"""Headers that only apply to a single connection, so they aren't copied to another request."""
# Number of extra seconds that the transport gets, so that it can report which of its own timeouts expired.
_GRACE = 0.2
# The slowest upload speed to allow for, in bytes per second.
_MIN_UPLOAD_SPEED = 16_384


_ERRNO_PREFIX = re.compile(r"^\[Errno -?\d+\] ")


@contextmanager
def _convert_from_httpx_errors() -> Iterator[None]:
    """Convert any error from a transport to one of ours, even if it isn't an httpx error."""
    try:
        yield
    except (HttpError, StepflowClientError, AssertionError):
        # Don't convert failed assertions, which come from tests that use their own transport.
        raise
    except Exception as error:
        message = _ERRNO_PREFIX.sub("", str(error)) or type(error).__name__
        if not isinstance(error, (httpx.HTTPError, OSError)):
            message = f"{type(error).__name__}: {error}"
        raise _choose_client_error_for_httpx_error(error)(message) from error


def _choose_client_error_for_httpx_error(error: Exception) -> type[HttpError]:
    if isinstance(error, httpx.RemoteProtocolError):
        is_broken = "disconnected" in str(error) or "peer closed" in str(error)
        return http1_format.ConnectionBroken if is_broken else http1_format.NotHttp
    if isinstance(error, httpx.HTTPError):
        return next((ours for theirs, ours in _ERROR_TYPES if isinstance(error, theirs)), http1_format.Unreadable)
    if isinstance(error, httpx.InvalidURL):
        return http1_format.CannotSend
    if isinstance(error, TimeoutError):
        return http1_format.ReadTimeout
    return http1_format.ConnectionBroken if isinstance(error, OSError) else http1_format.Unreadable


_ERROR_TYPES: list[tuple[type[httpx.TransportError], type[HttpError]]] = [
    (httpx.ConnectTimeout, http1_format.ConnectTimeout),
    (httpx.PoolTimeout, http1_format.PoolTimeout),
    (httpx.WriteTimeout, http1_format.WriteTimeout),
    (httpx.ReadTimeout, http1_format.ReadTimeout),
    (httpx.ConnectError, http1_format.ConnectFailed),
    (httpx.ProxyError, http1_format.ConnectFailed),
    (httpx.LocalProtocolError, http1_format.CannotSend),
    (httpx.UnsupportedProtocol, http1_format.CannotSend),
    (httpx.ReadError, http1_format.ConnectionBroken),
    (httpx.NetworkError, http1_format.ConnectionBroken),
]


class _RemainingTimeouts(dict[str, float]):
    """A request's timeouts as a dict for httpx, which looks up each timeout when its phase begins.

    Args:
        request: The request. Its deadline applies to every phase.
    """

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.timeout.as_dict())
        self._request = request

    def __getitem__(self, phase: str) -> float:
        return self._request.get_seconds_allowed(super().__getitem__(phase))

    def get(self, phase: str, default: Any = None) -> Any:
        """Return the timeout for a phase that starts now, in seconds."""
        return self[phase] if phase in self else default  # noqa: SIM401 - this is `get` itself


def convert_request_to_httpx(request: HttpRequest, api: str) -> httpx.Request:
    """Convert a request to an `httpx.Request`.

    Args:
        request: The request.
        api: The API's URL, including `/api/v1`.

    Raises:
        CannotSend: If the request can't be expressed as HTTP.
    """
    query = f"?{request.query}" if request.query else ""
    try:
        return httpx.Request(
            request.method,
            f"{api}{request.path}{query}",
            headers={"accept-encoding": "identity", **request.headers},
            content=request.content or None,
            extensions={"timeout": _RemainingTimeouts(request)},
        )
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise http1_format.CannotSend(str(error)) from error


def replace_headers_from_httpx_request(request: HttpRequest, signed: object) -> HttpRequest:
    """Return the request with the headers that an `httpx.Auth` has set.

    Raises:
        InvalidArgumentError: If the headers can't be sent, or if the `httpx.Auth` didn't return a request.
    """
    if not isinstance(signed, httpx.Request):
        raise InvalidArgumentError(f"the httpx.Auth passed as auth yielded {type(signed).__name__}, not a request")
    headers = _get_end_to_end_headers(signed)
    check_headers(headers)
    return request._replace(headers=headers)


def _get_end_to_end_headers(request: httpx.Request) -> dict[str, str]:
    return {
        k: v for k, v in http1_format.normalize_headers(request.headers.multi_items()).items() if k not in _HOP_HEADERS
    }


class Hooks(Middleware):
    """Calls the user's hooks with each request (before it's sent) and each response.

    Args:
        inner: The transport to send requests with.
        hooks: The functions to call, listed under `request` and `response`.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, inner: Transport, hooks: Mapping[str, Sequence[Hook]], root: ServerUrl) -> None:
        super().__init__(inner)
        self._hooks = hooks
        self._api = str(root) + API_PATH

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request with any headers set by the hooks."""
        began = time.monotonic()
        sent = self._make_hooked_request(request)
        response = self.inner.send(replace_headers_from_httpx_request(request, sent))
        converted = httpx.Response(response.status, headers=response.headers, content=response.content, request=sent)
        self._call_response_hooks(request, converted, began)
        return response

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request with any headers set by the hooks, which see the response before its body has been read."""
        began = time.monotonic()
        sent = self._make_hooked_request(request)
        with self.inner.stream(replace_headers_from_httpx_request(request, sent)) as stream:
            converted = httpx.Response(stream.status, headers=stream.headers, request=sent)
            self._call_response_hooks(request, converted, began)
            yield stream

    def _make_hooked_request(self, request: HttpRequest) -> httpx.Request:
        sent = convert_request_to_httpx(request, self._api)
        sync_call_hooks("request", self._hooks["request"], sent, request)
        return sent

    def _call_response_hooks(self, request: HttpRequest, response: httpx.Response, began: float) -> None:
        response.elapsed = timedelta(seconds=time.monotonic() - began)
        sync_call_hooks("response", self._hooks["response"], response, request)
