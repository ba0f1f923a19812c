"""HTTP/1.1 messages, and the errors of sending them. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

HeaderItems = tuple[tuple[str, str], ...]
"""Names and values of headers."""

_NO_HEADERS: dict[str, str] = {}
_PHASES = ("connect", "read", "write", "pool")
_MAX_TARGET_LENGTH = 65_536
_MAX_CACHED = 8
MAX_BYTES = 1024**3
"""Default maximum size of the body of a response in bytes."""
TLS_RESPONSE = "its response is TLS"
"""The message of `NotHttp` for a server that responds to http with TLS."""
MIN_TIMEOUT = 0.001
"""Minimum seconds for a phase, even if the deadline has passed: data that has already arrived is still read."""


class HttpError(Exception):
    """A request got no usable response. The subclass shows whether the server may have received the request."""

    attempts: Sequence[str] = ()
    """The outcome of each attempt."""
    server: int | None = None
    """Index of the server, in a list of servers, that the request was sent to or failed to reach."""


class CannotSend(HttpError):
    """The request cannot be written as HTTP; nothing was sent."""


class ConnectFailed(HttpError):
    """No connection could be opened; nothing was sent."""


class ConnectTimeout(ConnectFailed):
    """No connection could be opened in time; nothing was sent."""


class NameTimeout(ConnectTimeout):
    """The name of the host was not resolved in time; nothing was sent."""


class PoolTimeout(ConnectFailed):
    """No connection was free in time; nothing was sent."""


class WriteTimeout(HttpError):
    """The server did not accept the whole request in time."""


class ReadTimeout(HttpError):
    """The server did not respond in time."""


class ConnectionBroken(HttpError):
    """The connection broke after it was opened."""


class NotHttp(HttpError):
    """There was a response, but not in HTTP/1.1."""


class TooLarge(HttpError):
    """The response is larger than the caller allows."""


class Unreadable(HttpError):
    """There was a response, but it cannot be decoded."""


# Seconds after which a held response is considered lost, even if the client sets no limit.
_MAX_OVERDUE = 600.0


class Timeouts(NamedTuple):
    """Seconds for each phase of a request, and for the whole of it."""

    connect: float = 30.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 600.0
    whole: float = math.inf
    """Seconds for all phases of all attempts together. A server that sends single bytes slowly exceeds no phase."""

    def reading(self, seconds: float) -> Timeouts:
        """Return a copy for a stream, which may last for hours: only the given read timeout limits it."""
        return self._replace(read=seconds, whole=math.inf)

    @lru_cache(maxsize=32)  # noqa: B019 - a few constants
    def waiting(self, seconds: float) -> Timeouts:
        """Return a copy for a request that the server may hold for a number of seconds."""
        return self._replace(read=min(self.read, _MAX_OVERDUE) + seconds, whole=self.whole + seconds)

    def at_most(self, seconds: float) -> Timeouts:
        """Return a copy with every phase limited to a number of seconds."""
        return Timeouts(*(min(phase, seconds) for phase in self))

    def as_dict(self) -> dict[str, float]:
        """Return the timeouts of the phases as a dict, in the form that httpx uses."""
        return dict(zip(_PHASES, self, strict=False))


class HttpRequest(NamedTuple):
    """A request whose path is relative to the root of the API."""

    method: str
    path: str
    """The percent-encoded path, without the leading `/api/v1`."""
    query: str = ""
    headers: dict[str, str] = _NO_HEADERS
    """The headers, with names in lower case; `host` and `content-length` are added on sending. May hold credentials.
    The dict is shared with other requests: replace it to change it."""
    content: bytes = b""
    timeout: Timeouts = Timeouts()
    idempotent: bool = True
    """Whether sending the request twice has the same effect as sending it once."""
    deadline: float | None = None
    """The caller's deadline, by `time.monotonic()`; it limits every phase."""
    max_response_bytes: int = MAX_BYTES
    """Maximum size of the body of the response in bytes; for a stream, of the data between two events."""
    server: int | None = None
    """The number of the preferred server, in a list of servers; it is used if it is available. None for any."""
    operation: str = ""
    """The name of the operation; empty if it is none of the API's."""
    is_retried: bool = True
    """Whether it may be sent again if the server has not processed it. If not, its caller decides."""

    def remaining(self, seconds: float) -> float:
        """Return how many seconds a phase that begins now may take.

        Args:
            seconds: The limit of the phase in seconds.
        """
        if self.deadline is None:
            return seconds
        return min(seconds, max(self.deadline - time.monotonic(), MIN_TIMEOUT))

    def check_deadline(self) -> None:
        """Check that the caller's deadline has not passed: a server may never stop sending its response.

        Raises:
            ReadTimeout: If the deadline has passed.
        """
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise ReadTimeout("no complete response in time")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def __repr__(self) -> str:
        # The headers may contain credentials, and the content secrets.
        return f"<{type(self).__name__} {self}>"


class HttpResponse(NamedTuple):
    """A complete response."""

    status: int
    headers: dict[str, str]
    """The headers, with names in lower case; repeated ones are joined by a comma."""
    content: bytes = b""
    attempts: Sequence[str] = ()
    """The outcome of each attempt, for an error response."""
    server: int | None = None
    """Index of the server, in a list of servers, that sent it."""

    @property
    def content_type(self) -> str:
        """The content type, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"


def encode_head(request: HttpRequest, host: bytes, root_path: str, cache: dict[HeaderItems, bytes]) -> bytes:
    """Return the head of a request in wire format.

    Args:
        request: The request.
        host: The value of the `host` header.
        root_path: The path before the request's path.
        cache: Headers in wire format, which this function fills: most requests of a client have the same headers.

    Raises:
        CannotSend: If the request cannot be sent.
    """
    target = f"{root_path}{request.path}?{request.query}" if request.query else root_path + request.path
    if len(target) > _MAX_TARGET_LENGTH:
        raise CannotSend("its path and query are too long")
    begin = f"{request.method} {target} HTTP/1.1\r\nhost: ".encode("ascii")
    items = tuple(request.headers.items())
    headers = cache.get(items)
    if headers is None:
        # Responses are not decompressed here, and some proxies compress them unless told not to.
        is_default = not any(name == "accept-encoding" for name, _ in items)
        lines = [b"\r\naccept-encoding: identity"] if is_default else []
        for name, value in items:
            if "\r" in value or "\n" in value or "\0" in value or not name.isascii():
                raise CannotSend(f"the header {name!r} has a value that cannot be sent")
            lines.append(f"\r\n{name}: {value}".encode("latin-1", "strict"))
        headers = b"".join(lines)
        if len(cache) >= _MAX_CACHED:
            cache.clear()
        cache[items] = headers
    if request.content or request.method in ("POST", "PUT", "PATCH"):
        return b"%b%b%b\r\ncontent-length: %d\r\n\r\n" % (begin, host, headers, len(request.content))
    return b"%b%b%b\r\n\r\n" % (begin, host, headers)


def lower_names(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers as a dict with names in lower case; repeated ones are joined by a comma."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(parts) for name, parts in values.items()}
