"""One process of the server: started, listened to, ended."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from ._log_pump import LogPump, LogStore
from ._watchdog import TOKEN_VARIABLE, kill_all, session_of
from .logs import Stream, parse_line, parse_port

if TYPE_CHECKING:
    import psutil

# Settings the server reads from its environment that would contradict its arguments.
_CONTRADICTING = ("STEPFLOW_CONFIG", "STEPFLOW_PORT")
_POLL_SECONDS = 0.005


def server_environment(env: Mapping[str, str] | None, inherit: bool, token: str) -> dict[str, str]:
    """Return the environment of the server, which its workers inherit."""
    environment = {**(os.environ if inherit else {}), **(env or {})}
    for name in _CONTRADICTING:
        environment.pop(name, None)
    environment[TOKEN_VARIABLE] = token
    return environment


class ServerProcess:
    """A running server and the pump that empties its pipes."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        stdin: bytes | None,
        logs: LogStore,
        max_line_length: int,
    ) -> None:
        """Start it; OSError where the binary does not run."""
        self._logs = logs
        self.port: int | None = None
        self.port_known = threading.Event()
        logs.new_process()
        with _input(stdin) as source:
            self._popen = subprocess.Popen(
                command,
                env=env,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # A session of its own: Ctrl-C in a terminal is Python's to handle.
                start_new_session=True,
            )
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        pipes: dict[Stream, IO[bytes]] = {"stdout": self._popen.stdout, "stderr": self._popen.stderr}
        try:
            self.leader = _identify(self.pid)
            self._pump = LogPump(pipes, max_line_length, self._accept)
        except BaseException:
            self._popen.kill()
            self._popen.communicate()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._popen.poll()

    def wait(self) -> int:
        """Wait until it ends; return the exit code, negative for a signal."""
        return self._popen.wait()

    def close(self) -> None:
        """Take in the last lines and let go of the pipes; for when the process has ended."""
        self._pump.close(timeout=0.2)

    def stop(self, timeout: float) -> None:
        """End it within `timeout` seconds, gently if it lets itself.

        A server with a gRPC worker attached does not end on SIGTERM until the worker is gone, so the
        workers go first after a short grace. Open requests and event streams get most of the time.
        """
        if self.poll() is not None:
            return
        hard_end = time.monotonic() + timeout * 0.8
        grace = min(0.3, timeout * 0.15)
        # Before the signal: once the server is gone nothing tells whose children they were.
        workers = self._workers()
        self._popen.terminate()
        if workers and not self._ends_within(grace):
            _terminate_all(workers)
            self._ends_within(grace)
        while workers and self.poll() is None and time.monotonic() < hard_end:
            # Some releases start a worker anew when it ends.
            kill_all(workers + self._workers())
            self._ends_within(min(0.1, hard_end - time.monotonic()))
        if not self._ends_within(hard_end - time.monotonic()):
            workers += self._workers()
            self._popen.kill()
            self._ends_within(1.0)
        kill_all(workers)

    def _accept(self, line: bytes, stream: Stream) -> None:
        port = parse_port(line) if stream == "stdout" and self.port is None else None
        if port is None:
            self._logs.add(parse_line(line, stream), self.pid)
            return
        self.port = port
        self.port_known.set()

    def _workers(self) -> list[psutil.Process]:
        return [process for pid, process in session_of(self.leader).items() if pid != self.pid]

    def _ends_within(self, seconds: float) -> bool:
        # Polled, not waited for: another thread may be waiting in waitpid, and only one can.
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _identify(pid: int) -> psutil.Process:
    """Return what tells the process from a later one of the same id; it is not reaped yet."""
    import psutil

    return psutil.Process(pid)


def _terminate_all(processes: list[psutil.Process]) -> None:
    import psutil

    for process in processes:
        with suppress(psutil.Error, OSError):
            process.terminate()


@contextmanager
def _input(data: bytes | None) -> Iterator[IO[bytes]]:
    """Give a file with the data: unlike a pipe it takes any size, whether or not the server reads it."""
    with tempfile.TemporaryFile() as file:
        file.write(data or b"")
        file.seek(0)
        yield file
