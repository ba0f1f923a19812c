"""Finds the server binary, starts and stops the server process, and controls who can reach its port."""

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
from .._data.arguments import argument_error
from ..errors import ServerNotInstalledError
from ..logs import RawLine, Stream, parse_port
from .parent_watchdog import TOKEN_VARIABLE, find_session_processes, kill_processes
from .server_logs import LogStore, PipeReader

if TYPE_CHECKING:
    import psutil

BINARY_VARIABLE = "STEPFLOW_SERVER_BINARY"
_NOT_INSTALLED_MESSAGE = "the embedded server is not installed: it needs the extra stepflow-client[runtime]"


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server binary and its release (if known)."""

    path: Path
    release: tuple[int, int] | None
    """The major and minor version. None for a binary set by the environment variable, which can't report one."""


def find_binary() -> ServerBinary:
    """Return the binary set in `STEPFLOW_SERVER_BINARY`, or the one from the package `stepflow-orchestrator`.

    Raises:
        ServerNotInstalledError: If there is no executable binary, psutil isn't installed, or this is Windows.
    """
    if sys.platform == "win32":
        hint = "start a server elsewhere and use StepflowClient with its URL"
        raise ServerNotInstalledError("the embedded server runs on Linux and macOS only", hint=hint)
    if importlib.util.find_spec("psutil") is None:
        raise ServerNotInstalledError(_NOT_INSTALLED_MESSAGE, hint=install_command("stepflow-client", "runtime"))
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
        raise ServerNotInstalledError(_NOT_INSTALLED_MESSAGE, hint=install_command("stepflow-client", "runtime"))
    path = Path(folders[0]) / "bin" / "stepflow-server"
    _check_executable(path, "stepflow-orchestrator should contain", "reinstall the package stepflow-orchestrator")
    try:
        numbers = re.match(r"(\d+)\.(\d+)", importlib.metadata.version("stepflow-orchestrator"))
    except importlib.metadata.PackageNotFoundError:
        numbers = None
    return ServerBinary(path, (int(numbers[1]), int(numbers[2])) if numbers else None)


def _check_executable(path: Path, source: str, hint: str) -> None:
    if not path.exists():
        raise ServerNotInstalledError(f"{source} {path}, which does not exist", hint=hint)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ServerNotInstalledError(f"{source} {path}, which is not an executable file", hint=hint)


ORCHESTRATOR_VARIABLE = "STEPFLOW_ORCHESTRATOR_ID"
_LOG_DESTINATION_VARIABLE = "STEPFLOW_LOG_DESTINATION"
# Variables to remove, because they would conflict with the server's command-line arguments.
_CONFLICTING_VARIABLES = ("STEPFLOW_CONFIG", "STEPFLOW_PORT")
_VARIABLE_PREFIX = "STEPFLOW_"
# The variables with this prefix that servers and workers read. Any others, such as the token, are only for the client.
_SERVER_VARIABLE_NAMES = (
    "LOG_LEVEL OTHER_LOG_LEVEL LOG_DESTINATION LOG_FORMAT LOG_FILE COMPONENT_STDERR TRACE_ENABLED METRICS_ENABLED "
    "OTLP_ENDPOINT SERVICE_NAME ORCHESTRATOR_ID ORCHESTRATOR_URL TASKS_URL QUEUE_NAME TRANSPORT MAX_CONCURRENT "
    "BLOB_URL BLOB_THRESHOLD_BYTES NATS_URL NATS_STREAM NATS_CONSUMER SHUTDOWN_GRACE_SECS"
)
_SERVER_VARIABLES = frozenset(_VARIABLE_PREFIX + name for name in _SERVER_VARIABLE_NAMES.split())


def collect_inherited_environment(referenced: Collection[str] = ()) -> dict[str, str]:
    """Return the environment variables that a server inherits from this process (all except the client's own).

    Args:
        referenced: The names of variables that the configuration refers to.
    """
    known = _SERVER_VARIABLES.union(referenced)
    return {name: value for name, value in os.environ.items() if not name.startswith(_VARIABLE_PREFIX) or name in known}


def build_server_environment(env: Mapping[str, str], token: str, orchestrator_id: str | None = None) -> dict[str, str]:
    """Return the environment of the server and its workers.

    Args:
        env: The variables to set for the server.
        token: The token that identifies the server's processes.
        orchestrator_id: The server's name. It's only used if no variable sets one.
    """
    environment = {name: value for name, value in env.items() if name not in _CONFLICTING_VARIABLES}
    if orchestrator_id is not None:
        environment.setdefault(ORCHESTRATOR_VARIABLE, orchestrator_id)
    # Without this, older servers don't relay what workers print, not even if a worker exits before it's ready.
    environment.setdefault("STEPFLOW_COMPONENT_STDERR", "verbose")
    environment[TOKEN_VARIABLE] = token
    return environment


def build_telemetry_environment(endpoint: str) -> Mapping[str, str]:
    """Return the variables that make a server and its workers export traces.

    Args:
        endpoint: The URL of an OpenTelemetry collector that accepts OTLP over gRPC.

    Raises:
        InvalidArgumentError: If the endpoint isn't an http or https URL without a path. A server would accept any
            string and then silently export nothing.
    """
    is_valid = False
    with suppress(ValueError):
        parsed = urlsplit(endpoint if isinstance(endpoint, str) else "")
        is_address = bool(parsed.hostname) and parsed.port != 0 and not parsed.query
        is_valid = is_address and parsed.scheme in ("http", "https") and parsed.path in ("", "/")
    if not is_valid or not endpoint.isprintable() or " " in endpoint:
        expected = "the URL of a collector, such as http://localhost:4317"
        hint = "the server sends OTLP over gRPC, so the URL has no path"
        raise argument_error("otlp_endpoint", expected, endpoint, hint=hint)
    environment = {"STEPFLOW_OTLP_ENDPOINT": endpoint, "STEPFLOW_TRACE_ENABLED": "true"}
    if _LOG_DESTINATION_VARIABLE not in os.environ:
        # Without this, workers would only log to the collector. (For the server, there is a command-line argument.)
        environment[_LOG_DESTINATION_VARIABLE] = "stderr,otlp"
    return environment


# The number of the system call, which is the same on every architecture Python supports.
_PIDFD_GETFD = 438
_IP_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def bind_child_sockets_to_loopback(pid: int) -> frozenset[int]:
    """Bind all TCP sockets that a child process listens on to the loopback interface.

    Returns:
        The ports. Empty if the process isn't listening yet.

    Raises:
        OSError: If the system doesn't support or allow this.
    """
    if sys.platform != "linux":
        raise OSError("only Linux can do this")
    ports = set()
    library = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        for fd in _list_socket_descriptors(pid):
            duplicate = library.syscall(*map(ctypes.c_long, (_PIDFD_GETFD, process, fd, 0)))
            if duplicate < 0:
                if (number := ctypes.get_errno()) != errno.EBADF:
                    raise OSError(number, os.strerror(number))
                # The socket was closed after it was listed.
                continue
            try:
                listener = socket.socket(fileno=duplicate)
            except OSError:
                # In the meantime, the descriptor was reused for a file.
                os.close(duplicate)
                continue
            with listener:
                if listener.family in _IP_FAMILIES and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
                    ports.add(listener.getsockname()[1])
    finally:
        os.close(process)
    return frozenset(ports)


def _list_socket_descriptors(pid: int) -> list[int]:
    """Return a process's socket file descriptors."""
    sockets = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        # The descriptor might have been closed after it was listed.
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                sockets.append(int(name))
    return sockets


_POLL_SECONDS = 0.005


class ServerProcess:
    """A running server and the reader of its pipes."""

    def __init__(
        self,
        command: Sequence[str],
        logs: LogStore,
        *,
        env: Mapping[str, str],
        stdin: bytes | None,
        pass_fds: Sequence[int],
        loopback: bool,
    ) -> None:
        """Start the server.

        Args:
            command: The binary and its arguments.
            logs: Stores the server's log lines.
            env: The server's environment variables.
            stdin: The bytes to send to the server's stdin, or None to send nothing.
            pass_fds: The file descriptors that the server inherits.
            loopback: Whether to prevent other machines from connecting to the port, if the system supports that.

        Raises:
            OSError: If the binary can't be executed.
        """
        import psutil

        self._loopback = loopback
        self._confined_ports: frozenset[int] = frozenset()
        self._logs = logs
        self.port: int | None = None
        self.port_known = threading.Event()
        logs.clear_current_process_entries()
        # Use a file rather than a pipe, so that writing never blocks, even if the server doesn't read its stdin.
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
                # Start a new session, so that Ctrl-C in a terminal only interrupts Python.
                start_new_session=True,
            )
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        pipes: dict[Stream, IO[bytes]] = {"stdout": self._popen.stdout, "stderr": self._popen.stderr}
        try:
            # Don't just store the ID, which can be reused once the process has been reaped.
            self.leader = psutil.Process(self.pid)
            self._pipe_reader = PipeReader(pipes, logs.max_line_length, self._detect_port_and_store_lines)
        except BaseException:
            self._popen.kill()
            self._popen.communicate()
            raise

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._popen.pid

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port."""
        return self.port not in self._confined_ports

    def confine_to_loopback(self) -> None:
        """Once the server is listening, stop other machines from reaching its port (if the system allows that)."""
        if self._loopback and not self._confined_ports:
            try:
                self._confined_ports = bind_child_sockets_to_loopback(self.pid)
            except OSError:
                self._loopback = False

    def poll(self) -> int | None:
        """Return the exit code, or None while the process is running."""
        return self._popen.poll()

    def wait(self) -> int:
        """Wait until the process exits and return its exit code (negative if a signal killed it)."""
        return self._popen.wait()

    def close_pipes(self) -> None:
        """Read the last lines and close the pipes. Call this after the process has exited."""
        self._pipe_reader.close(timeout=0.2)

    def stop(self, timeout: float) -> None:
        """Stop the process and its workers within `timeout` seconds, gracefully if possible.

        On SIGTERM, a server waits for its gRPC workers to exit. They only get a short grace period, so that most of the
        time is left for open requests and event streams.
        """
        import psutil

        if self.poll() is not None:
            return
        hard_end = time.monotonic() + timeout * 0.8
        grace = min(0.3, timeout * 0.15)
        # Find the workers first, because a server's children can't be identified once it has exited.
        workers = self._find_worker_processes()
        self._popen.terminate()
        if workers and not self.wait_for_exit(grace):
            for worker in workers:
                with suppress(psutil.Error, OSError):
                    worker.terminate()
            self.wait_for_exit(grace)
        while workers and self.poll() is None and time.monotonic() < hard_end:
            # Some releases restart workers that exit.
            kill_processes(workers + self._find_worker_processes())
            self.wait_for_exit(min(0.1, hard_end - time.monotonic()))
        if not self.wait_for_exit(hard_end - time.monotonic()):
            workers += self._find_worker_processes()
            self._popen.kill()
            self.wait_for_exit(1.0)
        kill_processes(workers)

    def _detect_port_and_store_lines(self, lines: list[bytes], stream: Stream) -> None:
        for index, line in enumerate(lines if stream == "stdout" and self.port is None else ()):
            if (port := parse_port(line)) is not None:
                self.port = port
                self.port_known.set()
                lines = lines[:index] + lines[index + 1 :]
                break
        read_at = time.time()
        self._logs.add_lines([RawLine.from_bytes(line, stream, read_at) for line in lines], self.pid)

    def _find_worker_processes(self) -> list[psutil.Process]:
        return [process for pid, process in find_session_processes(self.leader).items() if pid != self.pid]

    def wait_for_exit(self, seconds: float) -> bool:
        """Wait up to `seconds` for the process to exit and return whether it has."""
        # Poll rather than wait: only one thread at a time can use waitpid, and another one might already be using it.
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_SECONDS)
        return True
