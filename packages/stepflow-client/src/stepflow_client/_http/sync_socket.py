"""A blocking connection and a limit on concurrent requests.

Also contains the code shared with `async_socket`, the counterpart for event loops. Both versions are handwritten. They
raise ConnectFailed if nothing was sent, and a different HttpError if some data may have been sent.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Self

from .._base.lazy import lazy_module
from .connecting import sync_open_socket
from .http1_format import (
    MIN_TIMEOUT,
    ConnectFailed,
    ConnectionBroken,
    ConnectTimeout,
    HttpRequest,
    PoolTimeout,
    ReadTimeout,
    ResponseReader,
    WriteTimeout,
)

if TYPE_CHECKING:
    import ssl
else:
    # Load ssl lazily, because plain HTTP doesn't need it.
    ssl = lazy_module("ssl")

SyncCancelled = KeyboardInterrupt
"""The exception that interrupts a thread while it waits. `AsyncCancelled` is its counterpart for tasks."""

_forks: list[None] = []
count_forks = _forks.__len__
"""Returns how many forks separate this process from the first one. Faster than getting the process ID."""


def identify_process() -> tuple[object, ...]:
    """Return a value that identifies the current process, which owns the connections opened in it."""
    return (count_forks(),)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(_forks.append, None))

# Seconds of silence before the system probes the peer, seconds between probes, and how many probes can go unanswered.
# (macOS calls the first setting `TCP_KEEPALIVE`.)
_KEEP_ALIVE_OPTIONS = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
TLS_CUT_OFF = "the TLS connection was cut off"
"""The error raised if TLS data ends without a close_notify, because an attacker might have truncated the response."""
CHUNK_SIZE = 64 * 1024
"""Maximum number of bytes to read at once. At 128 KiB or more, the C library may map and unmap memory for each read,
which is slower than the read itself."""


class SyncSocket:
    """A blocking connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.reader = ResponseReader()
        self._forks = count_forks()
        self._socket = connected
        self._is_tls = hasattr(connected, "pending")
        self._is_readable = build_readable_check(connected.fileno())
        self.idle_since = 0.0
        """When the connection was last used, as measured by `time.monotonic()`."""

    def __del__(self) -> None:
        """Close a connection left open by a KeyboardInterrupt, even if that happened during `__init__`."""
        with contextlib.suppress(AttributeError):
            self.close_from_anywhere()

    @classmethod
    def connect(cls, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> Self:
        """Open a connection within `timeout` seconds."""
        end = time.monotonic() + timeout
        try:
            connected = sync_open_socket(host, port, timeout)
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                enable_keep_alive(connected)
                if tls is not None:
                    connected.settimeout(max(end - time.monotonic(), MIN_TIMEOUT))
                    connected = tls.wrap_socket(connected, server_hostname=host, suppress_ragged_eofs=False)
                return cls(connected)
            except BaseException:
                connected.close()
                raise
        except TimeoutError:
            raise ConnectTimeout(f"no connection within {timeout:.3g} s") from None
        except OSError as error:
            raise ConnectFailed(describe_failure(error)) from error

    @property
    def is_usable(self) -> bool:
        """Whether the connection can be reused. False if the server has closed it or sent unexpected data."""
        if self._is_tls and self._socket.pending():  # type: ignore[attr-defined]
            return False
        return not self._is_readable()

    def close(self) -> None:
        """Close the connection immediately, waking any thread that is waiting for a response."""
        if self._forks == count_forks():
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()

    def close_from_anywhere(self) -> None:
        """Close just this process's handle, because a connection inherited by a fork also belongs to the parent."""
        with contextlib.suppress(OSError):
            self._socket.close()

    is_full = False
    """Always False, because `send` doesn't return until the system has accepted all bytes."""

    def wait_until_writable(self, timeout: float) -> None:
        """Return right away, because `send` has already waited."""

    def send(self, data: bytes, timeout: float) -> None:
        """Send bytes and return once the system has accepted them."""
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise WriteTimeout(f"no data was accepted within {timeout:g} s") from None
        except OSError as error:
            raise ConnectionBroken(describe_failure(error)) from error

    def read_whole_response(self, request: HttpRequest, timeout: float) -> None:
        """Read the response to a request into `reader`, waiting at most `timeout` seconds for each part."""
        reader = self.reader
        reader.begin_response(request.method, request.max_response_bytes)
        while not reader.complete:
            reader.feed(self.receive(request.get_seconds_allowed(timeout)))
            if not reader.complete:
                request.check_deadline()

    def receive(self, timeout: float) -> bytes:
        """Wait for data and return it. An empty result means that the connection was closed."""
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(CHUNK_SIZE)
        except TimeoutError:
            raise ReadTimeout(f"no data received within {timeout:g} s") from None
        except ssl.SSLEOFError:
            raise ConnectionBroken(TLS_CUT_OFF) from None
        except OSError as error:
            raise ConnectionBroken(describe_failure(error)) from error


def enable_keep_alive(connected: socket.socket) -> None:
    """Enable TCP keep-alive, so that the system notices if the peer disappears without closing the connection."""
    with contextlib.suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE_OPTIONS.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def build_readable_check(descriptor: int) -> Callable[[], object]:
    """Return a function that checks whether a socket has anything to read, including EOF or an error."""
    if hasattr(select, "poll"):
        # Prefer poll, because `select` doesn't accept descriptors above 1023.
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
    """Return a phrase that describes why a connection failed, to put at the end of a message."""
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, OSError) and error.errno:
        # Don't use the exception's message, which event loops replace with their own.
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


class SyncRequestSlots:
    """Limits the number of concurrent requests across all threads.

    A slot with no references left is replaced, so a KeyboardInterrupt can't lose a slot, no matter when it
    occurs.

    Args:
        limit: The maximum number of concurrent requests, or None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        # Don't use a semaphore. It's written in Python, so a KeyboardInterrupt can leave it locked.
        self._free_slots: queue.SimpleQueue[_SelfReplacingSlot] | None = None if limit is None else queue.SimpleQueue()
        for _ in range(limit or 0):
            self.add_slot()

    def add_slot(self) -> None:
        """Add a free slot (unless there is no limit)."""
        if self._free_slots is not None:
            self._free_slots.put(_SelfReplacingSlot(weakref.ref(self)))

    def try_take(self) -> _SelfReplacingSlot | None:
        """Take a slot if one is free. Pass it to `release` when done."""
        try:
            return _UNLIMITED_SLOT if self._free_slots is None else self._free_slots.get_nowait()
        except queue.Empty:
            return None

    def wait_and_take(self, timeout: float) -> _SelfReplacingSlot:
        """Wait up to `timeout` seconds for a slot and take it, if `try_take` returned None.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        assert self._free_slots is not None
        try:
            return self._free_slots.get(timeout=min(timeout, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise PoolTimeout(f"no connection was free within {timeout:g} s") from None

    def release(self, slot: _SelfReplacingSlot | None) -> None:
        """Release a slot."""
        if self._free_slots is not None and slot is not None:
            self._free_slots.put(slot)


class _SelfReplacingSlot:
    """A slot that is replaced by a new one when it's garbage-collected."""

    def __init__(self, slots: Callable[[], SyncRequestSlots | None]) -> None:
        self._slots = slots

    def __del__(self) -> None:
        slots = self._slots()
        if slots is not None:
            slots.add_slot()


_UNLIMITED_SLOT = _SelfReplacingSlot(lambda: None)
