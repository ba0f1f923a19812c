"""The executor methods of the embedded server, which call a client connected to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack
from weakref import WeakKeyDictionary

from .._async.client import StepflowClient
from .._codec.requests import RunId
from .._rules.deadline import deadline_of
from .._sync.client import SyncStepflowClient
from ..errors import RequestTimeoutError
from ..flows.file import FlowSource

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from .._async.handle import RunHandle
    from .._shared.options import RunOptions, SubmitOptions
    from ..history import History
    from ..progress import ProgressOption
    from ..types import ComponentList, FlowResult, OutputT, RunDetails, ValidationResult
    from ..types.account import RunAccount

__all__ = ["EmbeddedExecutor"]


def _left(deadline: float | None) -> float | None:
    # Never zero: if the deadline has already passed, the client raises the timeout error.
    return None if deadline is None else max(deadline - time.monotonic(), 0.001)


class EmbeddedExecutor:
    """Runs flows on the embedded server; base class of the runtime."""

    def __init__(self) -> None:
        """Start without clients."""
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
        """What returns the server's configuration, for clients. It does not keep the runtime alive."""
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
            for ended in [each for each in list(self._clients) if each.is_closed()]:
                self._clients.pop(ended, None)
            self.wait_ready()
            client = self._clients[loop] = StepflowClient(self.url, history=self._history)
            client._connection.config = self._config_reader
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
                self._sync_client._connection.config = self._config_reader
            return self._sync_client

    def wait_ready(self) -> None:
        """Wait until the server is ready."""
        raise NotImplementedError  # pragma: no cover - the runtime has it

    async def await_ready(self) -> None:
        """Wait until the server is ready."""
        raise NotImplementedError  # pragma: no cover - the runtime has it

    async def _ready_client(self, deadline: float | None) -> StepflowClient:
        try:
            async with asyncio.timeout(None if deadline is None else max(deadline - time.monotonic(), 0)):
                await self.await_ready()
        except TimeoutError as error:
            raise RequestTimeoutError("The embedded server was not ready in time") from error
        return self.client

    def _close_sync_client(self) -> None:
        with self._clients_lock:
            client, self._sync_client = self._sync_client, None
        if client is not None:
            client.close()

    async def _close_client(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def run(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
        **options: Unpack[RunOptions],
    ) -> FlowResult[OutputT]:
        """Run a flow on one input and return its result. See `StepflowClient.run`."""
        deadline = deadline_of(options.get("timeout"))
        client = await self._ready_client(deadline)
        options["timeout"] = _left(deadline)
        return await client.run(flow, input, overrides, output_type=output_type, **options)

    async def submit(
        self, flow: FlowSource, input: Any = None, overrides: Any = None, **options: Unpack[SubmitOptions]
    ) -> str:
        """Start a flow and return the id of its run. See `StepflowClient.submit`.

        The timeout includes the wait for the server.
        """
        deadline = deadline_of(options.get("timeout"))
        client = await self._ready_client(deadline)
        options["timeout"] = _left(deadline)
        return await client.submit(flow, input, overrides, **options)

    async def start_run(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> RunHandle[OutputT]:
        """Start a flow and return a handle of its run. See `StepflowClient.start_run`."""
        deadline = deadline_of(options.get("timeout"))
        client = await self._ready_client(deadline)
        options["timeout"] = _left(deadline)
        return await client.start_run(flow, input, overrides, output_type=output_type, **options)

    async def find_run(
        self, flow: FlowSource, *, idempotency_key: str, timeout: float | None = None
    ) -> RunDetails | None:
        """Return the run that exists under an idempotency key. See `StepflowClient.find_run`.

        Keys are remembered as long as the store exists: with an in-memory store, as long as the runtime runs.
        """
        deadline = deadline_of(timeout)
        client = await self._ready_client(deadline)
        return await client.find_run(flow, idempotency_key=idempotency_key, timeout=_left(deadline))

    async def get_result(self, run_id: RunId, *, wait: bool = True, timeout: float | None = None) -> FlowResult:
        """Wait until a run of one item ends and return its result. See `StepflowClient.get_result`."""
        deadline = deadline_of(timeout)
        return await (await self._ready_client(deadline)).get_result(run_id, wait=wait, timeout=_left(deadline))

    async def get_results(self, run_id: RunId, *, wait: bool = True, timeout: float | None = None) -> list[FlowResult]:
        """Wait until a run ends and return the results of all its items. See `StepflowClient.get_results`."""
        deadline = deadline_of(timeout)
        return await (await self._ready_client(deadline)).get_results(run_id, wait=wait, timeout=_left(deadline))

    async def wait_run(
        self, run_id: RunId, *, timeout: float | None = None, progress: ProgressOption = False
    ) -> RunDetails:
        """Wait until a run ends and return it. See `StepflowClient.wait_run`."""
        deadline = deadline_of(timeout)
        client = await self._ready_client(deadline)
        return await client.wait_run(run_id, timeout=_left(deadline), progress=progress)

    async def explain_run(
        self, run_id: RunId, *, item_index: int | None = None, timeout: float | None = None
    ) -> RunAccount:
        """Return why an item of a run failed, and what became of its steps. See `StepflowClient.explain_run`."""
        deadline = deadline_of(timeout)
        client = await self._ready_client(deadline)
        return await client.explain_run(run_id, item_index=item_index, timeout=_left(deadline))

    async def validate(self, flow: FlowSource, *, timeout: float | None = None) -> ValidationResult:
        """Return the server's diagnostics of a flow. See `StepflowClient.validate`."""
        deadline = deadline_of(timeout)
        return await (await self._ready_client(deadline)).validate(flow, timeout=_left(deadline))

    async def list_components(self, *, include_schemas: bool = True, timeout: float | None = None) -> ComponentList:
        """Return the components that flows may use. `path` is set if the configured routes determine it."""
        deadline = deadline_of(timeout)
        client = await self._ready_client(deadline)
        return await client.list_components(include_schemas=include_schemas, timeout=_left(deadline))
