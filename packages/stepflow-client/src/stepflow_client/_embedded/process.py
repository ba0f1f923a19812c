"""A server process: starting it, reading its output, and ending it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from ..logs import RawLine, Stream, parse_port
from .log_pump import LogPump, LogStore
from .loopback import confine
from .watchdog import TOKEN_VARIABLE, kill_all, session_of

if TYPE_CHECKING:
    import psutil

# Environment variables of the server that would contradict its arguments.
_CONTRADICTING = ("STEPFLOW_CONFIG", "STEPFLOW_PORT")
ORCHESTRATOR_VARIABLE = "STEPFLOW_ORCHESTRATOR_ID"
# The variables with this prefix that servers and workers read. The others belong to the client, including its token.
_PREFIX = "STEPFLOW_"
_SERVER_VARIABLES = frozenset(
    _PREFIX + name
    for name in (
        *("LOG_LEVEL", "OTHER_LOG_LEVEL", "LOG_DESTINATION", "LOG_FORMAT", "LOG_FILE", "COMPONENT_STDERR"),
        *("TRACE_ENABLED", "METRICS_ENABLED", "OTLP_ENDPOINT", "SERVICE_NAME"),
        *("ORCHESTRATOR_ID", "ORCHESTRATOR_URL", "TASKS_URL", "QUEUE_NAME", "TRANSPORT", "MAX_CONCURRENT"),
        *("BLOB_URL", "BLOB_THRESHOLD_BYTES", "NATS_URL", "NATS_STREAM", "NATS_CONSUMER", "SHUTDOWN_GRACE_SECS"),
    )
)
_POLL_SECONDS = 0.005


def inherited_environment(referred: Collection[str] = ()) -> dict[str, str]:
    """Return the variables of this process that a server gets: all except those of the client.

    Args:
        referred: Names of variables that the configuration refers to.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIX) or name in _SERVER_VARIABLES or name in referred
    }


def server_environment(env: Mapping[str, str], token: str, orchestrator_id: str | None = None) -> dict[str, str]:
    """Return the environment of the server, which its workers inherit.

    Args:
        env: Variables set for the server.
        token: The token that identifies the processes of the server.
        orchestrator_id: The name of the server, unless a variable sets another one.
    """
    environment = {**env}
    for name in _CONTRADICTING:
        environment.pop(name, None)
    if orchestrator_id is not None:
        environment.setdefault(ORCHESTRATOR_VARIABLE, orchestrator_id)
    # Without it, older servers do not pass on the output of a worker, even if it ends before it is ready.
    environment.setdefault("STEPFLOW_COMPONENT_STDERR", "verbose")
    environment[TOKEN_VARIABLE] = token
    return environment


class ProcessPlan(NamedTuple):
    """How the process of a server is started."""

    command: Sequence[str]
    """The binary and its arguments."""
    env: Mapping[str, str]
    stdin: bytes | None
    """The bytes for its stdin; None for none."""
    max_line_length: int
    """Longer lines that it writes are truncated."""
    keeps: Sequence[int]
    """File descriptors that it inherits."""
    loopback: bool
    """Whether to close its port to other machines, if the system supports it."""


class ServerProcess:
    """A running server and the pump that reads its pipes."""

    def __init__(self, plan: ProcessPlan, logs: LogStore) -> None:
        """Start the server, and write its lines to a store.

        Raises:
            OSError: If the binary cannot be executed.
        """
        self._loopback = plan.loopback
        self._confined: frozenset[int] = frozenset()
        self._logs = logs
        self.port: int | None = None
        self.port_known = threading.Event()
        logs.new_process()
        with _input(plan.stdin) as source:
            self._popen = subprocess.Popen(
                plan.command,
                env=plan.env,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=plan.keeps,
                # A separate session, so that Ctrl-C in a terminal reaches Python only.
                start_new_session=True,
            )
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        pipes: dict[Stream, IO[bytes]] = {"stdout": self._popen.stdout, "stderr": self._popen.stderr}
        try:
            self.leader = _identify(self.pid)
            self._pump = LogPump(pipes, plan.max_line_length, self._accept)
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
            self._confined = confine(self.pid)
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
        """End the process and its workers within `timeout` seconds, gracefully if possible.

        A server with an attached gRPC worker does not end on SIGTERM until the worker has ended. Therefore the workers
        are ended first, after a short grace period. Most of the time is left for open requests and event streams.
        """
        if self.poll() is not None:
            return
        hard_end = time.monotonic() + timeout * 0.8
        grace = min(0.3, timeout * 0.15)
        # Before the signal: after the server has ended, its children can no longer be identified.
        workers = self._workers()
        self._popen.terminate()
        if workers and not self.ends_within(grace):
            _terminate_all(workers)
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

    def _accept(self, lines: list[bytes], stream: Stream) -> None:
        if stream == "stdout" and self.port is None:
            lines = [line for line in lines if not self._is_port(line)]
        read_at = time.time()
        self._logs.add([RawLine.of(line, stream, read_at) for line in lines], self.pid)

    def _is_port(self, line: bytes) -> bool:
        port = parse_port(line) if self.port is None else None
        if port is None:
            return False
        self.port = port
        self.port_known.set()
        return True

    def _workers(self) -> list[psutil.Process]:
        return [process for pid, process in session_of(self.leader).items() if pid != self.pid]

    def ends_within(self, seconds: float) -> bool:
        """Wait up to `seconds` for the process to end, and return whether it has ended."""
        # Polling, because another thread may be in waitpid, and only one thread can wait there.
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _identify(pid: int) -> psutil.Process:
    """Return an object that identifies the process even if its id is reused later. It must not have been reaped yet."""
    import psutil

    return psutil.Process(pid)


def _terminate_all(processes: list[psutil.Process]) -> None:
    import psutil

    for process in processes:
        with suppress(psutil.Error, OSError):
            process.terminate()


@contextmanager
def _input(data: bytes | None) -> Iterator[IO[bytes]]:
    """Yield a file with the data. Unlike a pipe, a file can hold any amount of data that the server does not read."""
    with tempfile.TemporaryFile() as file:
        file.write(data or b"")
        file.seek(0)
        yield file
