"""Starts, watches, restarts and stops an embedded server."""

from __future__ import annotations

import atexit
import inspect
import json
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.logging import get_logger
from .._data.arguments import check_function
from .._http.http1_format import HttpError, HttpRequest, encode_head
from .._http.settings import API_PATH
from .._http.sync_socket import SyncSocket
from ..errors import EmbeddedServerError, InvalidArgumentError, ServerStartError, ServerStartTimeoutError
from ..logs import LogConfig, LogEntry, find_failure_reason, find_last_worker_message
from . import parent_watchdog
from .config import ServerConfig, build_rejection_error, find_recovery_warnings, find_store_path, find_worker_plugins
from .process import ServerProcess, build_server_environment, collect_inherited_environment
from .server_logs import LogStore

if TYPE_CHECKING:
    import psutil

CrashCallback = Callable[[int, list[str]], object] | Callable[[int], object]


class RestartPolicy(Enum):
    """When to restart a server that exits on its own, using the same port."""

    NEVER = "never"
    """Never restart it."""

    ON_FAILURE = "on_failure"
    """Restart it after a non-zero exit code or a signal."""

    ALWAYS = "always"
    """Restart it even after exit code 0."""

    def covers(self, exit_code: int) -> bool:
        """Return whether to restart a server that exits with this code."""
        return self is RestartPolicy.ALWAYS or (self is RestartPolicy.ON_FAILURE and exit_code != 0)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """The validated arguments for starting and restarting a server."""

    binary: Path
    config: ServerConfig
    port: int | None
    env: Mapping[str, str] = field(repr=False)
    inherit_env: bool
    log_config: LogConfig
    restart_policy: RestartPolicy
    max_restarts: int
    startup_timeout: float
    worker_timeout: float | None
    all_interfaces: bool
    on_crash: Callable[[int, list[str]], object] | None


def adapt_crash_callback(callback: CrashCallback | None) -> Callable[[int, list[str]], object] | None:
    """Adapt a callback so that it can always be called with the exit code and the last log lines."""
    function = check_function(callback, "on_crash")
    if function is None:
        return None
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Some C functions don't have a signature.
        return function
    for count in (2, 1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return function if count == 2 else lambda exit_code, log_tail: function(exit_code)
    raise InvalidArgumentError("on_crash must accept the exit code, or the exit code and the last lines of the log")


_MAX_SERVERS = 64
# If a process is killed, its watchdog stops the server within this many seconds.
_ORPHAN_TIMEOUT_SECONDS = 5.0
_LEASE_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class OrchestratorName:
    """A server's name, along with the descriptor of the locked file that reserves it."""

    name: str
    lock: int | None = None
    is_first: bool = True
    """True if no other server on this machine is using the store."""

    def close(self) -> None:
        """Release the name. Call this after the server has exited."""
        if self.lock is not None:
            import fcntl

            # Unlock explicitly, because a fork of this process might still have the descriptor open.
            fcntl.flock(self.lock, fcntl.LOCK_UN)
            os.close(self.lock)


def claim_orchestrator_name(store: Path | None) -> OrchestratorName:
    """Return a name that no running server uses, preferably the name of the last server that used the store.

    Args:
        store: The store's file, or None if the store isn't a file, in which case the name is always new.
    """
    name = f"stepflow-{uuid.uuid4()}"
    # An OSError means that the folder is read-only, the disk is full, or the file system doesn't support locks.
    with suppress(OSError):
        for number in range(_MAX_SERVERS if store is not None else 0):
            assert store is not None
            path = store.with_name(f"{store.name}.orchestrator-{number}")
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _try_lock_file(lock):
                    # The file contains the name and the ID of the process that last held the lock.
                    reserved = (_read_lock_file(lock) or [name])[0]
                    os.pwrite(lock, f"{reserved} {os.getpid():<20}\n".encode(), 0)
                    return OrchestratorName(reserved, lock, is_first=number == 0)
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
    return OrchestratorName(name)


def _try_lock_file(lock: int) -> bool:
    """Try to lock a file and return whether that worked.

    If the process that took the lock is gone and only its server is left, wait for the server to exit.
    """
    import fcntl

    import psutil

    end = time.monotonic() + _ORPHAN_TIMEOUT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            content = _read_lock_file(lock)
            # A process that has just locked the file might not have written its ID yet.
            is_written = len(content) == 2 and content[1].isdigit()
            if time.monotonic() > end or not is_written or psutil.pid_exists(int(content[1])):
                return False
            time.sleep(_LEASE_POLL_SECONDS)
        else:
            return True


def _read_lock_file(lock: int) -> list[str]:
    return os.pread(lock, 200, 0).decode("ascii", "replace").split()


_POLL_SECONDS = 0.005
_HEALTH_TIMEOUT_SECONDS = 1.0
# Listing components can take 5 s for every worker that isn't connected.
_COMPONENTS_TIMEOUT = 30.0
_WORKER_CHECK_SECONDS = 0.2


class NotReadyError(Exception):
    """The server or one of its workers isn't ready for use.

    The message says why, but is empty if the process exited or the supervisor is being stopped.
    """

    def __init__(self, message: str = "", *, worker: EndedWorker | None = None) -> None:
        super().__init__(message)
        self.ended_worker = worker


def _poll_for_response(process: ServerProcess, request: HttpRequest, timeout: float) -> Iterator[dict[str, Any] | None]:
    """Send the same request to a local server over and over, without blocking.

    Args:
        process: The server. Its port must be known.
        request: The request.
        timeout: How many seconds to wait for a response before sending the request again.

    Yields:
        The response if it has arrived and is a non-empty JSON object, otherwise None.
    """
    assert process.port is not None
    head = encode_head(request, "127.0.0.1", API_PATH, {})
    while True:
        value = None
        with suppress(HttpError, ValueError):
            connection = SyncSocket.connect("127.0.0.1", process.port, None, _HEALTH_TIMEOUT_SECONDS)
            connection.send(head, _HEALTH_TIMEOUT_SECONDS)
            end = time.monotonic() + timeout
            # The connection counts as usable until the response arrives.
            while connection.is_usable and time.monotonic() <= end:
                yield None
            if not connection.is_usable:
                connection.read_whole_response(request, _HEALTH_TIMEOUT_SECONDS)
                if connection.reader.status == 200:
                    value = json.loads(connection.reader.take_body())
            connection.close()
        yield value if isinstance(value, dict) and value else None


# How many seconds to wait between checks of a server's workers. Each check takes about 3 ms.
_CHECK_INTERVAL_SECONDS = 2.0


class EndedWorker(NamedTuple):
    """A worker that exited and wasn't restarted."""

    pid: int
    exit_code: int | None
    """Negative if a signal killed the worker. None if the system doesn't report exit codes (macOS)."""

    @property
    def exit_description(self) -> str:
        """How the worker exited, as a phrase that follows "ended"."""
        return "by itself" if self.exit_code is None else f"with exit code {self.exit_code}"


def find_ended_workers(server: psutil.Process) -> list[EndedWorker]:
    """Return a server's workers that exited and weren't restarted.

    A worker whose process group still exists has only moved to the background, so it isn't included.
    """
    import psutil

    ended = []
    with suppress(psutil.Error, OSError):
        for child in server.children():
            if child.status() != psutil.STATUS_ZOMBIE or _is_process_group_alive(child.pid, server.pid):
                continue
            exit_code = None
            with suppress(OSError, ValueError), open(f"/proc/{child.pid}/stat", "rb") as file:
                exit_code = os.waitstatus_to_exitcode(int(file.read().rpartition(b" ")[2]))
            ended.append(EndedWorker(child.pid, exit_code))
    return ended


def _is_process_group_alive(pid: int, leader: int) -> bool:
    """Return whether anything is still running in the process group of a process that has exited.

    Args:
        pid: The process that has exited. It must not have been reaped yet.
        leader: The server's process ID. If the process was in the server's own group, the result is False.
    """
    import psutil

    group = os.getpgid(pid)
    if group == leader:
        return False
    for process in psutil.process_iter(["status"]):
        with suppress(OSError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group:
                return True
    return False


_LOGGER = get_logger("runtime")
_TAIL_ENTRIES = 20
_FIRST_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 2.0
_STOP_TIMEOUT_SECONDS = 3.0
_ACCESS_WARNING = "anyone who can reach it can run flows and read runs and blobs"
_LISTENING_MESSAGE = f"The Stepflow server listens on port %d of %s, without authentication: {_ACCESS_WARNING}"
_RESTART_HINT = "the server restarts it when a task has waited for it for 30 s (queueTimeoutSecs of the plugin)"


class Supervisor:
    """Supervises an embedded server across restarts."""

    def __init__(self, plan: LaunchPlan) -> None:
        """Start the server without waiting for it to be ready.

        Raises:
            ServerStartError: If the binary can't be executed, or the working folder was deleted.
        """
        _check_current_folder_exists()
        self._plan = plan
        self._token = uuid.uuid4().hex
        self._owner = os.getpid()
        self._spawn_lock = threading.Lock()
        self._stop_lock = threading.Lock()
        self._stopping = threading.Event()
        self.ready_future = _create_uncancellable_future()
        """Resolves to the port when the server is ready, or to an error if it will never be ready again."""
        self.config = plan.config
        self.logs = LogStore(plan.log_config)
        self.port = plan.port
        self.port_settled = threading.Event()
        self.failure: EmbeddedServerError | None = None
        self.restarts = 0
        self.crashed = False
        self._name: OrchestratorName | None = None
        self._watchdog: parent_watchdog.WatchdogKeeper | None = None
        view = plan.config.load_or_empty()
        self._workers = find_worker_plugins(view)
        try:
            self._name = claim_orchestrator_name(find_store_path(view))
            # Start the watchdog before the server, so that the server never runs without one.
            self._watchdog = parent_watchdog.WatchdogKeeper(self._token)
            self._process = self._start_process()
        except BaseException as error:
            self._release_resources()
            if isinstance(error, OSError):
                raise ServerStartError(f"the server {plan.binary} cannot be executed: {error}") from error
            raise
        if not self._name.is_first:
            _log(logging.WARNING, "Another server uses the same store; without leases in etcd, both may execute a run")
        for hazard in find_recovery_warnings(view):
            _log(logging.WARNING, "%s; %s", *hazard)
        if not self._watchdog.supports_watchdog:
            effect = "If this process is killed, its Stepflow server keeps running"
            _log(logging.WARNING, "%s: there is no Python for a watchdog", effect)
        _running_supervisors.add(self)
        self._thread = threading.Thread(target=self._supervise, name="stepflow-runtime-supervisor", daemon=True)
        self._thread.start()

    @property
    def is_in_owner_process(self) -> bool:
        """Whether this is the process that started the server, rather than a fork of it."""
        return os.getpid() == self._owner

    def wait_ready(self) -> None:
        """Wait until the server is ready.

        Raises:
            EmbeddedServerError: If the server can never be used again. The error says why.
        """
        if threading.current_thread() is self._thread:
            # This is the crash callback's own thread. The server isn't restarted until the callback returns.
            raise EmbeddedServerError("the server ended; on_crash cannot wait for the next one")
        self.ready_future.result()
        self.check_not_stopped()

    def check_not_stopped(self) -> None:
        """Raise an EmbeddedServerError if `stop` has been called, even if the server had become ready by then."""
        if self.is_stopped:
            raise _build_stopped_error()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopping.is_set()

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port. Only valid once the server is ready."""
        return self._process.is_exposed

    @property
    def pid(self) -> int | None:
        """The running process's ID, or None if none is running."""
        import psutil

        if self.failure is not None or self.is_stopped:
            return None
        process = self._process
        # A fork can't wait for a child of its parent, so it can only check whether the process exists.
        is_running = process.poll() is None if self.is_in_owner_process else psutil.pid_exists(process.pid)
        return process.pid if is_running else None

    def stop(self, timeout: float = _STOP_TIMEOUT_SECONDS) -> None:
        """Stop the server and all its processes within `timeout` seconds. Later calls do nothing."""
        if not self.is_in_owner_process:
            return
        self._stopping.set()
        if threading.current_thread() is self._thread:
            # This is the crash callback's own thread. The process has already exited, and the thread is about to
            # finish.
            return
        with self._stop_lock:
            with self._spawn_lock:
                process = self._process
            process.stop(timeout)
            self._thread.join(timeout)

    def stop_in_background(self) -> None:
        """Stop the server without waiting. Safe to call during garbage collection."""
        # A RuntimeError means that the interpreter is shutting down. The exit hook or the watchdog then stops the
        # server.
        with suppress(RuntimeError):
            if self.is_in_owner_process and not self.is_stopped:
                threading.Thread(target=self.stop, name="stepflow-runtime-stop", daemon=True).start()

    def _start_process(self) -> ServerProcess:
        plan = self._plan
        assert self._name is not None
        inherited = collect_inherited_environment(self.config.find_env_variables()) if plan.inherit_env else {}
        # The server relays the output of its processes, or they share its standard error.
        level = self.logs.choose_server_log_level(has_workers=bool(self._workers.started or self._workers.others))
        arguments = [*self.config.arguments(), *plan.log_config.arguments(level)]
        return ServerProcess(
            [str(plan.binary), "--port", str(self.port or 0), *arguments],
            self.logs,
            env=build_server_environment({**inherited, **plan.env}, self._token, self._name.name),
            stdin=self.config.encode_for_stdin(),
            pass_fds=() if self._name.lock is None else (self._name.lock,),
            loopback=not plan.all_interfaces,
        )

    def _start_next_process(self) -> ServerStartError | None:
        """Start the next process, unless `stop` has already been called.

        Returns:
            The error if the process doesn't become ready, or None if it does.
        """
        with self._spawn_lock:
            if self.is_stopped:
                return None
            try:
                _check_current_folder_exists()
                self._process = self._start_process()
            except ServerStartError as error:
                return error
            except OSError as error:
                return ServerStartError(f"the server cannot be executed: {error}")
        return self._publish_port_once_ready()

    def _supervise(self) -> None:
        error: EmbeddedServerError
        try:
            failure = self._publish_port_once_ready()
            if failure and (fallback := self.config.get_fallback_config_for_error(failure.message)):
                self.config = fallback
                failure = self._start_next_process()
            # Run this even after `stop`, to clean up the pipes and workers of a process that became ready just before.
            while failure is None:
                exit_code = self._process.wait()
                # From now on, callers wait for the next process.
                self.ready_future = _create_uncancellable_future()
                self.crashed = not self.is_stopped
                self._kill_leftovers_and_close_pipes()
                loss = self._build_start_error(f"the server ended by itself (exit code {exit_code})", exit_code)
                failure = self._restart_until_ready(loss)
            error = _build_stopped_error() if self.is_stopped else failure
        except BaseException as fault:
            error = EmbeddedServerError(f"supervising the server failed: {fault!r}")
            _log(logging.ERROR, "Supervising the Stepflow server failed", exc_info=True)
            with suppress(Exception):
                self._process.stop(_STOP_TIMEOUT_SECONDS)
                self._kill_leftovers_and_close_pipes()
        # Always set a result, because callers may be waiting for one.
        self.failure = error
        if not self.ready_future.done():
            self.ready_future.set_exception(error)
        self.port_settled.set()
        self._release_resources()

    def _restart_until_ready(self, loss: ServerStartError) -> ServerStartError | None:
        """Restart the server as often as the policy allows.

        Returns:
            None as soon as the server is ready, or the last error if it never is.
        """
        failure: ServerStartError | None = loss
        while failure is not None and not self.is_stopped:
            # A process that wasn't ready in time was killed, so it has no exit code of its own.
            exit_code = -signal.SIGKILL if failure.exit_code is None else failure.exit_code
            _log(logging.ERROR, "%s", failure)
            if self._plan.on_crash is not None:
                try:
                    self._plan.on_crash(exit_code, list(failure.log_tail))
                except Exception:
                    _log(logging.ERROR, "The on_crash callback failed", exc_info=True)
            if not self._plan.restart_policy.covers(exit_code) or self.restarts >= self._plan.max_restarts:
                return failure
            backoff = min(_FIRST_BACKOFF_SECONDS * 2**self.restarts, _MAX_BACKOFF_SECONDS)
            if self._stopping.wait(backoff):
                return failure
            self.restarts += 1
            failure = self._start_next_process()
        return failure

    def _publish_port_once_ready(self) -> ServerStartError | None:
        """Wait until the process is ready, then publish its port. If it fails, stop it and return the error."""
        process = self._process
        try:
            self._wait_until_ready()
        except NotReadyError as error:
            loss = error
        else:
            assert process.port is not None
            self.port = process.port
            interfaces = "all interfaces" if process.is_exposed else "the loopback interface"
            _log(logging.INFO, _LISTENING_MESSAGE, process.port, interfaces)
            self.crashed = False
            self.port_settled.set()
            self.ready_future.set_result(process.port)
            if self._workers.started:
                threading.Thread(
                    target=self._warn_about_ended_workers, args=(process,), name="stepflow-runtime-workers", daemon=True
                ).start()
            return None
        exit_code, worker = process.poll(), loss.ended_worker
        # Read the log before stopping the server. Afterwards, the other workers log that they've lost the server.
        entries = None if worker is None else self.logs.get_current_process_entries()
        process.stop(_STOP_TIMEOUT_SECONDS)
        self._kill_leftovers_and_close_pipes()
        if exit_code is None:
            name = "" if worker is None else f"{self._describe_worker(worker.pid)} "
            return self._build_start_error(f"{name}{loss}", None, entries)
        failure = self._build_start_error(f"The server did not start (exit code {exit_code})", exit_code)
        entries = self.logs.get_current_process_entries()
        fault = build_rejection_error(find_failure_reason(entries) or "", self.config)
        if fault is not None:
            explained = ServerStartError(fault.message, exit_code=exit_code, log_tail=failure.log_tail)
            explained.hint, explained.__cause__ = fault.hint, fault
            return explained
        # Without workers, only the server itself writes to stderr.
        own = () if self._workers.started else ("stderr",)
        words = find_last_worker_message([entry for entry in entries if entry.stream not in own])
        if words and words not in failure.message:
            failure.hint = f"the last line of its worker: {words}"
        return failure

    def _wait_until_ready(self) -> None:
        """Wait until the server and its workers can be used.

        First wait for the log line that contains the port, which proves that this process is the one listening on it.

        Raises:
            NotReadyError: If the process or a worker exits, the time is up, or the supervisor is being stopped.
        """
        process, plan, external = self._process, self._plan, self._workers.external
        deadline = time.monotonic() + plan.startup_timeout
        late = f"The server was not ready within {plan.startup_timeout:g} s"
        self._wait_for_condition(lambda: process.port is not None, deadline, late)
        health = _poll_for_response(process, HttpRequest("GET", "/health"), _HEALTH_TIMEOUT_SECONDS)
        self._wait_for_condition(lambda: next(health) is not None, deadline, late)
        request = HttpRequest("GET", "/components", "excludeSchemas=true")
        components = _poll_for_response(process, request, _COMPONENTS_TIMEOUT)

        def are_workers_connected(ignored: frozenset[str] = frozenset()) -> bool:
            response = next(components)
            if response is None:
                return False
            failed = response.get("failedPlugins")
            if not failed or response.get("complete", True):
                return True
            return all(isinstance(plugin, dict) and plugin.get("plugin") in ignored for plugin in failed)

        if self._workers.started or not external:
            # Older servers don't report whether workers are connected. Their workers count as ready once the server is
            # healthy.
            self._wait_for_condition(lambda: are_workers_connected(ignored=external), deadline, late)
        if external and plan.worker_timeout is not None:
            late = f"No worker of {', '.join(sorted(external))} connected within {plan.worker_timeout:g} s"
            self._wait_for_condition(are_workers_connected, time.monotonic() + plan.worker_timeout, late)

    def _wait_for_condition(self, condition: Callable[[], bool], deadline: float, late: str) -> None:
        """Wait until a condition is met or a deadline passes. Fails early if the condition can't be met anymore."""
        process = self._process
        next_check = time.monotonic() + _WORKER_CHECK_SECONDS
        while True:
            # Do this before checking the condition, so that the server is confined by the time it's ready.
            process.confine_to_loopback()
            if condition():
                return
            now = time.monotonic()
            if self.is_stopped or process.poll() is not None:
                raise NotReadyError
            if now >= next_check:
                next_check = now + _WORKER_CHECK_SECONDS
                # Ignore workers that exited with code 0, since they might have started a replacement.
                failed = next((worker for worker in find_ended_workers(process.leader) if worker.exit_code != 0), None)
                # Give an older server some time to exit on its own, because its error message is more detailed.
                if failed is not None and not process.wait_for_exit(0.5):
                    raise NotReadyError(f"ended {failed.exit_description} before it was ready", worker=failed)
            if now >= deadline:
                raise NotReadyError(late)
            process.port_known.wait(_POLL_SECONDS) if process.port is None else time.sleep(_POLL_SECONDS)

    def _kill_leftovers_and_close_pipes(self) -> None:
        """Kill any processes that the server left behind and read its last lines."""
        for _ in range(3):
            if not parent_watchdog.kill_runtime_processes(self._token, {self._process.leader}):
                break
        self._process.close_pipes()

    def _warn_about_ended_workers(self, process: ServerProcess) -> None:
        """Log a warning for each worker that exits, until the server itself exits or is stopped."""
        reported: set[int] = set()
        while not self._stopping.wait(_CHECK_INTERVAL_SECONDS):
            ended = find_ended_workers(process.leader)
            if process.poll() is not None:
                # All workers exit along with the server.
                return
            for worker in ended:
                if worker.pid not in reported:
                    name = self._describe_worker(worker.pid)
                    with suppress(Exception):
                        # Use a child logger, so that a program can choose to show only these messages.
                        logger = get_logger("runtime.workers")
                        logger.warning("%s ended %s; %s", name, worker.exit_description, _RESTART_HINT)
            reported = {worker.pid for worker in ended}

    def _describe_worker(self, pid: int) -> str:
        """Return a worker's name for messages. Includes its plugin if the server logged that the worker started."""
        workers = self._workers
        line = self.logs.last_line_with(b"subprocess spawned (pid=Some(%d), queue=" % pid)
        if line is None:
            # Servers only log that a worker started if it has a queue, and only at level info.
            is_logged = not workers.started or self.logs.last_line_with(b"subprocess spawned (pid=Some(") is not None
            return f"The worker of {workers.others[0]}" if is_logged and len(workers.others) == 1 else "A worker"
        queue = line.partition(b", queue=")[2].partition(b")")[0].decode("utf-8", "replace")
        return f"The worker of {workers.started_by_queue_name.get(queue, queue)}"

    def _build_start_error(
        self, message: str, exit_code: int | None, worker_entries: list[LogEntry] | None = None
    ) -> ServerStartError:
        """Return the error for a server that exited or that wasn't ready in time (if there is no exit code)."""
        kind = ServerStartTimeoutError if exit_code is None else ServerStartError
        entries = self.logs.get_current_process_entries() if worker_entries is None else worker_entries
        reason = find_failure_reason(entries) if worker_entries is None else find_last_worker_message(entries)
        if reason is None and worker_entries is not None:
            message += ", without a reason on standard error"
        tail = [str(entry) for entry in entries[-_TAIL_ENTRIES:]]
        return kind(f"{message}: {reason}" if reason else message, exit_code=exit_code, log_tail=tail)

    def _release_resources(self) -> None:
        """Release resources that outlive the processes."""
        _running_supervisors.discard(self)
        if self._watchdog is not None:
            self._watchdog.close()
        if self._name is not None:
            self._name.close()
        self.logs.close()


def _log(level: int, message: str, *args: object, exc_info: bool = False) -> None:
    """Log a message. Errors in handlers are ignored, so that they can't stop the supervisor."""
    with suppress(Exception):
        _LOGGER.log(level, message, *args, exc_info=exc_info, stacklevel=2)


def _check_current_folder_exists() -> None:
    """Raise a ServerStartError if the working folder has been deleted, because the server would panic."""
    try:
        os.getcwd()
    except OSError:
        message = "the server cannot start: the working folder was deleted"
        raise ServerStartError(message, hint="change to another folder") from None


def _create_uncancellable_future() -> Future[int]:
    future: Future[int] = Future()
    # Mark the future as running so that it can't be cancelled. If one caller gives up, the others must still get a
    # result.
    future.set_running_or_notify_cancel()
    return future


def _build_stopped_error() -> EmbeddedServerError:
    return EmbeddedServerError("the embedded server has been stopped", hint="start a new one")


_running_supervisors: set[Supervisor] = set()


@atexit.register
def _stop_all_supervisors() -> None:
    for supervisor in list(_running_supervisors):
        supervisor.stop()
