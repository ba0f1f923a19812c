"""The asynchronous client."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID

from .. import _settings
from .._codec import requests
from .._codec.requests import Variables
from .._http.messages import MOST_BYTES
from .._http.sockets import AsyncCancelled
from .._lazy import lazy_module
from .._pickling import Picklable
from .._rules import operations as api
from .._rules.deadline import current_deadline, deadline_of, deadline_override, deadline_scope
from .._rules.transient import RetryPolicy
from .._settings import Token
from .._tracing import annotate
from ..errors import InvalidArgumentError, NotFoundError, StepflowClientError
from ..flows.file import is_flow_id
from .batches import Batches
from .blobs import Blobs
from .connection import Connection
from .events import Events

if TYPE_CHECKING:
    import ssl

    import httpx
    from stepflow_api import Client

    from .._codec import responses
    from ..flows.file import FlowSource
    from ..types import ComponentList, FlowResult, HealthResponse, ServerInfo
else:
    responses = lazy_module("stepflow_client._codec.responses")

__all__ = ["StepflowClient"]

_LAST_WORD = 5.0
"""Seconds that a task which is cancelled may take to have its run cancelled too."""
_FIRST_WAIT = 1
"""Seconds that a server may hold the request that creates a run: a short flow ends within it and costs one round trip,
and of a long one the id is known soon."""


class StepflowClient(Events, Batches, Blobs, Picklable):
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
            Credentials in the URL of one are sent to no other.
        timeout: Seconds for each phase of a request (connecting, sending, each read), or an `httpx.Timeout` that
            limits every phase. It does not bound how long a run may take.
        headers: Sent with every request.
        auth: A bearer token, a callable that gives one (it may be a coroutine function), a (user, password) pair, or
            an `httpx.Auth`. They go before credentials in URLs, and to each server of a list. Waiting for them counts
            towards the timeout.
        verify: Whether and with which CA certificates an https server is verified: True (those that SSL_CERT_FILE or
            SSL_CERT_DIR name, else those of certifi), False, a file or folder of them, or an `ssl.SSLContext`.
        cert: The client's certificate: a file, (file, key file), or (file, key file, password).
        proxy: The URL of a proxy, or its `host:port`; by default what HTTP_PROXY, HTTPS_PROXY and ALL_PROXY say.
            NO_PROXY lists the servers that are asked directly: names, addresses and networks, each also with a port.
        limits: Of the connection pool: by default 256 connections, and idle ones are closed after 30 s. An
            `httpx.Limits` keeps idle ones for 5 s where it is not told otherwise.
        transport: What sends the requests, instead of the usual, for example an `httpx.MockTransport`. It is cut off
            when the timeout has passed.
        server: The release of the server, for example `0.13.0`, where it is known: it saves the client from asking for
            the server's health first. A wrong one makes answers unreadable.
        retry: When a request is sent again; None for the defaults of `RetryPolicy`.
        exact_integers: Refuse to send integers beyond 2**53 in inputs and variables to servers that would change them
            (0.12 and newer). False lets them pass.
        max_response_bytes: Bytes that an answer may have, and each event of `run_events`; a larger one is an
            InvalidResponseError. The default, 1 GiB, is beyond what servers send; it keeps one answer from taking all
            the memory.

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
        max_response_bytes: int = MOST_BYTES,
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
            max_response_bytes=max_response_bytes,
        )

    @classmethod
    def from_env(
        cls,
        base_url: str | httpx.URL | Sequence[str | httpx.URL] | None = None,
        timeout: float | httpx.Timeout | None = None,
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
        max_response_bytes: int = MOST_BYTES,
    ) -> Self:
        """Return a client with the settings of the environment.

        STEPFLOW_URL (default `http://localhost:7837`), STEPFLOW_TOKEN and STEPFLOW_TIMEOUT (seconds).

        Args:
            base_url: As for the class, like the other arguments; None takes STEPFLOW_URL.
            timeout: None takes STEPFLOW_TIMEOUT, or the class's default.
            headers: Sent with every request.
            auth: None takes STEPFLOW_TOKEN.
            verify: Whether and with which authorities an https server is verified.
            cert: The client's certificate.
            proxy: The URL of a proxy.
            limits: Of the connection pool.
            transport: What sends the requests, instead of the usual.
            server: The release of the server, where it is known.
            retry: When a request is sent again.
            exact_integers: Refuse to send integers that the server would change.
            max_response_bytes: Bytes that a response may have, and each event of `run_events`.

        Raises:
            InvalidArgumentError: If a setting is wrong.
        """
        given = {"base_url": base_url, "timeout": timeout, "auth": auth}
        settings = _settings.environment_settings(os.environ)
        settings |= {name: value for name, value in given.items() if value is not None}
        return cls(
            **settings,
            headers=headers,
            verify=verify,
            cert=cert,
            proxy=proxy,
            limits=limits,
            transport=transport,
            server=server,
            retry=retry,
            exact_integers=exact_integers,
            max_response_bytes=max_response_bytes,
        )

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
        return responses.build(responses.health, await self._connection.health(timeout=timeout), "GET /health")

    async def server_info(self) -> ServerInfo:
        """Return what the server is and can do; asked once, then remembered."""
        return await self._connection.server()

    async def list_components(self, *, schemas: bool = True, timeout: float | None = None) -> ComponentList:
        """Return the components that flows may use.

        Servers do not tell the route prefix of a plugin, so `path` is None here; a `StepflowRuntime` knows it.

        Args:
            schemas: False leaves out the input and output schemas.
            timeout: Seconds, instead of the client's.

        Returns:
            A list; its `failed_plugins` are the plugins that the server could not ask.
        """
        request = api.list_components._get_kwargs(exclude_schemas=api.UNSET if schemas else True)
        return await self._connection.call("list_components", request, responses.components, timeout=timeout)

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
        """Run a flow on one input and return its result, a failure too.

        Example:
            result = await client.run("workflow.yaml", {"name": "World"}, timeout=60)
            if result.is_success:
                print(result.output)
            else:
                print(result.error.message)

        Args:
            flow: The path of a YAML or JSON file, or the flow itself: a mapping, a pydantic model, a dataclass, an
                attrs object or a msgspec struct. It is stored on the server first, once. Or the id of a stored flow: a
                str of 64 lowercase hexadecimal digits, unless there is a file of that name.
            input: The input: any JSON value, in which such objects may stand. A list is a batch and refused here, but
                for a batch of one: write `[[1, 2]]` for a single input that is a list.
            overrides: Changes to steps for this run only, as for `create_run`.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            variables_from_env: Fill missing variables from the environment, as for `create_run`.
            timeout: Seconds for the whole call, with storing and creating; None waits as long as it takes.
            deduplicate: Store a copy of the flow for this call alone, so that its run is found for sure if the answer
                is lost; it costs a request more. Without it all calls of this client share one copy, which nobody else
                runs, and a lost run is found unless another call of this client loses one of the same flow at once.
            on_cancel: What a cancelled task (in the sync client: a KeyboardInterrupt) means for the run: `detach`
                leaves it alone, `cancel` marks it as cancelled if its id is known by then.

        Raises:
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is wrong: for example an override of a step, or of a key, that the flow
                does not have, or a required variable that is not given.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            NotFoundError: If the server has no flow of this id.
            AmbiguousRunError: If the answer was lost, or did not come in time, and it cannot be told which run it was.
            RunTimeoutError: If the run has not ended in time. It goes on; `run_id` names it.
            TransportError: If the server cannot be reached or the connection breaks. A RequestTimeoutError where
                `timeout` was over before the run could be created.
        """
        deadline = deadline_of(timeout)
        requests.single_input(input)
        if on_cancel not in ("detach", "cancel"):
            raise InvalidArgumentError(f"on_cancel is 'detach' or 'cancel', not {on_cancel!r}")
        with deadline_scope(deadline), self._connection.traced("run", kind="INTERNAL") as span:
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
                    with suppress(StepflowClientError), deadline_override(time.monotonic() + _LAST_WORD):
                        await self.cancel_run(run.run_id)
                raise

    async def _result_of(self, run: responses.Started, deadline: float | None) -> FlowResult:
        """Return the result of a run of one item that was just created, waiting for its end."""
        if run.answers and run.status.is_final:
            reading = self._connection.reading(run.run_id)
            result = responses.single_result(run.run_id, run.answers, run.status, reading)
            if result is not None:
                return result
            listed = await self._explain(responses.items(run.run_id, run.answers, reading), run.status)
            return responses.only_result(listed, run.status, reading)
        status = run.status
        if not status.is_final:
            status = (await self._wait(run.run_id, deadline, total=1)).status
        listed = await self._items_of_ended(run.run_id, status, deadline)
        return responses.only_result(listed, status, self._connection.reading(run.run_id))

    async def submit(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        max_concurrency: int | None = None,
        timeout: float | None = None,
        deduplicate: bool = False,
    ) -> str:
        """Start a flow and return the id of its run, without waiting for it.

        Example:
            run_id = await client.submit("workflow.yaml", [{"n": 1}, {"n": 2}], max_concurrency=2)
            results = await client.get_results(run_id)

        Args:
            flow: The flow, or the id of a stored one, as for `run`.
            input: The input, any JSON value. A list is a batch; an empty one is a run of no items (0.11 and newer).
            overrides: Changes to steps for this run only, as for `create_run`.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            variables_from_env: Fill missing variables from the environment, as for `create_run`.
            max_concurrency: How many tasks of the run are executed at once, as for `create_run`.
            timeout: Seconds for the whole call, with storing and creating; None sets no limit beyond the client's.
            deduplicate: Give this run a flow of its own, as for `run`.

        Raises:
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is wrong: for example an override of a step, or of a key, that the flow
                does not have, or a required variable that is not given.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            NotFoundError: If the server has no flow of this id.
            AmbiguousRunError: If the answer was lost, or did not come in time, and it cannot be told which run it was.
            TransportError: If the server cannot be reached or the connection breaks. A RequestTimeoutError where
                `timeout` was over before the run could be created.
            UnsupportedByServerError: If the input is an empty list and the server older than 0.11.
        """
        with deadline_scope(deadline_of(timeout)), self._connection.traced("submit", kind="INTERNAL"):
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
        """Return the result of a run of one item, waiting for it to end.

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
        return responses.only_result(listed, run.status, self._connection.reading(run.run_id))

    async def get_results(
        self, run_id: str | UUID, *, wait: bool = True, timeout: float | None = None
    ) -> list[FlowResult]:
        """Return the results of all items of a run, in the order of their inputs, waiting for it to end.

        Args:
            run_id: The run.
            wait: False does not wait: a run that has not ended is then a RunTimeoutError at once.
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            NotFoundError: If the server has no such run.
            RunTimeoutError: If the run has not ended in time. It goes on.
        """
        run, listed = await self._finished(run_id, wait=wait, timeout=timeout, single=False)
        return responses.results(listed, run.status, self._connection.reading(run.run_id))

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
    ) -> responses.Started:
        if is_flow_id(flow):
            if deduplicate:
                raise InvalidArgumentError("deduplicate=True needs the flow itself, not its id")
            arguments = await self._arguments(input, variables, overrides, max_concurrency)
            arguments = await self._completed(str(flow), arguments, variables_from_env)
            return await self._create_run(str(flow), arguments, responses.started, wait=_held(wait))
        content, digest = self._checked(flow)
        annotate(flow_name=content.get("name"))
        arguments = await self._arguments(input, variables, overrides, max_concurrency)
        needs = self._needs_of(content, digest)
        arguments = requests.completed(arguments, needs, os.environ, variables_from_env)
        for again in (self._claims.shared_flow(digest) is not None, False):
            flow_id, declared = await self._store_to_run(content, digest, is_single=deduplicate)
            try:
                run = await self._create_run(
                    flow_id,
                    arguments,
                    responses.started,
                    declared=declared,
                    output=content.get("output"),
                    wait=_held(wait),
                )
            except NotFoundError:
                # A server that was started again without a store has lost the flow.
                self._forget_flow(flow_id)
                if not again:
                    raise
            else:
                annotate(run_id=run.run_id)
                return run
        raise InvalidArgumentError("the flow cannot be stored")  # pragma: no cover - the loop returns or raises


def _held(wait: int | None) -> int | None:
    """Return how many seconds a server may hold a creation: none where the deadline might pass before."""
    deadline = current_deadline()
    return 0 if wait and deadline is not None and deadline - time.monotonic() < 2 * wait else wait
