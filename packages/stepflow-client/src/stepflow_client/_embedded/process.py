"""A server process: its binary, its environment, how it is started and stopped, and who can reach its port."""

from __future__ import annotations

import ctypes
import errno
import importlib.metadata
import importlib.util
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from .._base.suggestions import install_command
from .._data.arguments import wrong
from ..errors import ServerNotInstalledError
from ..logs import RawLine, Stream, parse_port
from .log_pump import LogPump, LogStore
from .watchdog import TOKEN_VARIABLE, find_session, kill_all

if TYPE_CHECKING:
    import psutil

BINARY_VARIABLE = "STEPFLOW_SERVER_BINARY"
_NOT_INSTALLED = "the embedded server is not installed: it needs the extra stepflow-client[runtime]"


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server binary, and its release if it is known."""

    path: Path
    release: tuple[int, int] | None
    """Major and minor number; None for a binary set by the environment variable, which cannot report its release."""


def find_binary() -> ServerBinary:
    """Return the binary set in `STEPFLOW_SERVER_BINARY`, or the one in the package `stepflow-orchestrator`.

    Raises:
        ServerNotInstalledError: If there is none, if it cannot be executed, if psutil is missing, or on Windows.
    """
    if sys.platform == "win32":
        raise ServerNotInstalledError(
            "the embedded server runs on Linux and macOS only",
            hint="start a server elsewhere and use StepflowClient with its URL",
        )
    if importlib.util.find_spec("psutil") is None:
        raise ServerNotInstalledError(_NOT_INSTALLED, hint=install_command("stepflow-client", "runtime"))
    setting = os.environ.get(BINARY_VARIABLE)
    if setting:
        path = Path(setting).expanduser().absolute()
        hint = f"unset {BINARY_VARIABLE} to use the binary of the package stepflow-orchestrator"
        _check_executable(path, f"{BINARY_VARIABLE} names", hint)
        return ServerBinary(path, None)
    # find_spec locates the package without running its code.
    spec = importlib.util.find_spec("stepflow_orchestrator")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise ServerNotInstalledError(_NOT_INSTALLED, hint=install_command("stepflow-client", "runtime"))
    path = Path(folders[0]) / "bin" / "stepflow-server"
    _check_executable(path, "stepflow-orchestrator should hold", "install the package stepflow-orchestrator again")
    try:
        numbers = re.match(r"(\d+)\.(\d+)", importlib.metadata.version("stepflow-orchestrator"))
    except importlib.metadata.PackageNotFoundError:
        numbers = None
    return ServerBinary(path, (int(numbers[1]), int(numbers[2])) if numbers else None)


def _check_executable(path: Path, source: str, hint: str) -> None:
    if not path.exists():
        raise ServerNotInstalledError(f"{source} {path}, but there is no such file", hint=hint)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ServerNotInstalledError(f"{source} {path}, but that is not an executable file", hint=hint)


ORCHESTRATOR_VARIABLE = "STEPFLOW_ORCHESTRATOR_ID"
_DESTINATION = "STEPFLOW_LOG_DESTINATION"
# These would contradict the server's command-line arguments.
_CONTRADICTING = ("STEPFLOW_CONFIG", "STEPFLOW_PORT")
_PREFIX = "STEPFLOW_"
# The variables with this prefix that servers and workers read. The others belong to the client, including its token.
_SERVER_VARIABLES = frozenset(
    _PREFIX + name
    for name in (
        *("LOG_LEVEL", "OTHER_LOG_LEVEL", "LOG_DESTINATION", "LOG_FORMAT", "LOG_FILE", "COMPONENT_STDERR"),
        *("TRACE_ENABLED", "METRICS_ENABLED", "OTLP_ENDPOINT", "SERVICE_NAME"),
        *("ORCHESTRATOR_ID", "ORCHESTRATOR_URL", "TASKS_URL", "QUEUE_NAME", "TRANSPORT", "MAX_CONCURRENT"),
        *("BLOB_URL", "BLOB_THRESHOLD_BYTES", "NATS_URL", "NATS_STREAM", "NATS_CONSUMER", "SHUTDOWN_GRACE_SECS"),
    )
)


def collect_inherited_environment(referenced: Collection[str] = ()) -> dict[str, str]:
    """Return the variables of this process that a server gets: all except the client's own.

    Args:
        referenced: Names of variables that the configuration refers to.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIX) or name in _SERVER_VARIABLES or name in referenced
    }


def build_server_environment(env: Mapping[str, str], token: str, orchestrator_id: str | None = None) -> dict[str, str]:
    """Return the environment of the server, which its workers inherit.

    Args:
        env: Variables set for the server.
        token: The token that identifies the processes of the server.
        orchestrator_id: The name of the server, unless a variable sets another one.
    """
    environment = {name: value for name, value in env.items() if name not in _CONTRADICTING}
    if orchestrator_id is not None:
        environment.setdefault(ORCHESTRATOR_VARIABLE, orchestrator_id)
    # Without it, older servers do not pass on the output of a worker, even if it ends before it is ready.
    environment.setdefault("STEPFLOW_COMPONENT_STDERR", "verbose")
    environment[TOKEN_VARIABLE] = token
    return environment


def build_telemetry_environment(endpoint: str) -> Mapping[str, str]:
    """Return the variables that make a server and its workers export traces.

    Args:
        endpoint: The URL of an OpenTelemetry collector that receives OTLP over gRPC.

    Raises:
        InvalidArgumentError: If it is not the http or https URL of a host without a path. Servers accept any text and
            silently export nothing.
    """
    try:
        parsed = urlsplit(endpoint) if isinstance(endpoint, str) else None
        is_valid = (
            parsed is not None
            and parsed.scheme in ("http", "https")
            and bool(parsed.hostname)
            and parsed.port != 0
            and parsed.path in ("", "/")
            and not parsed.query
            and endpoint.isprintable()
            and " " not in endpoint
        )
    except ValueError:
        is_valid = False
    if not is_valid:
        expected = "the URL of a collector, such as http://localhost:4317"
        raise wrong("otlp_endpoint", expected, endpoint, hint="the server sends OTLP over gRPC, so the URL has no path")
    environment = {"STEPFLOW_OTLP_ENDPOINT": endpoint, "STEPFLOW_TRACE_ENABLED": "true"}
    if _DESTINATION not in os.environ:
        # Otherwise workers would send their logs to the collector only. The server has its own argument for this.
        environment[_DESTINATION] = "stderr,otlp"
    return environment


# The system call number is the same on all architectures that Python supports.
_PIDFD_GETFD = 438
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def bind_to_loopback(pid: int) -> frozenset[int]:
    """Bind every TCP socket on which a child process listens to the loopback interface.

    Returns:
        The ports; an empty set if the process does not listen yet.

    Raises:
        OSError: If the system does not support or allow it.
    """
    if sys.platform != "linux":
        raise OSError("only Linux can do this")
    ports = set()
    process = os.pidfd_open(pid)
    try:
        for fd in _list_sockets(pid):
            duplicate = _duplicate_socket(process, fd)
            if duplicate is None:
                continue
            try:
                listener = socket.socket(fileno=duplicate)
            except OSError:
                # The number has been reused for a file.
                os.close(duplicate)
                continue
            with listener:
                if listener.family in _INTERNET and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
                    ports.add(listener.getsockname()[1])
    finally:
        os.close(process)
    return frozenset(ports)


def _list_sockets(pid: int) -> list[int]:
    """Return the file descriptors of a process that are sockets."""
    sockets = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        # The descriptor may have been closed in the meantime.
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                sockets.append(int(name))
    return sockets


def _duplicate_socket(process: int, fd: int) -> int | None:
    """Return a duplicate of a socket descriptor of a process; None if it has been closed in the meantime."""
    library = ctypes.CDLL(None, use_errno=True)
    duplicate: int = library.syscall(*map(ctypes.c_long, (_PIDFD_GETFD, process, fd, 0)))
    if duplicate < 0:
        number = ctypes.get_errno()
        if number == errno.EBADF:
            return None
        raise OSError(number, os.strerror(number))
    return duplicate


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
