"""The embedded server: a Stepflow server tied to the lifetime of the Python process."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from functools import update_wrapper, wraps
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar, Unpack, cast
from weakref import WeakKeyDictionary, finalize

from ._async.client import StepflowClient
from ._base.suggestions import SuggestsNames, with_argument_suggestions
from ._concurrency import async_shield
from ._data import arguments
from ._embedded.config import ConfigSource, build_default_config, build_server_config
from ._embedded.process import build_telemetry_environment, find_binary
from ._embedded.supervisor import CrashCallback, LaunchPlan, RestartPolicy, Supervisor, adapt_crash_callback
from ._rules.deadlines import compute_deadline, deadline_scope, get_seconds_left
from ._sync.client import SyncStepflowClient
from .errors import InvalidArgumentError, RequestTimeoutError
from .logs import LogConfig, LogEntry

if TYPE_CHECKING:
    from ._calls.method_options import ClientOptions
    from .history import History

__all__ = ["RestartPolicy", "StepflowRuntime"]

P = ParamSpec("P")
R = TypeVar("R")


def _delegate_when_ready(
    method: Callable[Concatenate[StepflowClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[StepflowRuntime, P], CoroutineType[Any, Any, R]]:
    """Return a method that waits for the server to become ready, then calls a client method.

    The time spent waiting counts toward the call's timeout.
    """

    @wraps(method)
    async def call(self: StepflowRuntime, *args: P.args, **kwargs: P.kwargs) -> R:
        timeout: Any = kwargs.get("timeout")
        deadline = compute_deadline(timeout)
        limit = asyncio.timeout(get_seconds_left(deadline))
        try:
            async with limit:
                await self.await_ready()
        except TimeoutError as error:
            # The server's own startup timeout also raises a TimeoutError.
            if not limit.expired():
                raise
            raise RequestTimeoutError("the embedded server was not ready in time") from error
        if deadline is not None:
            # Never pass zero: if the deadline has passed, the client should raise the timeout error.
            kwargs["timeout"] = get_seconds_left(deadline) or 0.001
        return await method(self.client, *args, **kwargs)

    # Type checkers disagree on the return type of coroutine functions.
    return cast("Any", call)  # type: ignore[no-any-return]


def _delegate_non_coroutine(
    method: Callable[Concatenate[StepflowClient, P], R],
) -> Callable[Concatenate[StepflowRuntime, P], R]:
    """Return a method that delegates to a client method that sends its requests later, e.g. from a stream.

    As with `client`, the first use waits for the server to become ready.
    """

    def call(self: StepflowRuntime, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.client, *args, **kwargs)

    update_wrapper(call, method)
    return call


class StepflowRuntime(SuggestsNames):
    """A Stepflow server that runs as long as this object exists.

    Create it with `start` and use it as a sync or async context manager. Entering it waits until the server and its
    workers are ready, and leaving it stops them:

        async with StepflowRuntime.start("stepflow-config.yml") as runtime:
            result = await runtime.run("workflow.yaml", {"name": "World"})

        with StepflowRuntime.start() as runtime:  # builtin components only
            result = runtime.sync_client.run("workflow.yaml", {"name": "World"})

    A runtime has the same methods as `StepflowClient`. Its `client` and `sync_client` are already connected to the
    server.

    The server and its workers don't outlive the Python process, whether it exits normally or is killed by a signal.
    After `kill -9`, they stop within 5 s. A forked process can use the runtime but not stop it.

    The server comes from the package `stepflow-orchestrator` (`pip install "stepflow-client[runtime]"`). Set the
    environment variable `STEPFLOW_SERVER_BINARY` to use a different binary. All methods are thread-safe.

    The server has no authentication: anyone who can reach the port can run flows with every configured component, and
    read runs and blobs. Every server release listens on all interfaces. On Linux 5.7 and later, the runtime closes the
    port to other machines unless `all_interfaces` is set. Some sandboxes forbid this and macOS doesn't support it, so
    check `is_exposed` to find out whether the port is closed. The default configuration doesn't include
    `/builtin/load_file`, because it can read any file that the server can read. `STEPFLOW_*` environment variables are
    passed to the server only if it or its workers read them. To pass any other, such as a client's token, list it in
    `env` or refer to it as `${NAME}` in the configuration.

    If the server uses an SQLite store, it resumes unfinished runs a few seconds after a restart, even in a later
    runtime that uses the same store. To do so, it takes over the previous server's name, which is stored in a file next
    to the store (`NAME.db.orchestrator-0`) and locked while in use. To choose a name yourself, set the environment
    variable `STEPFLOW_ORCHESTRATOR_ID`, but make sure that two servers never use the same name at the same time.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        """Don't call this; use `StepflowRuntime.start`."""
        self._supervisor = supervisor
        self._history: History | None = None
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, StepflowClient] = WeakKeyDictionary()
        self._sync_client: SyncStepflowClient | None = None
        self._clients_lock = threading.Lock()
        # At exit, let the supervisors' own exit hook stop the server. Unlike this finalizer, it can wait until the
        # server has stopped.
        finalize(self, supervisor.stop_in_background).atexit = False

    @classmethod
    @with_argument_suggestions
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
        """Start a server without waiting for it to become ready.

        Before using the server, enter the runtime or call `wait_ready`.

        If the server of a killed process is still using the same SQLite store, this can take up to 5 s.

        Args:
            config: The server's configuration. This is either the path of a YAML or JSON file, in which case worker
                commands are relative to the file's folder, or a mapping, an object such as a `stepflow_py`
                `StepflowConfig`, or a builder for one, in which case commands are relative to the current directory.
                Pipes and devices are read once, within `startup_timeout`, and passed to the server as JSON. Defaults to
                the builtin components under `/builtin/...`.
            port: The port to listen on. Defaults to None, which picks a free port.
            env: Environment variables for the server and its workers. They take precedence over those of this process.
            inherit_env: Whether the server and its workers inherit this process's environment (without client
                settings). Defaults to True.
            log_config: How much the server logs and where its lines go. Defaults to `LogConfig()`.
            restart_policy: Whether to restart the server if it exits on its own: a `RestartPolicy` or its value, e.g.
                `on_failure`. Defaults to `never`.
            max_restarts: Maximum number of restarts over the runtime's lifetime. Defaults to 3.
            startup_timeout: How long the server and the workers it launches can take to become ready on each start, in
                seconds. Defaults to 30. If a worker exits before it's ready, the start fails immediately.
            worker_timeout: How many seconds to wait, once the server is ready, for workers that connect on their own:
                one for each plugin that has a queue but no `command`. Defaults to None, which doesn't wait for these
                workers. Tasks wait for them instead (on 0.13, up to 30 s). While such a worker is missing, the server
                takes 5 s to become ready.
            on_crash: A callback that is called when the server exits on its own after it was ready, or when a restart
                fails. It receives the exit code (negative for a signal, or -9 if a restarted server wasn't ready in
                time) and, if it accepts two arguments, the last log lines. It's called in one of the runtime's threads,
                before the restart. Any exception it raises is logged.
            allow_load_file: Whether the default configuration includes `/builtin/load_file`, which lets anyone who can
                reach the port read every file that the server can read. Defaults to False.
            all_interfaces: Whether to let other machines reach the port, e.g. for remote workers or clients. Defaults
                to False.
            otlp_endpoint: The URL of an OpenTelemetry collector, e.g. `http://localhost:4317`. The server and its
                workers send it traces as OTLP over gRPC, and workers also send logs and metrics. Sets
                `STEPFLOW_OTLP_ENDPOINT` and `STEPFLOW_TRACE_ENABLED`. Defaults to None.
            history: A history in which to record the runs created by the runtime and its clients. Defaults to None,
                which records nothing.

        Returns:
            The runtime.

        Raises:
            InvalidArgumentError: If an argument is invalid. Nothing was started.
            FlowFileError: If the configuration file can't be read. Nothing was started.
            ServerNotInstalledError: If no server that can run here is installed.
            ServerStartError: If the binary can't be executed.
        """
        _check_settings(port, env, max_restarts, startup_timeout)
        policy = arguments.check_choice(restart_policy, "restart_policy", RestartPolicy)
        if log_config is not None:
            arguments.check_instance(log_config, "log_config", LogConfig)
        if worker_timeout is not None:
            _check_seconds("worker_timeout", worker_timeout)
        arguments.check_flags(allow_load_file=allow_load_file, all_interfaces=all_interfaces, inherit_env=inherit_env)
        crashed = adapt_crash_callback(on_crash)
        variables = dict(env or {})
        if otlp_endpoint is not None:
            variables = {**build_telemetry_environment(otlp_endpoint), **variables}
        if config is not None:
            if allow_load_file:
                message = "allow_load_file only applies to the default configuration"
                hint = "in your own configuration, the routes decide which components can be used"
                raise InvalidArgumentError(message, hint=hint)
            # If the configuration is a pipe, don't wait for its writer longer than the startup timeout.
            with deadline_scope(compute_deadline(startup_timeout)):
                prepared = build_server_config(config)
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
        """The server's URL, `http://127.0.0.1:PORT`. Blocks until the port is known.

        Raises:
            ServerStartError: If the server didn't start, or exited on its own.
            EmbeddedServerError: If the server has been stopped.
        """
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The server's port. Blocks until it is known, unless it was passed to `start`.

        Raises:
            ServerStartError: If the server didn't start, or exited on its own.
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
    def client(self) -> StepflowClient:
        """The server's async client. Each event loop has its own, and all are closed along with the runtime.

        The first use waits until the server is ready, blocking the event loop. To avoid this, enter the runtime or
        await `await_ready` first.

        Raises:
            RuntimeError: If no event loop is running. Use `sync_client` instead.
            ServerStartError: On first use, if the server didn't start, or exited on its own.
            EmbeddedServerError: If the server has been stopped.
        """
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            # Drop the clients of closed loops explicitly: their connections refer to the loops, so they'd keep them
            # alive.
            for closed in [loop for loop in list(self._clients) if loop.is_closed()]:
                self._clients.pop(closed, None)
            self.wait_ready()
            client = self._clients[loop] = StepflowClient(self.url, history=self._history)
            self._give_client_logs_and_config(client)
        return client

    @property
    def sync_client(self) -> SyncStepflowClient:
        """The server's sync client, which is closed along with the runtime.

        The first use waits until the server is ready.

        Raises:
            ServerStartError: On first use, if the server didn't start, or exited on its own.
            EmbeddedServerError: If the server has been stopped.
        """
        if self._sync_client is None:
            # Wait before taking the lock, because `stop` needs it.
            self.wait_ready()
        with self._clients_lock:
            if self._sync_client is None:
                self._sync_client = SyncStepflowClient(self.url, history=self._history)
                self._give_client_logs_and_config(self._sync_client)
            return self._sync_client

    def _give_client_logs_and_config(self, client: StepflowClient | SyncStepflowClient) -> None:
        client._server_logs = self.get_recent_logs
        # This must not hold a reference to the runtime.
        client._connection.config = self._supervisor.config.load_or_empty
        client._recorder.is_embedded = True

    def get_recent_logs(self, limit: int = 100) -> list[LogEntry]:
        """Return the latest log lines from the server and its workers, oldest first. This also works after `stop`.

        Args:
            limit: Maximum number of lines. Defaults to 100. At most `LogConfig.buffer_lines` are available.
        """
        return self._supervisor.logs.get_recent_entries(arguments.check_integer(limit, "limit", least=0))

    def wait_ready(self) -> None:
        """Wait up to `startup_timeout` for the server and its workers to become ready.

        Raises:
            ServerStartError: If the server didn't start, or exited on its own. `log_tail` contains its last lines.
            EmbeddedServerError: If the server has been stopped.
        """
        self._supervisor.wait_ready()

    async def await_ready(self) -> None:
        """Like `wait_ready`, without blocking the event loop."""
        # This future can't be cancelled, so it needs no shield. (A shield would report an error even after the caller
        # gave up.)
        await asyncio.wrap_future(self._supervisor.ready_future)
        self._supervisor.check_not_stopped()

    @property
    def pid(self) -> int | None:
        """The server's process ID, or None while it isn't running. It changes with every restart."""
        return self._supervisor.pid

    @property
    def is_alive(self) -> bool:
        """Whether the server process is running. This is False between a crash and the restart."""
        return self.pid is not None

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the port. The value may change until the runtime is ready."""
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
        """The server's configuration, as a new dict. It may change until the runtime is ready.

        Raises:
            FlowFileError: If the file can't be read, or is neither YAML nor JSON.
        """
        return self._supervisor.config.load()

    def stop(self, timeout: float = 3.0) -> None:
        """Stop the server and its workers. Does nothing if they have already exited.

        The server gets a SIGTERM first. Workers are killed before the timeout, and so is the server if its requests
        don't finish. In a fork of the process that created the runtime, this does nothing.

        Args:
            timeout: Maximum time for every process to exit, in seconds. Defaults to 3.

        Raises:
            InvalidArgumentError: If the timeout is not positive.
        """
        _check_seconds("timeout", timeout)
        self._close_clients()
        self._supervisor.stop(timeout)

    async def aclose(self) -> None:
        """Like `stop`, without blocking the event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
        self._close_clients()
        stopped: Future[None] = Future()
        # Mark the future as running, so that it isn't cancelled if the caller gives up. The thread still sets its
        # result.
        stopped.set_running_or_notify_cancel()

        def stop() -> None:
            try:
                self._supervisor.stop()
            except BaseException as error:
                stopped.set_exception(error)
            else:
                stopped.set_result(None)

        # Don't use an executor: once the interpreter starts to shut down, executors reject calls, even from threads
        # that are still running. Also, the caller's own work may fill the loop's default executor.
        threading.Thread(target=stop, name="stepflow-runtime-stop", daemon=True).start()
        with async_shield():
            await asyncio.wrap_future(stopped)

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
            "a StepflowRuntime cannot be pickled or copied, because it owns a server process; "
            "send runtime.url or a client, such as runtime.sync_client, to other processes on this machine"
        )

    def __repr__(self) -> str:
        """Return a description with the process ID and port. Doesn't wait until they are known."""
        state = f"pid={self.pid}, port={self._supervisor.port}" if self.is_alive else "not running"
        return f"<StepflowRuntime {state}>"

    def _close_clients(self) -> None:
        with self._clients_lock:
            client, self._sync_client = self._sync_client, None
            for loop in list(self._clients):
                # A client's connections can only be closed by its own event loop. But don't let the client send
                # requests, because another server may use the port by then.
                self._clients.pop(loop)._connection.dialect.closed = True
        if client is not None:
            client.close()

    run = _delegate_when_ready(StepflowClient.run)
    """Run a flow on one input and return its result. See `StepflowClient.run`."""
    submit = _delegate_when_ready(StepflowClient.submit)
    """Start a flow and return its run's ID. See `StepflowClient.submit`."""
    start_run = _delegate_when_ready(StepflowClient.start_run)
    """Start a flow and return a handle for its run. See `StepflowClient.start_run`."""
    find_run = _delegate_when_ready(StepflowClient.find_run)
    """Return the run that already exists for an idempotency key. See `StepflowClient.find_run`.

    Keys last as long as the store (for an in-memory store, as long as the runtime).
    """
    rerun = _delegate_when_ready(StepflowClient.rerun)
    """Rerun a finished run. See `StepflowClient.rerun`."""
    start_rerun = _delegate_when_ready(StepflowClient.start_rerun)
    """Start a rerun and return handles for its runs. See `StepflowClient.start_rerun`."""
    plan_rerun = _delegate_when_ready(StepflowClient.plan_rerun)
    """Return what `rerun` would keep and what it would execute. See `StepflowClient.plan_rerun`."""
    map = _delegate_non_coroutine(StepflowClient.map)
    """Run a flow on any number of inputs and yield an outcome for each. See `StepflowClient.map`."""
    handle = _delegate_non_coroutine(StepflowClient.handle)
    """Return a handle for a run. See `StepflowClient.handle`."""

    get_result = _delegate_when_ready(StepflowClient.get_result)
    """Wait until a single-item run ends and return its result. See `StepflowClient.get_result`."""
    get_results = _delegate_when_ready(StepflowClient.get_results)
    """Wait until a run ends and return all its items' results. See `StepflowClient.get_results`."""
    wait_run = _delegate_when_ready(StepflowClient.wait_run)
    """Wait until a run ends and return it. See `StepflowClient.wait_run`."""
    run_events = _delegate_non_coroutine(StepflowClient.run_events)
    """Return a run's events. See `StepflowClient.run_events`."""
    snapshot = _delegate_when_ready(StepflowClient.snapshot)
    """Return everything known about a run at a single moment. See `StepflowClient.snapshot`."""
    explain_run = _delegate_when_ready(StepflowClient.explain_run)
    """Explain why a run's item failed and what happened to its steps. See `StepflowClient.explain_run`."""
    compare_runs = _delegate_when_ready(StepflowClient.compare_runs)
    """Return the differences between two runs. See `StepflowClient.compare_runs`."""

    store_flow = _delegate_when_ready(StepflowClient.store_flow)
    """Store a flow and return its ID. See `StepflowClient.store_flow`."""
    get_flow = _delegate_when_ready(StepflowClient.get_flow)
    """Return a stored flow. See `StepflowClient.get_flow`."""
    delete_flow = _delegate_when_ready(StepflowClient.delete_flow)
    """Ask the server to delete a flow. See `StepflowClient.delete_flow`."""
    get_flow_variables = _delegate_when_ready(StepflowClient.get_flow_variables)
    """Return the variables declared by a stored flow. See `StepflowClient.get_flow_variables`."""
    check = _delegate_when_ready(StepflowClient.check)
    """Check a flow with the offline rules. See `StepflowClient.check`."""
    validate = _delegate_when_ready(StepflowClient.validate)
    """Return the server's diagnostics for a flow. See `StepflowClient.validate`."""

    create_run = _delegate_when_ready(StepflowClient.create_run)
    """Start a run of a stored flow. See `StepflowClient.create_run`."""
    get_run = _delegate_when_ready(StepflowClient.get_run)
    """Return a run's current state. See `StepflowClient.get_run`."""
    get_run_items = _delegate_when_ready(StepflowClient.get_run_items)
    """Return a run's items. See `StepflowClient.get_run_items`."""
    get_run_steps = _delegate_when_ready(StepflowClient.get_run_steps)
    """Return a run's steps. See `StepflowClient.get_run_steps`."""
    get_run_step = _delegate_when_ready(StepflowClient.get_run_step)
    """Return one step of an item. See `StepflowClient.get_run_step`."""
    get_run_arguments = _delegate_when_ready(StepflowClient.get_run_arguments)
    """Return the arguments that a run was started with. See `StepflowClient.get_run_arguments`."""
    get_run_flow = _delegate_when_ready(StepflowClient.get_run_flow)
    """Return a run's flow. See `StepflowClient.get_run_flow`."""
    cancel_run = _delegate_when_ready(StepflowClient.cancel_run)
    """Mark a run as cancelled. See `StepflowClient.cancel_run`."""
    delete_run = _delegate_when_ready(StepflowClient.delete_run)
    """Ask the server to delete a run. See `StepflowClient.delete_run`."""
    list_runs = _delegate_when_ready(StepflowClient.list_runs)
    """Return runs, newest first. See `StepflowClient.list_runs`."""
    iter_runs = _delegate_non_coroutine(StepflowClient.iter_runs)
    """Iterate over runs page by page. See `StepflowClient.iter_runs`."""

    store_blob = _delegate_when_ready(StepflowClient.store_blob)
    """Store a blob and return its ID. See `StepflowClient.store_blob`."""
    get_blob = _delegate_when_ready(StepflowClient.get_blob)
    """Return a blob. See `StepflowClient.get_blob`."""
    list_components = _delegate_when_ready(StepflowClient.list_components)
    """Return the components available to flows. See `StepflowClient.list_components`."""
    health_check = _delegate_when_ready(StepflowClient.health_check)
    """Return the server's health. See `StepflowClient.health_check`."""
    server_info = _delegate_when_ready(StepflowClient.server_info)
    """Return the server's release and capabilities. See `StepflowClient.server_info`."""

    def with_options(self, **options: Unpack[ClientOptions]) -> StepflowClient:
        """Return a client for the server with different defaults. See `StepflowClient.with_options`."""
        return self.client.with_options(**options)


def _check_settings(port: int | None, env: Mapping[str, str] | None, max_restarts: int, startup_timeout: float) -> None:
    if port is not None:
        arguments.check_integer(port, "port", least=1, most=65_535)
    if env is not None:
        for name, value in arguments.check_mapping(env, "env").items():
            if not isinstance(value, str):
                raise arguments.argument_error(f"env[{name!r}]", "a string", value)
            if not name or "=" in name or "\0" in name + value:
                raise InvalidArgumentError(f"{name!r} cannot be an environment variable")
    arguments.check_integer(max_restarts, "max_restarts", least=0, most=sys.maxsize)
    _check_seconds("startup_timeout", startup_timeout)


def _check_seconds(name: str, value: float) -> None:
    if arguments.check_seconds(value, name) >= threading.TIMEOUT_MAX:
        raise arguments.argument_error(name, f"less than {threading.TIMEOUT_MAX:,.0f} seconds", value)
