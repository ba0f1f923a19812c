"""The asynchronous client."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack

from .. import types
from .._base.client_pickling import Picklable
from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN, NotGiven
from .._base.suggestions import SuggestsNames, reject_unknown_arguments, with_argument_suggestions
from .._codec import call_checks, output_types, responses
from .._codec.call_checks import FlowId, RunCall, RunId, Variables
from .._concurrency import async_shield
from .._data.arguments import check_choice, check_flag, check_flags, check_seconds
from .._data.json_encoding import StoredFlowId
from .._http import settings as _settings
from .._http.async_socket import AsyncCancelled
from .._http.settings import Token
from .._rules.deadlines import call_scope, compute_deadline, deadline_scope
from .._rules.retries import RetryPolicy, resolve_retry_policy
from .._telemetry.history_recorder import Recorder
from .._telemetry.tracing import is_untraced
from ..errors import FlowFileError, StepflowClientError
from ..flows.reading import FlowSource, load_flow, resolve_flow_argument
from ..types.model_base import register_ipython_list_formatter
from ..types.statuses import ExecutionStatus
from .client_context import ClientContext
from .connection import Connection, ConnectionSettings

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

    import httpx
    from pydantic import TypeAdapter
    from stepflow_api import Client

    from .._calls import method_options, rerun_plan
    from .._calls.method_options import ClientOptions, PlanOptions, RerunOptions, RunFilters, SubmitOptions
    from .._rules.chunks import RetryOn
    from ..history import History
    from ..logs import LogEntry
    from ..progress import ProgressOption
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
    from ..types.reruns import KeepOption, RerunPlan, RerunResult, RunComparison
    from ..types.run_explanation import RunAccount
    from ..types.runs import RunSnapshot, SnapshotPart
    from . import following, idempotency, rerun, run_caching, run_creation, snapshot_reader, streams, waiting, watching
    from .run_handle import RunHandle
    from .streams import EventStream, OutcomeStream, RunPager

    Start = Callable[..., Awaitable[responses.StartedRun]]
    """Creates a run."""
else:
    method_options = lazy_module("stepflow_client._calls.method_options")
    rerun_plan = lazy_module("stepflow_client._calls.rerun_plan")
    run_caching = lazy_module("stepflow_client._async.run_caching")
    following = lazy_module("stepflow_client._async.following")
    idempotency = lazy_module("stepflow_client._async.idempotency")
    rerun = lazy_module("stepflow_client._async.rerun")
    run_creation = lazy_module("stepflow_client._async.run_creation")
    snapshot_reader = lazy_module("stepflow_client._async.snapshot_reader")
    streams = lazy_module("stepflow_client._async.streams")
    waiting = lazy_module("stepflow_client._async.waiting")
    watching = lazy_module("stepflow_client._async.watching")

Run = TypeVar("Run", "responses.StartedRun", "FlowResult[Any]")


class StepflowClient(SuggestsNames, Picklable):
    """A client for a Stepflow server's HTTP API.

    Example:
        ```python
        async with StepflowClient("http://localhost:7837") as client:
            result = await client.run("workflow.yaml", {"name": "World"})
            print(result.unwrap())
        ```

    The client sends no requests until the first call. Tasks in the same event loop can share a client.

    Clients can be pickled and copied. A copy has the same settings and opens its own connections on first use. If you
    pass a token or password as text, the pickle contains it. If you pass a callable, an `httpx.Auth` or a transport, it
    has to be picklable itself. Copies made with the `copy` module share any custom transport.

    Args:
        base_url: The server's URL, as `http://host:port` (with or without `/api/v1`, and with a path prefix if it's
            behind a proxy) or `host:port`. A user and password in the URL are sent as basic authentication. Can also be
            a list of servers that share one store: requests that are safe to repeat then fail over to the next server,
            a server that's down is skipped for a while, and `strategy` decides which server gets new runs. Credentials
            in one server's URL are never sent to another server. Defaults to the URL of `stepflow serve`.
        timeout: Timeout in seconds for each phase of a request (connecting, sending, each read). Can also be an
            `httpx.Timeout` that limits every phase, or None for no limit. It doesn't limit how long a run takes or how
            long it takes to receive a whole response (to do that, pass `timeout` to the method). Defaults to 30.
        headers: Headers to send with every request.
        auth: A bearer token, a callable that returns one (it may be a coroutine function), a (user, password) pair, or
            an `httpx.Auth`. Takes precedence over credentials in URLs, and is sent to every server in a list. Waiting
            for the callable counts toward the timeout.
        verify: Whether to verify the certificates of https servers, or which CA certificates to trust: True (the ones
            in SSL_CERT_FILE or SSL_CERT_DIR, or else certifi's), False, a certificate file or folder, or an
            `ssl.SSLContext`.
        cert: The client certificate: a file, a (file, key file) pair, or (file, key file, password).
        proxy: The proxy's URL or `host:port`. Defaults to HTTP_PROXY, HTTPS_PROXY and ALL_PROXY from the environment.
            NO_PROXY lists the servers to connect to directly, as names, addresses or networks with an optional port.
        limits: The limits of the connection pool. Defaults to 256 connections, with idle connections reused for up to
            30 s (or 5 s if you pass an `httpx.Limits` that doesn't set `keepalive_expiry`).
        transport: A transport to use instead of the default one, such as an `httpx.MockTransport`. If it hangs, the
            request still times out.
        server_release: The server's release, e.g. `0.13.0`. Setting it saves the request that would otherwise detect
            it. If it's wrong, the client can't read the server's responses. Detected by default.
        strategy: How to choose a server from a list for each new run. `failover` (the default) sticks with one server
            and moves on to the next if it fails. `spread` picks the available server where this client is waiting for
            the fewest runs, alternating if there's a tie.
        retry: When to retry requests, as a `RetryPolicy`, or the maximum number of retries per request. Defaults to
            `RetryPolicy()`.
        exact_integers: Whether to reject integers beyond 2**53 in inputs and variables, rather than send them, if the
            server would change them (as 0.12 and newer do). Defaults to True.
        max_response_bytes: Maximum size in bytes of a response, or of a single event in `run_events` (never more than
            256 MiB). Anything larger raises an InvalidResponseError, so that a single response can't use up all the
            memory. Defaults to 1 GiB, which is more than servers ever send.
        history: The `stepflow_client.history.History` in which to record this client's runs: their inputs, variables
            and overrides, and how they ended. Recording happens during the call and usually takes less than a
            millisecond. By default, runs aren't recorded.
        idempotency_scope: The default scope for idempotency keys (see `run`). By default (None), each key is tied to
            the flow's content.
        event_hooks: Functions to call with each `httpx.Request` before it's sent and with each `httpx.Response`, as
            `{"request": [...], "response": [...]}`, just like in httpx. Each hook (it may be a coroutine function) is
            called again on every retry. Request hooks can change the request's headers, but nothing else. The response
            is read before its hooks are called, except for event streams, where hooks only see the status and headers.
            If a hook raises anything other than an AssertionError or StepflowClientError, the call raises a
            StepflowClientError with that exception as its `__cause__`.

    Raises:
        InvalidArgumentError: If a setting is invalid.
    """

    @with_argument_suggestions
    def __init__(
        self,
        base_url: str | httpx.URL | Sequence[str | httpx.URL] = "http://localhost:7837",
        timeout: float | httpx.Timeout | None = 30.0,
        *,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | Token | tuple[str, str] | None = None,
        verify: bool | str | ssl.SSLContext = True,
        cert: str | tuple[str, ...] | None = None,
        proxy: str | httpx.URL | httpx.Proxy | None = None,
        limits: httpx.Limits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        server_release: str | None = None,
        strategy: Literal["failover", "spread"] = "failover",
        retry: RetryPolicy | int | None = None,
        exact_integers: bool = True,
        max_response_bytes: int = 1024**3,
        history: History | None = None,
        idempotency_scope: str | None = None,
        event_hooks: Mapping[str, Sequence[Callable[[Any], Any]]] | None = None,
    ) -> None:
        """Store the settings. No request is sent."""
        # Call this first, while `locals()` still contains only the arguments.
        self._store_arguments(StepflowClient, locals())
        register_ipython_list_formatter()
        settings = ConnectionSettings(**{name: self._init_arguments[name] for name in ConnectionSettings._fields})
        self._connection = Connection(settings._replace(retry=resolve_retry_policy(retry)))
        if idempotency_scope is not None:
            from .._codec.idempotency_marker_blobs import check_key

            check_key(idempotency_scope, "idempotency_scope")
        self._server_logs: Callable[[int], list[LogEntry]] | None = None
        """Returns the last lines of the server's log, or None unless the server belongs to a runtime."""
        self._recorder = Recorder(history, self._connection.url)
        exact = check_flag(exact_integers, "exact_integers")
        self._services = Services(self._connection, self._recorder, exact, idempotency_scope)
        self._runs = self._services.runs

    def _find_older_flow_of_keyed_run(self, run_id: str) -> str | None:
        """If a run was found under a key but used a different version of the flow, return the ID of that version."""
        return self._services.keyed_runs.older_flows.get(run_id) if "keyed_runs" in vars(self._services) else None

    @classmethod
    @with_argument_suggestions
    def from_env(
        cls,
        base_url: str | httpx.URL | Sequence[str | httpx.URL] | None = None,
        timeout: float | httpx.Timeout | NotGiven | None = NOT_GIVEN,
        *,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | Token | tuple[str, str] | None = None,
        verify: bool | str | ssl.SSLContext = True,
        cert: str | tuple[str, ...] | None = None,
        proxy: str | httpx.URL | httpx.Proxy | None = None,
        limits: httpx.Limits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        server_release: str | None = None,
        strategy: Literal["failover", "spread"] = "failover",
        retry: RetryPolicy | int | None = None,
        exact_integers: bool = True,
        max_response_bytes: int = 1024**3,
        history: History | None = None,
        idempotency_scope: str | None = None,
        event_hooks: Mapping[str, Sequence[Callable[[Any], Any]]] | None = None,
    ) -> Self:
        """Create a client from environment variables.

        Reads STEPFLOW_URL (default `http://localhost:7837`), STEPFLOW_TOKEN and STEPFLOW_TIMEOUT (in seconds). The
        other settings are the same as for the class.

        Args:
            base_url: The server's URL, or a list of URLs. Defaults to STEPFLOW_URL.
            timeout: Timeout in seconds for each phase of a request, or None for no limit. Defaults to STEPFLOW_TIMEOUT,
                or else 30.
            headers: Headers to send with every request.
            auth: The credentials. Defaults to STEPFLOW_TOKEN.
            verify: Whether to verify https servers, or which CA certificates to trust.
            cert: The client certificate.
            proxy: The proxy's URL.
            limits: Connection pool limits.
            transport: A transport to use instead of the default one.
            server_release: The server's release, if known.
            strategy: How to choose a server from a list for each new run.
            retry: A retry policy, or the maximum number of retries.
            exact_integers: Whether to reject integers that the server would change.
            max_response_bytes: Maximum size in bytes of a response, or of an event in `run_events`.
            history: The history in which to record runs.
            idempotency_scope: Default scope for idempotency keys.
            event_hooks: Functions to call with each request and response.

        Raises:
            InvalidArgumentError: If a setting is invalid.
        """
        # Call this first, while `locals()` still contains only the arguments.
        arguments = dict(locals())
        del arguments["cls"]
        for name, default in (("base_url", None), ("auth", None), ("timeout", NOT_GIVEN)):
            if arguments[name] is default:
                del arguments[name]
        return cls(**_settings.read_environment_settings(os.environ) | arguments)

    @property
    def url(self) -> str:
        """The server's root URL, without `/api/v1` or credentials."""
        return self._connection.url

    @property
    def history(self) -> History | None:
        """The history where this client records its runs, if any."""
        return self._recorder.history

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy that the client uses (without its password), or None if it doesn't use one.

        Either the `proxy` argument, or the environment's proxy for this server.
        """
        return self._connection.proxy

    @property
    def api(self) -> Client:
        """The generated client, for use with `stepflow_api` (`get_run.asyncio_detailed(client=client.api, ...)`).

        Shares this client's connections, credentials, headers, hooks and timeout.
        """
        return self._connection.api

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """Return a client with different defaults for call options and with additional headers.

        Example:
            ```python
            patient = client.with_options(timeout=300, variables={"tone": "formal"})
            result = await patient.run("workflow.yaml", {"name": "World"})
            letters = client.with_options(headers={"x-tenant": "letters"})
            ```

        The new client shares its connections, caches and history with this one, so closing either of them closes both.
        The options also apply to `start_run` and to handles.

        Args:
            **options: Any option of `run` (except `output_type`) or `submit`, plus `max_attempts` and `retry_on` from
                `map`. Methods ignore any options that they don't accept. An argument passed to a call replaces the
                option, except that `variables` and `labels` are merged. `headers` are sent with every request,
                including those made through `api`, in addition to this client's own.

        Raises:
            InvalidArgumentError: If an option doesn't exist.
        """
        return method_options.bind_options(self, options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client's connections. The client can't be used afterwards, but runs on the server continue."""
        await self._connection.close()

    # The server

    async def health_check(
        self, *, include_workers: bool = False, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> HealthResponse:
        """Return the server's health. Its `status` is `healthy`.

        A server is healthy even if its workers aren't connected. To make sure they are, set `include_workers` or call
        `wait_ready` before the first run.

        Args:
            include_workers: Whether to also look for plugins without a connected worker (0.12 and newer). This takes up
                to 5 s for each of them. Defaults to False.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            ServerConnectionError: If the server can't be reached.
            InvalidResponseError: If the response isn't from a Stepflow server.
        """
        check_flag(include_workers, "include_workers")
        with call_scope(timeout):
            answer = await self._connection.request_health()
            health = responses.build_from_response(responses.read_health, answer, "GET /health")
            if not include_workers:
                return health
            listed = await self._connection.list_components(include_schemas=False)
        return replace(health, failed_plugins=listed.failed_plugins)

    async def wait_ready(self, components: str | Iterable[str] = (), *, timeout: float | None = 60.0) -> ComponentList:
        """Wait until the server responds and its workers are connected.

        Servers accept runs before their workers have connected, but those runs wait for the workers and eventually fail
        (after 30 s on 0.13).

        Example:
            ```python
            await client.wait_ready(["/python/summarize"], timeout=30)
            ```

        Args:
            components: Paths of the components that you need. Plugins that don't provide any of them are ignored. By
                default, waits for the workers of every plugin.
            timeout: Overall timeout in seconds, or None for no limit. Defaults to 60.

        Returns:
            The components, without their schemas.

        Raises:
            RequestTimeoutError: If the timeout expires. The message says what's missing.
            ServerConnectionError: If the server still can't be reached when the timeout expires.
            AuthenticationError: If the server rejects the credentials.
            InvalidResponseError: If the response isn't from a Stepflow server.
        """
        from .component_readiness import wait_until_components_listed

        return await wait_until_components_listed(self._connection, components, timeout)

    async def server_info(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ServerInfo:
        """Return the server's release and capabilities. The client requests them only once.

        Args:
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.
        """
        with call_scope(timeout):
            fields = (await self._connection.detect_server())._asdict()
            del fields["needs_translation"]
            return types.ServerInfo(**fields)

    async def list_components(
        self, *, include_schemas: bool = True, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> ComponentList:
        """Return the components that flows can use.

        Servers don't report the route prefix of a plugin, so `path` is None unless the client belongs to a
        `StepflowRuntime` (`runtime.client`, `runtime.sync_client`), which knows the routes from its own configuration.

        Args:
            include_schemas: Whether to include input and output schemas. Defaults to True.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Returns:
            The components. `failed_plugins` lists the plugins that didn't respond to the server.
        """
        check_flag(include_schemas, "include_schemas")
        with call_scope(timeout):
            return await self._connection.list_components(include_schemas=include_schemas)

    # Running flows

    async def run(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        max_concurrency: int | None = None,
        timeout: float | None = None,
        private_copy: bool = False,
        idempotency_key: str | None = None,
        idempotency_scope: str | None = None,
        wait_for_components: bool | float = False,
        on_cancel: Literal["detach", "cancel"] = "detach",
        check_input: bool = True,
        progress: ProgressOption = False,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
        cache: ResultCache | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> FlowResult[OutputT]:
        """Run a flow on one input and return the result. A failed run doesn't raise an exception, so check the result.

        Example:
            ```python
            result = await client.run("workflow.yaml", {"name": "World"}, timeout=60)
            if result.is_success:
                print(result.output)
            else:
                print(result.error.message)
            ```

        Args:
            flow: The path of a YAML or JSON file, or the flow itself: a mapping, pydantic model, dataclass, attrs
                object, msgspec struct or the result of `get_flow`. The client stores it on the server first, but only
                once. Can also be a stored flow: the result of `store_flow`, or an ID, i.e. a string of 64 lowercase
                hexadecimal digits (unless there's a file with that name).
            input: The input, as any JSON value. It can contain pydantic models, dataclasses, attrs objects and msgspec
                structs. A list is a batch, and this method only accepts batches with a single input. To pass a list as
                that input, write `[[1, 2]]`.
            overrides: Changes to steps, just for this run (see `create_run`).
            variables: The flow's variables, as a mapping or the path of a YAML or JSON file containing one.
            variables_from_env: Whether to read missing variables from the environment (see `create_run`). Defaults to
                False.
            max_concurrency: Maximum number of tasks that the run executes at once (see `create_run`).
            timeout: Overall timeout in seconds, including the time it takes to store the flow and create the run. No
                limit by default.
            private_copy: Whether to store a copy of the flow just for this call, so that the run can always be
                identified if the response is lost. This costs one more request. Otherwise, all calls by this client
                share a copy that no other client runs, and a lost run can be identified unless another call loses a run
                of the same flow at the same time. Defaults to False.
            idempotency_key: A key of your choice, such as a document's ID. If a run of this flow already exists under
                the key, that run is returned, no matter which process created it. Keys last as long as the server's
                store. Requires the flow itself rather than its ID. Different flows can use the same key. If you change
                the flow, its old keys no longer apply, unless you pass an `idempotency_scope`. The first call with a
                new key makes up to nine additional small requests. Simultaneous calls with the same key return the same
                run, even across programs. If an earlier call crashed after possibly creating the run, the next call
                waits for that call's lease to expire, which usually takes 7 s.
            idempotency_scope: A name for the kind of thing that the key identifies, such as `ticket`. Within a scope, a
                key identifies one run regardless of the flow. If the existing run used a different version of the flow,
                the client logs this and sets the result's `older_flow_id`. Defaults to the client's scope. Without a
                scope, the key is tied to the flow's content.
            wait_for_components: Whether to wait for the components that the flow and its sub-flows need before creating
                the run (which would fail if a worker hasn't connected yet). True waits for up to 60 s, or you can pass
                a number of seconds. `timeout` still applies. The client doesn't wait again for components that it has
                already seen. Defaults to False.
            on_cancel: What to do with the run if the task is cancelled (in the sync client: on a KeyboardInterrupt).
                `detach` (the default) leaves it running. `cancel` marks it as cancelled if its ID is known by then.
            check_input: Whether to check the input and variables against the flow's schemas before sending anything,
                because servers don't check them. If you pass a flow's ID, they're only checked if this client has
                stored the flow or read its variables. Defaults to True.
            progress: True to show the run's progress: in a notebook, as a bar on a terminal (using rich or tqdm, if
                installed), or otherwise as a line every ten seconds. Can also be a function to call with a `Progress`
                every half second, after events, and at the end. If the function raises an exception, the call raises it
                too, but the run continues. Defaults to False.
            output_type: The output's type: a pydantic model, a dataclass, an attrs class or a TypedDict. The result is
                then a `FlowResult[output_type]` whose output is an instance of that type if the run succeeds.
            cache: A result cache. If it contains the result of an earlier run with the same flow, input, variables and
                overrides, that result is returned without sending a request, with `cached_at` set and the `run_id` of
                the earlier run. Otherwise, the flow runs, and its result is cached if the run succeeds. If several
                calls by this client need the same result at the same time, they share one run, even if it fails. If the
                call running the flow is cancelled or times out, another call runs the flow again. To run a flow only
                once across clients and processes, use `idempotency_key` instead (it can't be combined with a cache).
            labels: Labels for finding the run later, as a mapping of names to values. They're stored in the client's
                `history`, just like labels from `stepflow run --label`.

        Returns:
            The result. `is_success` is True if the run completed.

        Raises:
            OutputTypeError: If the run succeeds but its output doesn't match `output_type`. Its `details` list the path
                and message of each mismatch.
            FlowFileError: If a file can't be read.
            InvalidArgumentError: If an argument is invalid, e.g. an override for a step or key that the flow doesn't
                have, or if a required variable is missing.
            IdempotencyConflictError: If there's already a run under the idempotency key, but with a different input,
                overrides or variables (secret variables aren't compared). `run_id` is the ID of that run.
            InvalidFlowError: If the server rejects the flow.
            InvalidRequestError: If the server rejects an override.
            NotFoundError: If there's no flow with this ID on the server.
            AmbiguousRunError: If the response was lost or arrived too late, and the run can't be identified.
            RunTimeoutError: If the run doesn't end in time. The run itself continues, and `run_id` is its ID.
            TransportError: If the server can't be reached or the connection breaks. If `timeout` expires before the run
                has been created, this is a RequestTimeoutError.
        """
        began, deadline = time.monotonic(), None if timeout is None else compute_deadline(timeout)
        if isinstance(input, (list, tuple)):
            call_checks.reject_multiple_inputs(input)
        if output_type is not None:
            output_types.check_output_type(output_type)
        if progress is not False:
            _check_progress(progress)
        # Skip checks for arguments left at their defaults: this is the hot path.
        if variables_from_env is not False or private_copy is not False or check_input is not True:
            check_flags(variables_from_env=variables_from_env, private_copy=private_copy, check_input=check_input)
        if on_cancel != "detach":
            check_choice(on_cancel, "on_cancel", ("detach", "cancel"))
        call = RunCall(
            flow,
            input,
            overrides,
            variables,
            variables_from_env,
            max_concurrency,
            check_input,
            private_copy,
            idempotency_key,
            idempotency_scope,
            None if wait_for_components is False else self._make_wait_function(flow, overrides, wait_for_components),
        )
        creator = self._services.creator if idempotency_key is None else self._services.keyed_runs
        # We need the run's ID right away to be able to cancel it, so don't let the server hold the request.
        hold = None if on_cancel == "cancel" else self._connection.timings.creation_hold
        run = partial(self._start_and_wait_for_result, creator.start_run, hold, began, progress)
        running = partial(run, call) if cache is None else partial(self._services.cached_runs.run, cache, call, run)
        is_plain = deadline is None and labels is None and is_untraced()
        result = await (running() if is_plain else self._call_with_labels_in_span("run", deadline, running, labels))
        if result.error is not None and result.older_flow_id is None:
            result = _hint_failed_result(result, flow, input, overrides, variables)
        return result if output_type is None else output_types.convert_output(result, output_type)

    async def _call_with_labels_in_span(
        self, name: str, deadline: float | None, call: Callable[[], Awaitable[Run]], labels: Mapping[str, str] | None
    ) -> Run:
        """Make a call under its labels, deadline and tracing span."""
        traced = self._connection.trace_operation(name, kind="INTERNAL")
        with self._recorder.labeling_new_runs(labels), deadline_scope(deadline), traced as span:
            started = await call()
            span.record_attributes(run_id=started.run_id, run_status=started.status.value if name == "run" else None)
            return started

    async def _start_and_wait_for_result(
        self, start: Start, hold: int | None, began: float, progress: ProgressOption, call: RunCall
    ) -> FlowResult:
        """Start a run, wait for it and return its result.

        If the caller is cancelled and `hold` is None, cancel the run.
        """
        run = await start(call, hold)
        try:
            if progress is False:
                result = responses.read_immediate_result(run, self._connection.get_output_decoder(run.run_id))
                if result is None:
                    result = await self._services.waiter.wait_for_result(run)
            else:
                result = await self._services.watcher.wait_for_result(run, began, progress)
        except AsyncCancelled:
            if hold is None:
                # Limit how long a cancelled call takes to cancel its run.
                until = time.monotonic() + self._connection.timings.cancel_limit
                with suppress(StepflowClientError), deadline_scope(until, overrides_outer=True), async_shield():
                    await self.cancel_run(run.run_id)
            raise
        except StepflowClientError as error:
            error.run_id = error.run_id or run.run_id
            raise
        if self._recorder.is_on or not is_untraced():
            self._recorder.record_end(run.run_id, result.status)
        if run.older_flow_id is not None:
            result = replace(result, older_flow_id=run.older_flow_id)
        return result

    def _make_wait_function(
        self, flow: FlowSource, overrides: Any, wait_for_components: bool | float
    ) -> Callable[[], Awaitable[None]]:
        """Return a function that waits until the flow's components are available."""
        seconds = self._connection.timings.ready_limit
        if wait_for_components is not True:
            seconds = check_seconds(wait_for_components, "wait_for_components")
        from .component_readiness import wait_for_flow_components

        return partial(wait_for_flow_components, self._connection, self._services.flows, flow, overrides, seconds)

    async def submit(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        max_concurrency: int | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
        private_copy: bool = False,
        idempotency_key: str | None = None,
        idempotency_scope: str | None = None,
        wait_for_components: bool | float = False,
        check_input: bool = True,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Start a flow and return its run ID, without waiting for the run to end.

        Example:
            ```python
            run_id = await client.submit("workflow.yaml", [{"n": 1}, {"n": 2}], max_concurrency=2)
            results = await client.get_results(run_id)
            ```

        Args:
            flow: The flow or a stored flow's ID, as for `run`.
            input: The input, as any JSON value. A list is a batch, and an empty list creates a run without items (0.11
                and newer).
            overrides: Changes to steps, just for this run (see `create_run`).
            variables: The flow's variables, as a mapping or the path of a YAML or JSON file containing one.
            variables_from_env: Whether to read missing variables from the environment (see `create_run`). Defaults to
                False.
            max_concurrency: Maximum number of tasks that the run executes at once (see `create_run`).
            timeout: Overall timeout in seconds (including the time to store the flow and create the run), or None for
                no limit. By default, the client's timeout applies to each request.
            private_copy: Whether to store a copy of the flow just for this run (see `run`). Defaults to False.
            idempotency_key: A key for the run. If a run already exists under the key, that run is returned (see `run`).
            idempotency_scope: A name for the kind of thing that the key identifies, regardless of the flow's version
                (see `run`).
            wait_for_components: Whether to wait for the flow's components first (see `run`). Defaults to False.
            check_input: Whether to check the input (or each input in a batch) and the variables against the flow's
                schemas before sending anything (see `run`). Defaults to True.
            labels: Labels for finding the run later, as a mapping of names to values. They're stored in the client's
                `history`, just like labels from `stepflow run --label`.

        Returns:
            The run's ID, a UUID string.

        Raises:
            FlowFileError: If a file can't be read.
            InvalidArgumentError: If an argument is invalid, e.g. an override for a step or key that the flow doesn't
                have, or if a required variable is missing.
            IdempotencyConflictError: If there's already a run under the idempotency key, but with a different input,
                overrides or variables (secret variables aren't compared). `run_id` is the ID of that run.
            InvalidFlowError: If the server rejects the flow.
            InvalidRequestError: If the server rejects an override.
            NotFoundError: If there's no flow with this ID on the server.
            AmbiguousRunError: If the response was lost or arrived too late, and the run can't be identified.
            TransportError: If the server can't be reached or the connection breaks. If `timeout` expires before the run
                has been created, this is a RequestTimeoutError.
            UnsupportedByServerError: If the input is an empty list and the server is older than 0.11.
        """
        run = await self._start_without_handle(
            flow,
            input,
            overrides,
            variables=variables,
            variables_from_env=variables_from_env,
            max_concurrency=max_concurrency,
            timeout=timeout,
            private_copy=private_copy,
            idempotency_key=idempotency_key,
            idempotency_scope=idempotency_scope,
            wait_for_components=wait_for_components,
            check_input=check_input,
            labels=labels,
        )
        return run.run_id

    async def start_run(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> RunHandle[OutputT]:
        """Start a flow and return a handle to its run, without waiting for the run to end.

        Example:
            ```python
            handle = await client.start_run("workflow.yaml", {"name": "World"})
            result = await handle.result(timeout=60)
            ```

        Args:
            flow: The flow or a stored flow's ID, as for `run`.
            input: The input, as for `submit`.
            overrides: Changes to steps, just for this run (see `create_run`).
            output_type: The output's type, as for `run`. It applies to the handle's results.
            **options: The same options as for `submit`.

        Returns:
            A handle whose `run_id` is the run's ID, and whose methods read the run.

        Raises:
            StepflowClientError: The same errors as `submit`.
        """
        reject_unknown_arguments(options, ("flow", "input", "output_type", *method_options.OPTION_NAMES["submit"]))
        if output_type is not None:
            output_types.check_output_type(output_type)
        # With a hold of 0, the response includes the result if the run ends at once. Don't do this for batches, because
        # they may have many items.
        is_single = not isinstance(input, (list, tuple)) or len(input) == 1
        run = await self._start_without_handle(flow, input, overrides, hold=0 if is_single else None, **options)
        return self.handle(run.run_id, output_type)._remember_start(flow, run)

    async def _start_without_handle(
        self,
        flow: FlowSource,
        input: Any,
        overrides: Any,
        *,
        hold: int | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
        wait_for_components: bool | float = False,
        labels: Mapping[str, str] | None = None,
        check_input: bool = True,
        **options: Any,
    ) -> responses.StartedRun:
        """Start a flow and return the server's response, which may be held for `hold` seconds."""
        call = RunCall(flow, input, overrides, check_input=check_input, **options)
        check_flags(variables_from_env=call.variables_from_env, private_copy=call.private_copy, check_input=check_input)
        if wait_for_components is not False:
            call = call._replace(ready=self._make_wait_function(flow, overrides, wait_for_components))
        creator = self._services.creator if call.idempotency_key is None else self._services.keyed_runs
        with call_scope(timeout, limits_requests=False):
            return await self._call_with_labels_in_span("submit", None, partial(creator.start_run, call, hold), labels)

    def handle(
        self, run_id: RunId, output_type: type[OutputT] | TypeAdapter[OutputT] | None = None
    ) -> RunHandle[OutputT]:
        """Return a handle to a run. No request is sent, so the run doesn't even need to exist.

        Args:
            run_id: The run.
            output_type: The output's type, as for `run`.

        Raises:
            InvalidArgumentError: If `run_id` isn't a run ID, or if outputs can't be converted to `output_type`.
        """
        from .run_handle import RunHandle

        return RunHandle(self, run_id, output_type)

    async def find_run(
        self,
        flow: FlowSource | None = None,
        *,
        idempotency_key: str,
        idempotency_scope: str | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> RunDetails | None:
        """Return the run that `run` or `submit` created with this `idempotency_key` (in any process), or None.

        Example:
            ```python
            if await client.find_run("workflow.yaml", idempotency_key="doc-42") is None:
                print("doc-42 was not processed yet")
            ```

        Args:
            flow: The flow itself (not its ID), exactly as passed to `run`, with its keys in the same order. To find the
                ID of the flow's copy for this key, the client stores that copy but doesn't run it. Not needed with a
                scope.
            idempotency_key: The key.
            idempotency_scope: The key's scope, as for `run`. The run may have used any version of the flow, so check
                its `flow_id`. Defaults to the client's scope, if it has one.
            timeout: Overall timeout in seconds, or None for no limit. By default, the client's timeout applies to each
                request.

        Raises:
            FlowFileError: If the flow's file can't be read.
            InvalidArgumentError: If an argument is invalid.
            InvalidFlowError: If the server rejects the flow.
            TransportError: If the server can't be reached.
        """
        with call_scope(timeout, limits_requests=False):
            return await self._services.keyed_runs.find_run(flow, idempotency_key, idempotency_scope)

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
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
        check_input: bool = True,
        max_attempts: int | None = None,
        retry_on: RetryOn | None = None,
        idempotency_key: Callable[[Any], str | None] | None = None,
        idempotency_scope: str | None = None,
        journal: str | os.PathLike[str] | None = None,
        on_lost: Literal["fail", "rerun"] = "fail",
        on_cancel: Literal["detach", "cancel"] = "detach",
        timeout: float | None = None,
        progress: ProgressOption = False,
        total: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> OutcomeStream[OutputT]:
        """Run a flow on any number of inputs, yielding one outcome per input.

        Inputs are only read when there's room for them, so `inputs` can be endless, and neither inputs nor outcomes
        pile up in memory. Consecutive inputs form a chunk, which is executed as one run. Usually, up to four chunks are
        in flight (or four per server, with `strategy="spread"`). No input is read while the caller processes a chunk's
        outcomes. If `inputs` raises an exception, it's re-raised here after all outcomes of the inputs read so far.

        Example:
            ```python
            async with client.map("workflow.yaml", inputs, journal="batch.journal") as outcomes:
                async for outcome in outcomes:
                    print(outcome.index, outcome.status, outcome.output)
            ```

        Args:
            flow: The flow, as for `run`, but not a stored flow's ID.
            inputs: An iterable or async iterable of inputs. Each can be any JSON value, including a list. An input that
                can't be represented in JSON fails on its own, without a run. If you can't read an input, pass the
                exception in its place, and it fails in the same way. A chunk isn't started until it's full, so use a
                `chunk_size` of 1 if inputs arrive slowly.
            max_concurrency: Maximum number of tasks to execute at once across all chunks. By default, the server
                decides: ten per run, except on 0.10.
            chunk_size: Maximum number of inputs per run. By default, this adapts to the server, with up to 400 inputs
                in chunks that should take about one second.
            ordered: Whether to yield outcomes in input order. A slow chunk then holds up at most seven others (or, with
                several servers, one fewer than are in flight). Defaults to False.
            on_error: `yield` (the default) yields unsuccessful outcomes like any other, while `raise` stops at the
                first one.
            variables: The flow's variables for all inputs, as for `run`.
            variables_from_env: Whether to read missing variables from the environment, as for `run`. Defaults to False.
            overrides: Changes to steps for all inputs, as for `run`.
            output_type: The type of the outputs, as for `run`. If an output doesn't match, its outcome is a failure
                with the code `invalid_output`, and `unwrap` raises the OutputTypeError.
            check_input: Whether to check the variables and each input against the flow's schemas. An input that doesn't
                match fails on its own, with the code `invalid_input` and without a run. Defaults to True.
            max_attempts: Maximum number of times to run an input that fails. Each additional attempt runs the chunk's
                failed inputs again after a delay of about 1, 2, 4 ... 30 seconds. The chunk's outcomes are yielded
                after the last attempt. By default, each input runs once.
            retry_on: Which failures to retry: error codes, such as `{"component_failed"}`, or a function that takes the
                `Outcome` and returns whether to retry. Defaults to failures with a retryable `error`. Steps that have
                already run will run again. Requires `max_attempts`.
            idempotency_key: A function that takes an input and returns its key (see `run`), or None for no key. Each
                input gets its own run, or the outcome of the existing run with its key. Can't be combined with
                `journal` (which it replaces), `max_attempts` or `chunk_size`.
            idempotency_scope: A name for the kind of thing that the keys identify, regardless of the flow's version
                (see `run`).
            journal: The path of a file in which to record the batch's progress. To continue after a crash, make the
                same call with the same inputs: it yields the recorded outcomes, picks up runs that were already
                created, and creates the remaining ones. Requires a server whose store survives until then. A journal
                can only be used by one batch at a time.
            on_lost: What to do with inputs whose run is in the journal but no longer on the server, because the server
                was restarted without its store. With `fail` (the default), they fail with the error code `lost`,
                because they may have been executed. `rerun` runs them again.
            on_cancel: What to do with in-flight runs if the iteration ends early. `detach` (the default) leaves them
                running, while `cancel` marks them as cancelled.
            timeout: Seconds from the call to the last outcome. No limit by default. Reading an input isn't interrupted,
                even if it's slow.
            progress: True to show the number of outcomes, as for `run`, and the total if known. Can also be a function
                to call with a `Progress` at the beginning, after outcomes, and at the end. Defaults to False.
            total: The total number of inputs to show in the progress. Defaults to the length of `inputs`, or the number
                that `read_inputs` expects.
            labels: Labels for finding the batch later, as for `run`. They're recorded with the batch's first run.

        Raises:
            FlowFileError: If the flow's file can't be read.
            InvalidArgumentError: If an argument is invalid.
            JournalError: If the journal belongs to a different flow, or to different inputs, variables or overrides, if
                it's damaged or in use by another batch, or if it can't be read or written.
            InvalidFlowError: If the server rejects the flow.
            RunFailedError: If `on_error` is `raise` and an input doesn't succeed.
            OutputTypeError: If `on_error` is `raise` and an output doesn't match `output_type`.
            RunTimeoutError: If the timeout expires. The runs themselves continue unless `on_cancel` is `cancel`. If no
                run has been created by then, this is a RequestTimeoutError.
            AmbiguousRunError: If the client can't tell whether a chunk's run was created. With a journal, you can find
                out by making the same call again later.
            TransportError: If the server can't be reached.
        """
        from .batch import Batch

        _check_progress(progress)
        if output_type is not None:
            output_types.check_output_type(output_type)
        expected = call_checks.check_limit(total, "total")
        if labels is not None:
            self._recorder.check_labels(labels)
        options = {
            "max_concurrency": max_concurrency,
            "chunk_size": chunk_size,
            "ordered": ordered,
            "on_error": on_error,
            "variables": variables,
            "variables_from_env": variables_from_env,
            "overrides": overrides,
            "check_input": check_input,
            "max_attempts": max_attempts,
            "retry_on": retry_on,
            "idempotency_key": idempotency_key,
            "idempotency_scope": idempotency_scope,
            "journal": journal,
            "on_lost": on_lost,
            "on_cancel": on_cancel,
            "labels": labels,
        }
        services = self._services
        batch = Batch(
            services, services.creator, services.waiter, lambda: services.keyed_runs, flow, inputs, output_type, options
        )
        outcomes = batch.iter_outcome_lists(compute_deadline(timeout))
        if progress is not False:
            outcomes = watching.yield_outcomes_and_report_progress(outcomes, inputs, progress, expected)
        return streams.OutcomeStream(self._connection.trace_stream("map", outcomes))

    async def get_result(
        self,
        run_id: RunId,
        *,
        wait: bool = True,
        timeout: float | None = None,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
    ) -> FlowResult[OutputT]:
        """Wait for a single-item run to end and return its result.

        Args:
            run_id: The run.
            wait: Whether to wait for the run to end. If False and the run hasn't ended, a RunTimeoutError is raised
                immediately. Defaults to True.
            timeout: Seconds to wait. No limit by default.
            output_type: The output's type, as for `run`. Defaults to plain JSON.

        Raises:
            NotFoundError: If the run doesn't exist.
            InvalidArgumentError: If the run is a batch. Use `get_results` instead.
            OutputTypeError: If the run succeeded but its output doesn't match `output_type`.
            RunTimeoutError: If the run doesn't end in time. The run itself continues.
        """
        if output_type is not None:
            output_types.check_output_type(output_type)
        waiter = self._services.waiter
        # If the run ended at once, its handle already has a response that includes the result.
        started = getattr(run_id, "_started", None)
        run, result = await waiter.wait_and_record(
            "get_result", run_id, waiter.read_result, wait=wait, timeout=timeout, single=True, started=started
        )
        older = self._find_older_flow_of_keyed_run(run.run_id)
        result = result if older is None else replace(result, older_flow_id=older)
        return result if output_type is None else output_types.convert_output(result, output_type)

    async def get_results(
        self,
        run_id: RunId,
        *,
        wait: bool = True,
        timeout: float | None = None,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
    ) -> list[FlowResult[OutputT]]:
        """Wait for a run to end and return the results of all its items, in input order.

        Args:
            run_id: The run.
            wait: Whether to wait for the run to end. If False and the run hasn't ended, a RunTimeoutError is raised
                immediately. Defaults to True.
            timeout: Seconds to wait. No limit by default.
            output_type: The type of the outputs, as for `run`. Defaults to plain JSON.

        Raises:
            NotFoundError: If the run doesn't exist.
            OutputTypeError: If an item succeeded but its output doesn't match `output_type`.
            RunTimeoutError: If the run doesn't end in time. The run itself continues.
        """
        if output_type is not None:
            output_types.check_output_type(output_type)
        results = await self._services.waiter.wait_for_results(run_id, wait=wait, timeout=timeout)
        if output_type is None:
            return results
        return [output_types.convert_output(result, output_type) for result in results]

    # Flows

    async def store_flow(self, flow: FlowSource, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoreFlowResponse:
        """Store a flow and return its ID.

        A flow has the same ID on every server. Integers in the flow stay integers, whereas a plain POST /flows may
        convert them to floats. A flow that this client has already stored isn't sent again.

        Args:
            flow: The path of a YAML or JSON file, or the flow as a mapping or object (see `run`).
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            FlowFileError: If the file can't be read.
            InvalidArgumentError: If `flow` isn't a flow, or if it's just the ID of a stored flow.
            InvalidFlowError: If the server rejects the flow. `diagnostics` lists the reasons.
        """
        with call_scope(timeout):
            return await self._services.flows.store_flow(flow)

    async def get_flow(self, flow_id: FlowId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoredFlow:
        """Return a stored flow, with its examples and the inputs of its test cases.

        Test cases become examples, without their expected outputs. The tag that clients add to the flows they run is
        removed. Any keys that the server doesn't recognize are missing. Servers may return numbers as floats, so the
        client converts whole numbers back to integers.

        Args:
            flow_id: The flow's ID, or an object with a `flow_id`, such as the result of `store_flow`.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the flow doesn't exist.
            InvalidRequestError: If `flow_id` can't be the ID of a flow.
        """
        with call_scope(timeout):
            return await self._services.flows.get_flow(flow_id)

    async def delete_flow(self, flow_id: FlowId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> None:
        """Ask the server to delete a flow.

        Released servers accept the request but don't delete anything. Most of them also accept unknown IDs.

        Args:
            flow_id: The flow's ID, or an object with a `flow_id`, such as the result of `store_flow`.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.
        """
        with call_scope(timeout):
            await self._services.flows.delete_flow(flow_id)

    async def get_flow_variables(
        self, flow_id: FlowId, *, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> FlowVariables:
        """Return the variables that a stored flow declares, as its author wrote them.

        The client reads them from the flow itself, so the result is the same on every release.

        Args:
            flow_id: The flow's ID, or an object with a `flow_id`, such as the result of `store_flow`.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the flow doesn't exist.
        """
        with call_scope(timeout):
            return await self._services.flows.get_flow_variables(flow_id)

    async def check(
        self,
        flow: FlowSource,
        *,
        offline: bool = False,
        type_check: bool = False,
        target: str | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> ValidationResult:
        """Check a flow with the offline rules from `stepflow_client.flows.check` and the server's components.

        This catches mistakes that servers don't check for, such as unknown keys, components and inputs. For the
        server's own diagnostics, use `validate`.

        Args:
            flow: The path of a YAML or JSON file, or the flow itself.
            offline: Whether to check without requesting the server's components, so that only the builtin ones are
                known. Defaults to False.
            type_check: Whether to also check types throughout the flow, from component schemas to the expressions that
                read their outputs. Defaults to False.
            target: The server release to check for, e.g. `0.13`. Problems that only affect other releases aren't
                reported. Defaults to all supported releases.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Returns:
            The diagnostics, including the line and column if the flow is a file.

        Raises:
            FlowFileError: If the file can't be read.
            InvalidArgumentError: If `target` isn't a release.
            TransportError: If the server can't be reached, unless `offline` is True.
        """
        with call_scope(timeout):
            return await self._services.flows.lint(flow, offline=offline, type_check=type_check, target=target)

    async def validate(self, flow: FlowSource, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ValidationResult:
        """Return the server's diagnostics for a flow, without storing it.

        Args:
            flow: The flow, as for `run`. If you pass an ID, the client first reads the flow from the server, so any
                keys that servers don't recognize are missing.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            FlowFileError: If the file can't be read or doesn't contain a flow. (Problems in a flow are part of the
                result.)
            NotFoundError: If there's no flow with this ID on the server.
        """
        with call_scope(timeout):
            return await self._services.flows.validate(flow)

    # Creating and reading runs

    async def create_run(
        self,
        flow_id: FlowId,
        input: Any = None,
        *,
        variables: Variables | None = None,
        overrides: Any = None,
        debug: bool = False,
        max_concurrency: int | None = None,
        variables_from_env: bool = False,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> CreateRunResponse:
        """Start a run of a stored flow and return the run, which usually hasn't ended yet.

        Args:
            flow_id: The flow's ID, or an object with a `flow_id`, such as the result of `store_flow`.
            input: The input, as any JSON value. A list is a batch with one item per element, and an empty list creates
                a run without items (0.11 and newer). To pass a list as a single input, write `[[1, 2]]`. None is sent
                as null.
            variables: The flow's variables, as a mapping or the path of a YAML or JSON file containing one.
            overrides: Changes to steps, just for this run: `{step: {"input": {...}}}`, the wrapped form that the server
                accepts, or a list of either, merged left to right. Servers reject unknown steps.
            debug: Must be False, because no released server supports a debug mode.
            max_concurrency: Maximum number of tasks to execute at once (steps, branches of a step and items of
                sub-flows), counted over all items. It doesn't limit the number of items, and sub-flows
                (`/builtin/map`) may exceed it. By default, the server decides: ten, or one task per item on 0.10.
            variables_from_env: Whether to read missing variables from the environment. Looks for the name that the flow
                declares as `env_var`, then for `STEPFLOW_VAR_<NAME>`. Defaults to False.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the flow doesn't exist.
            InvalidRequestError: If the server rejects an override.
            AmbiguousRunError: If the response was lost and the server has runs of this flow, any of which might be the
                new one. Other clients may be running the same flow, and servers don't report who created a run. (`run`
                and `submit` are able to identify their runs.)
            InvalidArgumentError: If an argument is invalid, in which case nothing is sent. Overrides and variables are
                checked if this client has the flow, as for `run`. Integers beyond 2**53 are rejected if the server
                would change them (use `StepflowClient(exact_integers=False)` to send them anyway).
            UnsupportedByServerError: If `debug` is True, or if the input is an empty list and the server is older than
                0.11.
        """
        with call_scope(timeout):
            call_checks.reject_debug_mode(debug)
            flow_id = call_checks.check_flow_id(flow_id)
            call = RunCall(flow_id, input, overrides, variables, variables_from_env, max_concurrency)
            return await self._services.creator.create_run(flow_id, call)

    async def get_run(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Return a run's current state.

        On every release, `items.completed` stays at 0 until the whole run ends.

        Args:
            run_id: The run.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the run doesn't exist.
        """
        with call_scope(timeout):
            run = await self._runs.get_run(run_id)
        if run.is_finished:
            self._recorder.record_status(run.run_id, run.status)
        return run

    async def snapshot(
        self,
        run_id: RunId,
        *,
        include: SnapshotPart | Iterable[SnapshotPart] = ("items", "steps", "flow", "arguments", "account", "counts"),
        item_index: int | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> RunSnapshot:
        """Return all available information about a run at one point in time, using as few requests as possible.

        Independent requests are sent concurrently. Completed and failed runs don't change, so the client caches what it
        has read about recent runs, and later calls only request what's missing.

        Example:
            ```python
            run = await client.snapshot(run_id)
            print(run.details.status, run.account.text)
            for step in run.steps or ():
                print(step.step_id, step.output)
            ```

        Args:
            run_id: The run.
            include: Which parts to read: `items`, `steps`, `flow`, `arguments`, `account` and `counts`. Defaults to all
                of them. `account` includes the parts that the account is based on (in a batch, the steps of only one
                item).
            item_index: The batch item whose steps and account to return, counting from 0. By default, returns the steps
                of all items and the account of the first failed item (or of the first item if none has failed).
            timeout: Overall timeout in seconds, or None for no limit. By default, the client's timeout applies to each
                request.

        Raises:
            NotFoundError: If the run doesn't exist.
            InvalidArgumentError: If the item or part doesn't exist.
            RequestTimeoutError: If the timeout expires.
        """
        with call_scope(timeout):
            return await self._services.snapshots.read_snapshot(run_id, include, item_index)

    async def get_run_items(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ListItemsResponse:
        """Return a run's items in input order. While an item is running, its `result` is None.

        The error of a failed item includes the step that failed and its message, which takes an extra request. In runs
        with more than 1,000 items, it takes one request per failed item, so only the first 20 errors include the step.

        If an item hasn't ended even though its run has failed, the server may have lost the item or may still be
        executing it. After 30 s without a sign of life, the item is returned as failed, with the code `lost` or
        `lost_before_start`. (In runs with more than 1,000 items, the 30 s count from the time the run was marked as
        failed. `get_results` reads all events instead.)

        Args:
            run_id: The run.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the run doesn't exist.
        """
        with call_scope(timeout):
            return await self._runs.get_run_items(run_id)

    async def get_run_steps(
        self,
        run_id: RunId,
        *,
        item_index: int | None = None,
        include_times: bool = False,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> ListStepsResponse:
        """Return the steps that a run has started, sorted by item and then by their order in the flow.

        Example:
            ```python
            for step in await client.get_run_steps(run_id, include_times=True):
                print(step.step_id, step.started_at, step.duration, step.attempts)
            ```

        Args:
            run_id: The run.
            item_index: The item whose steps to return. Defaults to all items.
            include_times: Whether to read the run's events in order to set `started_at`, `completed_at`, `duration` and
                `attempts`. This takes an extra request, whose response contains at least three events per step of every
                item. Defaults to False.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the run doesn't exist.
            RequestTimeoutError: If the steps or events don't arrive in time.
        """
        check_flag(include_times, "include_times")
        with call_scope(timeout):
            listed = await self._runs.get_run_steps(run_id, item_index=item_index)
            steps = await self._runs.mark_kept_step_details(listed.run_id, listed.steps)
            if include_times:
                times = await self._services.follower.read_step_times_from_events(listed.run_id, steps, timeout)
                steps = [times.add_times_to(step) for step in steps]
            return replace(listed, steps=steps)

    async def get_run_arguments(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunArguments:
        """Return a run's arguments (its inputs, variables and overrides), plus its labels and note.

        Since 0.12, servers don't report inputs and overrides, and no server reports variables, labels or notes. The
        client reads these from its `history` instead, if the run is recorded there. Inputs that come from a server
        aren't masked, whereas recorded inputs contain `***` in place of secrets.

        Args:
            run_id: The run.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If neither the server nor the history has the run.
        """
        with call_scope(timeout):
            return await self._services.snapshots.read_arguments(run_id)

    async def get_run_step(
        self, run_id: RunId, step_id: str, *, item_index: int = 0, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> StepDetails:
        """Return a single step of an item.

        Args:
            run_id: The run.
            step_id: The step's ID.
            item_index: The item's index, counting from 0. Defaults to 0.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the step doesn't exist or hasn't started.
        """
        with call_scope(timeout):
            step = await self._runs.get_run_step(run_id, step_id, item_index=item_index)
            return (await self._runs.mark_kept_step_details(run_id, [step]))[0]

    async def get_run_flow(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoredFlow:
        """Return a run's flow, without the tag that the client adds. To get its examples as well, use `get_flow`.

        Args:
            run_id: The run.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the run doesn't exist.
        """
        with call_scope(timeout):
            return await self._runs.get_run_flow(run_id)

    async def cancel_run(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Mark a run as cancelled and return it.

        On every released server, this sets the status and end time but doesn't stop anything. The running step
        finishes, and later steps still start. When they're done, the status changes from cancelled to completed or
        failed. Until then, `get_run_items` shows all of the run's items as running, even if they have ended, and
        `get_results` returns all of them as cancelled. After that, both return the real outcomes.

        A run that has already ended isn't changed. The client checks for this first, because servers may overwrite the
        run's status.

        Args:
            run_id: The run.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the run doesn't exist.
            ConflictError: If the run has already ended.
        """
        with call_scope(timeout):
            run = await self._runs.cancel_run(run_id)
            self._recorder.record_status(run.run_id, run.status)
            return run

    async def delete_run(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> None:
        """Ask the server to delete a finished run.

        Released servers accept the request but don't delete anything.

        Args:
            run_id: The run.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the run doesn't exist.
            ConflictError: If the run hasn't ended.
        """
        with call_scope(timeout):
            await self._runs.delete_run(run_id)

    # Listing runs

    async def list_runs(
        self,
        status: ExecutionStatus | str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        *,
        flow_name: str | None = None,
        root_run_id: RunId | None = None,
        parent_run_id: RunId | None = None,
        roots_only: bool | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> ListRunsResponse:
        """Return runs, newest first.

        Args:
            status: Only return runs with this status.
            limit: Maximum number of runs to return. By default, all of them are returned, because servers don't set a
                limit either. Use `iter_runs` to read them page by page.
            offset: The number of runs to skip, starting with the newest.
            flow_name: Only return runs of flows with this name.
            root_run_id: Only return this run and its descendants.
            parent_run_id: Only return runs created by this run's steps.
            roots_only: If True, leave out runs created by steps.
            since: Only return runs created at or after this time by the server's clock, as a datetime or an ISO 8601
                string such as `2026-11-25T14:00:00Z`. Without a time zone, it's local time. Creation times are taken
                from run IDs, which contain them to the millisecond.
            until: Only return runs created before this time. Servers can't filter by time, so the client pages through
                all newer runs.
            labels: Only return runs with these labels (a mapping of names to values) in the client's `history`.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            InvalidArgumentError: If an argument is invalid. (Servers ignore any filter that they can't read, and list
                all runs instead.)
        """
        with call_scope(timeout):
            runs = await self._services.run_lister.list_runs(
                status,
                limit,
                offset,
                flow_name=flow_name,
                root_run_id=root_run_id,
                parent_run_id=parent_run_id,
                roots_only=roots_only,
                since=since,
                until=until,
                labels=labels,
                timeout=timeout,
            )
            return types.ListRunsResponse(runs=runs)

    def iter_runs(
        self, status: ExecutionStatus | str | None = None, *, page_size: int = 100, **filters: Unpack[RunFilters]
    ) -> RunPager:
        """Return runs, newest first, fetching them page by page.

        Arguments are checked immediately. Even if runs are created or stop matching during the iteration, no run is
        yielded twice, and no run that exists and matches the whole time is missed.

        Args:
            status: Only return runs with this status. All filters are the same as for `list_runs`.
            page_size: The number of runs to request at a time, at least 2.
            filters: Any other filters of `list_runs`. The iteration stops at `since`. `timeout` is the overall timeout
                for each request in seconds, or None for no limit. Default: the client's timeout.
        """
        reject_unknown_arguments(filters, ("status", "page_size", *method_options.RunFilters.__annotations__))
        return streams.RunPager(self._services.run_lister.iter_runs(status, page_size=page_size, **filters))

    # Waiting

    async def wait_run(
        self, run_id: RunId, *, timeout: float | None = None, progress: ProgressOption = False
    ) -> RunDetails:
        """Wait for a run to end, then return it.

        The client keeps waiting through lost connections and server restarts. If there's a timeout, it waits until the
        timeout expires. Otherwise, it gives up if the server doesn't respond for two minutes.

        Args:
            run_id: The run.
            timeout: Seconds to wait. No limit by default.
            progress: Whether to show the run's progress, or a function to call with it (see `run`). Defaults to False.

        Raises:
            NotFoundError: If the run doesn't exist.
            RunTimeoutError: If the run doesn't end in time. The run itself continues.
            TransportError: If the server can't be reached.
        """
        _check_progress(progress)
        with self._connection.trace_operation("wait_run", kind="INTERNAL") as span:
            if progress is False:
                run = await self._services.waiter.wait_run(run_id, timeout=timeout)
            else:
                run = await self._services.watcher.wait_run(run_id, timeout, progress)
            span.record_attributes(run_id=run.run_id, run_status=run.status.value)
        self._recorder.record_end(run.run_id, run.status)
        return run

    # Events

    def run_events(
        self,
        run_id: RunId,
        *,
        after: str | int | None = None,
        include_results: bool = False,
        include_sub_runs: bool = False,
        event_types: Iterable[str] | None = None,
        heartbeat: float | None = None,
        timeout: float | None = None,
    ) -> EventStream:
        """Return a run's events, from the beginning or from a cursor, until the run ends (0.12 and newer).

        Each event is yielded exactly once and in order. If the connection breaks, the client reconnects automatically.
        The last event is a `RunCompletedEvent`. Servers don't send that event if they lost the run (after a failed
        recovery, or because the store was exhausted) or if the run was cancelled. After a cancellation, the client
        infers the event (`event.inferred`) about two seconds after the last event. If a server gives up on a run that
        seems to be abandoned, the run may still be executing, so it only counts as lost after 30 s without a sign of
        life.

        Example:
            ```python
            async with client.run_events(run_id) as events:
                async for event in events:
                    print(event.type, event.timestamp)
            ```

        Leaving the block closes the connection immediately. `events.cursor` is the last event's cursor.

        Args:
            run_id: The run.
            after: The `cursor` of the last event you handled, or the sequence number to start from. Defaults to the
                beginning.
            include_results: Whether to set `StepCompletedEvent.output`. Defaults to False.
            include_sub_runs: Whether to include events of runs created by steps. Their step IDs aren't reliable
                (servers send the parent's, or none), so call `get_run_steps` for the sub-run instead. Defaults to
                False.
            event_types: The types of events to yield, e.g. `["step_completed", "run_completed"]`. The client drops all
                others, because servers can't filter by type. Defaults to all events.
            heartbeat: Yield a `HeartbeatEvent` whenever this many seconds pass without an event. This is useful for
                keeping your own connection open when you relay events, e.g. to a web page. A heartbeat can be delayed
                by the duration of a request, e.g. while the server is down. Off by default.
            timeout: Seconds from the call to the last event. No limit by default.

        Raises:
            InvalidArgumentError: If an argument is invalid, e.g. if `after` is a cursor from a call with a different
                `include_sub_runs`. This is raised immediately.
            NotFoundError: If the run doesn't exist. This and the following errors are raised during iteration.
            RunTimeoutError: If the run doesn't end in time. The run itself continues.
            ServerConnectionError: If the server can't be reached for a minute.
            UnsupportedByServerError: If the server doesn't support event streams.
        """
        events = self._services.follower.run_events(
            run_id,
            after=after,
            include_results=include_results,
            include_sub_runs=include_sub_runs,
            event_types=event_types,
            heartbeat=heartbeat,
            timeout=timeout,
        )
        run_id = call_checks.check_run_id(run_id)
        return streams.EventStream(self._connection.trace_stream("run_events", events, run_id))

    # Blobs

    async def store_blob(
        self,
        data: Any,
        *,
        filename: str | None = None,
        blob_type: str | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> StoreBlobResponse:
        """Store a blob and return its ID, the SHA-256 digest of its content.

        Args:
            data: Bytes or any JSON value. JSON is stored exactly as is, on every release.
            filename: A file name to store with the blob. It must be ASCII if `data` is bytes.
            blob_type: The type of a JSON blob: `data` (the default) or `flow`.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            InvalidArgumentError: If the value can't be represented in JSON.
        """
        with call_scope(timeout):
            return await self._services.blobs.store_blob(data, filename=filename, blob_type=blob_type)

    async def get_blob(self, blob_id: str, *, timeout: float | NotGiven | None = NOT_GIVEN) -> BlobContent:
        """Return a blob. Its `data` is the JSON value, or `bytes` for a binary blob.

        Args:
            blob_id: The blob's ID.
            timeout: Overall timeout in seconds, or None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the blob doesn't exist.
        """
        with call_scope(timeout):
            return await self._services.blobs.get_blob(blob_id)

    # Reruns

    async def plan_rerun(self, run_id: RunId, **options: Unpack[PlanOptions]) -> RerunPlan:
        """Return a plan of what `rerun` would keep and execute, without starting a run.

        Args:
            run_id: The run.
            **options: The same options as for `rerun`, except `variables_from_env`, `idempotency_key` and `labels`.

        Raises:
            StepflowClientError: The same errors as `rerun`.
        """
        reject_unknown_arguments(options, ("run_id", *method_options.PlanOptions.__annotations__))
        arguments: dict[str, Any] = {**options}
        timeout = arguments.pop("timeout", None)
        request = rerun_plan.RerunRequest.from_arguments(run_id, **arguments, variables_from_env=True)
        return await self._services.rerunner.plan(request, timeout=timeout)

    async def rerun(
        self,
        run_id: RunId,
        *,
        keep: KeepOption = "nothing",
        input: Any = NOT_GIVEN,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        overrides: Any = None,
        flow: FlowSource | None = None,
        force: bool = False,
        items: Sequence[int] | None = None,
        inherit: Collection[str] = ("input", "variables", "overrides"),
        max_concurrency: int | None = None,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> RerunResult:
        """Rerun a finished run, reusing step outputs, and return all results.

        Kept steps aren't executed: their outputs are taken from the earlier run. Step outputs can be read on 0.12 and
        newer. `keep="succeeded"` works on every release, but if outputs can't be read, it executes failed items from
        the beginning. The server's builtin components must be at `/builtin`.

        Servers never return a run's variables, and since 0.12 they don't return its input or overrides either. A client
        with a `history` falls back to the recorded arguments: the input if you don't pass one, and any variables and
        overrides that you don't replace. The values of secret variables aren't recorded. Without a history, pass
        everything again. The outputs of kept steps still reflect the values of the earlier run, and the plan's
        `outdated` lists the kept steps that were computed from a different input or different variables. You can also
        rerun a rerun, in which case the steps that it kept are treated like any others.

        Example:
            ```python
            again = await client.rerun(run_id, keep=Keep(before="summarize"), input=document)
            print(again.result.output)
            ```

        Args:
            run_id: The earlier run.
            keep: Which outputs of the earlier run to reuse. `nothing` (the default) executes everything again.
                `succeeded` keeps the results of items that succeeded, and the completed steps of all other items.
                `completed` keeps every completed step of all items, and only executes steps that failed or were added.
                `unchanged` keeps every completed step whose output would be the same again, because its definition,
                overrides, input and variables (and those of the steps it reads) haven't changed.
                `Keep(before="summarize")` executes this step and everything that reads its output, while
                `Keep(all_except="summarize")` executes just this step (see `Keep`). Changes to the values of secret
                variables or to worker programs aren't detected. Without a history, `unchanged` executes all steps that
                read an input or variable that you pass, and ignores the earlier run's overrides.
            input: The earlier run's input. For a batch, pass a list of all its inputs, or of just the inputs for
                `items`. You can leave it out if it's recorded, or if none of the executed steps read it.
            variables: The flow's variables, as for `run`.
            variables_from_env: Whether to read missing variables from the environment, as for `run`. Defaults to False.
            overrides: Changes to the steps that are executed, as for `run`.
            flow: A changed flow. Defaults to the run's own flow.
            force: Whether to keep steps even if their definition has changed or they have overrides. Defaults to False.
            items: Indexes of the items to run again, counting from 0. The results of all other items are kept. Defaults
                to all items whose results `keep` doesn't cover.
            inherit: Which of the recorded arguments (`input`, `variables` and `overrides`) to use if you don't pass
                them. Defaults to all three. If you leave out the last two, the new run uses the flow as is.
            max_concurrency: Maximum number of tasks that each new run executes at once (see `create_run`).
            idempotency_key: A string of up to 512 characters that identifies this call. If several calls use the same
                key, even from different processes, one of them creates the new runs and the others return those runs.
                The key belongs to the earlier run, regardless of the flow and the client's scope. By default, each call
                creates new runs.
            labels: Labels for finding the new runs later, as for `run`.
            timeout: Overall timeout in seconds. No limit by default.

        Raises:
            NotFoundError: If the run doesn't exist.
            ConflictError: If the run hasn't ended.
            IdempotencyConflictError: If the key was used for this run with different arguments or items.
            InvalidArgumentError: If a step or item doesn't exist, if a required input is missing or doesn't match the
                batch, if a kept step has changed, or if the recorded run needs a secret variable that wasn't passed
                again.
            UnsupportedByServerError: If the server doesn't return step outputs (before 0.12).
            RunTimeoutError: If the new runs don't end in time. The runs themselves continue.
        """
        request = rerun_plan.RerunRequest.from_arguments(
            run_id,
            keep,
            input=input,
            variables=variables,
            variables_from_env=variables_from_env,
            overrides=overrides,
            flow=flow,
            force=force,
            items=items,
            inherit=inherit,
            max_concurrency=max_concurrency,
            idempotency_key=idempotency_key,
        )
        with self._recorder.labeling_new_runs(labels):
            return await self._services.rerunner.run(request, timeout=timeout)

    async def start_rerun(self, run_id: RunId, **options: Unpack[RerunOptions]) -> list[RunHandle]:
        """Start a rerun and return a handle to each new run, without waiting for the runs to end.

        Items that keep different outputs need separate runs. The list is empty if there's nothing to run again.

        Example:
            ```python
            (handle,) = await client.start_rerun(run_id, keep=Keep(before="summarize"))
            print((await handle.result()).output)
            ```

        Args:
            run_id: The run.
            **options: The same options as for `rerun`.

        Raises:
            StepflowClientError: The same errors as `rerun`.
        """
        reject_unknown_arguments(options, ("run_id", *method_options.RerunOptions.__annotations__))
        arguments: dict[str, Any] = {**options}
        labels, timeout = arguments.pop("labels", None), arguments.pop("timeout", None)
        request = rerun_plan.RerunRequest.from_arguments(run_id, **arguments)
        with self._recorder.labeling_new_runs(labels):
            run_ids = await self._services.rerunner.start(request, timeout=timeout)
        return [self.handle(run_id) for run_id in run_ids]

    # Comparing runs

    async def compare_runs(
        self,
        a: RunId,
        b: RunId,
        *,
        ignore: str | Iterable[str] = (),
        items: tuple[int, int] | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> RunComparison:
        """Return the differences between two runs: status, flow, and each item's step outputs, output and errors.

        Both runs must be on this server. Their inputs, variables and overrides aren't compared, but you can see their
        effects in the steps. Step outputs are compared on 0.12 and newer. If a run hasn't ended, its current state is
        compared. If a step wasn't run because a step that it reads failed, its status is `not_run` and it has no error.

        Example:
            ```python
            compared = await client.compare_runs(before, after, ignore="$.steps.*.output.time")
            for difference in compared.differences:
                print(difference.path, difference.a, difference.b)
            ```

        Args:
            a: The first run.
            b: The second run.
            ignore: Paths to leave out (along with everything below them), in the same form as in the differences. `*`
                matches any key or index.
            items: A pair of item indexes, one for each run, to compare just those two items. By default, compares all
                items that have the same index.
            timeout: Overall timeout in seconds, or None for no limit. By default, the client's timeout applies to each
                request.

        Raises:
            NotFoundError: If either run doesn't exist.
            InvalidArgumentError: If a path in `ignore` is malformed, or an item doesn't exist.
            RequestTimeoutError: If the timeout expires.
        """
        with call_scope(timeout, limits_requests=False):
            return await self._services.snapshots.compare_runs((a, b), ignore, items)

    async def explain_run(
        self, run_id: RunId, *, item_index: int | None = None, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> RunAccount:
        """Explain why an item failed: which step caused it, and which steps didn't run because of it.

        When a step fails, servers also mark every step that reads its output as failed, with the same error. The
        account distinguishes the step that caused the failure from steps that just didn't run because of it. It also
        lists steps that nothing needed, and sub-run items that failed even though the step that created the sub-run
        completed. If the run hasn't ended, its current state is explained.

        Anything the server doesn't report (e.g. step errors and outputs before 0.12) is listed in `unknown`. If the
        run's input and variables are needed, they come from the server if it reports them, or else from the client's
        `history`.

        Example:
            ```python
            account = await client.explain_run(run_id)
            print(account.cause, account.not_run)
            for step in account.steps:
                print(step.step_id, step.text)
            ```

        Args:
            run_id: The run.
            item_index: The item's index, counting from 0. Defaults to the first item that failed, or to the first item
                if none has failed.
            timeout: Overall timeout in seconds, or None for no limit. By default, the client's timeout applies to each
                request.

        Raises:
            NotFoundError: If the run doesn't exist.
            InvalidArgumentError: If the item doesn't exist.
            RequestTimeoutError: If the timeout expires.
        """
        with call_scope(timeout, limits_requests=False):
            account = (await self._services.snapshots.read_snapshot(run_id, ("account",), item_index)).account
            assert account is not None
            return account


class Services(ClientContext):
    """The services behind a client's methods and the state that they share.

    Each one is imported and created on first use.
    """

    @cached_property
    def creator(self) -> run_creation.RunCreator:
        """Creates runs."""
        return run_creation.RunCreator(self)

    @cached_property
    def keyed_runs(self) -> idempotency.KeyedRuns:
        """Creates and finds runs with idempotency keys."""
        return idempotency.KeyedRuns(self, self.creator)

    @cached_property
    def cached_runs(self) -> run_caching.CachedRuns:
        """Runs flows, or returns their cached results."""
        return run_caching.CachedRuns(self.flows)

    @cached_property
    def rerunner(self) -> rerun.Rerunner:
        """Reruns finished runs."""
        return rerun.Rerunner(self, self.keyed_runs, self.waiter, self.snapshots)

    @cached_property
    def waiter(self) -> waiting.Waiter:
        """Waits for runs to end."""
        return waiting.Waiter(self, lambda: self.snapshots)

    @cached_property
    def follower(self) -> following.Follower:
        """Follows runs and yields their events."""
        return following.Follower(self)

    @cached_property
    def snapshots(self) -> snapshot_reader.SnapshotReader:
        """Reads snapshots of runs."""
        return snapshot_reader.SnapshotReader(self)

    @cached_property
    def watcher(self) -> watching.RunWatcher:
        """Follows runs and reports their progress."""
        return watching.RunWatcher(self.follower, self.snapshots, self.waiter)


def _hint_failed_result(result: FlowResult, flow: FlowSource, input: Any, overrides: Any, variables: Any) -> FlowResult:
    """Add a hint to a failed result. It says which input field the component rejected, if known.

    If the flow is written in Python, the hint also says where the step is defined.
    """
    source = resolve_flow_argument(flow)
    if isinstance(source, StoredFlowId) or result.error is None:
        return result
    from .._runs.component_input_hints import find_run_error_hint
    from ..flows.interpreter import NOT_KNOWN, apply_overrides_if_valid
    from ..flows.python_positions import describe_python_place

    values = {} if variables is None else dict(variables) if isinstance(variables, Mapping) else NOT_KNOWN
    try:
        effective = apply_overrides_if_valid(load_flow(source), overrides)
        # If this is a list, it contains the only input, because a plain list would be a batch.
        value = input[0] if isinstance(input, (list, tuple)) else input
        hint = find_run_error_hint(result.error, effective, value, values)
    except FlowFileError:
        # The flow's file no longer exists, so return the result without a hint.
        return result
    hint = "; ".join(filter(None, (hint, describe_python_place(flow, result.error.step_id))))
    return replace(result, error=replace(result.error, hint=hint)) if hint else result


def _check_progress(progress: object) -> None:
    # Import the progress code only if progress is shown.
    if progress is not False:
        from .._display.progress_display import check_progress_option

        check_progress_option(progress)
