"""The executor methods of the embedded server, which call a client connected to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import update_wrapper, wraps
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack
from weakref import WeakKeyDictionary

from .._async.client import StepflowClient
from .._base.suggestions import SuggestsNames
from .._rules.timeouts import compute_deadline
from .._sync.client import SyncStepflowClient
from ..errors import RequestTimeoutError

if TYPE_CHECKING:
    from .._calls.call_options import ClientOptions
    from ..history import History
    from ..logs import LogEntry


P = ParamSpec("P")
R = TypeVar("R")


def _forward(
    method: Callable[Concatenate[StepflowClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[EmbeddedExecutor, P], CoroutineType[Any, Any, R]]:
    """Return a method that waits until the server is ready and calls a method of the client.

    The timeout includes waiting for the server.
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
            # Never zero: if the deadline has already passed, the client raises the timeout error.
            kwargs["timeout"] = max(deadline - time.monotonic(), 0.001)
        return await method(self.client, *args, **kwargs)

    # Type checkers differ in what a coroutine function returns.
    forwarded: Any = call
    return forwarded  # type: ignore[no-any-return]


def _forward_stream(
    method: Callable[Concatenate[StepflowClient, P], R],
) -> Callable[Concatenate[EmbeddedExecutor, P], R]:
    """Return a method that calls a method of the client that sends its requests later, such as a stream.

    Like `client`, the first use waits until the server is ready.
    """

    def call(self: EmbeddedExecutor, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.client, *args, **kwargs)

    update_wrapper(call, method)
    return call


class EmbeddedExecutor(SuggestsNames):
    """Runs flows on the embedded server; base class of the runtime."""

    def __init__(self) -> None:
        self._history: History | None = None
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, StepflowClient] = WeakKeyDictionary()
        self._sync_client: SyncStepflowClient | None = None
        self._clients_lock = threading.Lock()

    @property
    def url(self) -> str:
        """The root URL of the server."""
        raise NotImplementedError  # pragma: no cover - the runtime has it

    @property
    def _config_reader(self) -> Callable[[], Mapping[str, Any]]:
        """A function that returns the server's configuration. It must not keep the runtime alive."""
        raise NotImplementedError  # pragma: no cover - the runtime has it

    @property
    def client(self) -> StepflowClient:
        """The asynchronous client of the server, one for each event loop. It is closed with the runtime.

        The first use waits until the server is ready and blocks the event loop during that time. To avoid this, enter
        the runtime or await `await_ready` first.

        Raises:
            RuntimeError: If no event loop is running. Use `sync_client` in that case.
            ServerStartError: If the server did not start, or ended by itself.
            EmbeddedServerError: If the server has been stopped.
        """
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            # A client references its event loop through its connections, so neither is garbage-collected by itself.
            for closed in [loop for loop in list(self._clients) if loop.is_closed()]:
                self._clients.pop(closed, None)
            self.wait_ready()
            client = self._clients[loop] = StepflowClient(self.url, history=self._history)
            self._set_up_client(client)
        return client

    @property
    def sync_client(self) -> SyncStepflowClient:
        """The synchronous client of the server. It is closed with the runtime.

        The first use waits until the server is ready.

        Raises:
            ServerStartError: If the server did not start, or ended by itself.
            EmbeddedServerError: If the server has been stopped.
        """
        if self._sync_client is None:
            # Not while holding the lock, because `stop` needs it.
            self.wait_ready()
        with self._clients_lock:
            if self._sync_client is None:
                self._sync_client = SyncStepflowClient(self.url, history=self._history)
                self._set_up_client(self._sync_client)
            return self._sync_client

    def _set_up_client(self, client: StepflowClient | SyncStepflowClient) -> None:
        client._server_logs = self.get_recent_logs
        client._connection.config = self._config_reader
        client._recorder.is_embedded = True

    def get_recent_logs(self, limit: int = 100) -> list[LogEntry]:
        """Return the last log lines of the server and its workers."""
        raise NotImplementedError  # pragma: no cover - the runtime has it

    def wait_ready(self) -> None:
        """Wait until the server is ready."""
        raise NotImplementedError  # pragma: no cover - the runtime has it

    async def await_ready(self) -> None:
        """Wait until the server is ready."""
        raise NotImplementedError  # pragma: no cover - the runtime has it

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
    """Start a flow and return the id of its run. See `StepflowClient.submit`."""
    start_run = _forward(StepflowClient.start_run)
    """Start a flow and return a handle of its run. See `StepflowClient.start_run`."""
    find_run = _forward(StepflowClient.find_run)
    """Return the run that exists under an idempotency key. See `StepflowClient.find_run`.

    Keys are remembered as long as the store exists: with an in-memory store, as long as the runtime runs.
    """
    rerun = _forward(StepflowClient.rerun)
    """Run a finished run again. See `StepflowClient.rerun`."""
    start_rerun = _forward(StepflowClient.start_rerun)
    """Start a rerun and return handles of its runs. See `StepflowClient.start_rerun`."""
    plan_rerun = _forward(StepflowClient.plan_rerun)
    """Return what `rerun` would keep and execute. See `StepflowClient.plan_rerun`."""
    map = _forward_stream(StepflowClient.map)
    """Run a flow on any number of inputs and yield one outcome for each. See `StepflowClient.map`."""
    handle = _forward_stream(StepflowClient.handle)
    """Return a handle of a run. See `StepflowClient.handle`."""

    get_result = _forward(StepflowClient.get_result)
    """Wait until a run of one item ends and return its result. See `StepflowClient.get_result`."""
    get_results = _forward(StepflowClient.get_results)
    """Wait until a run ends and return the results of all its items. See `StepflowClient.get_results`."""
    wait_run = _forward(StepflowClient.wait_run)
    """Wait until a run ends and return it. See `StepflowClient.wait_run`."""
    run_events = _forward_stream(StepflowClient.run_events)
    """Return the events of a run. See `StepflowClient.run_events`."""
    snapshot = _forward(StepflowClient.snapshot)
    """Return what is known about a run at one moment. See `StepflowClient.snapshot`."""
    explain_run = _forward(StepflowClient.explain_run)
    """Return why an item of a run failed, and what became of its steps. See `StepflowClient.explain_run`."""
    compare_runs = _forward(StepflowClient.compare_runs)
    """Return the differences between two runs. See `StepflowClient.compare_runs`."""

    store_flow = _forward(StepflowClient.store_flow)
    """Store a flow and return its id. See `StepflowClient.store_flow`."""
    get_flow = _forward(StepflowClient.get_flow)
    """Return a stored flow. See `StepflowClient.get_flow`."""
    delete_flow = _forward(StepflowClient.delete_flow)
    """Ask the server to delete a flow. See `StepflowClient.delete_flow`."""
    get_flow_variables = _forward(StepflowClient.get_flow_variables)
    """Return the variables that a stored flow declares. See `StepflowClient.get_flow_variables`."""
    check = _forward(StepflowClient.check)
    """Check a flow with the offline rules. See `StepflowClient.check`."""
    validate = _forward(StepflowClient.validate)
    """Return the server's diagnostics of a flow. See `StepflowClient.validate`."""

    create_run = _forward(StepflowClient.create_run)
    """Start a run of a stored flow. See `StepflowClient.create_run`."""
    get_run = _forward(StepflowClient.get_run)
    """Return the current state of a run. See `StepflowClient.get_run`."""
    get_run_items = _forward(StepflowClient.get_run_items)
    """Return the items of a run. See `StepflowClient.get_run_items`."""
    get_run_steps = _forward(StepflowClient.get_run_steps)
    """Return the steps of a run. See `StepflowClient.get_run_steps`."""
    get_run_step = _forward(StepflowClient.get_run_step)
    """Return one step of one item. See `StepflowClient.get_run_step`."""
    get_run_arguments = _forward(StepflowClient.get_run_arguments)
    """Return what a run was started with. See `StepflowClient.get_run_arguments`."""
    get_run_flow = _forward(StepflowClient.get_run_flow)
    """Return the flow of a run. See `StepflowClient.get_run_flow`."""
    cancel_run = _forward(StepflowClient.cancel_run)
    """Mark a run as cancelled. See `StepflowClient.cancel_run`."""
    delete_run = _forward(StepflowClient.delete_run)
    """Ask the server to delete a run. See `StepflowClient.delete_run`."""
    list_runs = _forward(StepflowClient.list_runs)
    """Return runs, newest first. See `StepflowClient.list_runs`."""
    iter_runs = _forward_stream(StepflowClient.iter_runs)
    """Return runs, read page by page. See `StepflowClient.iter_runs`."""

    store_blob = _forward(StepflowClient.store_blob)
    """Store a blob and return its id. See `StepflowClient.store_blob`."""
    get_blob = _forward(StepflowClient.get_blob)
    """Return a blob. See `StepflowClient.get_blob`."""
    list_components = _forward(StepflowClient.list_components)
    """Return the components that flows may use. See `StepflowClient.list_components`."""
    health_check = _forward(StepflowClient.health_check)
    """Return the server's health. See `StepflowClient.health_check`."""
    server_info = _forward(StepflowClient.server_info)
    """Return the server's release and capabilities. See `StepflowClient.server_info`."""

    def with_options(self, **options: Unpack[ClientOptions]) -> StepflowClient:
        """Return a client of the server with other defaults. See `StepflowClient.with_options`."""
        return self.client.with_options(**options)
