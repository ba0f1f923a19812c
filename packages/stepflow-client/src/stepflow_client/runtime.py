"""The embedded server: a Stepflow server of one's own, started and ended with the Python process."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ._embedded.binary import find_binary
from ._embedded.config import prepare_config
from ._embedded.executor import EmbeddedExecutor
from ._embedded.supervisor import CrashCallback, LaunchPlan, RestartPolicy, Supervisor
from .errors import InvalidArgumentError
from .logs import LogConfig, LogEntry

if TYPE_CHECKING:
    from .history import History

__all__ = ["RestartPolicy", "StepflowRuntime"]


class StepflowRuntime(EmbeddedExecutor):
    """A Stepflow server that lives as long as this object.

    Made by `start`; used as a context manager, of either kind. Entering waits until the server
    and its workers can be used, leaving ends them:

        async with StepflowRuntime.start("stepflow-config.yml") as runtime:
            result = await runtime.run("workflow.yaml", {"name": "World"})

        with StepflowRuntime.start() as runtime:  # the builtin components only
            result = runtime.sync_client.run("workflow.yaml", {"name": "World"})

    It is an executor, as `StepflowClient` is. `client` and `sync_client` have all the rest that a client can do.

    No server and no worker outlives the Python process, however it ends: normally, by a signal, or by kill -9
    (then within 5 s). In a fork of the process the runtime can be used but not stopped.

    The server is the one of the package `stepflow-orchestrator` (`pip install "stepflow-client[runtime]"`), or
    the binary that the environment variable `STEPFLOW_SERVER_BINARY` names. All methods may be called from any thread.

    The server has no authentication: whoever reaches the port can run flows with every component of the configuration,
    and read runs and blobs. Every release listens on all interfaces; on Linux (5.7 and newer) the runtime closes the
    port to other machines unless `all_interfaces` is set. `is_exposed` says whether that was possible: some sandboxes
    forbid it, and macOS cannot do it. The default configuration has no `/builtin/load_file`, which reads any file the
    server can read. Of the environment variables `STEPFLOW_*` the
    server gets those that servers and workers read, and no others, such as a client's token, unless `env` has them or
    the configuration refers to them as `${NAME}`.

    With an SQLite store, a server that is started again takes up the runs it had begun after a few seconds (0.10 and
    newer), in this runtime or in a later one of the same store: it gets the name of its predecessor, which is kept in
    a file beside the store (`NAME.db.orchestrator-0`) and locked while a server uses it. The environment variable
    `STEPFLOW_ORCHESTRATOR_ID` names it otherwise; no two servers may use one name at once.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Use `StepflowRuntime.start`."""
        super().__init__()
        self._supervisor = supervisor
        # At exit a hook of the supervisors' own stops them, which can wait; this one cannot.
        weakref.finalize(self, supervisor.stop_in_background).atexit = False

    @classmethod
    def start(
        cls,
        config_path: str | Path | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        inherit_env: bool = True,
        log_config: LogConfig | None = None,
        restart_policy: RestartPolicy = RestartPolicy.NEVER,
        max_restarts: int = 3,
        startup_timeout: float = 30.0,
        worker_timeout: float | None = None,
        on_crash: CrashCallback | None = None,
        allow_load_file: bool = False,
        all_interfaces: bool = False,
        history: History | None = None,
    ) -> Self:
        """Start a server and return at once; enter the runtime, or call `wait_ready`, before using it.

        It takes up to 5 s where the server of a process that was killed still holds the same SQLite store.

        Args:
            config_path: The server's configuration, YAML or JSON. Commands of workers are relative to its folder.
                Without it and `config`, the builtin components can be used under `/builtin/...`.
            config: The configuration itself, instead of a file. Commands of workers are then relative
                to the current directory.
            port: The port; None (the default) takes a free one.
            env: Environment variables for the server and its workers, over those of this process.
            inherit_env: Whether they get the variables of this process at all, but for those of a client. Default True.
            log_config: How much the server writes and where its lines go. Default `LogConfig()`.
            restart_policy: Whether a server that ends by itself is started again. Default NEVER.
            max_restarts: How often, over the life of the runtime. Default 3.
            startup_timeout: Seconds until the server and the workers it starts must be ready, at each start.
                Default 30. A worker that ends before it is ready fails the start at once.
            worker_timeout: Seconds to wait, once the server is ready, for a worker of each plugin that has a queue and
                no `command`: these connect by themselves. None (the default) does not wait for them; their tasks
                wait in the queue. 0.13 is ready after 5 s where such a worker is missing.
            on_crash: Called with the exit code (negative for a signal, -9 for a restart that was not ready in time)
                and, if it takes two arguments, the last lines of the log, whenever the server ended by itself after it
                was ready, or a restart failed. Called in a thread of the runtime, before the server is started again.
                What it raises is logged.
            allow_load_file: Whether the default configuration has `/builtin/load_file`, with which whoever reaches the
                port can read every file that the server can read. Default False.
            all_interfaces: Whether other machines may reach the port, for workers or clients there. Default False.
            history: Where the runtime and its clients record the runs that they create. Default None: nowhere.

        Returns:
            The runtime.

        Raises:
            InvalidArgumentError: An argument is wrong. Nothing was started.
            FlowFileError: The configuration file cannot be read. Nothing was started.
            ServerNotInstalledError: There is no server to start here.
            ServerStartError: The binary cannot be executed.
        """
        _check(port, env, restart_policy, max_restarts, startup_timeout)
        if log_config is not None and not isinstance(log_config, LogConfig):
            raise InvalidArgumentError(f"log_config is a LogConfig, not {type(log_config).__name__}")
        if worker_timeout is not None:
            _check_seconds("worker_timeout", worker_timeout)
        for name, value in (("allow_load_file", allow_load_file), ("all_interfaces", all_interfaces)):
            if not isinstance(value, bool):
                raise InvalidArgumentError(f"{name} is True or False, not {value!r}")
        crashed = _two_arguments(on_crash)
        if config is not None or config_path is not None:
            prepared = prepare_config(config_path, config, None, allow_load_file)
            binary = find_binary()
        else:
            binary = find_binary()
            prepared = prepare_config(None, None, binary.release, allow_load_file)
        plan = LaunchPlan(
            binary=binary.path,
            config=prepared,
            port=port,
            env=None if env is None else dict(env),
            inherit_env=inherit_env,
            log_config=log_config or LogConfig(),
            restart_policy=restart_policy,
            max_restarts=max_restarts,
            startup_timeout=float(startup_timeout),
            worker_timeout=None if worker_timeout is None else float(worker_timeout),
            all_interfaces=all_interfaces,
            on_crash=crashed,
        )
        runtime = cls(Supervisor(plan))
        runtime._history = history
        return runtime

    @property
    def url(self) -> str:
        """The server's address, `http://127.0.0.1:PORT`; waits for the port if need be.

        Raises:
            ServerStartError: The server did not start, or it ended by itself.
            EmbeddedServerError: It has been stopped.
        """
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port; waits until it is known, which it is from the beginning where it was given.

        Raises:
            ServerStartError: The server did not start, or it ended by itself.
            EmbeddedServerError: It has been stopped.
        """
        supervisor = self._supervisor
        if supervisor.port is None:
            supervisor.port_settled.wait()
        if supervisor.failure is not None:
            raise supervisor.failure
        assert supervisor.port is not None
        return supervisor.port

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None while it does not run. A restart changes it."""
        return self._supervisor.pid

    @property
    def is_alive(self) -> bool:
        """Whether the server's process runs; False between a crash and the restart, too."""
        return self.pid is not None

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port; settled once the runtime is ready."""
        return self._supervisor.is_exposed

    @property
    def crashed(self) -> bool:
        """Whether the server has ended by itself and is not up again; a restart that succeeds makes it False."""
        return self._supervisor.crashed

    @property
    def restarts(self) -> int:
        """How often the server has been started again."""
        return self._supervisor.restarts

    @property
    def config(self) -> dict[str, Any]:
        """The server's configuration, as a dict of the caller's own; settled once the runtime is ready.

        Raises:
            FlowFileError: The file cannot be read, or is neither YAML nor JSON.
        """
        return self._supervisor.config.load()

    def get_recent_logs(self, limit: int = 100) -> list[LogEntry]:
        """Return the last lines of the server and its workers, oldest first; also after a stop.

        Args:
            limit: How many at most. Default 100; `LogConfig.buffer_lines` are kept.
        """
        return self._supervisor.logs.recent(limit)

    def wait_ready(self) -> None:
        """Wait until the server and its workers can be used, at most `startup_timeout`.

        Raises:
            ServerStartError: It did not start, or it ended by itself; `log_tail` holds its last lines.
            EmbeddedServerError: It has been stopped.
        """
        self._supervisor.wait_ready()

    async def await_ready(self) -> None:
        """Wait as `wait_ready` does, without holding the event loop up."""
        await asyncio.shield(asyncio.wrap_future(self._supervisor.ready))
        self._supervisor.check_not_stopped()

    def stop(self, timeout: float = 3.0) -> None:
        """End the server and its workers; does nothing when they are ended.

        The server gets SIGTERM first. Workers, and a server with requests that do not end, are killed
        in time. In a fork of the process that made the runtime this does nothing.

        Args:
            timeout: Seconds after which all of them are gone. Default 3.

        Raises:
            InvalidArgumentError: The timeout is not positive.
        """
        _check_seconds("timeout", timeout)
        self._close_sync_client()
        self._supervisor.stop(timeout)

    async def aclose(self) -> None:
        """End the server and its workers as `stop` does, without holding the event loop up."""
        await self._close_client()
        self._close_sync_client()
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()

        def stop() -> None:
            try:
                self._supervisor.stop()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        # Not in the loop's default executor: the caller's own work may be filling it.
        threading.Thread(target=stop, name="stepflow-runtime-stop", daemon=True).start()
        await asyncio.shield(asyncio.wrap_future(done))

    def __enter__(self) -> Self:
        """Wait until the runtime is ready; stop it if it never is."""
        try:
            self.wait_ready()
        except BaseException:
            self._supervisor.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Wait until the runtime is ready; stop it if it never is."""
        try:
            await self.await_ready()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a StepflowRuntime cannot be pickled or copied, because it holds a server process; "
            "send runtime.url or a client, such as runtime.sync_client, to processes of this machine"
        )

    def __repr__(self) -> str:
        """Return its address, without waiting."""
        state = f"pid={self.pid}, port={self._supervisor.port}" if self.is_alive else "not running"
        return f"<StepflowRuntime {state}>"


def _check(
    port: int | None,
    env: Mapping[str, str] | None,
    restart_policy: RestartPolicy,
    max_restarts: int,
    startup_timeout: float,
) -> None:
    if port is not None and not (_is_int(port) and 1 <= port <= 65_535):
        raise InvalidArgumentError(f"port is a number from 1 to 65535, or None for a free one, not {port!r}")
    if env is not None:
        pairs = env.items() if isinstance(env, Mapping) else [(env, env)]
        for name, value in pairs:
            if not isinstance(name, str) or not isinstance(value, str):
                raise InvalidArgumentError(f"env maps names to values, all of them str; this is not: {name!r}")
            if not name or "=" in name or "\0" in name + value:
                raise InvalidArgumentError(f"{name!r} cannot be an environment variable")
    if not isinstance(restart_policy, RestartPolicy):
        raise InvalidArgumentError(f"restart_policy is a RestartPolicy, not {restart_policy!r}")
    if not _is_int(max_restarts) or max_restarts < 0:
        raise InvalidArgumentError(f"max_restarts is 0 or more, not {max_restarts!r}")
    _check_seconds("startup_timeout", startup_timeout)


def _two_arguments(callback: CrashCallback | None) -> Callable[[int, list[str]], object] | None:
    """Return the callback as one that takes the exit code and the last lines."""
    if callback is None:
        return None
    if not callable(callback):
        raise InvalidArgumentError("on_crash is a function, or None")
    given: Callable[..., object] = callback
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        # Some functions written in C have none.
        return given
    for count in (2, 1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return given if count == 2 else lambda exit_code, log_tail: given(exit_code)
    raise InvalidArgumentError("on_crash takes the exit code, or the exit code and the last lines of the log")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_seconds(name: str, value: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < threading.TIMEOUT_MAX:
        raise InvalidArgumentError(f"{name} is a positive number of seconds, not {value!r}")
