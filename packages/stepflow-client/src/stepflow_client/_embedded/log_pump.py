"""Reads the output pipes of a server and passes their lines to Python's logging.

There are two threads that must not wait for each other: one reads continuously, because a server stops when its pipe is
full; the other calls logging handlers, which may be slow or raise.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO

from .._logging import logger_of
from ..logs import LineSplitter, LogConfig, LogEntry, LogLevel, Stream

_LEVELS: dict[LogLevel, int] = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_CHUNK = 65_536
_PIPE_SIZE = 1_048_576
_QUEUE_LIMIT = 10_000
_TAIL_LINES = 50


class LogPump:
    """Reads the pipes of one server process until they end, independently of how the lines are processed."""

    def __init__(
        self, pipes: Mapping[Stream, IO[bytes]], max_line_length: int, accept: Callable[[bytes, Stream], None]
    ) -> None:
        """Start reading the pipes. The pump closes them when it ends.

        Args:
            pipes: The pipes of the process, by stream.
            max_line_length: Longer lines are truncated.
            accept: Called with each line and its stream.
        """
        self._pipes = pipes
        self._accept = accept
        self._splitters = {stream: LineSplitter(max_line_length) for stream in pipes}
        self._closed = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="stepflow-runtime-pipes", daemon=True)
        for pipe in pipes.values():
            os.set_blocking(pipe.fileno(), False)
            _widen(pipe.fileno())
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the end of the pipes, then stop reading.

        Call it after the process has ended. Another process that inherited the pipes, and that this package must not
        end, may keep them open forever.
        """
        if self._closed:
            return
        self._closed = True
        self._thread.join(timeout)
        os.write(self._wake_write, b"x")
        self._thread.join()
        os.close(self._wake_write)
        os.close(self._wake_read)

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_read, selectors.EVENT_READ)
                for stream, pipe in self._pipes.items():
                    selector.register(pipe, selectors.EVENT_READ, stream)
                self._pump(selector)
        finally:
            for pipe in self._pipes.values():
                pipe.close()

    def _pump(self, selector: selectors.BaseSelector) -> None:
        left = len(self._pipes)
        while left:
            for key, _ in selector.select():
                if key.data is None:
                    return
                if not self._read(key.fd, key.data):
                    selector.unregister(key.fileobj)
                    left -= 1

    def _read(self, fd: int, stream: Stream) -> bool:
        """Read one chunk, and return whether there may be more."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        splitter = self._splitters[stream]
        for line in splitter.feed(data) if data else [splitter.flush()]:
            # Keep reading after errors in a line.
            with contextlib.suppress(Exception):
                if line:
                    self._accept(line, stream)
        return bool(data)


def _widen(fd: int) -> None:
    """Increase the capacity of the pipe, if the system supports it, for times when a busy Python does not read."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


class LogStore:
    """Keeps the last log entries of a runtime across restarts of the server, and forwards them to a logger."""

    def __init__(self, config: LogConfig) -> None:
        """Start without entries."""
        self._lock = threading.Lock()
        self._recent: deque[LogEntry] = deque(maxlen=config.buffer_lines if config.capture else 0)
        self._tail: deque[LogEntry] = deque(maxlen=_TAIL_LINES)
        self._forwarder = _Forwarder(_logger_of(config)) if config.forward else None

    def add(self, entry: LogEntry, pid: int) -> None:
        """Store an entry and forward it."""
        with self._lock:
            self._recent.append(entry)
            self._tail.append(entry)
        if self._forwarder is not None:
            self._forwarder.put(entry, pid)

    def recent(self, limit: int) -> list[LogEntry]:
        """Return the last `limit` stored entries, oldest first."""
        with self._lock:
            return list(self._recent)[-limit:] if limit > 0 else []

    def new_process(self) -> None:
        """Clear the tail: the output of an earlier process does not explain why the next one ended."""
        with self._lock:
            self._tail.clear()

    def tail(self) -> list[LogEntry]:
        """Return the last entries of the current process, which are kept even if capturing is off."""
        with self._lock:
            return list(self._tail)

    def close(self) -> None:
        """Forward the remaining entries, for at most half a second, and stop."""
        if self._forwarder is not None:
            self._forwarder.close()


class _Forwarder:
    """Passes entries to the handlers of a logger in a separate thread."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._queue: queue.SimpleQueue[tuple[LogEntry, int] | None] = queue.SimpleQueue()
        self._dropped = 0
        self._closed_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="stepflow-runtime-logs", daemon=True)
        self._thread.start()

    def put(self, entry: LogEntry, pid: int) -> None:
        if not self._logger.isEnabledFor(_LEVELS[entry.level]):
            return
        if self._queue.qsize() >= _QUEUE_LIMIT:
            self._dropped += 1
        else:
            self._queue.put((entry, pid))

    def close(self) -> None:
        self._closed_at = time.monotonic()
        self._queue.put(None)
        self._thread.join(0.5)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._closed_at is not None and time.monotonic() > self._closed_at + 0.4:
                return
            # Ignore errors of handlers; the next line may succeed.
            with contextlib.suppress(Exception):
                self._emit(*item)
            dropped, self._dropped = self._dropped, 0
            if dropped:
                with contextlib.suppress(Exception):
                    self._logger.warning("%d lines of the server were dropped: logging is too slow for them", dropped)

    def _emit(self, entry: LogEntry, pid: int) -> None:
        extra = {"target": entry.target, "stream": entry.stream, "server_pid": pid}
        self._logger.log(_LEVELS[entry.level], "%s", entry.message, extra=extra)


def _logger_of(config: LogConfig) -> logging.Logger:
    given = config.python_logger
    return given if isinstance(given, logging.Logger) else logging.getLogger(given) if given else logger_of("server")
