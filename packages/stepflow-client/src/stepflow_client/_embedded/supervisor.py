"""Supervises one embedded server: starts, watches, restarts and stops it.

A separate thread does all of this except the first start and the signals of `stop`. Callers wait for the results that
this thread publishes. The supervisor holds no reference to the `StepflowRuntime`, so that an unused runtime can be
garbage-collected.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import uuid
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from .._base.logging import logger_of
from ..errors import EmbeddedServerError, ServerStartError, ServerStartTimeoutError, StepflowClientError
from ..logs import LogEntry, find_failure_reason, find_worker_message
from . import watchdog
from .config import REFUSED_ROUTE, ServerConfig, find_store_path, find_workers, recovery_warnings
from .config_faults import explain_config_error
from .environment import build_server_environment, collect_inherited_environment
from .log_pump import LogStore
from .orchestrator import OrchestratorName, claim_name
from .process import ServerProcess
from .start_plan import LaunchPlan
from .startup import NotReadyError, StartupWait
from .worker_exits import EndedWorker, find_worker_name, watch_workers

_LOGGER = logger_of("runtime")
_TAIL_ENTRIES = 20
_FIRST_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 2.0
_STOP_SECONDS = 3.0
_LISTENS = (
    "The Stepflow server listens on port %d of %s, without authentication: "
    "anyone who can reach it can run flows and read runs and blobs"
)
_WORKER_ENDED = (
    "%s ended %s; the server restarts it when a task has waited for it for 30 s (queueTimeoutSecs of the plugin)"
)


class Supervisor:
    """Supervises one embedded server across all its restarts."""

    def __init__(self, plan: LaunchPlan) -> None:
        """Start the server without waiting until it is ready.

        Raises:
            ServerStartError: If the binary cannot be executed, or the working folder was deleted.
        """
        _check_folder()
        self._plan = plan
        self._token = uuid.uuid4().hex
        self._owner = os.getpid()
        self._spawn_lock = threading.Lock()
        self._stop_lock = threading.Lock()
        self._stopping = threading.Event()
        self._ready = _create_pending_future()
        self.config = plan.config
        self.logs = LogStore(plan.log_config)
        self.port = plan.port
        self.port_settled = threading.Event()
        self.failure: StepflowClientError | None = None
        self.restarts = 0
        self.crashed = False
        self._name: OrchestratorName | None = None
        self._guard: watchdog.Guard | None = None
        view = plan.config.view()
        self._workers = find_workers(view)
        try:
            self._name = claim_name(find_store_path(view))
            # Before the server, so that the server never runs without a watchdog.
            self._guard = watchdog.Guard(self._token)
            self._process = self._spawn()
        except OSError as error:
            self._release()
            raise ServerStartError(f"the server {plan.binary} cannot be executed: {error}") from error
        except BaseException:
            self._release()
            raise
        if not self._name.is_first:
            _log(logging.WARNING, "Another server uses the same store; without leases in etcd, both may execute a run")
        for hazard in recovery_warnings(view):
            _log(logging.WARNING, "%s; %s", *hazard)
        if not self._guard.is_possible:
            _log(
                logging.WARNING,
                "If this process is killed, its Stepflow server keeps running: there is no Python for a watchdog",
            )
        _live.add(self)
        self._thread = threading.Thread(target=self._run, name="stepflow-runtime-supervisor", daemon=True)
        self._thread.start()

    @property
    def is_owned(self) -> bool:
        """Whether this process started the server, and is not a fork of that process."""
        return os.getpid() == self._owner

    @property
    def ready(self) -> Future[int]:
        """A future that resolves to the port when the server is ready, or to an error if it can never be used again."""
        return self._ready

    def wait_ready(self) -> None:
        """Wait until the server is ready.

        Raises:
            EmbeddedServerError: If the server can never be used again; the error says why.
        """
        if threading.current_thread() is self._thread:
            # Called from the crash callback: the next start only happens after the callback returns.
            raise EmbeddedServerError("the server ended; on_crash cannot wait for the next one")
        self._ready.result()
        self.check_not_stopped()

    def check_not_stopped(self) -> None:
        """Raise an EmbeddedServerError if `stop` was called, even if the server was ready before."""
        if self.is_stopped:
            raise _build_stopped_error()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port; known once the server is ready."""
        return self._process.is_exposed

    @property
    def pid(self) -> int | None:
        """The id of the running process; None if no process is running."""
        if self.failure is not None or self.is_stopped:
            return None
        process = self._process
        if self.is_owned:
            return process.pid if process.poll() is None else None
        # A fork cannot wait for children of its parent process; it can only check whether they exist.
        try:
            os.kill(process.pid, 0)
        except OSError:
            return None
        return process.pid

    def stop(self, timeout: float = _STOP_SECONDS) -> None:
        """End the server and all its processes within `timeout` seconds. Later calls do nothing."""
        if not self.is_owned:
            return
        self._stopping.set()
        if threading.current_thread() is self._thread:
            # Called from the crash callback: the process has already ended, and the thread ends by itself.
            return
        with self._stop_lock:
            with self._spawn_lock:
                process = self._process
            process.stop(timeout)
            self._thread.join(timeout)

    def stop_in_background(self) -> None:
        """End the server without waiting. Safe to call during garbage collection."""
        # RuntimeError: the interpreter is shutting down; the exit hook and the watchdog end the server then.
        with suppress(RuntimeError):
            if self.is_owned and not self.is_stopped:
                threading.Thread(target=self.stop, name="stepflow-runtime-stop", daemon=True).start()

    def _spawn(self) -> ServerProcess:
        plan = self._plan
        assert self._name is not None
        inherited = collect_inherited_environment(self.config.find_variables()) if plan.inherit_env else {}
        return ServerProcess(
            [
                str(plan.binary),
                *("--port", str(self.port or 0)),
                *self.config.arguments(),
                *plan.log_config.arguments(self.logs.level(self._workers.has_processes)),
            ],
            self.logs,
            env=build_server_environment({**inherited, **plan.env}, self._token, self._name.name),
            stdin=self.config.stdin(),
            max_line_length=plan.log_config.max_line_length,
            pass_fds=() if self._name.lock is None else (self._name.lock,),
            loopback=not plan.all_interfaces,
        )

    def _start_next(self) -> ServerStartError | None:
        """Start the next process, unless `stop` was called before.

        Returns:
            The error if the process does not become ready; None otherwise.
        """
        with self._spawn_lock:
            if self.is_stopped:
                return None
            try:
                _check_folder()
                self._process = self._spawn()
            except ServerStartError as error:
                return error
            except OSError as error:
                return ServerStartError(f"the server cannot be executed: {error}")
        return self._await_startup()

    def _run(self) -> None:
        error: StepflowClientError
        try:
            failure = self._await_startup()
            if failure and self.config.fallback and REFUSED_ROUTE in failure.message:
                self.config = ServerConfig(document=self.config.fallback)
                failure = self._start_next()
            # Also after `stop`: a process that became ready just before has pipes and workers that must be cleaned up.
            while failure is None:
                exit_code = self._process.wait()
                # Later callers wait for the next process.
                self._ready = _create_pending_future()
                self.crashed = not self.is_stopped
                self._end_process()
                loss = self._build_error(f"the server ended by itself (exit code {exit_code})", exit_code)
                failure = self._restart(loss)
            error = _build_stopped_error() if self.is_stopped else failure
        except BaseException as fault:
            error = EmbeddedServerError(f"the supervision of the server failed: {fault!r}")
            _log(logging.ERROR, "The supervision of the Stepflow server failed", exc_info=True)
            with suppress(Exception):
                self._process.stop(_STOP_SECONDS)
                self._end_process()
        # Always publish a result, because callers may be waiting for it.
        self.failure = error
        if not self._ready.done():
            self._ready.set_exception(error)
        self.port_settled.set()
        self._release()

    def _restart(self, loss: ServerStartError) -> ServerStartError | None:
        """Restart the server as often as the policy allows.

        Returns:
            None if the server is ready; otherwise the last error.
        """
        failure: ServerStartError | None = loss
        while failure is not None and not self.is_stopped:
            # A process that was not ready in time was killed, so it has no exit code of its own.
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
            failure = self._start_next()
        return failure

    def _await_startup(self) -> ServerStartError | None:
        """Wait until the process is ready and publish its port; otherwise end it and return the error."""
        process, plan = self._process, self._plan
        try:
            StartupWait(process, self._workers, self._stopping.is_set).until_ready(
                plan.startup_timeout, plan.worker_timeout
            )
        except NotReadyError as error:
            loss = error
        else:
            assert process.port is not None
            self.port = process.port
            interfaces = "all interfaces" if process.is_exposed else "the loopback interface"
            _log(logging.INFO, _LISTENS, process.port, interfaces)
            self.crashed = False
            self.port_settled.set()
            self._ready.set_result(process.port)
            if self._workers.started:
                watch = partial(watch_workers, process, self._stopping, self._report_worker)
                threading.Thread(target=watch, name="stepflow-runtime-workers", daemon=True).start()
            return None
        exit_code, worker = process.poll(), loss.worker
        # Read the log now: when the server ends, its other workers log that they have lost it.
        entries = None if worker is None else self.logs.tail()
        process.stop(_STOP_SECONDS)
        self._end_process()
        if exit_code is None:
            name = "" if worker is None else f"{find_worker_name(worker.pid, self.logs, self._workers)} "
            return self._build_error(f"{name}{loss}", None, entries)
        failure = self._build_error(f"The server did not start (exit code {exit_code})", exit_code)
        if (fault := explain_config_error(find_failure_reason(self.logs.tail()) or "", self.config)) is not None:
            explained = ServerStartError(fault.message, exit_code=exit_code, log_tail=failure.log_tail)
            explained.hint, explained.__cause__ = fault.hint, fault
            return explained
        # If the server starts no workers, its stderr contains only its own output.
        own = () if self._workers.started else ("stderr",)
        words = find_worker_message([entry for entry in self.logs.tail() if entry.stream not in own])
        if words and words not in failure.message:
            failure.hint = f"the last line of its worker: {words}"
        return failure

    def _end_process(self) -> None:
        """Kill the processes that the server left behind, and read its last lines."""
        for _ in range(3):
            if not watchdog.kill_family(self._token, {self._process.leader}):
                break
        self._process.close()

    def _report_worker(self, worker: EndedWorker) -> None:
        name = find_worker_name(worker.pid, self.logs, self._workers)
        with suppress(Exception):
            # A separate logger below the runtime's, for programs that show only these messages.
            logger_of("runtime.workers").warning(_WORKER_ENDED, name, worker.how)

    def _build_error(
        self, message: str, exit_code: int | None, worker_entries: list[LogEntry] | None = None
    ) -> ServerStartError:
        """Return the error for a server that ended, or, without an exit code, was not ready in time."""
        kind = ServerStartTimeoutError if exit_code is None else ServerStartError
        entries = self.logs.tail() if worker_entries is None else worker_entries
        reason = find_failure_reason(entries) if worker_entries is None else find_worker_message(entries)
        if reason is None and worker_entries is not None:
            message += ", without a reason on standard error"
        tail = [str(entry) for entry in entries[-_TAIL_ENTRIES:]]
        return kind(f"{message}: {reason}" if reason else message, exit_code=exit_code, log_tail=tail)

    def _release(self) -> None:
        """Release the resources that outlive the processes."""
        _live.discard(self)
        if self._guard is not None:
            self._guard.close()
        if self._name is not None:
            self._name.close()
        self.logs.close()


def _log(level: int, message: str, *args: object, exc_info: bool = False) -> None:
    """Write to the log, and ignore handlers that fail: they must not stop the supervision."""
    with suppress(Exception):
        _LOGGER.log(level, message, *args, exc_info=exc_info, stacklevel=2)


def _check_folder() -> None:
    """Raise a ServerStartError if the working folder was deleted, because the server would panic there."""
    try:
        os.getcwd()
    except OSError:
        raise ServerStartError(
            "the server cannot start: the working folder was deleted", hint="change to another folder"
        ) from None


def _create_pending_future() -> Future[int]:
    future: Future[int] = Future()
    # Running futures cannot be cancelled: a waiter that gives up must not cancel it for the others.
    future.set_running_or_notify_cancel()
    return future


def _build_stopped_error() -> EmbeddedServerError:
    return EmbeddedServerError("the embedded server has been stopped", hint="start a new one")


_live: set[Supervisor] = set()


@atexit.register
def _stop_all() -> None:
    for supervisor in list(_live):
        supervisor.stop()
