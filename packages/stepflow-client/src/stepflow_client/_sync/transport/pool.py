# Written from _async/transport/pool.py by `make generate`. Change that file instead.

"""A pool of keep-alive connections to one server."""

from __future__ import annotations

import time
import weakref
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from ..._http import http1_format
from ..._http.http1_format import HttpError, HttpRequest, HttpResponse
from ..._http.settings import API_PATH, PoolLimits, ServerUrl
from ..._http.sync_socket import SyncRequestSlots, SyncSocket, count_forks
from ...errors import ClientClosedError
from .base import Stream, Transport

if TYPE_CHECKING:
    import ssl

# Maximum size, in bytes, of a body that's sent in one piece with the headers.
_MAX_SINGLE_SEND_BYTES = 64 * 1024
# How many seconds to wait for a response that the server may have sent before the connection broke.
_EARLY_RESPONSE_SECONDS = 0.5


class Pool(Transport):
    """Sends HTTP/1.1 requests to one server, using one connection per concurrent request.

    The most recently used idle connection is reused first, after checking that it's still open and has no stray data.
    Other idle connections aren't touched until they expire, so having a lot of them doesn't slow down calls.

    Args:
        root: The server's URL, without `/api/v1`.
        tls: The SSL context for an https server, or None for http.
        limits: How many connections to open at most, and how many idle connections to keep for how long.
    """

    def __init__(self, root: ServerUrl, tls: ssl.SSLContext | None, limits: PoolLimits) -> None:
        self._name = root.host
        self._port = root.port
        self._host = root.netloc
        self._path = root.path + API_PATH
        self._headers: dict[http1_format.HeaderItems, bytes] = {}
        self._tls = tls
        self._idle: list[SyncSocket] = []
        self._max_idle = limits.max_keepalive_connections
        self._max_idle_seconds = float("inf") if limits.keepalive_expiry is None else limits.keepalive_expiry
        self._max_connections = limits.max_connections
        self._busy: set[SyncSocket] = set()
        self._slots = SyncRequestSlots(self._max_connections)
        self._forks = count_forks()
        self._closed = False
        # The event loop keeps references to open connections, so they would otherwise outlive a pool that's never
        # closed.
        weakref.finalize(self, _abandon_connections, self._idle).atexit = False

    def close(self) -> None:
        """Close all connections, including any in use, and don't open any more."""
        self._closed = True
        connections = [*self._idle, *self._busy]
        self._idle.clear()
        self._busy.clear()
        for connection in connections:
            connection.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the complete response."""
        head = http1_format.encode_head(request, self._host, self._path, self._headers)
        connection: SyncSocket | None = None
        done, slot = False, None
        if self._forks != count_forks():
            self._abandon_inherited_connections()
        slots = self._slots
        try:
            slot = slots.try_take() or slots.wait_and_take(request.get_seconds_allowed(request.timeout.pool))
            connection = self._take_idle_connection() or self._connect(request)
            reader = connection.reader
            try:
                seconds = request.timeout.write
                if request.deadline is not None:
                    seconds = request.get_seconds_allowed(seconds)
                if len(request.content) <= _MAX_SINGLE_SEND_BYTES:
                    connection.send(head + request.content, seconds)
                else:
                    connection.send(head, seconds)
                    connection.send(request.content, seconds)
                if connection.is_full:
                    connection.wait_until_writable(seconds)
                connection.read_whole_response(request, request.timeout.read)
                done = reader.keep_alive and not reader.extra
            except http1_format.ConnectionBroken as error:
                if reader.complete or len(request.content) <= _MAX_SINGLE_SEND_BYTES:
                    raise
                # Look for an early response, since servers may reject a large body before they've read all of it.
                try:
                    connection.read_whole_response(request, _EARLY_RESPONSE_SECONDS)
                except HttpError:
                    raise error from error.__cause__
            return HttpResponse(reader.status, reader.headers, reader.take_body())
        finally:
            if connection is not None:
                self._release_connection(connection, done)
            slots.release(slot)

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request and return the response as it arrives. The connection is closed, not reused."""
        head = http1_format.encode_head(request, self._host, self._path, self._headers)
        # Streams can stay open for hours, so they don't count toward the maximum number of connections.
        connection = self._connect(request)
        try:
            connection.send(head + request.content, request.get_seconds_allowed(request.timeout.write))
            reader = connection.reader
            reader.begin_response(request.method)
            while not reader.headers_complete:
                reader.feed(connection.receive(request.get_seconds_allowed(request.timeout.read)))
                if not reader.headers_complete:
                    request.check_deadline()
            yield Stream(reader.status, reader.headers, partial(self._iterate_body, connection), request.timeout.read)
        finally:
            self._busy.discard(connection)
            connection.close()

    @staticmethod
    def _iterate_body(connection: SyncSocket, stream: Stream) -> Generator[bytes, None, None]:
        reader = connection.reader
        while True:
            if chunk := reader.take_body():
                yield chunk
            if reader.complete:
                return
            try:
                received = connection.receive(stream.remaining)
            except http1_format.ReadTimeout:
                yield b""
            else:
                reader.feed(received)

    def _abandon_inherited_connections(self) -> None:
        """Abandon connections inherited in a fork. Otherwise, parent and child would read each other's responses."""
        self._forks = count_forks()
        _abandon_connections((*self._idle, *self._busy))
        self._idle.clear()
        self._busy.clear()
        self._slots = SyncRequestSlots(self._max_connections)

    def _connect(self, request: HttpRequest) -> SyncSocket:
        if not self._closed:
            timeout = request.get_seconds_allowed(request.timeout.connect)
            connection = SyncSocket.connect(self._name, self._port, self._tls, timeout)
            self._busy.add(connection)
            if not self._closed:
                return connection
            # The pool was closed while we were connecting, and it might not have closed this connection.
            self._busy.discard(connection)
            connection.close()
        raise ClientClosedError("the client is closed", hint="create a new one")

    def _take_idle_connection(self) -> SyncSocket | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                # Another thread took the last idle connection first.
                return None
            if time.monotonic() - connection.idle_since < self._max_idle_seconds and connection.is_usable:
                self._busy.add(connection)
                return connection
            connection.close()
        return None

    def _release_connection(self, connection: SyncSocket, reusable: bool) -> None:
        self._busy.discard(connection)
        now = connection.idle_since = time.monotonic()
        # The list is sorted, with the connections that have been idle the longest first.
        while (oldest := self._idle[:1]) and oldest[0].idle_since <= now - self._max_idle_seconds:
            with suppress(IndexError):
                self._idle.pop(0).close()
        if reusable and (self._max_idle is None or len(self._idle) < self._max_idle):
            self._idle.append(connection)
            if not self._closed:
                return
        connection.close()


def _abandon_connections(connections: Iterable[SyncSocket]) -> None:
    for connection in connections:
        connection.close_from_anywhere()
