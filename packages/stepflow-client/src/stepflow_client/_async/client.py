"""The asynchronous client."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID

from .. import _operations as api
from .. import _requests, _settings
from .._deadline import current_deadline, deadline_of, granted, within
from .._lazy import lazy_module
from .._pickling import Picklable
from .._requests import Variables
from .._retry import RetryPolicy
from .._settings import Token
from .._sockets import AsyncCancelled
from .._tracing import annotate
from ..errors import InvalidArgumentError, NotFoundError, StepflowClientError
from .blobs import Blobs
from .connection import Connection
from .events import Events

if TYPE_CHECKING:
    import ssl

    import httpx
    from stepflow_api import Client

    from .. import _wire
    from ..flow_file import FlowSource
    from ..types import (
        ComponentList,
        FlowResult,
        HealthResponse,
        ServerInfo,
    )
else:
    _wire = lazy_module("stepflow_client._wire")

__all__ = ["StepflowClient"]

_LAST_WORD = 5.0
"""Seconds that a task which is cancelled may take to have its run cancelled too."""
_FIRST_WAIT = 1
"""Seconds that a server may hold the request that creates a run: a short flow ends within it and costs one round trip,
and of a long one the id is known soon."""


class StepflowClient(Events, Blobs, Picklable):
    """Talks to a Stepflow server over HTTP.

    Example:
        async with StepflowClient("http://localhost:7837") as client:
            result = await client.run("workflow.yaml", {"name": "World"})
            print(result.raise_for_failure().output)

    Nothing is sent before the first call. One client may serve many tasks of one event loop at once.

    A client can be pickled and copied: the settings travel, and the new client makes connections of its own when it is
    first used. A token or password given as text is in the pickle; a callable, an `httpx.Auth` or a transport must
    itself be picklable, or it is a TypeError. Copies share the transport that was given.

    Args:
        base_url: The server: `http://host:port`, with or without `/api/v1`, with a path before it behind a proxy, or
            `host:port`. A user and password in it are sent as basic authentication. Or a list of servers that share
            one store: the next one is tried for what may be repeated, and one that is down is left alone for a while.
        timeout: Seconds for each phase of a request (connecting, sending, each read), or an `httpx.Timeout` that
            limits every phase. It does not bound how long a run may take.
        headers: Sent with every request.
        auth: A bearer token, a callable that gives one (it may be a coroutine function), a (user, password) pair, or
            an `httpx.Auth`.
        verify: Whether and with which authorities an https server is verified: True, False, a file or folder of
            certificates, or an `ssl.SSLContext`.
        cert: The client's certificate: a file, (file, key file), or (file, key file, password).
        proxy: The URL of a proxy; by default what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say.
        limits: Of the connection pool.
        transport: What sends the requests, instead of the usual, for example an `httpx.MockTransport`.
        server: The release of the server, for example `0.13.0`, where it is known: it saves the client from asking for
            the server's health first. A wrong one makes answers unreadable.
        retry: When a request is sent again; None for the defaults of `RetryPolicy`.
        exact_integers: Refuse to send integers beyond 2**53 in inputs and variables to servers that would change them
            (0.12 and newer). False lets them pass.

    Raises:
        InvalidArgumentError: If a setting is wrong.
    """

    def __init__(
        self,
        base_url: str | httpx.URL | Sequence[str | httpx.URL] = f"http://localhost:{_settings.DEFAULT_PORT}",
        timeout: float | httpx.Timeout = 30.0,
        *,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | Token | tuple[str, str] | None = None,
        verify: bool | str | ssl.SSLContext = True,
        cert: str | tuple[str, ...] | None = None,
        proxy: str | httpx.URL | httpx.Proxy | None = None,
        limits: httpx.Limits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        server: str | None = None,
        retry: RetryPolicy | None = None,
        exact_integers: bool = True,
    ) -> None:
        """Keep the settings; nothing is sent."""
        # First of all: every local name is an argument still.
        self._keep_arguments(StepflowClient, locals())
        super().__init__()
        self._exact_integers = exact_integers
        self._connection = Connection(
            base_url,
            timeout=timeout,
            headers=headers,
            auth=auth,
            verify=verify,
            cert=cert,
            proxy=proxy,
            limits=limits,
            transport=transport,
            server=server,
            retry=retry or RetryPolicy(),
        )

    @classmethod
    def from_env(cls, **settings: Any) -> Self:
        """Give a client with the settings of the environment.

        STEPFLOW_URL (default `http://localhost:7837`), STEPFLOW_TOKEN and STEPFLOW_TIMEOUT (seconds).

        Args:
            **settings: What the class itself takes; it goes before the environment.

        Raises:
            InvalidArgumentError: If a setting is wrong.
        """
        return cls(**{**_settings.environment_settings(os.environ), **settings})

    @property
    def url(self) -> str:
        """The root URL of the server, without `/api/v1` and without credentials."""
        return self._connection.url

    @property
    def api(self) -> Client:
        """The generated client, for operations of `stepflow_api` (`get_run.asyncio_detailed(client=client.api, ...)`).

        It shares this client's connections, credentials and timeout.
        """
        return self._connection.api

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. The client cannot be used any more; runs on the server go on."""
        await self._connection.close()

    # The server

    async def health_check(self, *, timeout: float | None = None) -> HealthResponse:
        """Ask the server how it is: `status` is `healthy`.

        Raises:
            ServerConnectionError: If it cannot be reached.
            InvalidResponseError: If what answers is no Stepflow server.
        """
        return _wire.build(_wire.health, await self._connection.health(timeout=timeout), "GET /health")

    async def server_info(self) -> ServerInfo:
        """Give what the server is and can do; asked once, then remembered."""
        return await self._connection.server()

    async def list_components(self, *, schemas: bool = True, timeout: float | None = None) -> ComponentList:
        """Give the components that flows may use.

        Servers do not tell the route prefix of a plugin, so `path` is None here; a `StepflowRuntime` knows it.

        Args:
            schemas: False leaves out the input and output schemas.
            timeout: Seconds, instead of the client's.

        Returns:
            A list; its `failed_plugins` are the plugins that the server could not ask.
        """
        request = api.list_components._get_kwargs(exclude_schemas=api.UNSET if schemas else True)
        return await self._connection.call("list_components", request, _wire.components, timeout=timeout)

    # Running flows

    async def run(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        timeout: float | None = None,
        deduplicate: bool = False,
        on_cancel: Literal["detach", "cancel"] = "detach",
    ) -> FlowResult:
        """Run a flow on one input and give its result, a failure too.

        Example:
            result = await client.run("workflow.yaml", {"name": "World"}, timeout=60)
            if result.is_success:
                print(result.output)
            else:
                print(result.error.message)

        Args:
            flow: The path of a YAML or JSON file, or the flow as a mapping. It is stored on the server first, once.
            input: The input, any JSON value. A list is a batch and refused here, but for a batch of one: write
                `[[1, 2]]` for a single input that is a list.
            overrides: Changes to steps for this run only, as for `create_run`.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            variables_from_env: Fill missing variables from the environment, as for `create_run`.
            timeout: Seconds for the whole call, with storing and creating; None waits as long as it takes.
            deduplicate: Give this run a flow of its own, by a tag in the flow's metadata, so that it is found for sure
                if the answer is lost; it costs a request more. Without it a run is found if no other call of this
                client creates a run of the same flow at that moment.
            on_cancel: What a cancelled task (in the sync client: a KeyboardInterrupt) means for the run: `detach`
                leaves it alone, `cancel` marks it as cancelled if its id is known by then.

        Raises:
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is wrong.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            AmbiguousRunError: If the answer was lost, or did not come in time, and it cannot be told which run it was.
            RunTimeoutError: If the run has not ended in time. It goes on; `run_id` names it.
            TransportError: If the server cannot be reached or the connection breaks. A RequestTimeoutError where
                `timeout` was over before the run could be created.
        """
        deadline = deadline_of(timeout)
        _requests.single_input(input)
        if on_cancel not in ("detach", "cancel"):
            raise InvalidArgumentError(f"on_cancel is 'detach' or 'cancel', not {on_cancel!r}")
        with within(deadline), self._connection.traced("run", kind="INTERNAL") as span:
            run = await self._start(
                flow,
                input,
                overrides,
                variables,
                variables_from_env,
                max_concurrency=None,
                wait=_FIRST_WAIT,
                deduplicate=deduplicate,
            )
            try:
                result = await self._result_of(run, deadline)
                span.note(run_status=result.status.value)
                return result
            except StepflowClientError as error:
                error.run_id = error.run_id or run.run_id
                raise
            except AsyncCancelled:
                if on_cancel == "cancel":
                    with suppress(StepflowClientError), granted(time.monotonic() + _LAST_WORD):
                        await self.cancel_run(run.run_id)
                raise

    async def _result_of(self, run: _wire.Started, deadline: float | None) -> FlowResult:
        """Give the result of a run of one item that was just created, waiting for its end."""
        if run.answers and run.status.is_final:
            result = _wire.single_result(run.run_id, run.answers, run.status)
            if result is not None:
                return result
            return _wire.only_result(await self._explain(_wire.items(run.run_id, run.answers)), run.status)
        status = run.status
        if not status.is_final:
            status = (await self._wait(run.run_id, deadline, total=1)).status
        return _wire.only_result(await self._items_of_ended(run.run_id, deadline), status)

    async def submit(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        max_concurrency: int | None = None,
        deduplicate: bool = False,
    ) -> str:
        """Start a flow and give the id of its run, without waiting for it.

        Example:
            run_id = await client.submit("workflow.yaml", [{"n": 1}, {"n": 2}], max_concurrency=2)
            results = await client.get_results(run_id)

        Args:
            flow: The path of a YAML or JSON file, or the flow as a mapping. It is stored on the server first, once.
            input: The input, any JSON value; a list is a batch.
            overrides: Changes to steps for this run only, as for `create_run`.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            variables_from_env: Fill missing variables from the environment, as for `create_run`.
            max_concurrency: How many items of a batch run at once; None leaves it to the server.
            deduplicate: Give this run a flow of its own, as for `run`.

        Raises:
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is wrong.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            AmbiguousRunError: If the answer was lost and it cannot be told which run it was.
            TransportError: If the server cannot be reached or the connection breaks.
        """
        with self._connection.traced("submit", kind="INTERNAL"):
            run = await self._start(
                flow,
                input,
                overrides,
                variables,
                variables_from_env,
                max_concurrency=max_concurrency,
                wait=None,
                deduplicate=deduplicate,
            )
            return run.run_id

    async def get_result(self, run_id: str | UUID, *, wait: bool = True, timeout: float | None = None) -> FlowResult:
        """Give the result of a run of one item, waiting for it to end.

        Args:
            run_id: The run.
            wait: False does not wait: a run that has not ended is then a RunTimeoutError at once.
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If the run is a batch; `get_results` is for those.
            RunTimeoutError: If the run has not ended in time. It goes on.
        """
        run, listed = await self._finished(run_id, wait=wait, timeout=timeout, single=True)
        return _wire.only_result(listed, run.status)

    async def get_results(
        self, run_id: str | UUID, *, wait: bool = True, timeout: float | None = None
    ) -> list[FlowResult]:
        """Give the results of all items of a run, in the order of their inputs, waiting for it to end.

        Args:
            run_id: The run.
            wait: False does not wait: a run that has not ended is then a RunTimeoutError at once.
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            NotFoundError: If the server has no such run.
            RunTimeoutError: If the run has not ended in time. It goes on.
        """
        run, listed = await self._finished(run_id, wait=wait, timeout=timeout, single=False)
        return _wire.results(listed, run.status)

    async def _start(
        self,
        flow: FlowSource,
        input: Any,
        overrides: Any,
        variables: Variables | None,
        variables_from_env: bool,
        *,
        max_concurrency: int | None,
        wait: int | None,
        deduplicate: bool,
    ) -> _wire.Started:
        content, digest = self._checked(flow)
        annotate(flow_name=content.get("name"))
        arguments = await self._arguments(input, variables, overrides, max_concurrency)
        for again in (digest in self._stored, False):
            stored = await self._store(content, digest)
            flow_id = await self._store_tagged(content) if deduplicate else stored.flow_id
            try:
                run = await self._create_run(
                    flow_id,
                    arguments,
                    _wire.started,
                    declared=self._declared.get(stored.flow_id),
                    variables_from_env=variables_from_env,
                    wait=_held(wait),
                    is_own_flow=deduplicate,
                )
            except NotFoundError:
                # A server that was started again without a store has lost the flow.
                self._forget_flow(stored.flow_id)
                if not again:
                    raise
            else:
                annotate(run_id=run.run_id)
                return run
        raise InvalidArgumentError("the flow cannot be stored")  # pragma: no cover - the loop returns or raises


def _held(wait: int | None) -> int | None:
    """Give for how many seconds a server may hold a creation: for none where the caller's patience might end before."""
    deadline = current_deadline()
    return 0 if wait and deadline is not None and deadline - time.monotonic() < 2 * wait else wait
