"""A server process: how it is started and stopped."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from ..logs import RawLine, Stream, parse_port
from .log_pump import LogPump, LogStore
from .loopback import bind_to_loopback
from .watchdog import find_session, kill_all

if TYPE_CHECKING:
    import psutil

_POLL_SECONDS = 0.005


class ServerProcess:
    """A running server and the pump that reads its pipes."""

    def __init__(
        self,
        command: Sequence[str],
        logs: LogStore,
        *,
        env: Mapping[str, str],
        stdin: bytes | None,
        max_line_length: int,
        pass_fds: Sequence[int],
        loopback: bool,
    ) -> None:
        """Start the server.

        Args:
            command: The binary and its arguments.
            logs: The store for the lines that it logs.
            env: The environment variables.
            stdin: The bytes for its stdin; None for none.
            max_line_length: Longer lines are truncated.
            pass_fds: File descriptors that it inherits.
            loopback: Whether to close its port to other machines, if the system supports it.

        Raises:
            OSError: If the binary cannot be executed.
        """
        import psutil

        self._loopback = loopback
        self._confined: frozenset[int] = frozenset()
        self._logs = logs
        self.port: int | None = None
        self.port_known = threading.Event()
        logs.new_process()
        # Unlike a pipe, a file can hold any amount of data that the server does not read.
        with tempfile.TemporaryFile() as file:
            file.write(stdin or b"")
            file.seek(0)
            self._popen = subprocess.Popen(
                command,
                env=env,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=pass_fds,
                # A separate session, so that Ctrl-C in a terminal reaches Python only.
                start_new_session=True,
            )
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        pipes: dict[Stream, IO[bytes]] = {"stdout": self._popen.stdout, "stderr": self._popen.stderr}
        try:
            # Not only the id, which may be reused after the process has been reaped.
            self.leader = psutil.Process(self.pid)
            self._pump = LogPump(pipes, max_line_length, self._store_lines)
        except BaseException:
            self._popen.kill()
            self._popen.communicate()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port."""
        return self.port not in self._confined

    def confine(self) -> None:
        """Close the port to other machines once the server listens. Does nothing if the system does not allow it."""
        if not self._loopback or self._confined:
            return
        try:
            self._confined = bind_to_loopback(self.pid)
        except OSError:
            self._loopback = False

    def poll(self) -> int | None:
        """Return the exit code; None while the process is running."""
        return self._popen.poll()

    def wait(self) -> int:
        """Wait until the process ends, and return its exit code, which is negative for a signal."""
        return self._popen.wait()

    def close(self) -> None:
        """Read the last lines and close the pipes. Call it after the process has ended."""
        self._pump.close(timeout=0.2)

    def stop(self, timeout: float) -> None:
        """Stop the process and its workers within `timeout` seconds, gracefully if possible.

        On SIGTERM, a server waits for its gRPC workers to end, so after a short grace period the workers are stopped.
        Most of the time is left for open requests and event streams.
        """
        import psutil

        if self.poll() is not None:
            return
        hard_end = time.monotonic() + timeout * 0.8
        grace = min(0.3, timeout * 0.15)
        # Before the signal, because children cannot be identified once the server has ended.
        workers = self._workers()
        self._popen.terminate()
        if workers and not self.ends_within(grace):
            for worker in workers:
                with suppress(psutil.Error, OSError):
                    worker.terminate()
            self.ends_within(grace)
        while workers and self.poll() is None and time.monotonic() < hard_end:
            # Some releases restart a worker that has ended.
            kill_all(workers + self._workers())
            self.ends_within(min(0.1, hard_end - time.monotonic()))
        if not self.ends_within(hard_end - time.monotonic()):
            workers += self._workers()
            self._popen.kill()
            self.ends_within(1.0)
        kill_all(workers)

    def _store_lines(self, lines: list[bytes], stream: Stream) -> None:
        for index, line in enumerate(lines if stream == "stdout" and self.port is None else ()):
            if (port := parse_port(line)) is not None:
                self.port = port
                self.port_known.set()
                lines = lines[:index] + lines[index + 1 :]
                break
        read_at = time.time()
        self._logs.add([RawLine.of(line, stream, read_at) for line in lines], self.pid)

    def _workers(self) -> list[psutil.Process]:
        return [process for pid, process in find_session(self.leader).items() if pid != self.pid]

    def ends_within(self, seconds: float) -> bool:
        """Wait up to `seconds` for the process to end, and return whether it has ended."""
        # Poll, because another thread may be in waitpid, where only one thread can wait.
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_SECONDS)
        return True
