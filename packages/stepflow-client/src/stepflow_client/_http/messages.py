"""HTTP/1.1 messages, and what may become of them. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "MOST_BYTES",
    "SHORTEST",
    "CannotSend",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionBroken",
    "HeaderItems",
    "HttpError",
    "HttpRequest",
    "HttpResponse",
    "NotHttp",
    "PoolTimeout",
    "ReadTimeout",
    "Timeouts",
    "TooLarge",
    "Unreadable",
    "WriteTimeout",
    "lower",
    "request_bytes",
]


HeaderItems = tuple[tuple[str, str], ...]
"""Names and values of headers."""

_LONGEST_TARGET = 65_536
_MOST_KNOWN = 8
MOST_BYTES = 1024**3
"""Bytes in the body of a response, where the client is not told otherwise."""
SHORTEST = 0.001
"""Seconds that a phase gets though the deadline has passed: what is there already is still read."""


class HttpError(Exception):
    """A request got no response. The kind says whether the server may have got the request."""

    attempts: Sequence[str] = ()
    """What came of each attempt, where there was more than one."""
    server: int | None = None
    """Which server of a list it was sent to, or could not be."""


class CannotSend(HttpError):
    """The request cannot be written as HTTP; nothing was sent."""


class ConnectFailed(HttpError):
    """There was no connection; nothing was sent."""


class ConnectTimeout(ConnectFailed):
    """There was no connection in time; nothing was sent."""


class PoolTimeout(ConnectFailed):
    """No connection was free in time; nothing was sent."""


class WriteTimeout(HttpError):
    """The server did not take the request in time."""


class ReadTimeout(HttpError):
    """The server did not respond in time."""


class ConnectionBroken(HttpError):
    """The connection broke after it had been made."""


class NotHttp(HttpError):
    """Something answered, but not in HTTP/1.1."""


class TooLarge(HttpError):
    """The response is larger than the caller wants to read."""


class Unreadable(HttpError):
    """A response came whose body cannot be decoded."""


class Timeouts(NamedTuple):
    """Seconds for each phase of a request."""

    connect: float = 30.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 600.0

    def reading(self, seconds: float) -> Timeouts:
        """Return the same with other seconds for the response."""
        return Timeouts(self.connect, seconds, self.write, self.pool)

    def at_most(self, seconds: float) -> Timeouts:
        """Return the same with every phase limited to a number of seconds."""
        return Timeouts(*(min(phase, seconds) for phase in self))

    def as_dict(self) -> dict[str, float]:
        """Return them as httpx has them."""
        return self._asdict()


@dataclass(slots=True)
class HttpRequest:
    """A request below the root of the API."""

    method: str
    path: str
    """Without `/api/v1` before it, percent-encoded."""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case; `host` and `content-length` are added when it is sent. They may be credentials."""
    content: bytes = field(default=b"", repr=False)
    timeout: Timeouts = field(default_factory=Timeouts)
    idempotent: bool = True
    """Whether sending it twice does no more than sending it once."""
    deadline: float | None = None
    """The caller's deadline, by `time.monotonic()`, whatever the phases would still allow."""
    max_response_bytes: int = MOST_BYTES
    """Bytes that the body of the response may have; of a stream, what comes between two events."""
    server: int | None = None
    """Which server of a list should get it, if that one is there; None for any."""

    def remaining(self, seconds: float) -> float:
        """Return how long a phase may take from now on.

        Args:
            seconds: The limit of the phase.
        """
        if self.deadline is None:
            return seconds
        return min(seconds, max(self.deadline - time.monotonic(), SHORTEST))

    def check_deadline(self) -> None:
        """Raise if more must come and the caller's deadline has passed: a server may send without a pause.

        Raises:
            ReadTimeout: If it has.
        """
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise ReadTimeout("no whole answer in time")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class HttpResponse:
    """A response, read to its end."""

    status: int
    headers: dict[str, str] = field(repr=False)
    """Names in lower case; repeated ones are joined by a comma."""
    content: bytes = field(default=b"", repr=False)
    attempts: Sequence[str] = ()
    """What came of each attempt, for a response that is an error."""
    server: int | None = None
    """Which server of a list has sent it."""

    @property
    def content_type(self) -> str:
        """The content type, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def request_bytes(request: HttpRequest, host: bytes, root_path: str, known: dict[HeaderItems, bytes]) -> bytes:
    """Return a request as it goes over the wire, but for its body.

    Args:
        request: The request.
        host: What the `host` header says.
        root_path: What goes before its path.
        known: Headers as they have been written before, which is filled: most requests of a client have the same.

    Raises:
        CannotSend: If it cannot be sent.
    """
    target = f"{root_path}{request.path}?{request.query}" if request.query else root_path + request.path
    if len(target) > _LONGEST_TARGET:
        raise CannotSend("its path and query are too long")
    begin = f"{request.method} {target} HTTP/1.1\r\nhost: ".encode("ascii")
    items = tuple(request.headers.items())
    headers = known.get(items)
    if headers is None:
        headers = _header_lines(items)
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[items] = headers
    if request.content or request.method in ("POST", "PUT", "PATCH"):
        return b"%b%b%b\r\ncontent-length: %d\r\n\r\n" % (begin, host, headers, len(request.content))
    return b"%b%b%b\r\n\r\n" % (begin, host, headers)


def _header_lines(headers: HeaderItems) -> bytes:
    """Return headers as they go over the wire.

    Raises:
        CannotSend: If they cannot be sent.
    """
    # No response is unpacked here, and some proxies take silence for consent.
    lines = [] if any(name == "accept-encoding" for name, _ in headers) else [b"\r\naccept-encoding: identity"]
    for name, value in headers:
        if "\r" in value or "\n" in value or "\0" in value or not name.isascii():
            raise CannotSend(f"the header {name!r} has a value that cannot be sent")
        lines.append(f"\r\n{name}: {value}".encode("latin-1", "strict"))
    return b"".join(lines)


def lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers as a dict with names in lower case, repeated ones joined."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(several) for name, several in values.items()}
