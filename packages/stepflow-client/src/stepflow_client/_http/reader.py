"""Reads HTTP/1.1 responses from the bytes of a connection. Pure, but for httptools, which parses."""

from __future__ import annotations

from functools import lru_cache
from typing import NoReturn

import httptools

from .messages import ConnectionBroken, HttpError, NotHttp, TooLarge

__all__ = ["LONGEST_FIELD", "LONGEST_HEAD", "MOST_FIELDS", "MOST_INTERIM", "ResponseReader"]

_SMALL = 4096
"""Bytes up to which a piece of a body is joined to the one before."""
LONGEST_HEAD = 128 * 1024
"""Bytes that may come without a body among them: a status line and headers, interim responses, trailers."""
LONGEST_FIELD = 64 * 1024
"""Bytes in the value of a header or trailer."""
MOST_FIELDS = 256
"""Headers and trailers of a response, those of its interim responses too."""
MOST_INTERIM = 32
"""Interim responses (1xx) before a response."""


@lru_cache(maxsize=256)
def _header_name(name: bytes) -> str:
    """Return the name of a header in lower case; servers send the same few."""
    return name.decode("latin-1").lower()


class ResponseReader:
    """Reads the responses that come over one connection, one after the other.

    `begin` expects a response, `feed` takes what came; `headers_complete` and `complete` say how far the response is.
    There is one for a connection, not for a response: it and its parser know each other, and only the garbage collector
    can end that. What a server may send without end is bounded: heads, fields, interim responses, trailers, the framing
    of chunks, and the body as far as `begin` says.
    """

    __slots__ = (
        "_body",
        "_field_bytes",
        "_fields",
        "_has_body",
        "_interim",
        "_most",
        "_parser",
        "_refusal",
        "_size",
        "_unframed",
        "complete",
        "extra",
        "headers",
        "headers_complete",
        "keep_alive",
        "started",
        "status",
        "trailers",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self.begin()

    def begin(self, method: str = "GET", most: int | None = None) -> None:
        """Expect a response; the one before has been read to its end.

        Args:
            method: Of the request: to a HEAD no body comes.
            most: How many bytes the body may have; None does not bound it.
        """
        self._body.clear()
        self._has_body = method != "HEAD"
        self._most = most
        self._size = self._unframed = self._fields = self._field_bytes = self._interim = 0
        self.headers: dict[str, str] = {}
        self._refusal: tuple[type[HttpError], str] | None = None
        self.trailers: dict[str, str] = {}
        """Fields that came behind the body; they are no headers, and nothing here reads them."""
        self.status = 0
        self.started = False
        self.headers_complete = False
        self.complete = False
        self.keep_alive = False
        self.extra = False

    def feed(self, data: bytes) -> None:
        """Take bytes, none at the end of the connection.

        Raises:
            NotHttp: If they are not HTTP/1.1, or more than a response needs.
            TooLarge: If the body is larger than it may be.
            ConnectionBroken: If the connection ends and the response is not complete without more.
        """
        if not data:
            self._end()
            return
        if self.complete:
            # The server sent more than was asked for: the connection cannot be used again.
            self.extra = True
            return
        self.started = True
        size, pieces = self._size, len(self._body)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if self._refusal is None:
                if isinstance(error.__context__, MemoryError):
                    raise ConnectionBroken("there is no memory for the answer") from None
                # Nothing else below can fail: it was interrupted. (By what is lost where another exception is handled.)
                raise KeyboardInterrupt from error
            kind, words = self._refusal
            raise kind(words) from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.complete:
                # The response is whole; what stands behind it was not asked for.
                self.extra = True
                return
            if isinstance(error, httptools.HttpParserUpgrade):
                raise NotHttp("it changes to another protocol unasked") from None
            raise NotHttp(f"not an HTTP/1.1 answer: {error}") from None
        if not self.complete:
            self._check(len(data), size, pieces)

    def _check(self, came: int, size: int, pieces: int) -> None:
        """Bound what has come, and join the smallest pieces of the body: each takes many times its size."""
        if self._size > size:
            self._unframed = 0
            if self._most is not None and self._size > self._most:
                raise TooLarge(f"it has more than {self._most} bytes")
        else:
            self._unframed += came
            if self._unframed > LONGEST_HEAD:
                raise NotHttp(f"it has {self._unframed} bytes without a body")
        body = self._body
        if len(body) > pieces + 1:
            body[pieces:] = [b"".join(body[pieces:])]
        if pieces and len(body) > pieces and len(body[pieces - 1]) < _SMALL:
            body[pieces - 1 :] = [body[pieces - 1] + body[pieces]]

    def _end(self) -> None:
        if self.complete:
            return
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self.headers_complete and not framed:
            # A response without a length ends with the connection.
            self.complete = True
            self.keep_alive = False
            return
        what = "in the middle of the answer" if self.started else "without an answer"
        raise ConnectionBroken(f"the server disconnected {what}")

    def take_body(self) -> bytes:
        """Return the part of the body that came since the last time."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return body

    def _refuse(self, kind: type[HttpError], words: str) -> NoReturn:
        """Have the parser stop, and `feed` raise an error."""
        self._refusal = (kind, words)
        raise RuntimeError(words)

    # What httptools calls

    def on_message_begin(self) -> None:
        """Note a response that nobody asked for, behind the one that was."""
        self.extra = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or a trailer."""
        if self.complete:
            return
        self._fields += 1
        self._field_bytes += len(name) + len(value)
        if self._fields > MOST_FIELDS or len(value) > LONGEST_FIELD or self._field_bytes > LONGEST_HEAD:
            self._refuse(NotHttp, f"it has too many or too long headers: {self._fields}, of {self._field_bytes} bytes")
        fields = self.trailers if self.headers_complete else self.headers
        key, text = _header_name(name), value.decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text

    def on_headers_complete(self) -> None:
        """Note that the body begins; an interim response (1xx) is forgotten when it ends."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        self.headers_complete = self.status >= 200
        if not self.headers_complete:
            self._interim += 1
            if self._interim > MOST_INTERIM:
                self._refuse(NotHttp, f"it has {self._interim} interim answers")
        elif not self._has_body:
            # The parser knows no requests and expects a body now: the connection is not used again.
            self.complete = True
        elif self._most is not None and _number(self.headers.get("content-length", "0")) > self._most:
            self._refuse(TooLarge, f"it has {self.headers['content-length']} bytes, more than {self._most}")

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if not self.complete:
            self._body.append(body)
            self._size += len(body)

    def on_message_complete(self) -> None:
        """Note the end of the response."""
        if self.complete:
            return
        if self.status < 200:
            self.headers.clear()
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()


def _number(length: str) -> int:
    return int(length) if length.isdecimal() and len(length) < 20 else 0
