"""The embedded server: a Stepflow server tied to the lifetime of the Python process."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ._base.suggestions import suggest_argument_names
from ._data.arguments import (
    argument_error,
    check_choice,
    check_flag,
    check_instance,
    check_integer,
    check_mapping,
    check_seconds,
)
from ._embedded.config import ConfigSource, build_default_config, resolve_config_source
from ._embedded.executor_methods import EmbeddedExecutor
from ._embedded.process import build_telemetry_environment, find_binary
from ._embedded.supervisor import CrashCallback, LaunchPlan, RestartPolicy, Supervisor, adapt_crash_callback
from ._rules.timeouts import compute_deadline, deadline_scope
from .errors import InvalidArgumentError
from .logs import LogConfig

if TYPE_CHECKING:
    from .history import History

__all__ = ["RestartPolicy", "StepflowRuntime"]


class StepflowRuntime(EmbeddedExecutor):
    """A Stepflow server that runs as long as this object exists.

    Create it with `start` and use it as a sync or async context manager. Entering waits until the server and its
    workers are ready; leaving stops them:

        async with StepflowRuntime.start("stepflow-config.yml") as runtime:
            result = await runtime.run("workflow.yaml", {"name": "World"})

        with StepflowRuntime.start() as runtime:  # builtin components only
            result = runtime.sync_client.run("workflow.yaml", {"name": "World"})

    A runtime has the same methods as `StepflowClient`. Its `client` and `sync_client` are already connected to the
    server.

    The server and its workers never outlive the Python process, whether it exits normally or is killed by a signal.
    After `kill -9`, they stop within 5 s. A forked process can use the runtime but not stop it.

    The server comes from the package `stepflow-orchestrator` (`pip install "stepflow-client[runtime]"`). Set the
    environment variable `STEPFLOW_SERVER_BINARY` to use a different binary. All methods are thread-safe.

    The server has no authentication: anyone who can reach the port can run flows with every configured component, and
    read runs and blobs. Every server release listens on all interfaces. On Linux 5.7 and later, the runtime closes the
    port to other machines unless `all_interfaces` is set. Some sandboxes forbid this, and macOS doesn't support it;
    check `is_exposed` to find out. The default configuration omits `/builtin/load_file`, which reads any file the
    server can read. `STEPFLOW_*` environment variables are passed to the server only if it or its workers read them.
    Anything else, such as a client's token, must be listed in `env` or referenced as `${NAME}` in the configuration.

    With an SQLite store, a restarted server resumes unfinished runs after a few seconds, even in a later runtime with
    the same store. To do so, it takes over the previous server's name, which is kept in a file next to the store
    (`NAME.db.orchestrator-0`) and locked while in use. To choose a name yourself, set the environment variable
    `STEPFLOW_ORCHESTRATOR_ID`. Two servers must never use the same name at once.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Use `StepflowRuntime.start` instead."""
        super().__init__(supervisor)
        # At exit, leave this to the supervisors' own exit hook. Unlike this finalizer, it can wait for the server to
        # stop.
        weakref.finalize(self, supervisor.stop_in_background).atexit = False

    @classmethod
    @suggest_argument_names
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
        """Start a server without waiting for it. Before using it, enter the runtime or call `wait_ready`.

        If the server of a killed process still holds the same SQLite store, this takes up to 5 s.

        Args:
            config: The server's configuration. Either the path of a YAML or JSON file, in which case worker commands
                are relative to its folder, or a mapping, an object such as a `stepflow_py` `StepflowConfig`, or a
                builder for one, with commands relative to the current directory. Pipes and devices are read once,
                within `startup_timeout`, and passed on as JSON. Defaults to the builtin components under
                `/builtin/...`.
            port: The port. Defaults to None, which picks a free one.
            env: Environment variables for the server and its workers. They take precedence over this process's.
            inherit_env: Whether the server and its workers inherit this process's environment (without client
                settings). Defaults to True.
            log_config: How much the server logs and where its lines go. Defaults to `LogConfig()`.
            restart_policy: Whether to restart the server if it exits on its own: a `RestartPolicy` or its value, e.g.
                `on_failure`. Defaults to `never`.
            max_restarts: Maximum number of restarts over the runtime's lifetime. Defaults to 3.
            startup_timeout: Seconds for the server and the workers it launches to become ready, on every start.
                Defaults to 30. If a worker exits before it is ready, the start fails immediately.
            worker_timeout: Seconds to wait, once the server is ready, for workers that connect by themselves: one for
                each plugin that has a queue but no `command`. Defaults to None, which doesn't wait; their tasks stay
                queued until they connect. While such a worker is missing, the server takes 5 s to become ready.
            on_crash: A callback for when the server exits on its own after being ready, or a restart fails. It receives
                the exit code (negative for a signal, -9 for a restart that wasn't ready in time) and, if it accepts two
                arguments, the last log lines. It runs in one of the runtime's threads, before the restart. Exceptions
                it raises are logged.
            allow_load_file: Whether the default configuration includes `/builtin/load_file`, which lets anyone who can
                reach the port read every file the server can read. Defaults to False.
            all_interfaces: Whether to let other machines reach the port, e.g. for remote workers or clients. Defaults
                to False.
            otlp_endpoint: The URL of an OpenTelemetry collector, e.g. `http://localhost:4317`. The server and its
                workers send it traces as OTLP over gRPC, and workers also send logs and metrics. Sets
                `STEPFLOW_OTLP_ENDPOINT` and `STEPFLOW_TRACE_ENABLED`. Defaults to None.
            history: The history that records runs created by the runtime and its clients. Defaults to None, which
                records nothing.

        Returns:
            The runtime.

        Raises:
            InvalidArgumentError: If an argument is invalid. Nothing was started.
            FlowFileError: If the configuration file can't be read. Nothing was started.
            ServerNotInstalledError: If no server that can run here is installed.
            ServerStartError: If the binary can't be executed.
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
                message = "allow_load_file only applies to the default configuration"
                hint = "in your own configuration, the routes decide which components can be used"
                raise InvalidArgumentError(message, hint=hint)
            # If the configuration is a pipe, wait no longer than the startup timeout for its writer.
            with deadline_scope(compute_deadline(startup_timeout)):
                prepared = resolve_config_source(config)
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
    def pid(self) -> int | None:
        """The server's process ID, or None while it isn't running. Changes with every restart."""
        return self._supervisor.pid

    @property
    def is_alive(self) -> bool:
        """Whether the server process is running. Also False between a crash and the restart."""
        return self.pid is not None

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port. Only final once the runtime is ready."""
        return self._supervisor.is_exposed

    @property
    def is_crashed(self) -> bool:
        """Whether the server exited on its own and isn't running again. Reset to False by a successful restart."""
        return self._supervisor.crashed

    @property
    def restarts(self) -> int:
        """Number of times the server has been restarted."""
        return self._supervisor.restarts

    @property
    def config(self) -> dict[str, Any]:
        """The server's configuration, as a new dict. Only final once the runtime is ready.

        Raises:
            FlowFileError: If the file can't be read, or is neither YAML nor JSON.
        """
        return self._supervisor.config.load()

    def stop(self, timeout: float = 3.0) -> None:
        """Stop the server and its workers. Does nothing if they have already exited.

        The server gets a SIGTERM first. Workers, and a server whose requests don't finish, are killed before the
        timeout. In a fork of the process that created the runtime, this does nothing.

        Args:
            timeout: Maximum seconds until every process has exited. Defaults to 3.

        Raises:
            InvalidArgumentError: If the timeout is not positive.
        """
        _check_seconds("timeout", timeout)
        self._close_sync_client()
        self._supervisor.stop(timeout)

    async def aclose(self) -> None:
        """Like `stop`, without blocking the event loop."""
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

        # Don't use the loop's default executor, since the caller's own work may have filled it up.
        threading.Thread(target=stop, name="stepflow-runtime-stop", daemon=True).start()
        await asyncio.shield(asyncio.wrap_future(done))

    def __enter__(self) -> Self:
        """Wait until the runtime is ready, and stop it if that fails."""
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
        """Wait until the runtime is ready, and stop it if that fails."""
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
        """Prevent pickling and copying.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a StepflowRuntime cannot be pickled or copied, because it holds a server process; "
            "send runtime.url or a client, such as runtime.sync_client, to processes of this machine"
        )

    def __repr__(self) -> str:
        """Return a description with the process ID and port, without waiting for them."""
        state = f"pid={self.pid}, port={self._supervisor.port}" if self.is_alive else "not running"
        return f"<StepflowRuntime {state}>"


def _check_settings(port: int | None, env: Mapping[str, str] | None, max_restarts: int, startup_timeout: float) -> None:
    if port is not None:
        check_integer(port, "port", least=1, most=65_535)
    if env is not None:
        for name, value in check_mapping(env, "env").items():
            if not isinstance(value, str):
                raise argument_error(f"env[{name!r}]", "a string", value)
            if not name or "=" in name or "\0" in name + value:
                raise InvalidArgumentError(f"{name!r} cannot be an environment variable")
    check_integer(max_restarts, "max_restarts", least=0, most=sys.maxsize)
    _check_seconds("startup_timeout", startup_timeout)


def _check_seconds(name: str, value: float) -> None:
    if check_seconds(value, name) >= threading.TIMEOUT_MAX:
        raise argument_error(name, f"less than {threading.TIMEOUT_MAX:,.0f} seconds", value)
