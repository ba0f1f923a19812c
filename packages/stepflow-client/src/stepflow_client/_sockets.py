"""A connection to a server, asynchronous and blocking: the only part of the client that is written twice by hand.

Both raise a ConnectFailed where nothing was sent, another WireError where something may have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import socket
import ssl
import threading
import time
from typing import Self, cast

from ._http import (
    SHORTEST,
    Broken,
    ConnectFailed,
    ConnectTimeout,
    PoolTimeout,
    ReadTimeout,
    ResponseReader,
    WireError,
    WriteTimeout,
)

__all__ = [
    "AsyncCancelled",
    "AsyncSlots",
    "AsyncSocket",
    "SyncCancelled",
    "SyncSlots",
    "SyncSocket",
    "async_home",
    "forks",
    "sync_home",
]

AsyncCancelled = asyncio.CancelledError
"""What ends a waiting task from outside."""
SyncCancelled = KeyboardInterrupt
"""What ends a waiting thread from outside."""

_forks = 0


def forks() -> int:
    """Give how many forks lie between this process and the one that started it; asking for its id takes longer."""
    return _forks


def _count_fork() -> None:
    global _forks
    _forks += 1


def async_home() -> tuple[object, ...]:
    """Give what the connections of an asynchronous client belong to: a process and an event loop."""
    return (_forks, asyncio.get_running_loop())


def sync_home() -> tuple[object, ...]:
    """Give what the connections of a blocking client belong to: a process."""
    return (_forks,)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)

_CHUNK = 256 * 1024
_MOST_UNREAD = 1024 * 1024
"""Bytes that may wait for a slow reader before the server is made to wait."""


class AsyncSocket(asyncio.Protocol):
    """A connection in an event loop."""

    def __init__(self) -> None:
        self.reader = ResponseReader()
        self._forks = _forks
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread: list[bytes] = []
        self._unread_size = 0
        self._paused_reading = False
        self._waiter: asyncio.Future[None] | None = None
        self._timeout = self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None

    @classmethod
    async def connect(cls, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> Self:
        """Open a connection within a number of seconds."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                if not isinstance(loop, asyncio.BaseEventLoop):
                    return await cls._connect_in_turn(loop, host, port, tls, timeout)
                # asyncio's race of addresses may lose a connection that is made when it is cancelled. There is none
                # where there is only one address, or where none of them can be slow.
                delay = None if _is_address(host) or host == "localhost" else 0.25
                _, connection = await loop.create_connection(cls, host, port, ssl=tls, happy_eyeballs_delay=delay)
        except TimeoutError:
            raise ConnectTimeout(f"no connection within {timeout:g} s") from None
        except (OSError, ssl.SSLError) as error:
            raise ConnectFailed(_reason(error)) from error
        return connection

    @classmethod
    async def _connect_in_turn(
        cls, loop: asyncio.AbstractEventLoop, host: str, port: int, tls: ssl.SSLContext | None, timeout: float
    ) -> Self:
        """Open a connection in an event loop that has no race of addresses, such as uvloop's: one after the other."""
        connected = await _first_to_accept(loop, host, port, loop.time() + timeout)
        try:
            name = host if tls is not None else None
            _, connection = await loop.create_connection(cls, sock=connected, ssl=tls, server_hostname=name)
        except BaseException:
            connected.close()
            raise
        return connection

    @property
    def is_usable(self) -> bool:
        """False once the server has closed the connection, or sent what nobody asked for."""
        return not (self._ended or self._unread or self._error or self._is_elsewhere)

    def close(self) -> None:
        """Close at once; what is not sent yet is dropped."""
        if self._transport is None:
            return
        if self._is_elsewhere or self._forks != _forks:
            self.abandon()
        else:
            self._transport.abort()

    def abandon(self) -> None:
        """Close from anywhere: a garbage collector may run in another thread, or when the event loop is gone."""
        if self._transport is None or self._forks != _forks:
            # The event loop that a fork has inherited watches its sockets together with the parent's: what is closed
            # here falls silent there.
            return
        try:
            self._loop.call_soon_threadsafe(self._transport.abort)
        except RuntimeError:
            # The event loop is closed. Its transport cannot be used any more, and closes the socket when it goes.
            # (uvloop has closed it already, and its sockets take no `shutdown`.)
            with contextlib.suppress(OSError, AttributeError, NotImplementedError, TypeError):
                self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    @property
    def _is_elsewhere(self) -> bool:
        """Whether another event loop runs here than that of the connection."""
        return self._loop is not asyncio.get_running_loop()

    async def aclose(self) -> None:
        """Close at once, and let the event loop do it."""
        self.close()
        await asyncio.sleep(0)

    def send(self, data: bytes, timeout: float) -> None:
        """Send bytes; those the system does not take at once go out later, see `is_full`."""
        if self._transport is None or self._ended:
            raise Broken("the connection is closed")
        self._transport.write(data)

    @property
    def is_full(self) -> bool:
        """True while the system takes no more bytes."""
        return self._writable is not None

    async def drain(self, timeout: float) -> None:
        """Wait until the system has taken what was sent."""
        if self._writable is None:
            return
        timer = self._loop.call_later(timeout, _expire, self._writable, WriteTimeout, timeout)
        try:
            await self._writable
        finally:
            timer.cancel()

    async def receive(self, timeout: float) -> bytes:
        """Give the bytes that have come, waiting for some; none at the end of the connection."""
        if not self._unread and not self._ended:
            self._waiter = self._loop.create_future()
            self._expire_in(timeout)
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._unread:
            data = self._unread[0] if len(self._unread) == 1 else b"".join(self._unread)
            self._unread.clear()
            self._unread_size = 0
            if self._paused_reading and self._transport is not None:
                self._paused_reading = False
                self._transport.resume_reading()
            return data
        if self._error is not None:
            raise Broken(_reason(self._error)) from self._error
        return b""

    def _expire_in(self, timeout: float) -> None:
        """Let the reader wait so long and no longer.

        Answers come long before that, and a timer for each would be made in vain: there is one for many of them,
        which finds out when it goes off whether the deadline has been moved meanwhile.
        """
        self._timeout = timeout
        self._deadline = self._loop.time() + timeout
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look_at_deadline)
        else:
            _expire(self._waiter, ReadTimeout, self._timeout)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # The transports of other event loops than asyncio's have its methods, but are no subclasses.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep what came and wake the reader."""
        self._unread.append(data)
        self._unread_size += len(data)
        if self._unread_size > _MOST_UNREAD and not self._paused_reading and self._transport is not None:
            self._paused_reading = True
            self._transport.pause_reading()
        self._wake(self._waiter)

    def eof_received(self) -> bool:
        """Note that the server sends no more."""
        self._ended = True
        self._wake(self._waiter)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, and wake whoever waits."""
        self._ended = True
        self._error = self._error or exc
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake(self._waiter)
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_exception(Broken(_reason(exc) if exc else "the server closed the connection"))
            # Nobody may be waiting for it.
            writable.exception()

    def pause_writing(self) -> None:
        """Make the sender wait: the system takes no more."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let the sender go on."""
        writable, self._writable = self._writable, None
        self._wake(writable)

    @staticmethod
    def _wake(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)


async def _first_to_accept(loop: asyncio.AbstractEventLoop, host: str, port: int, end: float) -> socket.socket:
    """Open a connection to one of a host's addresses; each gets its share of the time until a moment of the loop.

    Raises:
        OSError: If there is none; TimeoutError if the last address did not accept in time.
    """
    failure: OSError = OSError("it has no address")
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.setblocking(False)
            async with asyncio.timeout((end - loop.time()) / left):
                await loop.sock_connect(connected, address)
        except OSError as error:
            connected.close()
            failure = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise failure


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


def _expire(future: asyncio.Future[None], kind: type[WireError], timeout: float) -> None:
    if not future.done():
        future.set_exception(kind(f"nothing within {timeout:g} s"))


class AsyncSlots:
    """How many may do something at once, in an event loop."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._free = None if most is None else asyncio.Semaphore(most)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def acquire(self, timeout: float) -> None:
        """Take a slot, waiting for one at most a number of seconds."""
        if self._free is None or self._most is None:
            return
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A semaphore belongs to the first event loop in which somebody had to wait for it.
            self._loop, self._free = loop, asyncio.Semaphore(self._most)
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(timeout):
                await self._free.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no connection was free within {timeout:g} s") from None

    def release(self) -> None:
        """Give a slot back."""
        if self._free is not None:
            self._free.release()


class SyncSlots:
    """How many threads may do something at once."""

    def __init__(self, most: int | None) -> None:
        # Not a semaphore: a KeyboardInterrupt can leave that locked, as it is written in Python.
        self._free: queue.SimpleQueue[None] | None = None if most is None else queue.SimpleQueue()
        for _ in range(most or 0):
            self.release()

    def acquire(self, timeout: float) -> None:
        """Take a slot, waiting for one at most a number of seconds."""
        if self._free is None:
            return
        try:
            self._free.get(timeout=min(timeout, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise PoolTimeout(f"no connection was free within {timeout:g} s") from None

    def release(self) -> None:
        """Give a slot back."""
        if self._free is not None:
            self._free.put(None)


class SyncSocket:
    """A connection that blocks its thread."""

    def __init__(self, connected: socket.socket) -> None:
        self.reader = ResponseReader()
        self._forks = _forks
        self._socket = connected

    @classmethod
    def connect(cls, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> Self:
        """Open a connection within a number of seconds."""
        end = time.monotonic() + timeout
        try:
            connected = _connected(host, port, end)
        except TimeoutError:
            raise ConnectTimeout(f"no connection within {timeout:.3g} s") from None
        except OSError as error:
            raise ConnectFailed(_reason(error)) from error
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                connected.settimeout(max(end - time.monotonic(), SHORTEST))
                connected = tls.wrap_socket(connected, server_hostname=host)
        except TimeoutError:
            connected.close()
            raise ConnectTimeout(f"no connection within {timeout:g} s") from None
        except (OSError, ssl.SSLError) as error:
            connected.close()
            raise ConnectFailed(_reason(error)) from error
        return cls(connected)

    @property
    def is_usable(self) -> bool:
        """False once the server has closed the connection, or sent what nobody asked for."""
        try:
            return not _is_readable(self._socket)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close at once; a thread that waits for the answer is woken."""
        if self._forks == _forks:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()

    def abandon(self) -> None:
        """Close only what this process has of it: what a fork has inherited is the parent's too."""
        with contextlib.suppress(OSError):
            self._socket.close()

    is_full = False
    """Never: `send` returns when the system has taken all of it."""

    def drain(self, timeout: float) -> None:
        """Do nothing."""

    def send(self, data: bytes, timeout: float) -> None:
        """Send bytes; returns when the system has taken them."""
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise WriteTimeout(f"nothing was taken within {timeout:g} s") from None
        except (OSError, ssl.SSLError) as error:
            raise Broken(_reason(error)) from error

    def receive(self, timeout: float) -> bytes:
        """Give the bytes that have come, waiting for some; none at the end of the connection."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(_CHUNK)
        except TimeoutError:
            raise ReadTimeout(f"nothing within {timeout:g} s") from None
        except ssl.SSLEOFError:
            return b""
        except (OSError, ssl.SSLError) as error:
            raise Broken(_reason(error)) from error


def _connected(host: str, port: int, end: float) -> socket.socket:
    """Open a connection to one of a host's addresses, all of them within the same time.

    Raises:
        OSError: If there is none; TimeoutError if there is none in time.
    """
    failure: OSError = OSError("it has no address")
    for *_, (address, its_port, *_) in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            return socket.create_connection((str(address), int(its_port)), left)
        except OSError as error:
            failure = error
    raise failure


def _is_readable(connected: socket.socket) -> bool:
    if hasattr(select, "poll"):
        # `select` takes no descriptors from 1024 on.
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connected], [], [], 0)[0])


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
