"""The asynchronous client."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload
from uuid import UUID

from .. import _settings
from .._codec import answers, requests
from .._codec.requests import Variables
from .._http.messages import MOST_BYTES
from .._http.sockets import AsyncCancelled
from .._lazy import lazy_module
from .._not_given import NOT_GIVEN
from .._pickling import Picklable
from .._rules import bindings as api
from .._rules.deadline import deadline_of, deadline_override, deadline_scope
from .._rules.statuses import ExecutionStatus
from .._rules.transient import RetryPolicy
from .._settings import Token
from .._stores.recorder import Recorder
from ..errors import InvalidArgumentError, StepflowClientError
from ..flows.file import is_flow_id, load_flow
from .connection import Connection
from .creation import RunCreator
from .flows import FlowStore
from .listing import PAGE, RunLister
from .runs import RunReader
from .waiting import Waiter

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

    import httpx
    from stepflow_api import Client

    from .. import types
    from .._codec import responses, typed
    from ..comparison import RunComparison
    from ..events import RunEvent
    from ..flows.file import FlowSource
    from ..history import History
    from ..outcomes import Outcome
    from ..progress import ProgressOption
    from ..reruns import RerunPlan, RerunResult
    from ..result_cache import ResultCache
    from ..types import (
        BlobContent,
        ComponentList,
        CreateRunResponse,
        FlowResult,
        FlowVariables,
        HealthResponse,
        ListItemsResponse,
        ListRunsResponse,
        ListStepsResponse,
        OutputT,
        RunArguments,
        RunDetails,
        ServerInfo,
        StepDetails,
        StoreBlobResponse,
        StoredFlow,
        StoreFlowResponse,
        ValidationResult,
    )
    from .batches import BatchRunner
    from .blobs import BlobStore
    from .caching import CachedRuns
    from .events import EventFollower
    from .idempotency import KeyedRuns
    from .progress import ProgressTeller
    from .rerun import Rerunner
    from .step_times import StepTimer
else:
    responses = lazy_module("stepflow_client._codec.responses")
    typed = lazy_module("stepflow_client._codec.typed")
    types = lazy_module("stepflow_client.types")

__all__ = ["StepflowClient"]


class StepflowClient(Picklable):
    """Talks to a Stepflow server over HTTP.

    Example:
        ```python
        async with StepflowClient("http://localhost:7837") as client:
            result = await client.run("workflow.yaml", {"name": "World"})
            print(result.raise_for_failure().output)
        ```

    Nothing is sent before the first call. One client may serve many tasks of one event loop at once.

    A client can be pickled and copied: the settings travel, and the new client makes connections of its own when it is
    first used. A token or password given as text is in the pickle; a callable, an `httpx.Auth` or a transport must
    itself be picklable, or it is a TypeError. Copies share the transport that was given.

    Args:
        base_url: The server: `http://host:port`, with or without `/api/v1`, with a path before it behind a proxy, or
            `host:port`. A user and password in it are sent as basic authentication. Or a list of servers that share
            one store: the next one is tried for what may be repeated, and one that is down is left alone for a while;
            `strategy` says where new runs go. Credentials in the URL of one are sent to no other.
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
            the server's health first. A wrong one makes responses unreadable.
        strategy: Where new runs go in a list of servers: `failover` uses one server and the next when that fails;
            `spread` gives each run to the live server with the fewest runs that this client waits for, equals in turn.
        retry: When a request is sent again; None for the defaults of `RetryPolicy`.
        exact_integers: Refuse to send integers beyond 2**53 in inputs and variables to servers that would change them
            (0.12 and newer). False lets them pass.
        max_response_bytes: Bytes that a response may have, and each event of `run_events`; a larger one is an
            InvalidResponseError. The default, 1 GiB, is beyond what servers send; it keeps one response from taking all
            the memory.
        history: Where runs that this client creates are recorded, with their inputs, variables and overrides, and how
            they ended; by default nowhere. Its file is written during the call, usually in less than a millisecond.

    Raises:
        InvalidArgumentError: If a setting is wrong.
    """

    def __init__(
        self,
        base_url: str | httpx.URL | Sequence[str | httpx.URL] = _settings.DEFAULT_URL,
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
        strategy: Literal["failover", "spread"] = "failover",
        retry: RetryPolicy | None = None,
        exact_integers: bool = True,
        max_response_bytes: int = MOST_BYTES,
        history: History | None = None,
    ) -> None:
        """Keep the settings; nothing is sent."""
        # First of all: every local name is an argument still.
        self._keep_arguments(StepflowClient, locals())
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
            strategy=strategy,
            retry=retry or RetryPolicy(),
            max_response_bytes=max_response_bytes,
        )
        self._flows = FlowStore(self._connection)
        self._recorder = Recorder(history, self._connection.url)
        self._creator = RunCreator(self._connection, self._flows, self._recorder, exact_integers=exact_integers)
        self._runs = RunReader(self._connection)
        self._lister = RunLister(self._connection, lambda answer: responses.runs(answer).runs)
        self._waiter = Waiter(self._connection, self._runs, self._flows.registries)

    # Parts that not every program uses are made, and imported, when they are first used.

    @cached_property
    def _events(self) -> EventFollower:
        from .events import EventFollower

        return EventFollower(self._connection, self._runs, self._waiter)

    @cached_property
    def _timer(self) -> StepTimer:
        from .step_times import StepTimer

        return StepTimer(self._connection, self._events)

    @cached_property
    def _teller(self) -> ProgressTeller:
        from .progress import ProgressTeller

        return ProgressTeller(self._runs, self._events, self._waiter)

    @cached_property
    def _blobs(self) -> BlobStore:
        from .blobs import BlobStore

        return BlobStore(self._connection)

    @cached_property
    def _batches(self) -> BatchRunner:
        from .batches import BatchRunner

        return BatchRunner(self._connection, self._flows, self._creator, self._runs, self._waiter)

    @cached_property
    def _cached(self) -> CachedRuns:
        from .caching import CachedRuns

        return CachedRuns(self._connection, self._flows, self._creator)

    @cached_property
    def _keyed(self) -> KeyedRuns:
        from .idempotency import KeyedRuns

        return KeyedRuns(
            self._connection, self._flows, self._creator, self._runs, self._lister, self._blobs, self._recorder
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
        strategy: Literal["failover", "spread"] = "failover",
        retry: RetryPolicy | None = None,
        exact_integers: bool = True,
        max_response_bytes: int = MOST_BYTES,
        history: History | None = None,
    ) -> Self:
        """Return a client with the settings of the environment.

        STEPFLOW_URL (default `http://localhost:7837`), STEPFLOW_TOKEN and STEPFLOW_TIMEOUT (seconds).

        Args:
            base_url: As for the class, like the other arguments; None takes STEPFLOW_URL.
            timeout: None takes STEPFLOW_TIMEOUT, or the class's default.
            headers: Sent with every request.
            auth: None takes STEPFLOW_TOKEN.
            verify: Whether and with which CA certificates an https server is verified.
            cert: The client's certificate.
            proxy: The URL of a proxy.
            limits: Of the connection pool.
            transport: What sends the requests, instead of the usual.
            server: The release of the server, where it is known.
            strategy: Where new runs go in a list of servers.
            retry: When a request is sent again.
            exact_integers: Refuse to send integers that the server would change.
            max_response_bytes: Bytes that a response may have, and each event of `run_events`.
            history: Where runs are recorded.

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
            strategy=strategy,
            retry=retry,
            exact_integers=exact_integers,
            max_response_bytes=max_response_bytes,
            history=history,
        )

    @property
    def url(self) -> str:
        """The root URL of the server, without `/api/v1` and without credentials."""
        return self._connection.url

    @property
    def proxy(self) -> str | None:
        """The proxy that requests go through, without its password; None for none.

        It is the one that was given, or the one that the environment names for the server.
        """
        return self._connection.proxy

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
        """Close the connections. The client cannot be used any more; runs on the server continue."""
        await self._connection.close()

    # The server

    async def health_check(self, *, timeout: float | None = None) -> HealthResponse:
        """Return the server's health; `status` is `healthy`.

        Raises:
            ServerConnectionError: If it cannot be reached.
            InvalidResponseError: If the responder is not a Stepflow server.
        """
        return answers.build(responses.health, await self._connection.health(timeout=timeout), "GET /health")

    async def server_info(self) -> ServerInfo:
        """Return the server's release and capabilities, which are requested once."""
        return types.ServerInfo(**(await self._connection.server())._asdict())

    async def list_components(self, *, schemas: bool = True, timeout: float | None = None) -> ComponentList:
        """Return the components that flows may use.

        Servers do not report the route prefix of a plugin, so `path` is None here; a `StepflowRuntime` knows it.

        Args:
            schemas: False leaves out the input and output schemas.
            timeout: Seconds, instead of the client's.

        Returns:
            A list; its `failed_plugins` are the plugins that did not respond to the server.
        """
        request = api.list_components._get_kwargs(exclude_schemas=api.UNSET if schemas else True)
        return await self._connection.call("list_components", request, responses.components, timeout=timeout)

    # Running flows

    @overload
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
        idempotency_key: str | None = None,
        on_cancel: Literal["detach", "cancel"] = "detach",
        check: bool = False,
        progress: ProgressOption = False,
        output_type: None = None,
        cache: ResultCache | None = None,
    ) -> FlowResult: ...

    @overload
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
        idempotency_key: str | None = None,
        on_cancel: Literal["detach", "cancel"] = "detach",
        check: bool = False,
        progress: ProgressOption = False,
        output_type: type[OutputT],
        cache: ResultCache | None = None,
    ) -> FlowResult[OutputT]: ...

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
        idempotency_key: str | None = None,
        on_cancel: Literal["detach", "cancel"] = "detach",
        check: bool = False,
        progress: ProgressOption = False,
        output_type: Any = None,
        cache: ResultCache | None = None,
    ) -> FlowResult[Any]:
        """Run a flow on one input and return its result, a failure too.

        Example:
            ```python
            result = await client.run("workflow.yaml", {"name": "World"}, timeout=60)
            if result.is_success:
                print(result.output)
            else:
                print(result.error.message)
            ```

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
            deduplicate: Store a copy of the flow for this call alone, so that its run is found for sure if the response
                is lost; it costs a request more. Without it all calls of this client share one copy, which nobody else
                runs, and a lost run is found unless another call of this client loses one of the same flow at once.
            idempotency_key: A key of the caller's for this call, such as the id of a document: where a run of this flow
                exists under it, that run is returned, whichever process created it and whether that crashed or not
                (0.10 and newer; the server's store must survive). The flow carries the key, so keys of one flow are
                apart from those of another. Needs the flow itself, not its id. The first call under a key costs five
                small requests more. Two programs that begin with one key at the same time, while these requests are
                under way, may both create a run: both return the one that was noted first, and so do later calls, with
                a store in SQLite; with one in memory each may return its own.
            on_cancel: What a cancelled task (in the sync client: a KeyboardInterrupt) means for the run: `detach`
                leaves it alone, `cancel` marks it as cancelled if its id is known by then.
            check: Refuse an input that does not fit the input schema of the flow, before anything is sent. Servers
                check nothing of it. A flow that is given by its id is not checked.
            progress: True shows how far the run is: in a notebook, on a terminal as a bar (of rich or tqdm where they
                are installed), elsewhere as a line every ten seconds. Or a function that is called with a `Progress`:
                every half second, after events, and at the end. What it raises ends the call; the run goes on.
            output_type: The type of the output: a pydantic model, a dataclass, an attrs class or a TypedDict. The
                result is then a `FlowResult[output_type]`, whose output is an object of it where the run succeeds.
            cache: Return the result of an earlier run of the same flow with the same input, variables and overrides,
                without asking the server, where the cache has one; `cached_at` and `run_id` of the result tell. Else
                the flow is run, and a success is kept. Calls for one result that are made at once, by any client and in
                any process of this machine, share one run; those of one client share its failure too. Where the one
                that runs it is cancelled or its time is over, another one goes on. Excludes `idempotency_key`.

        Raises:
            OutputTypeError: If the run succeeds and its output does not fit `output_type`; it has the path.
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is wrong: for example an override of a step, or of a key, that the flow
                does not have, or a required variable that is not given. Or a run exists under the idempotency key with
                another input, other overrides or other variables (secret ones are not compared); `run_id` names it.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            NotFoundError: If the server has no flow of this id.
            AmbiguousRunError: If the response was lost or late, and the run cannot be identified.
            RunTimeoutError: If the run has not ended in time. It goes on; `run_id` names it.
            TransportError: If the server cannot be reached or the connection breaks. A RequestTimeoutError where
                `timeout` was over before the run could be created.
            UnsupportedByServerError: If there is an idempotency key and the server is older than 0.10, where flows have
                no ids that can be found again.
        """
        began, deadline = time.monotonic(), deadline_of(timeout)
        requests.single_input(input)
        if output_type is not None:
            typed.check_output_type(output_type)
        _check_progress(progress)
        if check and not is_flow_id(flow):
            flow = load_flow(flow)
            from ..flows.inputs import check_inputs

            check_inputs(flow, requests.items_of(input))
        if on_cancel not in ("detach", "cancel"):
            raise InvalidArgumentError(f"on_cancel is 'detach' or 'cancel', not {on_cancel!r}")
        with deadline_scope(deadline), self._connection.traced("run", kind="INTERNAL") as span:
            given = (flow, input, overrides, variables, variables_from_env)
            finish = partial(self._result_of, began=began, deadline=deadline, progress=progress)
            if cache is not None:
                result = await self._cached.run(
                    cache,
                    *given,
                    finish=finish,
                    deduplicate=deduplicate,
                    idempotency_key=idempotency_key,
                    cancel=self._cancel_unwanted if on_cancel == "cancel" else None,
                )
            else:
                run = await self._start(
                    *given,
                    max_concurrency=None,
                    wait=self._connection.timings.creation_hold,
                    deduplicate=deduplicate,
                    idempotency_key=idempotency_key,
                )
                try:
                    result = await finish(run)
                except AsyncCancelled:
                    if on_cancel == "cancel":
                        await self._cancel_unwanted(run.run_id)
                    raise
            span.note(run_id=result.run_id, run_status=result.status.value)
            return result if output_type is None else typed.with_typed_output(result, output_type)

    async def _result_of(
        self, run: answers.Started, *, began: float, deadline: float | None, progress: ProgressOption
    ) -> FlowResult:
        try:
            if progress is False:
                result = await self._waiter.result_of(run, deadline)
            else:
                result = await self._teller.result_of(run, began, deadline, progress)
        except StepflowClientError as error:
            error.run_id = error.run_id or run.run_id
            raise
        self._recorder.seen(run.run_id, result.status)
        return result

    async def _cancel_unwanted(self, run_id: str) -> None:
        """Cancel a run that nobody waits for, in the time that a cancelled call has left."""
        until = time.monotonic() + self._connection.timings.cancel_limit
        with suppress(StepflowClientError), deadline_override(until):
            await self.cancel_run(run_id)

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
        idempotency_key: str | None = None,
    ) -> str:
        """Start a flow and return the id of its run, without waiting for it.

        Example:
            ```python
            run_id = await client.submit("workflow.yaml", [{"n": 1}, {"n": 2}], max_concurrency=2)
            results = await client.get_results(run_id)
            ```

        Args:
            flow: The flow, or the id of a stored one, as for `run`.
            input: The input, any JSON value. A list is a batch; an empty one is a run of no items (0.11 and newer).
            overrides: Changes to steps for this run only, as for `create_run`.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            variables_from_env: Fill missing variables from the environment, as for `create_run`.
            max_concurrency: How many tasks of the run are executed at once, as for `create_run`.
            timeout: Seconds for the whole call, with storing and creating; None sets no limit beyond the client's.
            deduplicate: Store a copy of the flow for this run, as for `run`.
            idempotency_key: Return the run that exists under this key, if there is one, as for `run`.

        Raises:
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is wrong: for example an override of a step, or of a key, that the flow
                does not have, or a required variable that is not given. Or a run exists under the idempotency key with
                another input, other overrides or other variables (secret ones are not compared); `run_id` names it.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            NotFoundError: If the server has no flow of this id.
            AmbiguousRunError: If the response was lost or late, and the run cannot be identified.
            TransportError: If the server cannot be reached or the connection breaks. A RequestTimeoutError where
                `timeout` was over before the run could be created.
            UnsupportedByServerError: If the input is an empty list and the server older than 0.11, or there is an
                idempotency key and it is older than 0.10.
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
                idempotency_key=idempotency_key,
            )
            return run.run_id

    async def _start(self, *given: Any, idempotency_key: str | None, deduplicate: bool, **more: Any) -> answers.Started:
        if idempotency_key is None:
            return await self._creator.start(*given, deduplicate=deduplicate, **more)
        return await self._keyed.start(*given, key=idempotency_key, **more)

    async def find_run(self, flow: FlowSource, key: str, *, timeout: float | None = None) -> RunDetails | None:
        """Return the run that `run` or `submit` created with an `idempotency_key`, by any process; None for none.

        Example:
            ```python
            if await client.find_run("workflow.yaml", "doc-42") is None:
                print("doc-42 was not processed yet")
            ```

        Args:
            flow: The flow, as it was given to `run`, its keys in the same order; not its id. Its copy with the key is
                stored, to learn the copy's id; nothing is run.
            key: The idempotency key.
            timeout: Seconds for the whole call; None sets no limit beyond the client's.

        Raises:
            FlowFileError: If the flow's file cannot be read.
            InvalidArgumentError: If an argument is wrong.
            InvalidFlowError: If the server refuses the flow.
            TransportError: If the server cannot be reached.
            UnsupportedByServerError: If the server is older than 0.10.
        """
        with deadline_scope(deadline_of(timeout)):
            return await self._keyed.find(flow, key)

    def map(
        self,
        flow: FlowSource,
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        max_concurrency: int | None = None,
        chunk_size: int | None = None,
        ordered: bool = False,
        on_error: Literal["yield", "raise"] = "yield",
        variables: Variables | None = None,
        variables_from_env: bool = False,
        overrides: Any = None,
        journal: str | os.PathLike[str] | None = None,
        on_lost: Literal["fail", "rerun"] = "fail",
        on_cancel: Literal["detach", "cancel"] = "detach",
        progress: ProgressOption = False,
    ) -> AsyncGenerator[Outcome, None]:
        """Run a flow on each of any number of inputs, and yield one outcome for each.

        Inputs are read when there is room for them, so they may be without end, and neither they nor the outcomes fill
        the memory. Consecutive ones form a chunk, which is one run; up to four chunks are in flight, or four for each
        server of a list with `strategy="spread"`. Nothing is read while the caller is busy with the outcomes of a
        chunk. Where `inputs` raises, the outcomes of all that was read
        before come first, then the exception.

        Example:
            ```python
            async with contextlib.aclosing(client.map("workflow.yaml", inputs, journal="batch.journal")) as outcomes:
                async for outcome in outcomes:
                    print(outcome.index, outcome.status, outcome.output)
            ```

        Args:
            flow: The flow, as for `run`, but not the id of a stored one.
            inputs: An iterable, or an asynchronous one, of inputs: any JSON value each, a list too. One that JSON
                cannot hold fails alone, without a run; so does an exception, which stands for an input that could not
                be read. Outcomes wait while a chunk is filled: for inputs that trickle
                in, choose a `chunk_size` of 1.
            max_concurrency: How many tasks are executed at once, over all chunks; None leaves it to the server, which
                has ten in each run from 0.11 on.
            chunk_size: Inputs in one run, at most; None adapts to the server, up to 400, for about a second each.
            ordered: Whether outcomes come in the order of the inputs. A slow chunk then holds up at most seven others
                (with several servers, one less than are in flight).
            on_error: `raise` stops at the first input that does not succeed; `yield` hands it on like the others.
            variables: Values of the flow's variables, as for `run`; for all inputs.
            variables_from_env: Fill missing variables from the environment, as for `run`.
            overrides: Changes to steps, as for `run`; for all inputs.
            journal: A file that keeps what was done, so that the same call with the same inputs goes on after a crash:
                it yields the outcomes it has, takes over the runs that were created, and creates the others. It needs
                a server of 0.10 or newer with a store that survives as long. One batch at a time may use it.
            on_lost: What becomes of inputs whose run is in the journal, but not on the server any more, which was
                started again without its store: they `fail` with the code `lost`, as they may have been executed, or
                they are run once more (`rerun`).
            on_cancel: What becomes of the runs in flight when the iteration ends early: `detach` leaves them alone,
                `cancel` marks them as cancelled.
            progress: True shows how many outcomes there were, as for `run`; of all inputs where they have a length. Or
                a function that is called with a `Progress` at the beginning, at outcomes and at the end.

        Raises:
            FlowFileError: If the flow's file cannot be read.
            InvalidArgumentError: If an argument is wrong; the journal is in use, or that of another flow, other
                inputs, variables or overrides.
            InvalidFlowError: If the server refuses the flow.
            RunFailedError: If an input does not succeed, with `on_error="raise"`.
            AmbiguousRunError: If it cannot be told whether a chunk's run was created. With a journal, the same call
                made later finds out.
            TransportError: If the server cannot be reached.
            UnsupportedByServerError: If there is a journal and the server is older than 0.10, where a chunk's run
                cannot be recognised after a crash.
        """
        _check_progress(progress)
        outcomes = self._batches.map(
            flow,
            inputs,
            max_concurrency=max_concurrency,
            chunk_size=chunk_size,
            ordered=ordered,
            on_error=on_error,
            variables=variables,
            variables_from_env=variables_from_env,
            overrides=overrides,
            journal=journal,
            on_lost=on_lost,
            on_cancel=on_cancel,
        )
        return outcomes if progress is False else self._teller.counted(outcomes, inputs, progress)

    async def get_result(self, run_id: str | UUID, *, wait: bool = True, timeout: float | None = None) -> FlowResult:
        """Return the result of a run of one item, waiting for it to end.

        Args:
            run_id: The run.
            wait: False does not wait: a run that has not ended is then a RunTimeoutError at once.
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If the run is a batch; `get_results` is for those.
            RunTimeoutError: If the run has not ended in time. It continues.
        """
        run, listed = await self._waiter.finished(
            run_id, wait=wait, timeout=timeout, single=True, read=self._waiter.ended_items
        )
        self._recorder.seen(run.run_id, run.status)
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
            RunTimeoutError: If the run has not ended in time. It continues.
        """
        run, listed = await self._waiter.finished(
            run_id, wait=wait, timeout=timeout, single=False, read=self._waiter.ended_items
        )
        self._recorder.seen(run.run_id, run.status)
        return responses.results(listed, run.status, self._connection.reading(run.run_id))

    # Flows

    async def store_flow(self, flow: FlowSource, *, timeout: float | None = None) -> StoreFlowResponse:
        """Store a flow and return its id.

        The same flow has the same id on every server of 0.10 or newer. Integers in the flow stay integers (a plain POST
        /flows turns them into floats on 0.12 and newer). A flow that this client has stored before is not sent again.

        Args:
            flow: The path of a YAML or JSON file, or the flow as a mapping or an object (see `run`).
            timeout: Seconds for each request, instead of the client's.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If it is not a flow, or is the id of a stored one.
            InvalidFlowError: If the server refuses the flow; `diagnostics` say why.
        """
        return await self._flows.store_flow(flow, timeout=timeout)

    async def get_flow(self, flow_id: str, *, timeout: float | None = None) -> StoredFlow:
        """Return a stored flow, with its examples and the inputs of its test cases.

        The tag that clients add to the flows of their runs is removed. Keys that the server does not know are missing.
        Servers from 0.12 on return numbers as floats; whole ones are converted back to integers.

        Raises:
            NotFoundError: If the server has no such flow.
            InvalidRequestError: If this cannot be a flow id.
        """
        return await self._flows.get_flow(flow_id, timeout=timeout)

    async def delete_flow(self, flow_id: str, *, timeout: float | None = None) -> None:
        """Ask the server to delete a flow.

        Released servers (0.9 to 0.13) accept this but delete nothing; from 0.12 on they accept unknown ids too.
        """
        await self._flows.delete_flow(flow_id, timeout=timeout)

    async def get_flow_variables(self, flow_id: str, *, timeout: float | None = None) -> FlowVariables:
        """Return the variables a stored flow declares, as its author wrote them.

        They are read from the flow itself, so that the result is the same on every release: the servers' own response
        lacks descriptions and schemas, and releases before 0.11 have none.

        Raises:
            NotFoundError: If the server has no such flow.
        """
        return await self._flows.get_flow_variables(flow_id, timeout=timeout)

    async def check(
        self, flow: FlowSource, *, offline: bool = False, type_check: bool = False, timeout: float | None = None
    ) -> ValidationResult:
        """Check a flow with the offline rules of `stepflow_client.flows.check` and the components of the server.

        It finds what servers do not look at, such as unknown keys, components and inputs. `validate` asks the server
        for its own opinion.

        Args:
            flow: The path of a YAML or JSON file, or the flow itself.
            offline: Do not ask the server for its components: only the builtin ones are known then.
            type_check: Follow types through the flow too, from the schemas of the components to what reads their
                outputs.
            timeout: Seconds for the request, instead of the client's.

        Returns:
            The diagnostics, with line and column if the flow is a file.

        Raises:
            FlowFileError: If the file cannot be read.
            TransportError: If the server cannot be reached, unless `offline`.
        """
        return await self._flows.check(flow, offline=offline, type_check=type_check, timeout=timeout)

    async def validate(self, flow: FlowSource, *, timeout: float | None = None) -> ValidationResult:
        """Return the server's diagnostics of a flow. Nothing is stored.

        Args:
            flow: The flow, as for `run`. For an id, the flow is read from the server first; keys that servers do not
                know are missing then.
            timeout: Seconds for each request, instead of the client's.

        Raises:
            FlowFileError: If the file cannot be read. (A faulty flow is not an error here: the faults are in the
                result.)
            NotFoundError: If the server has no flow of this id.
        """
        return await self._flows.validate(flow, timeout=timeout)

    # Creating and reading runs

    async def create_run(
        self,
        flow_id: str,
        input: Any = None,
        variables: Variables | None = None,
        overrides: Any = None,
        debug: bool = False,
        max_concurrency: int | None = None,
        *,
        variables_from_env: bool = False,
        timeout: float | None = None,
    ) -> CreateRunResponse:
        """Start a run of a stored flow and return it, usually still running.

        Args:
            flow_id: The id that `store_flow` returned.
            input: The input, any JSON value. A list is a batch, one item for each element, and an empty one a run of
                no items (0.11 and newer); a single input that is itself a list is written `[[1, 2]]`. None is the
                input null.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            overrides: Changes to steps for this run only: `{step: {"input": {...}}}`, the wrapped form that the
                server takes, or a list of either, merged left to right. Servers from 0.10 on refuse an unknown step.
            debug: No released server has a debug mode; True is refused.
            max_concurrency: How many tasks of the run are executed at once: steps, branches of a step and items of
                sub-flows, over all items. It does not limit the items, and sub-flows (`/builtin/map`) may exceed it.
                None leaves it to the server: one task for each item on 0.9 and 0.10, ten from 0.11 on.
            variables_from_env: Fill missing variables from the environment: by the `env_var` that the flow names,
                then by `STEPFLOW_VAR_<NAME>`.
            timeout: Seconds, instead of the client's.

        Raises:
            NotFoundError: If the server has no such flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            AmbiguousRunError: If the response was lost and the server has runs of this flow that may be the one: others
                may run the flow too, and servers do not report who created a run. (`run` and `submit` find theirs.)
            InvalidArgumentError: If an argument is wrong; nothing is sent. Overrides and required variables are checked
                where this client knows the flow, as for `run`. An integer beyond 2**53 is refused for
                servers from 0.12 on, which would change it (`StepflowClient(exact_integers=False)` lets it pass).
            UnsupportedByServerError: If `debug` is True, or the input is an empty list and the server older than 0.11.
        """
        return await self._creator.create_run(
            flow_id,
            input,
            variables,
            overrides,
            debug,
            max_concurrency,
            variables_from_env=variables_from_env,
            timeout=timeout,
        )

    async def get_run(self, run_id: str | UUID, *, timeout: float | None = None) -> RunDetails:
        """Return the present state of a run.

        `items.completed` stays 0 until the whole run ends, on every release.

        Raises:
            NotFoundError: If the server has no such run.
        """
        return await self._runs.get_run(run_id, timeout=timeout)

    async def get_run_items(self, run_id: str | UUID, *, timeout: float | None = None) -> ListItemsResponse:
        """Return the items of a run, in the order of their inputs; an item that runs has no result yet.

        Failed items have the step that failed and its message. (In runs of more than 1,000 items only the first 20
        failed ones do, because this takes a request for each; the others have what the items themselves contain.)

        If an item has not ended although its run has failed, the server has lost it. It is returned as failed, with the
        code `lost` or `lost_before_start`.

        Raises:
            NotFoundError: If the server has no such run.
        """
        return await self._runs.get_run_items(run_id, timeout=timeout)

    async def get_run_steps(
        self,
        run_id: str | UUID,
        *,
        item_index: int | None = None,
        times: bool = False,
        timeout: float | None = None,
    ) -> ListStepsResponse:
        """Return the steps of a run that were started, by item, then in the order of the flow.

        Example:
            ```python
            for step in await client.get_run_steps(run_id, times=True):
                print(step.step_id, step.started_at, step.duration, step.attempts)
            ```

        Args:
            run_id: The run.
            item_index: Only the steps of this item; None for all.
            times: Fill in `started_at`, `completed_at`, `duration` and `attempts`, from the run's events. It is one
                request more, whose response has three events or more for each step of all items. Servers before 0.12
                have no events: there these fields are None.
            timeout: Seconds, instead of the client's.

        Raises:
            NotFoundError: If the server has no such run.
            RequestTimeoutError: If the steps, or the events, have not come in time.
        """
        listed = await self._runs.get_run_steps(run_id, item_index=item_index, timeout=timeout)
        return await self._timer.timed(listed, timeout) if times else listed

    async def get_run_arguments(self, run_id: str | UUID, *, timeout: float | None = None) -> RunArguments:
        """Return what a run was started with: inputs, variables, overrides, and how it is labelled.

        Servers from 0.12 on do not tell it, and no server tells the variables, labels and note: these come from the
        client's `history`, if it has one and the run is in it. Inputs that a server tells are not masked; those of the
        history have `***` where a secret was.

        Raises:
            NotFoundError: If neither the server nor the history has such a run.
        """
        return await self._runs.get_run_arguments(run_id, self._recorder, timeout=timeout)

    async def get_run_step(
        self, run_id: str | UUID, step_id: str, *, item_index: int = 0, timeout: float | None = None
    ) -> StepDetails:
        """Return one step of one item.

        Raises:
            NotFoundError: If there is no such step, or it has not started.
        """
        return await self._runs.get_run_step(run_id, step_id, item_index=item_index, timeout=timeout)

    async def get_run_flow(self, run_id: str | UUID, *, timeout: float | None = None) -> StoredFlow:
        """Return the flow of a run, without the tag of the client that runs it. Its examples are with `get_flow`.

        Raises:
            NotFoundError: If the server has no such run.
        """
        return await self._runs.get_run_flow(run_id, timeout=timeout)

    async def cancel_run(self, run_id: str | UUID, *, timeout: float | None = None) -> RunDetails:
        """Mark a run as cancelled and return it.

        On every released server (0.9 to 0.13) this sets the status and the end time but stops nothing: the running step
        ends, later steps still start, and at the end the status changes from cancelled to completed or failed. Until
        then `get_run_items` shows every item of the run as running, even those that have ended, and `get_results`
        returns cancelled for each; after that both return the real outcomes.

        A finished run is not changed. Servers from 0.12 on would overwrite its status, so the client checks first.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has ended already.
        """
        run = await self._runs.cancel_run(run_id, timeout=timeout)
        self._recorder.seen(run.run_id, run.status)
        return run

    async def delete_run(self, run_id: str | UUID, *, timeout: float | None = None) -> None:
        """Ask the server to delete a finished run.

        Released servers (0.9 to 0.13) accept this but delete nothing.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has not ended.
        """
        await self._runs.delete_run(run_id, timeout=timeout)

    # Listing runs

    async def list_runs(
        self,
        status: ExecutionStatus | str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        *,
        flow_name: str | None = None,
        root_run_id: str | UUID | None = None,
        parent_run_id: str | UUID | None = None,
        roots_only: bool | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        timeout: float | None = None,
    ) -> ListRunsResponse:
        """Return runs, newest first.

        Args:
            status: Only runs with this status.
            limit: Maximum number of runs. None gives all of them: servers have no limit of their own; `iter_runs`
                pages.
            offset: The number of newest runs to leave out.
            flow_name: Only runs of flows of this name.
            root_run_id: Only this run and the runs below it.
            parent_run_id: Only runs created by a step of this run.
            roots_only: True leaves out the runs that steps created.
            since: Only runs created then or later, by the server's clock: a datetime, or a text in ISO 8601 such as
                `2026-11-25T14:00:00Z`. Local time where it has no time zone. Run ids hold the time to the millisecond.
            until: Only runs created before then. No server has such a filter: the client pages through all that are
                newer.
            timeout: Seconds for each request, instead of the client's.

        Raises:
            InvalidArgumentError: If an argument is wrong. (Servers drop a filter they cannot read and list all.)
        """
        runs = await self._lister.list_runs(
            status,
            limit,
            offset,
            flow_name=flow_name,
            root_run_id=root_run_id,
            parent_run_id=parent_run_id,
            roots_only=roots_only,
            since=since,
            until=until,
            timeout=timeout,
        )
        return types.ListRunsResponse(runs=runs)

    def iter_runs(
        self,
        status: ExecutionStatus | str | None = None,
        *,
        page_size: int = PAGE,
        flow_name: str | None = None,
        root_run_id: str | UUID | None = None,
        parent_run_id: str | UUID | None = None,
        roots_only: bool | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[RunDetails, None]:
        """Return an iterator over runs, newest first, page by page; arguments are checked at the call.

        No run comes twice, and none that was there from the start to the end is missed, though new runs arrive or
        runs leave the filter meanwhile: pages overlap, and a page that does not meet the one before is asked for
        again further up.

        Args:
            status: As for `list_runs`, like the other filters.
            page_size: How many runs a request asks for, at least 2.
            flow_name: Only runs of flows of this name.
            root_run_id: Only this run and the runs below it.
            parent_run_id: Only runs created by a step of this run.
            roots_only: True leaves out the runs that steps created.
            since: Only runs created then or later: the pages end there.
            until: Only runs created before then.
            timeout: Seconds for each request, instead of the client's.
        """
        return self._lister.iter_runs(
            status,
            page_size=page_size,
            flow_name=flow_name,
            root_run_id=root_run_id,
            parent_run_id=parent_run_id,
            roots_only=roots_only,
            since=since,
            until=until,
            timeout=timeout,
        )

    # Waiting

    async def wait_run(
        self, run_id: str | UUID, *, timeout: float | None = None, progress: ProgressOption = False
    ) -> RunDetails:
        """Wait until a run ends and return it.

        Lost connections and a server that is started again are waited for too: within the timeout, or for two
        minutes where there is none.

        Args:
            run_id: The run.
            timeout: Seconds to wait; None waits as long as it takes.
            progress: Shows how far the run is, or is called with it, as for `run`.

        Raises:
            NotFoundError: If the server has no such run.
            RunTimeoutError: If the run has not ended in time. It continues.
            UnsupportedByServerError: If the run will not end: its server was started again and resumes none (0.9).
            TransportError: If the server is not there.
        """
        _check_progress(progress)
        if progress is False:
            run = await self._waiter.wait_run(run_id, timeout=timeout)
        else:
            run = await self._teller.wait_run(run_id, timeout, progress)
        self._recorder.seen(run.run_id, run.status)
        return run

    # Events

    def run_events(
        self,
        run_id: str | UUID,
        *,
        since: str | int | None = None,
        include_results: bool = False,
        include_sub_runs: bool = False,
        heartbeat: float | None = None,
    ) -> AsyncGenerator[RunEvent, None]:
        """Return an iterator over the events of a run, from its beginning or a cursor on, until the run ends.

        Each event comes exactly once and in order, though the connection may break in between: the client connects
        again by itself. The last event is a `RunCompletedEvent`. Servers send none for a run that was cancelled, nor
        for one that they lost (a failed recovery after a restart, an exhausted store): the client then infers it
        (`event.inferred`) about 13 s after the last event.

        Servers before 0.12 have no stream of events; there the client looks at the run again and again and infers
        what happened. From 0.10 to 0.11 steps show only when the run has ended, on 0.9 those of batches not at all.

        Example:
            ```python
            async for event in client.run_events(run_id):
                print(event.type, event.timestamp)
            ```

        Who leaves the loop early closes the stream at once with `contextlib.aclosing(client.run_events(...))`.

        Args:
            run_id: The run.
            since: The `cursor` of the last event that was handled, or a sequence number to begin with.
            include_results: Whether `StepCompletedEvent.output` is filled.
            include_sub_runs: Whether events of runs that steps created come too. Their step ids are not reliable
                (0.12 and 0.13 give the parent's, or none): `get_run_steps` of the sub-run tells them.
            heartbeat: Seconds without an event after which a `HeartbeatEvent` comes, again and again, so that what
                relays the events (a web page) can keep its own connection open. It may be late by the time that a
                request takes, for example while the server is away. None, the default: no heartbeats.

        Raises:
            InvalidArgumentError: At once, if an argument is wrong; while iterating, if `since` is the cursor of
                events that were asked for in another way.
            NotFoundError: If the server has no such run. This and what follows is raised while iterating.
            ServerConnectionError: If the server cannot be reached for a minute.
            UnsupportedByServerError: If the run will not end: its server was started again and resumes none (0.9).
        """
        return self._events.run_events(
            run_id, since=since, include_results=include_results, include_sub_runs=include_sub_runs, heartbeat=heartbeat
        )

    # Blobs

    async def store_blob(
        self, data: Any, *, filename: str | None = None, blob_type: str | None = None, timeout: float | None = None
    ) -> StoreBlobResponse:
        """Store a blob and return its id, the SHA-256 of its content.

        Args:
            data: Bytes, or any JSON value. JSON is kept exactly on every release.
            filename: A name to keep with it, for bytes in ASCII. Where the same content is stored twice, the last
                name holds.
            blob_type: For JSON: `data` (the default) or `flow`.
            timeout: Seconds, instead of the client's.

        Raises:
            InvalidArgumentError: If JSON cannot hold the value.
            UnsupportedByServerError: If the server has no blobs (0.9).
        """
        return await self._blobs.store_blob(data, filename=filename, blob_type=blob_type, timeout=timeout)

    async def get_blob(self, blob_id: str, *, timeout: float | None = None) -> BlobContent:
        """Return a blob: `data` is the JSON value, or `bytes` for a binary one.

        Raises:
            NotFoundError: If the server has no such blob.
            UnsupportedByServerError: If the server has no blobs (0.9).
        """
        return await self._blobs.get_blob(blob_id, timeout=timeout)

    # Running a run again

    def _rerunner(self) -> Rerunner:
        from .rerun import Rerunner

        return Rerunner(
            self._connection, self._flows, self._runs, self._blobs, self._recorder, self.submit, self.get_results
        )

    async def plan_rerun(
        self,
        run_id: str | UUID,
        *,
        from_step: str | None = None,
        failed: bool = False,
        only_missing: bool = False,
        variables: Variables | None = None,
        overrides: Any = None,
        flow: FlowSource | None = None,
        force: bool = False,
        timeout: float | None = None,
    ) -> RerunPlan:
        """Return what `rerun` would keep and execute; nothing is started. Arguments and errors as for `rerun`."""
        return await self._rerunner().plan_rerun(
            run_id,
            from_step=from_step,
            failed=failed,
            only_missing=only_missing,
            variables=variables,
            overrides=overrides,
            flow=flow,
            force=force,
            timeout=timeout,
        )

    async def rerun(
        self,
        run_id: str | UUID,
        *,
        from_step: str | None = None,
        failed: bool = False,
        only_missing: bool = False,
        input: Any = NOT_GIVEN,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        overrides: Any = None,
        flow: FlowSource | None = None,
        force: bool = False,
        timeout: float | None = None,
    ) -> RerunResult:
        """Run a finished run again, keeping outputs of steps, and return all results.

        A kept step is not executed: it gives the output that it gave in the earlier run. Kept outputs can be read on
        0.12 and newer, and on 0.9 for runs of one item. Everywhere `failed` alone works: where outputs cannot be read,
        the failed items are executed as a whole. The server's builtin components must be at `/builtin`.

        No server gives back variables, and those from 0.12 on neither input nor overrides. A client with a `history`
        takes the recorded ones over: the input where none is given, variables and overrides below those that are given.
        Values of secret variables are not recorded. Without a history, give all of them again. Kept steps keep what
        they made of the earlier ones.

        Example:
            ```python
            again = await client.rerun(run_id, from_step="summarise", input=document, overrides=changes)
            print(again.result.output)
            ```

        Args:
            run_id: The earlier run.
            from_step: Execute this step and all that read it, directly or through others; keep what else completed.
            failed: Only the items that did not succeed. Without `from_step` their completed steps are kept.
            only_missing: Keep every completed step, of all items: execute those that failed or have been added.
            input: The input of the earlier run; for a batch the list of all its inputs. It may be left out if nothing
                that is executed reads it, or if it is recorded.
            variables: Values of the flow's variables, as for `run`.
            variables_from_env: Fill missing variables from the environment, as for `run`.
            overrides: Changes to steps that are executed, as for `run`.
            flow: A changed flow; None takes that of the run.
            force: Keep steps whose definition has changed or that are overridden.
            timeout: Seconds for the whole call; None waits as long as it takes.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has not ended.
            InvalidArgumentError: If the flow has no such step, the input is needed or is not that of the batch, a kept
                step has changed, or a secret variable of the recorded run is needed and not given again.
            UnsupportedByServerError: If the server does not give back the outputs of steps: 0.10 and 0.11, and 0.9 for
                batches.
            RunTimeoutError: If it has not ended in time. The runs go on.
        """
        return await self._rerunner().rerun(
            run_id,
            from_step=from_step,
            failed=failed,
            only_missing=only_missing,
            input=input,
            variables=variables,
            variables_from_env=variables_from_env,
            overrides=overrides,
            flow=flow,
            force=force,
            timeout=timeout,
        )

    # Comparing runs

    async def compare_runs(
        self, a: str | UUID, b: str | UUID, *, ignore: str | Iterable[str] = (), timeout: float | None = None
    ) -> RunComparison:
        """Return where two runs differ: status, flow, and of each item the steps' outputs, its output and errors.

        Both runs are on this server. Inputs, variables and overrides are not compared, since servers do not give them
        back; the steps show what came of them. Outputs of steps are compared on 0.12 and newer, and on 0.9. A run that
        has not ended is compared as it stands.

        Example:
            ```python
            compared = await client.compare_runs(before, after, ignore="$.steps.*.output.time")
            for each in compared.differences:
                print(each.path, each.a, each.b)
            ```

        Args:
            a: The first run.
            b: The second run.
            ignore: Paths that are left out with all below them, as differences name them; `*` is any key or index.
            timeout: Seconds for the whole call; None sets no limit beyond the client's for each request.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If a path of `ignore` is malformed.
            RequestTimeoutError: If the time is over.
        """
        from .comparing import RunComparer

        comparer = RunComparer(self._connection, self._runs, self._blobs)
        return await comparer.compare_runs(a, b, ignore=ignore, timeout=timeout)


def _check_progress(progress: object) -> None:
    # Who shows none does not pay for the import.
    if progress is not False:
        from .._display.progress import check_progress

        check_progress(progress)
