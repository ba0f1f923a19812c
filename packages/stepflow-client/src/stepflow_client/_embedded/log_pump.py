"""Reads the output pipes of a server and passes their lines to Python's logging.

Two threads must not wait for each other: one reads continuously, because a server stops when its pipe is full; the
other calls logging handlers, which may be slow or raise. Lines are only parsed for a handler or a caller that reads
them.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from .._base.logging import get_logger
from ..logs import LevelFilter, LineSplitter, LogConfig, LogEntry, LogLevel, RawLine, Stream

_LEVELS: dict[LogLevel, int] = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_PIPE_SIZE = 1_048_576
# How much is read without pauses: the start waits for the first lines.
_EAGER_BYTES = 65_536
# Pause between later reads: waking up for each line costs the server and this process more than reading many.
_PAUSE_SECONDS = 0.005
_QUEUE_LIMIT = 10_000
_TAIL_LINES = 50


class LogPump:
    """Reads the pipes of one server process until they end, independently of how the lines are processed."""

    def __init__(
        self, pipes: Mapping[Stream, IO[bytes]], max_line_length: int, accept: Callable[[list[bytes], Stream], None]
    ) -> None:
        """Start reading the pipes. The pump closes them when it ends.

        Args:
            pipes: The pipes of the process, by stream.
            max_line_length: Longer lines are truncated.
            accept: Called with lines that were read together, and their stream.
        """
        self._pipes = pipes
        self._accept = accept
        self._splitters = {stream: LineSplitter(max_line_length) for stream in pipes}
        self._closed = False
        self._eager_bytes = _EAGER_BYTES
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="stepflow-runtime-pipes", daemon=True)
        for pipe in pipes.values():
            os.set_blocking(pipe.fileno(), False)
        widened = [_widen_pipe(pipe.fileno()) for pipe in pipes.values()]
        # A pipe of the usual size could be full before the end of a pause.
        self._pauses = all(widened)
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
                while len(selector.get_map()) > 1:
                    for key, _ in selector.select():
                        if key.data is None:
                            return
                        if not self._read(key.fd, key.data):
                            selector.unregister(key.fileobj)
                    if self._pauses and self._eager_bytes <= 0:
                        time.sleep(_PAUSE_SECONDS)
        finally:
            for pipe in self._pipes.values():
                pipe.close()

    def _read(self, fd: int, stream: Stream) -> bool:
        """Read one chunk, and return whether there may be more."""
        try:
            data = os.read(fd, _PIPE_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._eager_bytes -= len(data)
        splitter = self._splitters[stream]
        lines = [line for line in (splitter.feed(data) if data else [splitter.flush()]) if line]
        # Keep reading after errors in a line.
        with contextlib.suppress(Exception):
            if lines:
                self._accept(lines, stream)
        return bool(data)


def _widen_pipe(fd: int) -> bool:
    """Increase the capacity of a pipe, for when a busy Python does not read; return whether it was possible."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        return fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE) >= _PIPE_SIZE
    return False


_listeners: list[Callable[[Sequence[RawLine]], None]] = []


@contextlib.contextmanager
def passing_lines(listener: Callable[[Sequence[RawLine]], None]) -> Iterator[None]:
    """Pass the lines of all embedded servers started in the block to a function, whatever `LogConfig` says.

    Args:
        listener: Called from the threads that call logging handlers, with lines that were read together.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class LogStore:
    """Keeps the last log lines of a runtime across restarts of the server, and forwards them to a logger."""

    def __init__(self, config: LogConfig) -> None:
        self._lock = threading.Lock()
        self._recent: deque[RawLine] = deque(maxlen=config.buffer_lines if config.capture else 0)
        self._tail: deque[RawLine] = deque(maxlen=_TAIL_LINES)
        target = config.python_logger
        logger = target if isinstance(target, logging.Logger) else logging.getLogger(target) if target else None
        self._logger = (logger or get_logger("server")) if config.forward else None
        listeners = tuple(_listeners)
        self._forwarder = _Forwarder(self._logger, listeners) if self._logger or listeners else None

    def level(self, has_workers: bool) -> LevelFilter:
        """Return the log level of a server for which `LogConfig.level` is not set."""
        is_read = self._logger is not None and self._logger.isEnabledFor(logging.INFO)
        return "info" if is_read or has_workers else "warn"

    def add(self, lines: Sequence[RawLine], pid: int) -> None:
        """Store lines and forward them."""
        with self._lock:
            self._recent.extend(lines)
            self._tail.extend(lines)
        if self._forwarder is not None:
            self._forwarder.put(lines, pid)

    def recent(self, limit: int) -> list[LogEntry]:
        """Return the entries of the last `limit` stored lines, oldest first."""
        with self._lock:
            lines = list(self._recent)[-limit:] if limit > 0 else []
        return [line.entry() for line in lines]

    def find(self, text: bytes) -> bytes | None:
        """Return the last stored line that contains a text."""
        with self._lock:
            lines = [*self._tail, *self._recent]
        return next((line.data for line in reversed(lines) if text in line.data), None)

    def new_process(self) -> None:
        """Clear the tail: the output of an earlier process does not explain why the next one ended."""
        with self._lock:
            self._tail.clear()

    def tail(self) -> list[LogEntry]:
        """Return the last entries of the current process, which are kept even if capturing is off."""
        with self._lock:
            lines = list(self._tail)
        return [line.entry() for line in lines]

    def close(self) -> None:
        """Forward the remaining lines, for at most half a second, and stop."""
        if self._forwarder is not None:
            self._forwarder.close()


class _Forwarder:
    """Passes lines to listeners, and parsed to the handlers of a logger, in a separate thread."""

    def __init__(self, logger: logging.Logger | None, listeners: Sequence[Callable[[Sequence[RawLine]], None]]) -> None:
        self._logger, self._listeners = logger, listeners
        self._queue: queue.SimpleQueue[tuple[Sequence[RawLine], int] | None] = queue.SimpleQueue()
        # Each counter is changed by one thread only.
        self._put = self._taken = 0
        self._dropped = 0
        self._closed_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="stepflow-runtime-logs", daemon=True)
        self._thread.start()

    def put(self, lines: Sequence[RawLine], pid: int) -> None:
        if not self._listeners:
            lines = [line for line in lines if self._is_logged(line)]
        if self._put - self._taken >= _QUEUE_LIMIT:
            self._dropped += len(lines)
        elif lines:
            self._put += len(lines)
            self._queue.put((lines, pid))

    def close(self) -> None:
        self._closed_at = time.monotonic()
        self._queue.put(None)
        self._thread.join(0.5)

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            lines, pid = batch
            for listener in self._listeners:
                # Ignore errors of listeners and handlers; the next line may succeed.
                with contextlib.suppress(Exception):
                    listener(lines)
            for line in lines:
                self._taken += 1
                if self._closed_at is not None and time.monotonic() > self._closed_at + 0.4:
                    return
                with contextlib.suppress(Exception):
                    if self._logger is not None and self._is_logged(line):
                        entry = line.entry()
                        origin = {"target": entry.target, "stream": entry.stream, "server_pid": pid}
                        extra = {**origin, "run_id": entry.run_id, "trace_id": entry.trace_id}
                        self._logger.log(_LEVELS[entry.level], "%s", entry.message, extra=extra)
            dropped, self._dropped = self._dropped, 0
            if dropped and self._logger is not None:
                with contextlib.suppress(Exception):
                    self._logger.warning("%d lines of the server were dropped: logging is too slow for them", dropped)

    def _is_logged(self, line: RawLine) -> bool:
        return self._logger is not None and self._logger.isEnabledFor(_LEVELS[line.level])
