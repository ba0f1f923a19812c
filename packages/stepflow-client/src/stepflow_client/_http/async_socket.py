"""A connection in an event loop (asyncio's or a compatible one), and a limit on concurrent requests."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Self, cast

from .connecting import async_open_socket
from .http1_format import (
    ConnectFailed,
    ConnectionBroken,
    ConnectTimeout,
    HttpError,
    HttpRequest,
    PoolTimeout,
    ReadTimeout,
    ResponseReader,
    WriteTimeout,
)
from .sync_socket import CHUNK_SIZE, TLS_CUT_OFF, build_readable_check, count_forks, describe_failure, enable_keep_alive

AsyncCancelled = asyncio.CancelledError
"""The exception raised in a task that is cancelled while it waits."""

# Stop reading from the socket once there are this many unread bytes, so that the server has to slow down.
_MAX_UNREAD_BYTES = 1024 * 1024


def identify_process_and_loop() -> tuple[object, ...]:
    """Return a value that identifies the current process and event loop, which own any connection opened in them."""
    return (count_forks(), asyncio.get_running_loop())


class AsyncSocket(asyncio.Protocol):
    """A connection that belongs to an event loop."""

    def __init__(self) -> None:
        self.reader = ResponseReader()
        self._forks = count_forks()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._paused_reading = False
        self._waiter: asyncio.Future[None] | None = None
        self._request: HttpRequest | None = None
        """The request whose response is being read into `reader`, or None while bytes are collected for `receive`."""
        self._read_timeout = self._timeout = self._deadline = self._timer_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self.is_full = False
        """True while the system can't accept more bytes."""
        self._ended = self._is_closed = False
        self._error: Exception | None = None
        self._is_readable: Callable[[], object] = bool
        self.idle_since = 0.0
        """When the connection was last used, as measured by `time.monotonic()`."""

    @classmethod
    async def connect(cls, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> Self:
        """Open a connection within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        try:
            connected = await async_open_socket(host, port, timeout)
            try:
                async with asyncio.timeout_at(end):
                    name = host if tls is not None else None
                    _, connection = await loop.create_connection(cls, sock=connected, ssl=tls, server_hostname=name)
            except BaseException:
                connected.close()
                raise
        except TimeoutError:
            raise ConnectTimeout(f"no connection within {timeout:g} s") from None
        except (OSError, ssl.SSLError) as error:
            raise ConnectFailed(describe_failure(error)) from error
        return connection

    @property
    def is_usable(self) -> bool:
        """Whether the connection can be reused. False if the server has closed it or sent unexpected data."""
        if self._ended or self._unread or self._error or self._loop is not asyncio.get_running_loop():
            return False
        # Also check the socket itself, since the event loop might not have read the latest data yet.
        return not self._is_readable()

    def close(self) -> None:
        """Close the connection immediately, dropping any unsent data."""
        self._is_closed = True
        # Only the connection's own event loop may close it directly.
        is_own = self._loop is asyncio.get_running_loop() and self._forks == count_forks()
        if is_own and self._transport is not None:
            self._transport.abort()
        else:
            self.close_from_anywhere()

    def close_from_anywhere(self) -> None:
        """Close the connection from any thread (for example, during garbage collection), even if the loop is closed."""
        self._is_closed = True
        if self._transport is None or self._forks != count_forks():
            # After a fork, the event loops of the parent and the child watch the same sockets. If we closed the
            # connection here, the parent's loop would stop watching it.
            return
        try:
            self._loop.call_soon_threadsafe(self._transport.abort)
        except RuntimeError:
            # The event loop is closed, so the transport can't be used and won't close the socket until it is
            # garbage-collected. (uvloop has already closed the socket, and its sockets don't support `shutdown`.)
            with contextlib.suppress(OSError, AttributeError, NotImplementedError, TypeError):
                self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def aclose(self) -> None:
        """Close the connection right away and give the event loop a chance to do its part."""
        self.close()
        await asyncio.sleep(0)

    def send(self, data: bytes, timeout: float) -> None:
        """Send bytes. If the system doesn't accept all of them right away (see `is_full`), the rest are sent later."""
        if self._transport is None or self._ended:
            raise ConnectionBroken("the connection is closed")
        self._transport.write(data)

    async def wait_until_writable(self, timeout: float) -> None:
        """Wait until the system accepts bytes again."""
        if self._writable is None:
            return
        error = WriteTimeout(f"no data was accepted within {timeout:g} s")
        timer = self._loop.call_later(timeout, _fail_future, self._writable, error)
        try:
            await self._writable
        finally:
            timer.cancel()

    def read_whole_response(self, request: HttpRequest, timeout: float) -> asyncio.Future[None]:
        """Read the response to a request into `reader`, waiting at most `timeout` seconds for each part.

        Returns:
            A future that is done once the response is complete. Awaiting it doesn't cost an extra task, timer or frame.
        """
        self.reader.begin_response(request.method, request.max_response_bytes)
        self._request, self._read_timeout = request, timeout
        waiter = self._waiter = self._loop.create_future()
        if self._unread or self._ended:
            if self._unread:
                self.data_received(self._take_unread())
            if self._ended:
                self._handle_connection_end()
        else:
            self._set_read_deadline(request.get_seconds_allowed(timeout))
        return waiter

    async def receive(self, timeout: float) -> bytes:
        """Wait for data and return it. An empty result means that the connection has ended."""
        if not self._unread and not self._ended:
            self._waiter = self._loop.create_future()
            self._set_read_deadline(timeout)
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None and not self._unread:
            raise ConnectionBroken(describe_failure(self._error)) from self._error
        return self._take_unread()

    def _take_unread(self) -> bytes:
        data = bytes(self._unread)
        self._unread.clear()
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self._transport.resume_reading()
        return data

    def _set_read_deadline(self, timeout: float) -> None:
        """Limit how long the reader waits.

        Responses usually arrive long before the limit, so it would be wasteful to start a timer for each. Instead, many
        responses share one timer. When it fires, it checks whether the deadline has been moved in the meantime.
        """
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        if self._timer is None or self._timer_at > self._deadline:
            self._start_read_timer(timeout)

    def _start_read_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_later(seconds, self._check_read_deadline)

    def _check_read_deadline(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        left = self._deadline - time.monotonic()
        if left > 0:
            self._start_read_timer(left)
        else:
            _fail_future(self._waiter, ReadTimeout(f"no data received within {self._timeout:g} s"))

    # Event loop callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        # A cast is needed because the transports of other event loops have the same methods without being subclasses.
        self._transport = cast("asyncio.Transport", transport)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            enable_keep_alive(connected)
            self._is_readable = build_readable_check(connected.fileno())
        if hasattr(transport, "max_size"):
            # The maximum number of bytes that asyncio reads at once from a plain socket (256 KiB by default).
            setattr(transport, "max_size", CHUNK_SIZE)  # noqa: B010 - specific to asyncio, and not in any type stub
        # On shutdown, an event loop closes any remaining async generators and waits for them. We want it to do the same
        # for this connection. It isn't a generator, but `aclose` is the only method that the loop calls.
        if (note := sys.get_asyncgen_hooks().firstiter) is not None:
            note(cast("AsyncGenerator[None]", self))

    def data_received(self, data: bytes) -> None:
        """Process part of the response, or store the bytes and wake the reader."""
        request, waiter = self._request, self._waiter
        if request is not None and waiter is not None:
            if waiter.done():
                # The caller was cancelled, so the connection is about to be closed.
                return
            try:
                self.reader.feed(data)
                if not self.reader.complete:
                    request.check_deadline()
                    self._set_read_deadline(request.get_seconds_allowed(self._read_timeout))
                    return
            except HttpError as error:
                _fail_future(waiter, error)
            else:
                waiter.set_result(None)
            self._request = self._waiter = None
            return
        self._unread += data
        if len(self._unread) > _MAX_UNREAD_BYTES and not self._paused_reading and self._transport is not None:
            self._paused_reading = True
            self._transport.pause_reading()
        self._wake_waiter(self._waiter)

    def eof_received(self) -> bool:
        """Record that the server won't send any more data."""
        # asyncio can't tell a TLS connection that ends without close_notify from one that ends properly.
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        try:
            is_cut_off = tls is not None and tls.read(1) != b""
        except ssl.SSLError:
            is_cut_off = True
        if is_cut_off:
            self._error = ConnectionError(TLS_CUT_OFF)
        self._handle_connection_end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Record that the connection has ended and wake the reader and sender."""
        is_expected = exc is not None or self._ended or self._is_closed
        if not is_expected and self._transport and self._transport.get_extra_info("sslcontext") is not None:
            exc = ConnectionError(TLS_CUT_OFF)
        self._error = self._error or exc
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._handle_connection_end()
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            error = ConnectionBroken(describe_failure(exc) if exc else "the server closed the connection")
            error.__cause__ = exc
            # There may be no waiting sender, in which case nobody would retrieve the exception.
            _fail_future(writable, error)

    def _handle_connection_end(self) -> None:
        self._ended = True
        waiter = self._waiter
        if self._request is None or waiter is None or waiter.done():
            self._wake_waiter(waiter)
        elif self._error is None:
            # Some responses are only complete when the connection ends.
            self.data_received(b"")
        else:
            error = ConnectionBroken(describe_failure(self._error))
            error.__cause__ = self._error
            _fail_future(waiter, error)
            self._request = self._waiter = None

    def pause_writing(self) -> None:
        """Make senders wait, because the system can't accept more bytes."""
        self._writable = self._loop.create_future()
        self.is_full = True

    def resume_writing(self) -> None:
        """Let senders continue."""
        self.is_full = False
        writable, self._writable = self._writable, None
        self._wake_waiter(writable)

    @staticmethod
    def _wake_waiter(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)


def _fail_future(future: asyncio.Future[None], error: HttpError) -> None:
    if not future.done():
        future.set_exception(error)
        # Mark the exception as retrieved, since the waiting call might have been cancelled at the same moment.
        future.exception()


class _LoopSlots:
    """The number of free slots in an event loop and the calls that are waiting for one."""

    def __init__(self, free: float, loop: asyncio.AbstractEventLoop) -> None:
        self.free = free
        self.loop = loop
        self.waiting: deque[asyncio.Future[None]] = deque()


class AsyncRequestSlots:
    """Limits the number of concurrent requests in an event loop.

    Args:
        limit: The maximum number of concurrent requests, or None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._max_connections = math.inf if limit is None else limit
        self._slots: _LoopSlots | None = None

    def try_take(self) -> _LoopSlots | None:
        """Take a slot if one is free. Pass it to `release` when done."""
        slots, loop = self._slots, asyncio.get_running_loop()
        if slots is None or slots.loop is not loop:
            # Start over in a new event loop, since the futures of waiting calls belong to the old one.
            slots = self._slots = _LoopSlots(self._max_connections, loop)
        if not slots.free:
            return None
        slots.free -= 1
        return slots

    async def wait_and_take(self, timeout: float) -> _LoopSlots:
        """Wait up to `timeout` seconds for a slot and take it, if `try_take` returned None. Calls are served in order.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        slots = self._slots
        assert slots is not None
        waiter: asyncio.Future[None] = slots.loop.create_future()
        slots.waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                # The call got a slot at the very moment it was cancelled or timed out, so hand the slot back.
                self.release(slots)
            if isinstance(error, TimeoutError):
                raise PoolTimeout(f"no connection was free within {timeout:g} s") from None
            raise
        return slots

    @staticmethod
    def release(slots: _LoopSlots | None) -> None:
        """Release a slot. If calls are waiting, the one that has waited the longest gets it."""
        if slots is None:
            return
        while slots.waiting:
            waiter = slots.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        slots.free += 1
