"""The embedded server's executor methods, which delegate to a client connected to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from functools import update_wrapper, wraps
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack
from weakref import WeakKeyDictionary

from .._async.client import StepflowClient
from .._base.suggestions import SuggestsNames
from .._data.arguments import check_integer
from .._rules.timeouts import compute_deadline
from .._sync.client import SyncStepflowClient
from ..errors import RequestTimeoutError

if TYPE_CHECKING:
    from .._calls.call_options import ClientOptions
    from ..history import History
    from ..logs import LogEntry
    from .supervisor import Supervisor


P = ParamSpec("P")
R = TypeVar("R")


def _forward(
    method: Callable[Concatenate[StepflowClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[EmbeddedExecutor, P], CoroutineType[Any, Any, R]]:
    """Return a method that waits for the server to become ready, then calls a client method.

    The call's timeout includes this wait.
    """

    @wraps(method)
    async def call(self: EmbeddedExecutor, *args: P.args, **kwargs: P.kwargs) -> R:
        timeout: Any = kwargs.get("timeout")
        deadline = compute_deadline(timeout)
        try:
            async with asyncio.timeout(None if deadline is None else max(deadline - time.monotonic(), 0)):
                await self.await_ready()
        except TimeoutError as error:
            raise RequestTimeoutError("the embedded server was not ready in time") from error
        if deadline is not None:
            # Never pass zero. If the deadline has passed, the client raises the timeout error.
            kwargs["timeout"] = max(deadline - time.monotonic(), 0.001)
        return await method(self.client, *args, **kwargs)

    # Type checkers disagree on the return type of coroutine functions.
    forwarded: Any = call
    return forwarded  # type: ignore[no-any-return]


def _forward_stream(
    method: Callable[Concatenate[StepflowClient, P], R],
) -> Callable[Concatenate[EmbeddedExecutor, P], R]:
    """Return a method that delegates to a client method which sends its requests later, e.g. a stream.

    As with `client`, the first use waits for the server to become ready.
    """

    def call(self: EmbeddedExecutor, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.client, *args, **kwargs)

    update_wrapper(call, method)
    return call


class EmbeddedExecutor(SuggestsNames):
    """Runs flows on the embedded server. Base class of the runtime."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._history: History | None = None
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, StepflowClient] = WeakKeyDictionary()
        self._sync_client: SyncStepflowClient | None = None
        self._clients_lock = threading.Lock()

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
        """The server's async client, one per event loop. Closed along with the runtime.

        The first use waits until the server is ready, blocking the event loop. To avoid this, enter the runtime or
        await `await_ready` first.

        Raises:
            RuntimeError: If no event loop is running. Use `sync_client` instead.
            ServerStartError: If the server didn't start, or exited on its own.
            EmbeddedServerError: If the server has been stopped.
        """
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            # Drop clients of closed loops explicitly: their connections refer to the loop, so they'd keep it alive.
            for closed in [loop for loop in list(self._clients) if loop.is_closed()]:
                self._clients.pop(closed, None)
            self.wait_ready()
            client = self._clients[loop] = StepflowClient(self.url, history=self._history)
            self._set_up_client(client)
        return client

    @property
    def sync_client(self) -> SyncStepflowClient:
        """The server's sync client. Closed along with the runtime.

        The first use waits until the server is ready.

        Raises:
            ServerStartError: If the server didn't start, or exited on its own.
            EmbeddedServerError: If the server has been stopped.
        """
        if self._sync_client is None:
            # Wait before taking the lock, because `stop` needs it.
            self.wait_ready()
        with self._clients_lock:
            if self._sync_client is None:
                self._sync_client = SyncStepflowClient(self.url, history=self._history)
                self._set_up_client(self._sync_client)
            return self._sync_client

    def _set_up_client(self, client: StepflowClient | SyncStepflowClient) -> None:
        client._server_logs = self.get_recent_logs
        # This must not hold a reference to the runtime.
        client._connection.config = self._supervisor.config.load_or_empty
        client._recorder.is_embedded = True

    def get_recent_logs(self, limit: int = 100) -> list[LogEntry]:
        """Return the latest log lines from the server and its workers, oldest first. Also works after `stop`.

        Args:
            limit: Maximum number of lines. Defaults to 100. At most `LogConfig.buffer_lines` are available.
        """
        return self._supervisor.logs.get_recent_entries(check_integer(limit, "limit", least=0))

    def wait_ready(self) -> None:
        """Wait up to `startup_timeout` until the server and its workers are ready.

        Raises:
            ServerStartError: If the server didn't start, or exited on its own. `log_tail` has its last lines.
            EmbeddedServerError: If the server has been stopped.
        """
        self._supervisor.wait_ready()

    async def await_ready(self) -> None:
        """Like `wait_ready`, without blocking the event loop."""
        await asyncio.shield(asyncio.wrap_future(self._supervisor.ready_future))
        self._supervisor.check_not_stopped()

    def _close_sync_client(self) -> None:
        with self._clients_lock:
            client, self._sync_client = self._sync_client, None
        if client is not None:
            client.close()

    async def _close_client(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    run = _forward(StepflowClient.run)
    """Run a flow on one input and return its result. See `StepflowClient.run`."""
    submit = _forward(StepflowClient.submit)
    """Start a flow and return its run's ID. See `StepflowClient.submit`."""
    start_run = _forward(StepflowClient.start_run)
    """Start a flow and return a handle for its run. See `StepflowClient.start_run`."""
    find_run = _forward(StepflowClient.find_run)
    """Return the run that already exists for an idempotency key. See `StepflowClient.find_run`.

    Keys live as long as the store, and an in-memory store only lasts as long as the runtime.
    """
    rerun = _forward(StepflowClient.rerun)
    """Run a finished run again. See `StepflowClient.rerun`."""
    start_rerun = _forward(StepflowClient.start_rerun)
    """Start a rerun and return handles for its runs. See `StepflowClient.start_rerun`."""
    plan_rerun = _forward(StepflowClient.plan_rerun)
    """Return what `rerun` would keep and what it would execute. See `StepflowClient.plan_rerun`."""
    map = _forward_stream(StepflowClient.map)
    """Run a flow on any number of inputs and yield an outcome for each. See `StepflowClient.map`."""
    handle = _forward_stream(StepflowClient.handle)
    """Return a handle for a run. See `StepflowClient.handle`."""

    get_result = _forward(StepflowClient.get_result)
    """Wait until a single-item run ends and return its result. See `StepflowClient.get_result`."""
    get_results = _forward(StepflowClient.get_results)
    """Wait until a run ends and return all its items' results. See `StepflowClient.get_results`."""
    wait_run = _forward(StepflowClient.wait_run)
    """Wait until a run ends and return it. See `StepflowClient.wait_run`."""
    run_events = _forward_stream(StepflowClient.run_events)
    """Return a run's events. See `StepflowClient.run_events`."""
    snapshot = _forward(StepflowClient.snapshot)
    """Return everything known about a run at a single moment. See `StepflowClient.snapshot`."""
    explain_run = _forward(StepflowClient.explain_run)
    """Explain why a run's item failed and what happened to its steps. See `StepflowClient.explain_run`."""
    compare_runs = _forward(StepflowClient.compare_runs)
    """Return the differences between two runs. See `StepflowClient.compare_runs`."""

    store_flow = _forward(StepflowClient.store_flow)
    """Store a flow and return its ID. See `StepflowClient.store_flow`."""
    get_flow = _forward(StepflowClient.get_flow)
    """Return a stored flow. See `StepflowClient.get_flow`."""
    delete_flow = _forward(StepflowClient.delete_flow)
    """Ask the server to delete a flow. See `StepflowClient.delete_flow`."""
    get_flow_variables = _forward(StepflowClient.get_flow_variables)
    """Return the variables declared by a stored flow. See `StepflowClient.get_flow_variables`."""
    check = _forward(StepflowClient.check)
    """Check a flow with the offline rules. See `StepflowClient.check`."""
    validate = _forward(StepflowClient.validate)
    """Return the server's diagnostics for a flow. See `StepflowClient.validate`."""

    create_run = _forward(StepflowClient.create_run)
    """Start a run of a stored flow. See `StepflowClient.create_run`."""
    get_run = _forward(StepflowClient.get_run)
    """Return a run's current state. See `StepflowClient.get_run`."""
    get_run_items = _forward(StepflowClient.get_run_items)
    """Return a run's items. See `StepflowClient.get_run_items`."""
    get_run_steps = _forward(StepflowClient.get_run_steps)
    """Return a run's steps. See `StepflowClient.get_run_steps`."""
    get_run_step = _forward(StepflowClient.get_run_step)
    """Return one step of an item. See `StepflowClient.get_run_step`."""
    get_run_arguments = _forward(StepflowClient.get_run_arguments)
    """Return the arguments a run was started with. See `StepflowClient.get_run_arguments`."""
    get_run_flow = _forward(StepflowClient.get_run_flow)
    """Return a run's flow. See `StepflowClient.get_run_flow`."""
    cancel_run = _forward(StepflowClient.cancel_run)
    """Mark a run as cancelled. See `StepflowClient.cancel_run`."""
    delete_run = _forward(StepflowClient.delete_run)
    """Ask the server to delete a run. See `StepflowClient.delete_run`."""
    list_runs = _forward(StepflowClient.list_runs)
    """Return runs, newest first. See `StepflowClient.list_runs`."""
    iter_runs = _forward_stream(StepflowClient.iter_runs)
    """Iterate over runs page by page. See `StepflowClient.iter_runs`."""

    store_blob = _forward(StepflowClient.store_blob)
    """Store a blob and return its ID. See `StepflowClient.store_blob`."""
    get_blob = _forward(StepflowClient.get_blob)
    """Return a blob. See `StepflowClient.get_blob`."""
    list_components = _forward(StepflowClient.list_components)
    """Return the components available to flows. See `StepflowClient.list_components`."""
    health_check = _forward(StepflowClient.health_check)
    """Return the server's health. See `StepflowClient.health_check`."""
    server_info = _forward(StepflowClient.server_info)
    """Return the server's release and capabilities. See `StepflowClient.server_info`."""

    def with_options(self, **options: Unpack[ClientOptions]) -> StepflowClient:
        """Return a client for the server with different defaults. See `StepflowClient.with_options`."""
        return self.client.with_options(**options)
