"""A connection to a server that blocks its thread, and what it shares with that of an event loop (`_async_socket`).

Both are written by hand. They raise a ConnectFailed where nothing was sent, another HttpError where something may have
been.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from .._lazy import lazy_module
from .messages import SHORTEST, ConnectFailed, ConnectionBroken, ConnectTimeout, ReadTimeout, WriteTimeout
from .reader import ResponseReader

if TYPE_CHECKING:
    import ssl
    from asyncio import CancelledError as AsyncCancelled
else:
    # A plain http server needs none of it.
    ssl = lazy_module("ssl")

__all__ = [
    "CHUNK",
    "RAGGED",
    "AsyncCancelled",
    "SyncCancelled",
    "SyncSocket",
    "async_home",
    "forks",
    "keep_alive",
    "readable",
    "reason",
    "sync_home",
]

SyncCancelled = KeyboardInterrupt
"""What ends a waiting thread from outside; `AsyncCancelled` is the same of a task."""

_forks = 0


def __getattr__(name: str) -> Any:
    if name != "AsyncCancelled":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Who blocks threads alone does not pay for the import of asyncio.
    from asyncio import CancelledError

    return CancelledError


def forks() -> int:
    """Return how many forks lie between this process and the one that started it; asking for its id takes longer."""
    return _forks


def _count_fork() -> None:
    global _forks
    _forks += 1


def async_home() -> tuple[object, ...]:
    """Return what the connections of an asynchronous client belong to: a process and an event loop."""
    import asyncio

    return (_forks, asyncio.get_running_loop())


def sync_home() -> tuple[object, ...]:
    """Return what the connections of a blocking client belong to: a process."""
    return (_forks,)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)

_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds without a byte before the system asks whether the other side is still there, seconds between questions, and
how many may go unanswered. (`TCP_KEEPALIVE` is what macOS calls the first.)"""
RAGGED = "the TLS connection was cut off"
"""A server says when it sends no more (close_notify). Without that anybody may have cut a response short."""
CHUNK = 64 * 1024
"""Bytes that are read at once. From 128 KiB on, the C library may map and unmap memory for each read, which takes
longer than the read itself."""


class SyncSocket:
    """A connection that blocks its thread."""

    def __init__(self, connected: socket.socket) -> None:
        self.reader = ResponseReader()
        self._forks = _forks
        self._socket = connected
        self._is_tls = hasattr(connected, "pending")
        self._is_readable = readable(connected.fileno())
        self.idle_since = 0.0
        """When it was used last, by `time.monotonic()`."""

    def __del__(self) -> None:
        """Close what a KeyboardInterrupt has left behind, in the middle of `__init__` too."""
        with contextlib.suppress(AttributeError):
            self.abandon()

    @classmethod
    def connect(cls, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> Self:
        """Open a connection within a number of seconds."""
        end = time.monotonic() + timeout
        try:
            connected = _connected(host, port, end)
        except TimeoutError:
            raise ConnectTimeout(f"no connection within {timeout:.3g} s") from None
        except OSError as error:
            raise ConnectFailed(reason(error)) from error
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(connected)
            if tls is not None:
                connected.settimeout(max(end - time.monotonic(), SHORTEST))
                connected = tls.wrap_socket(connected, server_hostname=host, suppress_ragged_eofs=False)
            return cls(connected)
        except TimeoutError:
            connected.close()
            raise ConnectTimeout(f"no connection within {timeout:g} s") from None
        except OSError as error:
            connected.close()
            raise ConnectFailed(reason(error)) from error
        except BaseException:
            connected.close()
            raise

    @property
    def is_usable(self) -> bool:
        """False once the server has closed the connection, or sent what nobody asked for."""
        if self._is_tls and self._socket.pending():  # type: ignore[attr-defined]
            return False
        return not self._is_readable()

    def close(self) -> None:
        """Close at once; a thread that waits for the response is woken."""
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
        except OSError as error:
            raise ConnectionBroken(reason(error)) from error

    def receive(self, timeout: float) -> bytes:
        """Return the bytes that have come, waiting for some; none at the end of the connection."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(CHUNK)
        except TimeoutError:
            raise ReadTimeout(f"nothing within {timeout:g} s") from None
        except ssl.SSLEOFError:
            raise ConnectionBroken(RAGGED) from None
        except OSError as error:
            raise ConnectionBroken(reason(error)) from error


def _connected(host: str, port: int, end: float) -> socket.socket:
    """Open a connection to one of a host's addresses; each gets its share of the time until a moment.

    Raises:
        OSError: If there is none; TimeoutError if the last address did not accept in time.
    """
    failure: OSError = OSError("it has no address")
    # Of a text Python makes ASCII by the codec for names in other alphabets, which would be imported for it.
    name = host.encode() if host.isascii() else host
    addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        seconds = end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(seconds / left)
            connected.connect(address)
        except OSError as error:
            connected.close()
            failure = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise failure


def keep_alive(connected: socket.socket) -> None:
    """Have the system find out when the other side has gone silently."""
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def readable(descriptor: int) -> Callable[[], bool]:
    """Return what tells whether a socket has something to read, its end or an error too."""
    if not hasattr(select, "poll"):
        return lambda: _selects(descriptor)
    # `select` takes no descriptors from 1024 on.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))


def _selects(descriptor: int) -> bool:
    try:
        return bool(select.select([descriptor], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
