"""HTTP/1.1 messages and their errors: encoding requests, and decoding responses and server-sent events.

No I/O. httptools does the parsing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, NoReturn

import httptools

from .._base.text_formatting import visible
from .settings import MAX_EVENT_BYTES, Timeouts

HeaderItems = tuple[tuple[str, str], ...]
"""Header names and values."""

_NO_HEADERS: dict[str, str] = {}
_MAX_TARGET_LENGTH = 65_536
_MAX_CACHED_HEADS = 8
MAX_BYTES = 1024**3
"""Default maximum size of a response body in bytes."""
TLS_RESPONSE = "its response is TLS"
"""The `NotHttp` message if a server responds to plain HTTP with TLS."""
MIN_TIMEOUT = 0.001
"""A phase gets at least this many seconds, even past the deadline, so that data that has already arrived gets read."""


class HttpError(Exception):
    """A request didn't get a usable response. The subclass shows whether the server may have received it."""

    attempts: Sequence[str] = ()
    """The outcome of each attempt."""
    server: int | None = None
    """If there are several servers, the index of the one that the request was sent to or failed to reach."""


class CannotSend(HttpError):
    """The request can't be encoded as HTTP. Nothing was sent."""


class ConnectFailed(HttpError):
    """No connection could be opened. Nothing was sent."""


class ConnectTimeout(ConnectFailed):
    """No connection could be opened in time. Nothing was sent."""


class NameTimeout(ConnectTimeout):
    """The host name wasn't resolved in time. Nothing was sent."""


class PoolTimeout(ConnectFailed):
    """No connection became free in time. Nothing was sent."""


class WriteTimeout(HttpError):
    """The server didn't accept the entire request in time."""


class ReadTimeout(HttpError):
    """The server didn't respond in time."""


class ConnectionBroken(HttpError):
    """The connection was opened but then broke."""


class NotHttp(HttpError):
    """The response isn't HTTP/1.1."""


class TooLarge(HttpError):
    """The response is larger than the caller allows."""


class Unreadable(HttpError):
    """The response can't be decoded."""


class HttpRequest(NamedTuple):
    """A request with a path relative to the API root."""

    method: str
    path: str
    """The percent-encoded path, without the leading `/api/v1`."""
    query: str = ""
    headers: dict[str, str] = _NO_HEADERS
    """The headers, with lowercase names. They may contain credentials. `host` and `content-length` are added when the
    request is sent. Never modify this dict, because requests share it. Replace it instead."""
    content: bytes = b""
    timeout: Timeouts = Timeouts()
    idempotent: bool = True
    """Whether sending the request twice has the same effect as sending it once."""
    deadline: float | None = None
    """The caller's deadline, as measured by `time.monotonic()`. It limits every phase."""
    max_response_bytes: int = MAX_BYTES
    """The maximum size in bytes of the response body or, for a stream, of the data between two events."""
    server: int | None = None
    """If there are several servers, the index of the one to use if it's available, or None to use any of them."""
    operation: str = ""
    """The operation's name, or an empty string if the request isn't part of the API."""
    is_retried: bool = True
    """Whether the request can be resent if the server didn't process it. If False, the caller decides."""

    def get_seconds_allowed(self, seconds: float) -> float:
        """Return how many seconds a phase that starts now may take.

        Args:
            seconds: The phase's timeout in seconds.
        """
        if self.deadline is None:
            return seconds
        return min(seconds, max(self.deadline - time.monotonic(), MIN_TIMEOUT))

    def check_deadline(self) -> None:
        """Check that the caller's deadline hasn't passed, because a server might keep sending its response forever.

        Raises:
            ReadTimeout: If the deadline has passed.
        """
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise ReadTimeout("no complete response in time")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def __repr__(self) -> str:
        # Leave out headers and content, which may contain credentials and secrets.
        return f"<{type(self).__name__} {self}>"


class HttpResponse(NamedTuple):
    """A complete response."""

    status: int
    headers: dict[str, str]
    """The headers, with lowercase names. Repeated headers are joined with a comma."""
    content: bytes = b""
    attempts: Sequence[str] = ()
    """For an error response, the outcome of each attempt."""
    server: int | None = None
    """If there are several servers, the index of the one that sent the response."""

    @property
    def content_type(self) -> str:
        """The content type in lowercase, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"


def encode_head(request: HttpRequest, host: str, root_path: str, cache: dict[HeaderItems, bytes]) -> bytes:
    """Encode the head of a request (the request line and headers).

    Args:
        request: The request.
        host: The value of the `host` header, unless the request has its own.
        root_path: The path to prepend to the request's path.
        cache: A cache of the headers encoded by earlier calls, since most of a client's requests use the same ones.

    Raises:
        CannotSend: If the request can't be sent.
    """
    target = f"{root_path}{request.path}?{request.query}" if request.query else root_path + request.path
    if len(target) > _MAX_TARGET_LENGTH:
        raise CannotSend("its path and query are too long")
    begin = f"{request.method} {target} HTTP/1.1".encode("ascii")
    items = tuple(request.headers.items())
    headers = cache.get(items)
    if headers is None:
        lines = []
        # Responses aren't decompressed here, and some proxies compress them unless you tell them not to.
        for name, value in {"host": host, **request.headers, "accept-encoding": "identity"}.items():
            if "\r" in value or "\n" in value or "\0" in value or not name.isascii():
                raise CannotSend(f"the header {name!r} has a value that cannot be sent")
            lines.append(f"\r\n{name}: {value}".encode("latin-1", "strict"))
        headers = b"".join(lines)
        if len(cache) >= _MAX_CACHED_HEADS:
            cache.clear()
        cache[items] = headers
    if request.content or request.method in ("POST", "PUT", "PATCH"):
        return b"%b%b\r\ncontent-length: %d\r\n\r\n" % (begin, headers, len(request.content))
    return b"%b%b\r\n\r\n" % (begin, headers)


def normalize_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers as a dict with lowercase names. Repeated headers are joined with a comma."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(parts) for name, parts in values.items()}


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventDecoder:
    """Decodes server-sent events from chunks of bytes, no matter where the chunks are split.

    Args:
        max_bytes: The maximum size of a line or of an event's data, in bytes.
    """

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._data = bytearray()
        self._after_return = False
        self._is_first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that this chunk completes.

        Raises:
            TooLarge: If a line or an event is too large.
        """
        if self._after_return and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_return = False
        if not chunk:
            return []
        self._after_return = chunk[-1:] == b"\r"
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events: list[bytes] = []
        *lines, rest = chunk.split(b"\n")
        for part in lines:
            self._line += part
            self._check_event_size(len(self._line))
            line = bytes(self._line)
            self._line.clear()
            if self._is_first:
                self._is_first = False
                line = line.removeprefix(_BYTE_ORDER_MARK)
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data += value.removeprefix(b" ") + b"\n"
                self._check_event_size(len(self._data))
            elif not line:
                if len(self._data) > 1:
                    events.append(bytes(self._data[:-1]))
                self._data.clear()
        self._line += rest
        self._check_event_size(len(self._line))
        return events

    def _check_event_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLarge(f"an event has more than {self._max_bytes} bytes")


MAX_HEAD_LENGTH = 128 * 1024
"""Maximum number of bytes without any body data (the status line, headers, interim responses and trailers)."""
MAX_FIELD_LENGTH = 64 * 1024
"""Maximum size of a header or trailer value in bytes."""
MAX_FIELDS = 256
"""Maximum number of headers and trailers per response, including its interim responses."""
MAX_INTERIM_RESPONSES = 32
"""Maximum number of interim responses (1xx) before the actual one."""
# Number of bytes to quote in the error message if a response isn't HTTP.
_EXCERPT = 40


@lru_cache(maxsize=256)
def _decode_header_name(name: bytes) -> str:
    """Decode a header name to lowercase. Cached, because servers keep sending the same few names."""
    return name.decode("latin-1").lower()


class ResponseReader:
    """Reads the responses that arrive on a connection, one after another.

    Call `begin_response` before each response, and `feed` with the bytes you receive. Then check `headers_complete` and
    `complete`. There is only one reader per connection, not one per response, because the reader and its parser form a
    reference cycle that only the garbage collector can free. Everything that a server could otherwise keep sending
    forever is limited: heads, fields, interim responses, trailers, chunk framing and, if you pass a limit to
    `begin_response`, the body.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self.begin_response()

    def begin_response(self, method: str = "GET", max_bytes: int | None = None) -> None:
        """Prepare for the next response. The previous one must have been read to the end.

        Args:
            method: The request method. Responses to HEAD have no body.
            max_bytes: The maximum size of the body in bytes, or None for no limit.
        """
        self._body.clear()
        self._has_body = method != "HEAD"
        self._max_bytes = max_bytes
        self._size = self._unframed = self._fields = self._field_bytes = self._interim = 0
        # Callers keep the dict, so each response needs a new one.
        self.headers: dict[str, str] = {}
        self._refusal: tuple[type[HttpError], str] | None = None
        self.trailers: dict[str, str] = {}
        """The fields after the body. They count toward the limits but are otherwise ignored."""
        self.status = 0
        self.started = False
        self.headers_complete = False
        self.complete = False
        self.keep_alive = False
        self.extra = False

    def feed(self, data: bytes) -> None:
        """Process data that was received. Empty data means that the connection has ended.

        Raises:
            NotHttp: If the bytes aren't HTTP/1.1, or the response exceeds a limit.
            TooLarge: If the body is too large.
            ConnectionBroken: If the connection ends before the response is complete, or if memory runs out.
        """
        if not data:
            self._handle_connection_end()
            return
        if self.complete:
            # This is unexpected data, so the connection must not be reused.
            self.extra = True
            return
        self.started = True
        size = self._size
        try:
            # This calls the on_* methods below.
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if self._refusal is None:
                if isinstance(error.__context__, MemoryError):
                    raise ConnectionBroken("not enough memory for the response") from None
                # Our callbacks can't fail in any other way, so this must have been an interrupt. (Its type is lost if
                # another exception was being handled.)
                raise KeyboardInterrupt from error
            kind, message = self._refusal
            raise kind(message) from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.complete:
                # The response itself is complete, but unexpected data follows.
                self.extra = True
                return
            if isinstance(error, httptools.HttpParserUpgrade):
                raise NotHttp("it switches to another protocol") from None
            if self.status or data.startswith(b"HTTP/"):
                raise NotHttp(f"not an HTTP/1.1 response: {error}") from None
            if data.startswith(b"\x15\x03"):
                raise NotHttp(TLS_RESPONSE) from None
            raise NotHttp(f"its response begins with '{visible(data[:_EXCERPT].decode('latin-1').strip())}'") from None
        if self.complete:
            return
        if self._size > size:
            self._unframed = 0
            if self._max_bytes is not None and self._size > self._max_bytes:
                raise TooLarge(f"it has more than {self._max_bytes} bytes")
        else:
            self._unframed += len(data)
            if self._unframed > MAX_HEAD_LENGTH:
                raise NotHttp(f"it has {self._unframed} bytes without a body")

    def _handle_connection_end(self) -> None:
        """Handle the end of the connection."""
        if self.complete:
            return
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self.headers_complete and not framed:
            # If the response has no length, it's complete when the connection ends.
            self.complete = True
            self.keep_alive = False
            return
        what = "in the middle of the response" if self.started else "without a response"
        raise ConnectionBroken(f"the server disconnected {what}")

    def take_body(self) -> bytes:
        """Return the part of the body that was received since the last call."""
        body = bytes(self._body)
        self._body.clear()
        return body

    def _stop_parser_with_error(self, kind: type[HttpError], message: str) -> NoReturn:
        """Stop the parser and make `feed` raise an error."""
        self._refusal = (kind, message)
        raise RuntimeError(message)

    # httptools callbacks

    def on_message_begin(self) -> None:
        """Check for an unexpected second response."""
        self.extra = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header or trailer."""
        if self.complete:
            return
        self._fields += 1
        self._field_bytes += len(name) + len(value)
        if self._fields > MAX_FIELDS or len(value) > MAX_FIELD_LENGTH or self._field_bytes > MAX_HEAD_LENGTH:
            message = f"it has too many or too long headers: {self._fields}, of {self._field_bytes} bytes"
            self._stop_parser_with_error(NotHttp, message)
        fields = self.trailers if self.headers_complete else self.headers
        key, text = _decode_header_name(name), value.decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text

    def on_headers_complete(self) -> None:
        """Record that the body follows. An interim response (1xx) is discarded once it's complete."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        self.headers_complete = self.status >= 200
        if not self.headers_complete:
            self._interim += 1
            if self._interim > MAX_INTERIM_RESPONSES:
                self._stop_parser_with_error(NotHttp, f"it has {self._interim} interim responses")
        elif not self._has_body:
            # The parser doesn't know about the request and expects a body, so the connection can't be reused.
            self.complete = True
        elif self._max_bytes is not None:
            length = self.headers.get("content-length", "0")
            if length.isdecimal() and len(length) < 20 and int(length) > self._max_bytes:
                self._stop_parser_with_error(TooLarge, f"it has {length} bytes, more than {self._max_bytes}")

    def on_body(self, body: bytes) -> None:
        """Store part of the body."""
        if not self.complete:
            self._body += body
            self._size += len(body)

    def on_message_complete(self) -> None:
        """Record that the response is complete."""
        if self.complete:
            return
        if self.status < 200:
            self.headers.clear()
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
