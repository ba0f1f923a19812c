"""The embedded server: a Stepflow server that starts and ends with the Python process."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ._base.suggestions import suggests_names
from ._data.arguments import (
    check_choice,
    check_flag,
    check_instance,
    check_integer,
    check_mapping,
    check_seconds,
    wrong,
)
from ._embedded.config import ConfigSource, build_default_config, read_config
from ._embedded.executor_methods import EmbeddedExecutor
from ._embedded.process import build_telemetry_environment, find_binary
from ._embedded.supervisor import CrashCallback, LaunchPlan, RestartPolicy, Supervisor, adapt_crash_callback
from ._rules.timeouts import compute_deadline, deadline_scope
from .errors import InvalidArgumentError
from .logs import LogConfig, LogEntry

if TYPE_CHECKING:
    from .history import History

__all__ = ["RestartPolicy", "StepflowRuntime"]


class StepflowRuntime(EmbeddedExecutor):
    """A Stepflow server that runs as long as this object exists.

    Create it with `start` and use it as a context manager, asynchronous or not. Entering waits until the server and its
    workers are ready; leaving stops them:

        async with StepflowRuntime.start("stepflow-config.yml") as runtime:
            result = await runtime.run("workflow.yaml", {"name": "World"})

        with StepflowRuntime.start() as runtime:  # the builtin components only
            result = runtime.sync_client.run("workflow.yaml", {"name": "World"})

    A runtime has the methods of `StepflowClient`; `client` and `sync_client` are clients of its server.

    No server or worker outlives the Python process, however it ends: normally, by a signal, or by kill -9 (then within
    5 s). In a fork of the process the runtime can be used but not stopped.

    The server is the one in the package `stepflow-orchestrator` (`pip install "stepflow-client[runtime]"`), or the
    binary that the environment variable `STEPFLOW_SERVER_BINARY` names. All methods can be called from any thread.

    The server has no authentication: anyone who can reach the port can run flows with every component of the
    configuration, and read runs and blobs. Every release listens on all interfaces. On Linux (5.7 and newer) the
    runtime closes the port to other machines unless `all_interfaces` is set; some sandboxes forbid this, and it is not
    possible on macOS. `is_exposed` tells whether the port is open to other machines. The default configuration does not
    include `/builtin/load_file`, which reads any file that the server can read. Of the environment variables
    `STEPFLOW_*`, the server receives only those that servers and workers read. Others, such as a client's token, are
    passed only if `env` has them or the configuration refers to them as `${NAME}`.

    With an SQLite store, a restarted server resumes unfinished runs after a few seconds, in this
    runtime or in a later one with the same store. For this it takes over the name of the previous server, which is kept
    in a file next to the store (`NAME.db.orchestrator-0`) and locked while a server uses it. The environment variable
    `STEPFLOW_ORCHESTRATOR_ID` sets another name; two servers must not use the same name at the same time.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Use `StepflowRuntime.start` instead."""
        super().__init__()
        self._supervisor = supervisor
        # At exit a hook of the supervisors' own stops them, which can wait; this one cannot.
        weakref.finalize(self, supervisor.stop_in_background).atexit = False

    @classmethod
    @suggests_names
    def start(
        cls,
        config: ConfigSource | None = None,
        *,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        inherit_env: bool = True,
        log_config: LogConfig | None = None,
        restart_policy: RestartPolicy | str = RestartPolicy.NEVER,
        max_restarts: int = 3,
        startup_timeout: float = 30.0,
        worker_timeout: float | None = None,
        on_crash: CrashCallback | None = None,
        allow_load_file: bool = False,
        all_interfaces: bool = False,
        otlp_endpoint: str | None = None,
        history: History | None = None,
    ) -> Self:
        """Start a server and return without waiting for it; enter the runtime, or call `wait_ready`, before using it.

        The call takes up to 5 s if the server of a killed process still uses the same SQLite store.

        Args:
            config: The server's configuration: the path of a YAML or JSON file, to whose folder the commands of workers
                are relative; or a mapping, an object such as a `StepflowConfig` of `stepflow_py`, or a builder of one,
                with commands relative to the current directory. A pipe or a device is read once, within
                `startup_timeout`, and passed on as JSON. Without it, the builtin components are available under
                `/builtin/...`.
            port: The port; None, the default, uses a free one.
            env: Environment variables for the server and its workers; they override those of this process.
            inherit_env: Whether the server and its workers inherit the variables of this process, except those of a
                client. Default True.
            log_config: How much the server logs and where its lines go. Default `LogConfig()`.
            restart_policy: Whether to restart a server that ended by itself: a `RestartPolicy` or its value, such as
                `on_failure`. Default `never`.
            max_restarts: Maximum number of restarts during the life of the runtime. Default 3.
            startup_timeout: Seconds within which the server and the workers it starts must be ready, at each start.
                Default 30. A worker that ends before it is ready makes the start fail at once.
            worker_timeout: Seconds to wait, once the server is ready, for a worker of each plugin that has a queue and
                no `command`; such workers connect by themselves. None, the default, does not wait for them; their tasks
                wait in the queue. The server is ready after 5 s if such a worker is missing.
            on_crash: A function to call whenever the server ended by itself after it was ready, or a restart failed. It
                is called with the exit code (negative for a signal, -9 for a restart that was not ready in time) and,
                if it accepts two arguments, the last lines of the log. It is called in a thread of the runtime, before
                the server is restarted. Exceptions it raises are logged.
            allow_load_file: Whether the default configuration includes `/builtin/load_file`, with which anyone who can
                reach the port can read every file that the server can read. Default False.
            all_interfaces: Whether other machines can reach the port, for workers or clients there. Default False.
            otlp_endpoint: The URL of an OpenTelemetry collector, such as `http://localhost:4317`, to which the server
                and its workers send their traces as OTLP over gRPC; it sets `STEPFLOW_OTLP_ENDPOINT` and
                `STEPFLOW_TRACE_ENABLED`. Workers send their logs and metrics there too. Default None.
            history: The history in which the runtime and its clients record the runs they create. Default None: runs
                are not recorded.

        Returns:
            The runtime.

        Raises:
            InvalidArgumentError: If an argument is invalid. Nothing was started.
            FlowFileError: If the configuration file cannot be read. Nothing was started.
            ServerNotInstalledError: If there is no server that can be started here.
            ServerStartError: If the binary cannot be executed.
        """
        _check_settings(port, env, max_restarts, startup_timeout)
        policy = check_choice(restart_policy, "restart_policy", RestartPolicy)
        if log_config is not None:
            check_instance(log_config, "log_config", LogConfig)
        if worker_timeout is not None:
            _check_seconds("worker_timeout", worker_timeout)
        flags = {"allow_load_file": allow_load_file, "all_interfaces": all_interfaces, "inherit_env": inherit_env}
        for name, flag in flags.items():
            check_flag(flag, name)
        crashed = adapt_crash_callback(on_crash)
        variables = dict(env or {})
        if otlp_endpoint is not None:
            variables = {**build_telemetry_environment(otlp_endpoint), **variables}
        if config is not None:
            if allow_load_file:
                raise InvalidArgumentError(
                    "allow_load_file only applies to the default configuration",
                    hint="in your own configuration, the routes decide which components can be used",
                )
            # A configuration that is a pipe must be written within the time.
            with deadline_scope(compute_deadline(startup_timeout)):
                prepared = read_config(config)
            binary = find_binary()
        else:
            binary = find_binary()
            prepared = build_default_config(binary.release, allow_load_file)
        plan = LaunchPlan(
            binary=binary.path,
            config=prepared,
            port=port,
            env=variables,
            inherit_env=inherit_env,
            log_config=log_config or LogConfig(),
            restart_policy=policy,
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
        """The server's URL, `http://127.0.0.1:PORT`. Waits until the port is known.

        Raises:
            ServerStartError: If the server did not start, or ended by itself.
            EmbeddedServerError: If the server has been stopped.
        """
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port. Waits until it is known; a port given to `start` is known from the beginning.

        Raises:
            ServerStartError: If the server did not start, or ended by itself.
            EmbeddedServerError: If the server has been stopped.
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
        """The id of the server's process; None while it is not running. It changes with a restart."""
        return self._supervisor.pid

    @property
    def is_alive(self) -> bool:
        """Whether the server's process is running; also False between a crash and the restart."""
        return self.pid is not None

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port. The value is final once the runtime is ready."""
        return self._supervisor.is_exposed

    @property
    def is_crashed(self) -> bool:
        """Whether the server has ended by itself and is not running again; False after a successful restart."""
        return self._supervisor.crashed

    @property
    def restarts(self) -> int:
        """Number of times the server has been restarted."""
        return self._supervisor.restarts

    @property
    def config(self) -> dict[str, Any]:
        """The server's configuration, as a new dict. It is final once the runtime is ready.

        Raises:
            FlowFileError: If the file cannot be read, or is neither YAML nor JSON.
        """
        return self._supervisor.config.load()

    @property
    def _config_reader(self) -> Callable[[], Mapping[str, Any]]:
        return self._supervisor.config.view

    def get_recent_logs(self, limit: int = 100) -> list[LogEntry]:
        """Return the last log lines of the server and its workers, oldest first. Also works after `stop`.

        Args:
            limit: Maximum number of lines. Default 100. `LogConfig.buffer_lines` lines are kept.
        """
        return self._supervisor.logs.recent(check_integer(limit, "limit", least=0))

    def wait_ready(self) -> None:
        """Wait until the server and its workers are ready, for at most `startup_timeout`.

        Raises:
            ServerStartError: If the server did not start, or ended by itself; `log_tail` contains its last lines.
            EmbeddedServerError: If the server has been stopped.
        """
        self._supervisor.wait_ready()

    async def await_ready(self) -> None:
        """Wait as `wait_ready` does, without blocking the event loop."""
        await asyncio.shield(asyncio.wrap_future(self._supervisor.ready))
        self._supervisor.check_not_stopped()

    def stop(self, timeout: float = 3.0) -> None:
        """Stop the server and its workers. Does nothing if they have already ended.

        The server receives SIGTERM first. Workers, and a server with requests that do not end, are killed within the
        timeout. In a fork of the process that created the runtime this does nothing.

        Args:
            timeout: Seconds after which all processes have ended. Default 3.

        Raises:
            InvalidArgumentError: If the timeout is not positive.
        """
        _check_seconds("timeout", timeout)
        self._close_sync_client()
        self._supervisor.stop(timeout)

    async def aclose(self) -> None:
        """Stop the server and its workers as `stop` does, without blocking the event loop."""
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
        """Wait until the runtime is ready; stop it if waiting fails."""
        try:
            self.wait_ready()
        except BaseException:
            self._supervisor.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the server."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Wait until the runtime is ready; stop it if waiting fails."""
        try:
            await self.await_ready()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
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
        """Return a description with the process id and the port, without waiting."""
        state = f"pid={self.pid}, port={self._supervisor.port}" if self.is_alive else "not running"
        return f"<StepflowRuntime {state}>"


def _check_settings(port: int | None, env: Mapping[str, str] | None, max_restarts: int, startup_timeout: float) -> None:
    if port is not None:
        check_integer(port, "port", least=1, most=65_535)
    if env is not None:
        for name, value in check_mapping(env, "env").items():
            if not isinstance(value, str):
                raise wrong(f"env[{name!r}]", "a text", value)
            if not name or "=" in name or "\0" in name + value:
                raise InvalidArgumentError(f"{name!r} cannot be an environment variable")
    check_integer(max_restarts, "max_restarts", least=0, most=sys.maxsize)
    _check_seconds("startup_timeout", startup_timeout)


def _check_seconds(name: str, value: float) -> None:
    if check_seconds(value, name) >= threading.TIMEOUT_MAX:
        raise wrong(name, f"less than {threading.TIMEOUT_MAX:,.0f} seconds", value)
