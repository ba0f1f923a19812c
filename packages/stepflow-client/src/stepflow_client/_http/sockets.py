"""A blocking connection to a server, and the code it shares with the connection in an event loop (`async_socket`).

Both are written by hand. They raise a ConnectFailed if nothing was sent, and another HttpError if something may have
been sent.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from .._base.lazy import lazy_module
from .connecting import sync_open_socket
from .messages import (
    MIN_TIMEOUT,
    ConnectFailed,
    ConnectionBroken,
    ConnectTimeout,
    HttpRequest,
    ReadTimeout,
    ResponseReader,
    WriteTimeout,
)

if TYPE_CHECKING:
    import ssl
    from asyncio import CancelledError as AsyncCancelled
else:
    # Not needed for plain http servers.
    ssl = lazy_module("ssl")

__all__ = ["AsyncCancelled"]

SyncCancelled = KeyboardInterrupt
"""The exception that interrupts a waiting thread from outside, as `AsyncCancelled` interrupts a task."""

_forks: list[None] = []
count_forks = _forks.__len__
"""Returns the number of forks between the first process and this one, which is faster than getting the process id."""


def __getattr__(name: str) -> Any:
    if name != "AsyncCancelled":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The blocking client does not need asyncio.
    from asyncio import CancelledError

    return CancelledError


def async_get_owner() -> tuple[object, ...]:
    """Return the owner of an asynchronous client's connections: a process and an event loop."""
    import asyncio

    return (count_forks(), asyncio.get_running_loop())


def sync_get_owner() -> tuple[object, ...]:
    """Return the owner of a blocking client's connections: a process."""
    return (count_forks(),)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(_forks.append, None))

# Seconds of silence before the system probes the peer, seconds between probes, and how many probes may go unanswered.
# (On macOS, the first is called `TCP_KEEPALIVE`.)
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
TLS_CUT_OFF = "the TLS connection was cut off"
"""A server announces the end of its data (close_notify). Without it, a third party may have cut a response short."""
CHUNK = 64 * 1024
"""Maximum number of bytes per read. For 128 KiB or more, the C library may map and unmap memory for each read, which
takes longer than the read itself."""


class SyncSocket:
    """A blocking connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.reader = ResponseReader()
        self._forks = count_forks()
        self._socket = connected
        self._is_tls = hasattr(connected, "pending")
        self._is_readable = build_readable_check(connected.fileno())
        self.idle_since = 0.0
        """When the connection was last used, by `time.monotonic()`."""

    def __del__(self) -> None:
        """Close a connection that a KeyboardInterrupt left open, even in the middle of `__init__`."""
        with contextlib.suppress(AttributeError):
            self.abandon()

    @classmethod
    def connect(cls, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> Self:
        """Open a connection within a number of seconds."""
        end = time.monotonic() + timeout
        try:
            connected = sync_open_socket(host, port, timeout)
        except TimeoutError:
            raise ConnectTimeout(f"no connection within {timeout:.3g} s") from None
        except OSError as error:
            raise ConnectFailed(describe_failure(error)) from error
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            enable_keep_alive(connected)
            if tls is not None:
                connected.settimeout(max(end - time.monotonic(), MIN_TIMEOUT))
                connected = tls.wrap_socket(connected, server_hostname=host, suppress_ragged_eofs=False)
            return cls(connected)
        except TimeoutError:
            connected.close()
            raise ConnectTimeout(f"no connection within {timeout:g} s") from None
        except OSError as error:
            connected.close()
            raise ConnectFailed(describe_failure(error)) from error
        except BaseException:
            connected.close()
            raise

    @property
    def is_usable(self) -> bool:
        """Whether the connection can be reused: not if the server has closed it or sent unexpected data."""
        if self._is_tls and self._socket.pending():  # type: ignore[attr-defined]
            return False
        return not self._is_readable()

    def close(self) -> None:
        """Close immediately; a thread that waits for the response is woken."""
        if self._forks == count_forks():
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()

    def abandon(self) -> None:
        """Close only this process's handle: a connection inherited by a fork is also the parent's."""
        with contextlib.suppress(OSError):
            self._socket.close()

    is_full = False
    """Always False: `send` returns when the system has accepted all bytes."""

    def drain(self, timeout: float) -> None:
        """Do nothing."""

    def send(self, data: bytes, timeout: float) -> None:
        """Send bytes; return when the system has accepted them."""
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise WriteTimeout(f"nothing was accepted within {timeout:g} s") from None
        except OSError as error:
            raise ConnectionBroken(describe_failure(error)) from error

    def response(self, request: HttpRequest, timeout: float) -> None:
        """Read the response to a request with `reader`, waiting at most `timeout` seconds for each part of it."""
        reader = self.reader
        reader.begin(request.method, request.max_response_bytes)
        while not reader.complete:
            reader.feed(self.receive(request.remaining(timeout)))
            if not reader.complete:
                request.check_deadline()

    def receive(self, timeout: float) -> bytes:
        """Return received bytes, waiting for some; return empty bytes at the end of the connection."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(CHUNK)
        except TimeoutError:
            raise ReadTimeout(f"nothing within {timeout:g} s") from None
        except ssl.SSLEOFError:
            raise ConnectionBroken(TLS_CUT_OFF) from None
        except OSError as error:
            raise ConnectionBroken(describe_failure(error)) from error


def enable_keep_alive(connected: socket.socket) -> None:
    """Enable TCP keep-alive, so that the system detects a peer that has disappeared silently."""
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def build_readable_check(descriptor: int) -> Callable[[], object]:
    """Return a function whose result is true if a socket has something to read, including its end or an error."""
    if hasattr(select, "poll"):
        # `select` does not accept descriptors above 1023.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return partial(poll.poll, 0)

    def is_readable() -> bool:
        try:
            return bool(select.select([descriptor], [], [], 0)[0])
        except (OSError, ValueError):
            return True

    return is_readable


def describe_failure(error: BaseException) -> str:
    """Return why a connection failed, as the end of a message."""
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, OSError) and error.errno:
        # Event loops replace the system's message with their own.
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
