"""Reads the lines that a server prints and passes them to Python's logging.

This takes two threads that never wait for each other. One keeps reading, because the server would block on a full pipe.
The other calls the logging handlers, which may be slow or fail. A line isn't parsed until a handler or caller needs it.
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

_LOGGING_LEVELS: dict[LogLevel, int] = {
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_PIPE_BYTES = 1_048_576
# Number of bytes to read without pausing, because the startup code is waiting for the first lines.
_EAGER_BYTES = 65_536
# Number of seconds to pause between later reads. For both the server and this process, waking up for every line costs
# more than reading many lines at once.
_PAUSE_SECONDS = 0.005
_MAX_QUEUED_LINES = 10_000
_TAIL_LINES = 50


class PipeReader:
    """Reads a server process's pipes until they close, however slowly the lines are processed."""

    def __init__(
        self, pipes: Mapping[Stream, IO[bytes]], max_line_length: int, accept: Callable[[list[bytes], Stream], None]
    ) -> None:
        """Start reading the pipes. The reader closes them when it finishes.

        Args:
            pipes: The process's pipes, by stream.
            max_line_length: Maximum length of a line, in bytes. Longer lines are truncated.
            accept: Called with the lines from each read and the stream that they came from.
        """
        self._pipes = pipes
        self._accept_lines = accept
        self._splitters = {stream: LineSplitter(max_line_length) for stream in pipes}
        self._closed = False
        self._eager_bytes = _EAGER_BYTES
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._read_pipes, name="stepflow-runtime-pipes", daemon=True)
        for pipe in pipes.values():
            os.set_blocking(pipe.fileno(), False)
        widened = [_enlarge_pipe(pipe.fileno()) for pipe in pipes.values()]
        # A pipe of normal size could fill up during a pause, so don't pause if any of the pipes couldn't be enlarged.
        self._pauses = all(widened)
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the pipes to close, then stop reading.

        Call this after the process has exited. The timeout is needed because another process may have inherited the
        pipes and could keep them open forever, and that process isn't ours to kill.
        """
        if self._closed:
            return
        self._closed = True
        self._thread.join(timeout)
        os.write(self._wake_write, b"x")
        self._thread.join()
        os.close(self._wake_write)
        os.close(self._wake_read)

    def _read_pipes(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_read, selectors.EVENT_READ)
                for stream, pipe in self._pipes.items():
                    selector.register(pipe, selectors.EVENT_READ, stream)
                while len(selector.get_map()) > 1:
                    for key, _ in selector.select():
                        if key.data is None:
                            return
                        if not self._read_and_forward_lines(key.fd, key.data):
                            selector.unregister(key.fileobj)
                    if self._pauses and self._eager_bytes <= 0:
                        time.sleep(_PAUSE_SECONDS)
        finally:
            for pipe in self._pipes.values():
                pipe.close()

    def _read_and_forward_lines(self, fd: int, stream: Stream) -> bool:
        """Read one chunk and return whether there may be more."""
        try:
            data = os.read(fd, _PIPE_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._eager_bytes -= len(data)
        splitter = self._splitters[stream]
        lines = [line for line in (splitter.feed(data) if data else [splitter.flush()]) if line]
        # An error in the callback must not stop the reader.
        with contextlib.suppress(Exception):
            if lines:
                self._accept_lines(lines, stream)
        return bool(data)


def _enlarge_pipe(fd: int) -> bool:
    """Enlarge a pipe so that it doesn't fill up while Python is busy. Return whether that worked."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        return fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES) >= _PIPE_BYTES
    return False


_listeners: list[Callable[[Sequence[RawLine]], None]] = []


@contextlib.contextmanager
def listening_to_server_logs(listener: Callable[[Sequence[RawLine]], None]) -> Iterator[None]:
    """Pass all lines of any embedded server started in the block to a function, no matter what `LogConfig` says.

    Args:
        listener: Called with lists of lines, from the threads that call the logging handlers.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class LogStore:
    """Stores a runtime's latest log lines, even across server restarts, and forwards them to a logger and listeners."""

    def __init__(self, config: LogConfig) -> None:
        self.max_line_length = config.max_line_length
        self._lock = threading.Lock()
        self._recent_lines: deque[RawLine] = deque(maxlen=config.buffer_lines if config.capture else 0)
        self._tail_lines: deque[RawLine] = deque(maxlen=_TAIL_LINES)
        target = config.python_logger
        logger = target if isinstance(target, logging.Logger) else logging.getLogger(target) if target else None
        self._logger = (logger or get_logger("server")) if config.forward else None
        self._listeners = tuple(_listeners)
        self._queue: queue.SimpleQueue[tuple[Sequence[RawLine], int] | None] = queue.SimpleQueue()
        # These counters don't need a lock, because each is only changed by one thread.
        self._put_count = self._taken_count = 0
        self._dropped = 0
        self._closed_at: float | None = None
        self._thread = threading.Thread(target=self._forward_lines, name="stepflow-runtime-logs", daemon=True)
        if self._logger is not None or self._listeners:
            self._thread.start()

    def choose_server_log_level(self, has_workers: bool) -> LevelFilter:
        """Return the log level that a server should use if `LogConfig.level` isn't set."""
        is_read = self._logger is not None and self._logger.isEnabledFor(logging.INFO)
        return "info" if is_read or has_workers else "warn"

    def add_lines(self, lines: Sequence[RawLine], pid: int) -> None:
        """Store lines and forward them."""
        with self._lock:
            self._recent_lines.extend(lines)
            self._tail_lines.extend(lines)
        if not self._listeners:
            lines = [line for line in lines if self._is_level_enabled(line)]
        if self._put_count - self._taken_count >= _MAX_QUEUED_LINES:
            self._dropped += len(lines)
        elif lines:
            self._put_count += len(lines)
            self._queue.put((lines, pid))

    def get_recent_entries(self, limit: int) -> list[LogEntry]:
        """Return the last `limit` stored lines as entries, oldest first."""
        with self._lock:
            lines = list(self._recent_lines)[-limit:] if limit > 0 else []
        return [line.parse_entry() for line in lines]

    def last_line_with(self, text: bytes) -> bytes | None:
        """Return the last stored line that contains `text`."""
        with self._lock:
            lines = [*self._tail_lines, *self._recent_lines]
        return next((line.data for line in reversed(lines) if text in line.data), None)

    def clear_current_process_entries(self) -> None:
        """Clear the entries, because what one process printed can't explain why the next one exited."""
        with self._lock:
            self._tail_lines.clear()

    def get_current_process_entries(self) -> list[LogEntry]:
        """Return the last entries of the current process. They are available even if capturing is off."""
        with self._lock:
            lines = list(self._tail_lines)
        return [line.parse_entry() for line in lines]

    def close(self) -> None:
        """Spend up to half a second forwarding the remaining lines, then stop."""
        if self._thread.is_alive():
            self._closed_at = time.monotonic()
            self._queue.put(None)
            self._thread.join(0.5)

    def _forward_lines(self) -> None:
        """Pass raw lines to the listeners and parsed lines to the logger. Runs in its own thread."""
        while (batch := self._queue.get()) is not None:
            lines, pid = batch
            for listener in self._listeners:
                # Ignore errors in listeners and handlers, because they might be able to handle the next line.
                with contextlib.suppress(Exception):
                    listener(lines)
            for line in lines:
                self._taken_count += 1
                if self._closed_at is not None and time.monotonic() > self._closed_at + 0.4:
                    return
                with contextlib.suppress(Exception):
                    if self._logger is not None and self._is_level_enabled(line):
                        entry = line.parse_entry()
                        origin = {"target": entry.target, "stream": entry.stream, "server_pid": pid}
                        extra = {**origin, "run_id": entry.run_id, "trace_id": entry.trace_id}
                        self._logger.log(_LOGGING_LEVELS[entry.level], "%s", entry.message, extra=extra)
            dropped, self._dropped = self._dropped, 0
            if dropped and self._logger is not None:
                with contextlib.suppress(Exception):
                    self._logger.warning("dropped %d lines of the server's log: logging cannot keep up", dropped)

    def _is_level_enabled(self, line: RawLine) -> bool:
        return self._logger is not None and self._logger.isEnabledFor(_LOGGING_LEVELS[line.level])
