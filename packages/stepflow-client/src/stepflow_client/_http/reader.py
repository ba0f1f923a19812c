"""Reads HTTP/1.1 responses from the bytes of a connection. Pure, except for httptools, which parses them."""

from __future__ import annotations

from functools import lru_cache
from typing import NoReturn

import httptools

from .._base.text import visible
from .messages import TLS_RESPONSE, ConnectionBroken, HttpError, NotHttp, TooLarge

MAX_HEAD_LENGTH = 128 * 1024
"""Maximum number of bytes without any body data: a status line and headers, interim responses, trailers."""
MAX_FIELD_LENGTH = 64 * 1024
"""Maximum size of the value of a header or trailer in bytes."""
MAX_FIELDS = 256
"""Maximum number of headers and trailers of a response, including those of its interim responses."""
MAX_INTERIM = 32
"""Maximum number of interim responses (1xx) before a response."""
# Maximum number of bytes that a message quotes of something that is not a response.
_SHOWN = 40


@lru_cache(maxsize=256)
def _header_name(name: bytes) -> str:
    """Return the name of a header in lower case. Cached, because servers send the same few names."""
    return name.decode("latin-1").lower()


class ResponseReader:
    """Reads the responses that arrive over one connection, one after another.

    `begin` prepares for a response, `feed` processes received bytes, and `headers_complete` and `complete` report the
    progress. There is one reader per connection, not per response, because the reader and its parser refer to each
    other: only the garbage collector can free them. Everything that a server could send endlessly is limited: heads,
    fields, interim responses, trailers, the framing of chunks, and the body if `begin` is given a limit.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self.begin()

    def begin(self, method: str = "GET", max_bytes: int | None = None) -> None:
        """Prepare for a response, after the previous one was read to its end.

        Args:
            method: The method of the request: a response to HEAD has no body.
            max_bytes: Maximum size of the body in bytes; None for no limit.
        """
        self._body.clear()
        self._has_body = method != "HEAD"
        self._max_bytes = max_bytes
        self._size = self._unframed = self._fields = self._field_bytes = self._interim = 0
        # A new dict for each response, because callers keep it.
        self.headers: dict[str, str] = {}
        self._refusal: tuple[type[HttpError], str] | None = None
        self.trailers: dict[str, str] = {}
        """Fields after the body, which are counted but not used."""
        self.status = 0
        self.started = False
        self.headers_complete = False
        self.complete = False
        self.keep_alive = False
        self.extra = False

    def feed(self, data: bytes) -> None:
        """Process received bytes; empty bytes mean the end of the connection.

        Raises:
            NotHttp: If they are not HTTP/1.1, or exceed the limits for a response.
            TooLarge: If the body exceeds its limit.
            ConnectionBroken: If the connection ends before the response is complete, or if the memory is full.
        """
        if not data:
            self._close()
            return
        if self.complete:
            # The server sent unexpected data: the connection cannot be reused.
            self.extra = True
            return
        self.started = True
        size = self._size
        try:
            # The parser calls the methods below.
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if self._refusal is None:
                if isinstance(error.__context__, MemoryError):
                    raise ConnectionBroken("there is no memory for the response") from None
                # The callbacks cannot fail in any other way, so there was an interrupt. (Its type is lost if another
                # exception is being handled.)
                raise KeyboardInterrupt from error
            kind, message = self._refusal
            raise kind(message) from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.complete:
                # The response is complete; the data after it is unexpected.
                self.extra = True
                return
            if isinstance(error, httptools.HttpParserUpgrade):
                raise NotHttp("it switches to another protocol") from None
            if self.status or data.startswith(b"HTTP/"):
                raise NotHttp(f"not an HTTP/1.1 response: {error}") from None
            if data.startswith(b"\x15\x03"):
                raise NotHttp(TLS_RESPONSE) from None
            raise NotHttp(f"its response begins with '{visible(data[:_SHOWN].decode('latin-1').strip())}'") from None
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

    def _close(self) -> None:
        """Process the end of the connection."""
        if self.complete:
            return
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self.headers_complete and not framed:
            # A response without a length ends with the connection.
            self.complete = True
            self.keep_alive = False
            return
        what = "in the middle of the response" if self.started else "without a response"
        raise ConnectionBroken(f"the server disconnected {what}")

    def take_body(self) -> bytes:
        """Return the part of the body received since the last call."""
        body = bytes(self._body)
        self._body.clear()
        return body

    def _fail_with(self, kind: type[HttpError], message: str) -> NoReturn:
        """Make the parser stop and `feed` raise an error."""
        self._refusal = (kind, message)
        raise RuntimeError(message)

    # The callbacks of httptools

    def on_message_begin(self) -> None:
        """Record an unexpected response after the expected one."""
        self.extra = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header or trailer."""
        if self.complete:
            return
        self._fields += 1
        self._field_bytes += len(name) + len(value)
        if self._fields > MAX_FIELDS or len(value) > MAX_FIELD_LENGTH or self._field_bytes > MAX_HEAD_LENGTH:
            self._fail_with(
                NotHttp, f"it has too many or too long headers: {self._fields}, of {self._field_bytes} bytes"
            )
        fields = self.trailers if self.headers_complete else self.headers
        key, text = _header_name(name), value.decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text

    def on_headers_complete(self) -> None:
        """Record the start of the body; an interim response (1xx) is discarded when it ends."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        self.headers_complete = self.status >= 200
        if not self.headers_complete:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._fail_with(NotHttp, f"it has {self._interim} interim responses")
        elif not self._has_body:
            # The parser does not know the request and expects a body now: the connection is not reused.
            self.complete = True
        elif self._max_bytes is not None:
            length = self.headers.get("content-length", "0")
            if length.isdecimal() and len(length) < 20 and int(length) > self._max_bytes:
                self._fail_with(TooLarge, f"it has {length} bytes, more than {self._max_bytes}")

    def on_body(self, body: bytes) -> None:
        """Store a part of the body."""
        if not self.complete:
            self._body += body
            self._size += len(body)

    def on_message_complete(self) -> None:
        """Record the end of the response."""
        if self.complete:
            return
        if self.status < 200:
            self.headers.clear()
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
