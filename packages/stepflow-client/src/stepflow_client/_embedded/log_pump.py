"""Empties a server's pipes, and passes what comes out of them to Python's logging.

Two threads, because they must not wait for each other: one reads and never stops, the other calls handlers,
which may be slow or raise. A server whose pipe is full stands still.
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
    """Reads the pipes of one server process until they end, whatever is done with their lines."""

    def __init__(
        self, pipes: Mapping[Stream, IO[bytes]], max_line_length: int, accept: Callable[[bytes, Stream], None]
    ) -> None:
        """Take the pipes over; they are closed when the pump ends."""
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
        """Wait up to `timeout` seconds for the pipes' end, then leave them; for when the process has ended.

        Something that has taken the pipes along and is not ours to end may hold them open for ever.
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
        """Take one chunk; return whether there may be more."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        splitter = self._splitters[stream]
        for line in splitter.feed(data) if data else [splitter.flush()]:
            # Reading goes on, even after errors in a line.
            with contextlib.suppress(Exception):
                if line:
                    self._accept(line, stream)
        return bool(data)


def _widen(fd: int) -> None:
    """Let the pipe hold more, where the system can, for the time a busy Python does not read."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


class LogStore:
    """Keeps the last entries of a runtime, over all its restarts, and forwards them to a logger."""

    def __init__(self, config: LogConfig) -> None:
        """Start with nothing kept."""
        self._lock = threading.Lock()
        self._recent: deque[LogEntry] = deque(maxlen=config.buffer_lines if config.capture else 0)
        self._tail: deque[LogEntry] = deque(maxlen=_TAIL_LINES)
        self._forwarder = _Forwarder(_logger_of(config)) if config.forward else None

    def add(self, entry: LogEntry, pid: int) -> None:
        """Keep one entry, and forward it."""
        with self._lock:
            self._recent.append(entry)
            self._tail.append(entry)
        if self._forwarder is not None:
            self._forwarder.put(entry, pid)

    def recent(self, limit: int) -> list[LogEntry]:
        """Return the last `limit` kept entries, oldest first."""
        with self._lock:
            return list(self._recent)[-limit:] if limit > 0 else []

    def new_process(self) -> None:
        """Begin a new tail: what an earlier process said does not explain the end of the next."""
        with self._lock:
            self._tail.clear()

    def tail(self) -> list[LogEntry]:
        """Return the last entries of the current process; kept even where nothing is captured."""
        with self._lock:
            return list(self._tail)

    def close(self) -> None:
        """Forward what is left, for a moment, and end."""
        if self._forwarder is not None:
            self._forwarder.close()


class _Forwarder:
    """Hands entries to the handlers of a logger in a thread of its own."""

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
            # A handler's fault is the handler's; the next line may fare better.
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
