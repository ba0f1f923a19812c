"""Keeps one embedded server: starts it, watches it, starts it again, ends it.

A thread of its own does all of this but the very first start and the signals of `stop`; callers wait for
what it announces. It holds no reference to the `StepflowRuntime`, so that a forgotten one can be collected.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from .._logging import logger_of
from ..errors import EmbeddedServerError, ServerStartError, ServerStartTimeoutError, StepflowClientError
from ..logs import LogConfig, failure_reason, worker_words
from . import watchdog
from .config import REFUSED_ROUTE, ServerConfig, store_path, workers_of
from .log_pump import LogStore
from .orchestrator import OrchestratorName, claim_name
from .process import ServerProcess, server_environment
from .readiness import NotReadyError, ReadinessTimeouts, wait_until_ready

CrashCallback = Callable[[int, list[str]], object] | Callable[[int], object]

_LOGGER = logger_of("runtime")
_TAIL_ENTRIES = 20
_FIRST_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 2.0
_STOP_SECONDS = 3.0
_LISTENS = (
    "The Stepflow server listens on port %d of %s, without authentication: "
    "whoever reaches it can run flows, and read runs and blobs"
)


class RestartPolicy(Enum):
    """Whether to restart a server that ended by itself, on the same port."""

    NEVER = "never"
    """Do not restart it."""

    ON_FAILURE = "on_failure"
    """Restart it after an exit code other than 0, or a signal."""

    ALWAYS = "always"
    """Restart it after exit code 0 too."""

    def covers(self, exit_code: int) -> bool:
        """Return whether a server that ended with this exit code is restarted."""
        return self is RestartPolicy.ALWAYS or (self is RestartPolicy.ON_FAILURE and exit_code != 0)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """All that is needed to start the server, again and again."""

    binary: Path
    config: ServerConfig
    port: int | None
    env: Mapping[str, str] | None = field(repr=False)
    inherit_env: bool
    log_config: LogConfig
    restart_policy: RestartPolicy
    max_restarts: int
    startup_timeout: float
    worker_timeout: float | None
    all_interfaces: bool
    on_crash: Callable[[int, list[str]], object] | None


class Supervisor:
    """The life of one embedded server, over all its restarts."""

    def __init__(self, plan: LaunchPlan) -> None:
        """Start the server, and return at once.

        Raises:
            ServerStartError: The binary does not run.
        """
        self._plan = plan
        self._token = uuid.uuid4().hex
        self._owner = os.getpid()
        self._spawn_lock = threading.Lock()
        self._stop_lock = threading.Lock()
        self._stopping = threading.Event()
        self._ready = _pending()
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
        self._workers = workers_of(view)
        try:
            self._name = claim_name(store_path(view))
            # Before the server: there is no moment in which nobody would end it.
            self._guard = watchdog.Guard(self._token)
            self._process = self._spawn()
        except OSError as error:
            self._release()
            raise ServerStartError(f"The server {plan.binary} cannot be executed: {error}") from error
        except BaseException:
            self._release()
            raise
        if not self._name.is_first:
            _LOGGER.warning("Another server uses the same store; without leases in etcd both may do the same runs")
        if not self._guard.is_possible:
            _LOGGER.warning("Should this process be killed, its Stepflow server goes on: no Python for a watchdog")
        _live.add(self)
        self._thread = threading.Thread(target=self._run, name="stepflow-runtime-supervisor", daemon=True)
        self._thread.start()

    @property
    def owned(self) -> bool:
        """Whether this is the process that started the server, not a fork of it."""
        return os.getpid() == self._owner

    @property
    def ready(self) -> Future[int]:
        """Resolves to the port when the server can be used; to an error when it never will."""
        return self._ready

    def wait_ready(self) -> None:
        """Wait until the server can be used, or raise the error that says why it never will."""
        if threading.current_thread() is self._thread:
            # From the crash callback: what it would wait for comes after it.
            raise EmbeddedServerError("The server ended; on_crash cannot wait for the next one")
        self._ready.result()
        self.check_not_stopped()

    def check_not_stopped(self) -> None:
        """Raise EmbeddedServerError where `stop` was called, though the server had got ready before."""
        if self.stopped:
            raise _stopped_error()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port; known once the server is ready."""
        return self._process.is_exposed

    @property
    def pid(self) -> int | None:
        """The id of the running process, or None."""
        if self.failure is not None or self.stopped:
            return None
        process = self._process
        if self.owned:
            return process.pid if process.poll() is None else None
        # A fork may not wait for its parent's children; it can only look.
        try:
            os.kill(process.pid, 0)
        except OSError:
            return None
        return process.pid

    def stop(self, timeout: float = _STOP_SECONDS) -> None:
        """End the server and all that belongs to it within `timeout` seconds; later calls do nothing."""
        if not self.owned:
            return
        self._stopping.set()
        if threading.current_thread() is self._thread:
            # From the crash callback: the process is gone, and the thread ends by itself.
            return
        with self._stop_lock:
            with self._spawn_lock:
                process = self._process
            process.stop(timeout)
            self._thread.join(timeout)

    def stop_in_background(self) -> None:
        """End the server without waiting; safe in the middle of a garbage collection."""
        # RuntimeError: the interpreter is going down, where the exit hook and the watchdog see to it.
        with suppress(RuntimeError):
            if self.owned and not self.stopped:
                threading.Thread(target=self.stop, name="stepflow-runtime-stop", daemon=True).start()

    def _spawn(self) -> ServerProcess:
        plan = self._plan
        assert self._name is not None
        environment = server_environment(
            plan.env, plan.inherit_env, self._token, self.config.variables(), self._name.name
        )
        return ServerProcess(
            [
                str(plan.binary),
                *("--port", str(self.port or 0)),
                *self.config.arguments(),
                *plan.log_config.arguments(),
            ],
            environment,
            self.config.stdin(),
            self.logs,
            plan.log_config.max_line_length,
            () if self._name.lock is None else (self._name.lock,),
            loopback=not plan.all_interfaces,
        )

    def _start_next(self) -> ServerStartError | None:
        """Start the next process, unless `stop` came first; return the reason if it does not get ready."""
        with self._spawn_lock:
            if self.stopped:
                return None
            try:
                self._process = self._spawn()
            except OSError as error:
                return ServerStartError(f"The server cannot be executed: {error}")
        return self._start_up()

    def _run(self) -> None:
        error: StepflowClientError
        try:
            error = self._supervise()
        except BaseException as fault:
            # Never leave a caller waiting for an announcement that cannot come.
            _LOGGER.exception("The supervision of the Stepflow server failed")
            self._process.stop(_STOP_SECONDS)
            self._end_process()
            error = EmbeddedServerError(f"The supervision of the server failed: {fault!r}")
        self.failure = error
        if not self._ready.done():
            self._ready.set_exception(error)
        self.port_settled.set()
        self._release()

    def _supervise(self) -> StepflowClientError:
        """Keep the server until it is stopped or lost; return why it cannot be used any more."""
        failure = self._start_up()
        if failure and self.config.fallback and REFUSED_ROUTE in failure.message:
            self.config = ServerConfig(document=self.config.fallback)
            failure = self._start_next()
        # After `stop` too: a process that got ready just before it has pipes and workers to be put away.
        while failure is None:
            failure = self._restart(self._lose(self._process.wait()))
        return failure if failure is not None and not self.stopped else _stopped_error()

    def _restart(self, loss: ServerStartError) -> ServerStartError | None:
        """Start the server again as far as the policy allows; return None if it is up, else the last reason."""
        failure: ServerStartError | None = loss
        while failure is not None and not self.stopped:
            # One that was not ready in time has no exit code of its own: it was killed.
            exit_code = -signal.SIGKILL if failure.exit_code is None else failure.exit_code
            self._report(exit_code, failure)
            if not self._plan.restart_policy.covers(exit_code) or self.restarts >= self._plan.max_restarts:
                return failure
            backoff = min(_FIRST_BACKOFF_SECONDS * 2**self.restarts, _MAX_BACKOFF_SECONDS)
            if self._stopping.wait(backoff):
                return failure
            self.restarts += 1
            failure = self._start_next()
        return failure

    def _start_up(self) -> ServerStartError | None:
        """Wait until the process is ready and announce it; otherwise end it and return the reason."""
        process, plan = self._process, self._plan
        timeouts = ReadinessTimeouts(plan.startup_timeout, plan.worker_timeout)
        try:
            wait_until_ready(process, self._workers, timeouts, self._stopping.is_set)
        except NotReadyError as error:
            loss = error
        else:
            assert process.port is not None
            self.port = process.port
            interfaces = "all interfaces" if process.is_exposed else "the loopback interface"
            _LOGGER.info(_LISTENS, process.port, interfaces)
            self.crashed = False
            self.port_settled.set()
            self._ready.set_result(process.port)
            return None
        exit_code = process.poll()
        process.stop(_STOP_SECONDS)
        self._end_process()
        if exit_code is None:
            return self._error(str(loss), None, ServerStartTimeoutError, of_worker=loss.of_worker)
        failure = self._error(f"The server did not start (exit code {exit_code})", exit_code)
        # What the server itself writes to stderr is no worker's.
        own = () if self._workers.started else ("stderr",)
        words = worker_words([entry for entry in self.logs.tail() if entry.stream not in own])
        if words and words not in failure.message:
            failure.hint = f"the last line of its worker: {words}"
        return failure

    def _lose(self, exit_code: int) -> ServerStartError:
        """Put the ended process away, and let callers wait for the next one."""
        self._ready = _pending()
        self.crashed = not self.stopped
        self._end_process()
        return self._error(f"The server ended by itself (exit code {exit_code})", exit_code)

    def _end_process(self) -> None:
        """Kill what the process left behind, and take in its last lines."""
        for _ in range(3):
            if not watchdog.kill_family(self._token, {self._process.leader}):
                break
        self._process.close()

    def _report(self, exit_code: int, loss: ServerStartError) -> None:
        _LOGGER.error("%s", loss)
        if self._plan.on_crash is None:
            return
        try:
            self._plan.on_crash(exit_code, list(loss.log_tail))
        except Exception:
            _LOGGER.exception("The on_crash callback failed")

    def _error(
        self,
        message: str,
        exit_code: int | None,
        kind: type[ServerStartError] = ServerStartError,
        *,
        of_worker: bool = False,
    ) -> ServerStartError:
        entries = self.logs.tail()
        reason = worker_words(entries) if of_worker else failure_reason(entries)
        tail = [str(entry) for entry in entries[-_TAIL_ENTRIES:]]
        return kind(f"{message}: {reason}" if reason else message, exit_code=exit_code, log_tail=tail)

    def _release(self) -> None:
        """Let go of all that outlived the processes."""
        _live.discard(self)
        if self._guard is not None:
            self._guard.close()
        if self._name is not None:
            self._name.close()
        self.logs.close()


def _pending() -> Future[int]:
    future: Future[int] = Future()
    # A waiter that gives up must not cancel it for the others.
    future.set_running_or_notify_cancel()
    return future


def _stopped_error() -> EmbeddedServerError:
    return EmbeddedServerError("The embedded server has been stopped", hint="start a new one")


_live: set[Supervisor] = set()


@atexit.register
def _stop_all() -> None:
    for supervisor in list(_live):
        supervisor.stop()
