# Written from _async/client.py by `make generate`. Change that file instead.

"""The synchronous client."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack

from .. import types
from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN, NotGiven
from .._base.pickling import Picklable
from .._base.suggestions import SuggestsNames, refuse_unknown, suggests_names
from .._calls.call_options import RunCall
from .._codec import requests, responses, typed
from .._codec.requests import FlowId, RunId, Variables
from .._data.arguments import check_choice, check_flag, check_flags, check_seconds
from .._data.json_encoding import StoredFlowId
from .._http import settings as _settings
from .._http.settings import Token
from .._http.sockets import SyncCancelled
from .._rules.retries import RetryPolicy, resolve_retry_policy
from .._rules.timeouts import call_scope, compute_deadline, deadline_override, deadline_scope
from .._telemetry.recorder import Recorder
from .._telemetry.tracing import is_untraced
from ..errors import FlowFileError, StepflowClientError
from ..flows.reading import flow_argument, load_flow
from ..types.models import show_lists
from ..types.statuses import ExecutionStatus
from .connection import Connection, ConnectionSettings
from .services import Services

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

    import httpx
    from pydantic import TypeAdapter
    from stepflow_api import Client

    from .._calls.call_options import ClientOptions, PlanOptions, RerunOptions, RunFilters, SubmitOptions
    from .._rules.retries import RetryOn
    from ..flows.reading import FlowSource
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
    from ..types.account import RunAccount
    from ..types.reruns import KeepOption, RerunPlan, RerunResult, RunComparison
    from ..types.runs import RunSnapshot, SnapshotPart
    from . import streams
    from .handle import SyncRunHandle
    from .streams import SyncEventStream, SyncOutcomeStream, SyncRunPager

    Start = Callable[..., responses.Started]
    """Creates a run."""
else:
    streams = lazy_module("stepflow_client._sync.streams")

Run = TypeVar("Run", "responses.Started", "FlowResult[Any]")


class SyncStepflowClient(SuggestsNames, Picklable):
    """A client for a Stepflow server, over HTTP.

    Example:
        ```python
        with SyncStepflowClient("http://localhost:7837") as client:
            result = client.run("workflow.yaml", {"name": "World"})
            print(result.unwrap())
        ```

    No request is sent before the first call. One client can be shared by many threads,
    and works inside a running event loop.

    A client can be pickled and copied. The copy has the same settings and opens its own connections when it is first
    used. A token or password given as text is included in the pickle. A callable, an `httpx.Auth` or a transport must
    itself be picklable; otherwise pickling raises a TypeError. Copies made with the `copy` module share the given
    transport.

    Args:
        base_url: The server's URL: `http://host:port`, with or without `/api/v1`, with a leading path if it is behind a
            proxy, or `host:port`. A user and password in the URL are sent as basic authentication. Or a list of servers
            that share one store: requests that are safe to repeat fail over to the next server. A server that is down
            is skipped for a while. `strategy` selects the server for new runs. Credentials in the URL of one server are
            never sent to another. Default: the URL of `stepflow serve`.
        timeout: Seconds for each phase of a request (connecting, sending, each read), or an `httpx.Timeout` that limits
            every phase; None for no limit. It does not limit how long a run may take, nor a response that never stops
            arriving: the `timeout` of a method limits its whole call. Default 30.
        headers: Headers to send with every request.
        auth: A bearer token, a callable that returns one, a (user, password) pair, or
            an `httpx.Auth`. It overrides credentials in URLs and is sent to each server of a list. Waiting for the
            callable counts towards the timeout.
        verify: Whether to verify https servers, and the CA certificates to use: True (the certificates that
            SSL_CERT_FILE or SSL_CERT_DIR name, else those of certifi), False, a file or folder of certificates, or an
            `ssl.SSLContext`.
        cert: The client certificate: a file, (file, key file), or (file, key file, password).
        proxy: The proxy's URL, or its `host:port`. By default it is read from HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.
            NO_PROXY lists the servers to connect to directly: names, addresses and networks, each optionally with a
            port.
        limits: Limits of the connection pool. Default: 256 connections; idle connections are closed after 30 s. With an
            `httpx.Limits` that has no `keepalive_expiry` of its own, they are closed after 5 s.
        transport: A transport to send requests with instead of the default one, for example an `httpx.MockTransport`.
            It must respect httpx's `timeout` extension, which holds the time left, as an `httpx.HTTPTransport` does.
        server_release: The server's release, if known, for example `0.13.0`. This skips the version request. If it is
            wrong, the client cannot read the server's responses. Default: detected.
        strategy: How to choose the server for a new run from a list: `failover`, the default, uses one server, and the
            next one if that fails. `spread` uses the available server with the fewest runs that this client waits for,
            and takes turns between equals.
        retry: When to retry requests: a `RetryPolicy`, or the maximum number of retries of a request; None for the
            defaults of `RetryPolicy`.
        exact_integers: Whether to refuse integers beyond 2**53 in inputs and variables if the server would change them
            (0.12 and newer would). False sends them. Default True.
        max_response_bytes: Maximum size of a response in bytes, and of each event of `run_events`; a larger one raises
            an InvalidResponseError. The default, 1 GiB, is more than servers send; the limit keeps a single response
            from using all memory.
        history: A `stepflow_client.history.History` that records the runs this client creates: their inputs, variables
            and overrides, and how they ended. Default None: runs are not recorded. The history file is written during
            the call, which usually takes less than a millisecond.
        idempotency_scope: The scope of the idempotency keys of calls that give none: see `run`. Default None: a key
            belongs to the content of the flow.
        event_hooks: Functions to call with each `httpx.Request` before it is sent, and with each `httpx.Response`:
            `{"request": [...], "response": [...]}`, as for httpx. Each one is called
            again for each retry. A request hook may change the headers of the request; other changes have no effect.
            The response is read first, except for a stream of events, whose hooks see only status and headers. An
            exception ends the call with a StepflowClientError, whose `__cause__` it is.

    Raises:
        InvalidArgumentError: If a setting is invalid.
    """

    @suggests_names
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
        transport: httpx.BaseTransport | None = None,
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
        # Must be first: `locals()` holds only the arguments here.
        self._keep_arguments(SyncStepflowClient, locals())
        show_lists()
        settings = ConnectionSettings(
            base_url,
            timeout=timeout,
            headers=headers,
            auth=auth,
            verify=verify,
            cert=cert,
            proxy=proxy,
            limits=limits,
            transport=transport,
            server_release=server_release,
            strategy=strategy,
            retry=resolve_retry_policy(retry),
            max_response_bytes=max_response_bytes,
            event_hooks=event_hooks,
        )
        self._connection = Connection(settings)
        if idempotency_scope is not None:
            from .._codec.idempotency_markers import check_key

            check_key(idempotency_scope, "idempotency_scope")
        self._server_logs: Callable[[int], list[LogEntry]] | None = None
        """Returns the last lines of the server's log; None unless it is the server of a runtime."""
        self._recorder = Recorder(history, self._connection.url)
        exact = check_flag(exact_integers, "exact_integers")
        self._services = Services(self._connection, self._recorder, exact, idempotency_scope)
        self._runs = self._services.runs

    def _find_older_flow_id(self, run_id: str) -> str | None:
        """Return the flow of a run that was found under a key, if it is of another version of the flow."""
        return self._services.keyed.older_flows.get(run_id) if "keyed" in vars(self._services) else None

    @classmethod
    @suggests_names
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
        transport: httpx.BaseTransport | None = None,
        server_release: str | None = None,
        strategy: Literal["failover", "spread"] = "failover",
        retry: RetryPolicy | int | None = None,
        exact_integers: bool = True,
        max_response_bytes: int = 1024**3,
        history: History | None = None,
        idempotency_scope: str | None = None,
        event_hooks: Mapping[str, Sequence[Callable[[Any], Any]]] | None = None,
    ) -> Self:
        """Return a client configured by environment variables.

        The variables are STEPFLOW_URL (default `http://localhost:7837`), STEPFLOW_TOKEN and STEPFLOW_TIMEOUT (seconds).
        All arguments have the same meaning as for the class.

        Args:
            base_url: The server's URL, or a list of URLs; None uses STEPFLOW_URL.
            timeout: Seconds for each phase of a request; None for no limit. Default: STEPFLOW_TIMEOUT, or 30.
            headers: Headers to send with every request.
            auth: The credentials; None uses STEPFLOW_TOKEN.
            verify: Whether to verify https servers, and the CA certificates to use.
            cert: The client certificate.
            proxy: The proxy's URL.
            limits: Limits of the connection pool.
            transport: A transport to send requests with instead of the default one.
            server_release: The server's release, if known.
            strategy: How to choose the server for a new run from a list.
            retry: When to retry requests, or how often at most.
            exact_integers: Whether to refuse integers that the server would change.
            max_response_bytes: Maximum size of a response in bytes, and of each event of `run_events`.
            history: The history that records runs.
            idempotency_scope: The scope of the idempotency keys of calls that give none.
            event_hooks: Functions to call with each request and each response.

        Raises:
            InvalidArgumentError: If a setting is invalid.
        """
        # Must be first: `locals()` holds only the arguments here.
        arguments = dict(locals())
        del arguments["cls"]
        for name, default in (("base_url", None), ("auth", None), ("timeout", NOT_GIVEN)):
            if arguments[name] is default:
                del arguments[name]
        return cls(**_settings.read_environment_settings(os.environ) | arguments)

    @property
    def url(self) -> str:
        """The server's root URL, without `/api/v1` and without credentials."""
        return self._connection.url

    @property
    def history(self) -> History | None:
        """The history that records the runs of this client; None without one."""
        return self._recorder.history

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy that requests go through, without its password; None if there is no proxy.

        It is the given proxy, or the one that the environment names for the server.
        """
        return self._connection.proxy

    @property
    def api(self) -> Client:
        """The generated client, for operations of `stepflow_api` (`get_run.sync_detailed(client=client.api, ...)`).

        It shares this client's connections, credentials, headers, hooks and timeout.
        """
        return self._connection.api

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """Return a client with other defaults for options of calls, and with more headers.

        Example:
            ```python
            patient = client.with_options(timeout=300, variables={"tone": "formal"})
            result = patient.run("workflow.yaml", {"name": "World"})
            letters = client.with_options(headers={"x-tenant": "letters"})
            ```

        It shares this client's connections, caches and history; closing one of them closes both. `start_run` and
        handles use the options too.

        Args:
            **options: The options of `run` (except `output_type`) and `submit`, and `max_attempts` and `retry_on` of
                `map`. A method ignores those that it does not have. An argument of a call replaces the option; entries
                of `variables` are added to it. `headers` are sent with every request, also of `api`, in addition to
                those of this client.

        Raises:
            InvalidArgumentError: If there is no such option.
        """
        from .._calls.call_options import make_view

        return make_view(self, options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The client cannot be used afterwards; runs on the server continue."""
        self._connection.close()

    # The server

    def health_check(
        self, *, include_workers: bool = False, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> HealthResponse:
        """Return the server's health; its `status` is `healthy`.

        A server is healthy while its workers are away. Ask for them, or use `wait_ready`, before the first run.

        Args:
            include_workers: Whether to find the plugins whose workers are away (0.12 and newer), which takes up to 5 s
                for each. Default False.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            ServerConnectionError: If the server cannot be reached.
            InvalidResponseError: If the response is not from a Stepflow server.
        """
        check_flag(include_workers, "include_workers")
        with call_scope(timeout):
            answer = self._connection.request_health()
            health = responses.build(responses.read_health, answer, "GET /health")
            if not include_workers:
                return health
            listed = self._connection.list_components(include_schemas=False)
        return replace(health, failed_plugins=listed.failed_plugins)

    def wait_ready(self, components: str | Iterable[str] = (), *, timeout: float | None = 60.0) -> ComponentList:
        """Wait until the server responds and its workers are connected.

        A server accepts runs before its workers are connected; those runs fail with "error routing component".

        Example:
            ```python
            client.wait_ready(["/python/summarize"], timeout=30)
            ```

        Args:
            components: The paths of the components that are needed; plugins of other components may be away. Default:
                the workers of all plugins are waited for.
            timeout: Seconds for the whole call. Default 60. None: no limit.

        Returns:
            The components, without their schemas.

        Raises:
            RequestTimeoutError: If the time is up; the message says what is missing.
            ServerConnectionError: If the server could not be reached by then.
            AuthenticationError: If the server refuses the credentials.
            InvalidResponseError: If the response is not from a Stepflow server.
        """
        from .readiness import wait_ready

        return wait_ready(self._connection, components, timeout)

    def server_info(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ServerInfo:
        """Return the server's release and capabilities. They are requested only once.

        Args:
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.
        """
        with call_scope(timeout):
            server = self._connection.detect_server()
            return types.ServerInfo(
                url=server.url,
                dialect=server.dialect,
                release=server.release,
                commit=server.commit,
                capabilities=server.capabilities,
            )

    def list_components(
        self, *, include_schemas: bool = True, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> ComponentList:
        """Return the components that flows may use.

        Servers do not report the route prefix of a plugin, so `path` is None, except for clients of a `StepflowRuntime`
        (`runtime.client`, `runtime.sync_client`), whose routes are known.

        Args:
            include_schemas: Whether to include the input and output schemas. Default True.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Returns:
            A list; its `failed_plugins` are the plugins that did not respond to the server.
        """
        check_flag(include_schemas, "include_schemas")
        with call_scope(timeout):
            return self._connection.list_components(include_schemas=include_schemas)

    # Running flows

    def run(
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
        """Run a flow on one input and return its result. A failed run is returned as a result, not raised.

        Example:
            ```python
            result = client.run("workflow.yaml", {"name": "World"}, timeout=60)
            if result.is_success:
                print(result.output)
            else:
                print(result.error.message)
            ```

        Args:
            flow: The path of a YAML or JSON file, or the flow itself: a mapping, a pydantic model, a dataclass, an
                attrs object, a msgspec struct, or what `get_flow` returned. It is stored on the server first, once. Or
                a stored flow: what `store_flow` returned, or its id, a str of 64 lowercase hexadecimal digits, unless a
                file has that name.
            input: The input: any JSON value, which may contain pydantic models, dataclasses, attrs objects and msgspec
                structs. A list is a batch; this method accepts only batches of one. Write `[[1, 2]]` for a single input
                that is a list.
            overrides: Changes to steps for this run only, as for `create_run`.
            variables: Values of the flow's variables: a mapping, or the path of a YAML or JSON file that contains one.
            variables_from_env: Whether to read missing variables from the environment, as for `create_run`. Default
                False.
            max_concurrency: Maximum number of tasks of the run that are executed at once, as for `create_run`.
            timeout: Seconds for the whole call, including storing the flow and creating the run. None, the default,
                sets no limit.
            private_copy: Whether to store a copy of the flow for this call alone, so that its run can always be
                identified if the response is lost; this takes one more request. Without it, all calls of this client
                share one copy, which no other client runs. A lost run can then be identified, unless another call of
                this client loses a run of the same flow at the same time. Default False.
            idempotency_key: A key chosen by the caller, such as the id of a document. If a run of this flow exists
                under the key, that run is returned, whichever process created it. Needs a store that survives. The
                same key can be used with different flows. A flow whose text was changed knows none of its keys, unless
                an `idempotency_scope` is given. Requires the flow itself, not its id. A new key takes up to nine more
                small requests. Simultaneous calls with a key, in any program, return the same run. After a crash of a
                call that may have created it, the next call waits for the end of its lease, usually 7 s.
            idempotency_scope: A name for what the key identifies, such as `ticket`. The key then has one run in this
                scope, whatever the flow. If the run that is found is of another version of the flow, the result's
                `older_flow_id` is set, and it is logged. None, the default, uses the scope of the client; without one,
                the key belongs to the content of the flow.
            wait_for_components: Whether to wait, before the run is created, until the server has the components that
                the flow needs, also in flows within its steps. A run that is created before its worker is connected
                fails. True waits up to 60 s; a number sets the seconds. `timeout` applies too. The components that this
                client has seen are not waited for again. Default False.
            on_cancel: What to do with the run on a KeyboardInterrupt:
                `detach`, the default, leaves it running; `cancel` marks it as cancelled, if its id is known by then.
            check_input: Whether to check the input and the variables against the flow's schemas, and refuse what does
                not match, before anything is sent. Servers check neither. For a flow given by its id, this applies if
                the client knows the flow: if it has stored it, or read its variables. Default True.
            progress: True shows the run's progress: in a notebook; on a terminal as a bar (of rich or tqdm if
                installed); elsewhere as one line every ten seconds. Or a function that is called with a `Progress`
                every half second, after events, and at the end. If the function raises, the call ends with that
                exception; the run continues. Default False.
            output_type: The type of the output: a pydantic model, a dataclass, an attrs class or a TypedDict. The
                result is then a `FlowResult[output_type]`; if the run succeeds, its output is an instance of this type.
            cache: A cache of results. If it has the result of an earlier run with the same flow, input, variables and
                overrides, that result is returned without a request. `cached_at` is then set, and `run_id` is that of
                the earlier run. Otherwise the flow is run, and the result is cached if the run succeeds. Simultaneous
                calls of this client for the same result share one run, and its failure. If the call that runs the flow
                is cancelled or times out, another one runs it again. Use `idempotency_key` to run a flow only once
                across clients and processes; it cannot be combined with a cache.
            labels: Labels to find the run by, values by name; they are kept in the client's `history`, as with
                `stepflow run --label`. None, the default: none.

        Returns:
            The result; `is_success` is True if the run completed.

        Raises:
            OutputTypeError: If the run succeeds but its output does not match `output_type`; `details` lists the path
                and the message of each fault.
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is invalid, for example an override of a step or key that the flow does
                not have, or if a required variable is missing.
            IdempotencyConflictError: If a run exists under the idempotency key with a different input, overrides or
                variables (secret variables are not compared); `run_id` is its id.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override.
            NotFoundError: If the server has no flow with this id.
            AmbiguousRunError: If the response was lost or late and the run cannot be identified.
            RunTimeoutError: If the run did not end in time. The run continues; `run_id` is its id.
            TransportError: If the server cannot be reached or the connection breaks. A RequestTimeoutError if `timeout`
                expires before the run has been created.
        """
        began, deadline = time.monotonic(), None if timeout is None else compute_deadline(timeout)
        if isinstance(input, (list, tuple)):
            requests.require_single_input(input)
        if output_type is not None:
            typed.check_output_type(output_type)
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
            None if wait_for_components is False else self._make_readiness_check(flow, overrides, wait_for_components),
        )
        creator = self._services.creator if idempotency_key is None else self._services.keyed
        # Like `get_creation_hold`, but without a call: this is the hot path.
        hold = None if on_cancel == "cancel" else self._connection.timings.creation_hold
        run = partial(self._run_to_end, creator.start, hold, began, progress)
        running = partial(run, call) if cache is None else partial(self._services.cached.run, cache, call, run)
        is_plain = deadline is None and labels is None and is_untraced()
        result = running() if is_plain else self._call_in_scope("run", deadline, running, labels)
        if result.error is not None and result.older_flow_id is None:
            result = _add_hint(result, flow, input, overrides, variables)
        return result if output_type is None else typed.convert_output(result, output_type)

    def _call_in_scope(
        self, name: str, deadline: float | None, call: Callable[[], Run], labels: Mapping[str, str] | None
    ) -> Run:
        """Make a call with its labels, within its deadline and its span."""
        labelling, traced = self._recorder.apply_labels(labels), self._connection.trace(name, kind="INTERNAL")
        with labelling, deadline_scope(deadline), traced as span:
            started = call()
            span.note(run_id=started.run_id, run_status=started.status.value if name == "run" else None)
            return started

    def _run_to_end(
        self, start: Start, hold: int | None, began: float, progress: ProgressOption, call: RunCall
    ) -> FlowResult:
        """Start a run and return its result; cancel it if the caller is cancelled, unless its creation is held."""
        run = start(call, hold)
        try:
            if progress is False:
                result = responses.read_single_result(run, self._connection.get_decoder(run.run_id))
                if result is None:
                    result = self._services.waiter.wait_for_result(run)
            else:
                result = self._services.reporter.wait_for_result(run, began, progress)
        except SyncCancelled:
            if hold is None:
                # Within the time that a cancelled call has left.
                until = time.monotonic() + self._connection.timings.cancel_limit
                with suppress(StepflowClientError), deadline_override(until):
                    self.cancel_run(run.run_id)
            raise
        except StepflowClientError as error:
            error.run_id = error.run_id or run.run_id
            raise
        if self._recorder.is_on or not is_untraced():
            self._recorder.record_end(run.run_id, result.status)
        if run.older_flow_id is not None:
            result = replace(result, older_flow_id=run.older_flow_id)
        return result

    def _make_readiness_check(
        self, flow: FlowSource, overrides: Any, wait_for_components: bool | float
    ) -> Callable[[], None]:
        """Return what waits until the components of a flow are there."""
        seconds = self._connection.timings.ready_limit
        if wait_for_components is not True:
            seconds = check_seconds(wait_for_components, "wait_for_components")
        return partial(self._services.readiness.wait, flow, overrides, seconds)

    def submit(
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
        """Start a flow and return the id of its run, without waiting for the run to end.

        Example:
            ```python
            run_id = client.submit("workflow.yaml", [{"n": 1}, {"n": 2}], max_concurrency=2)
            results = client.get_results(run_id)
            ```

        Args:
            flow: The flow, or the id of a stored one, as for `run`.
            input: The input: any JSON value. A list is a batch; an empty list makes a run without items (0.11 and
                newer).
            overrides: Changes to steps for this run only, as for `create_run`.
            variables: Values of the flow's variables: a mapping, or the path of a YAML or JSON file that contains one.
            variables_from_env: Whether to read missing variables from the environment, as for `create_run`. Default
                False.
            max_concurrency: Maximum number of tasks of the run that are executed at once, as for `create_run`.
            timeout: Seconds for the whole call, including storing the flow and creating the run; None for no limit.
                Default: the client's timeout, for each request.
            private_copy: Whether to store a copy of the flow for this run alone, as for `run`. Default False.
            idempotency_key: A key for the run; if a run exists under it, that run is returned, as for `run`.
            idempotency_scope: What the key identifies, whatever the version of the flow, as for `run`.
            wait_for_components: Whether to wait for the components of the flow first, as for `run`. Default False.
            check_input: Whether to check the input, or each input of a batch, and the variables against the flow's
                schemas before anything is sent, as for `run`. Default True.
            labels: Labels to find the run by, values by name; they are kept in the client's `history`, as with
                `stepflow run --label`. None, the default: none.

        Returns:
            The run's id, a UUID string.

        Raises:
            FlowFileError: If a file cannot be read.
            InvalidArgumentError: If an argument is invalid, for example an override of a step or key that the flow does
                not have, or if a required variable is missing.
            IdempotencyConflictError: If a run exists under the idempotency key with a different input, overrides or
                variables (secret variables are not compared); `run_id` is its id.
            InvalidFlowError: If the server refuses the flow.
            InvalidRequestError: If the server refuses an override.
            NotFoundError: If the server has no flow with this id.
            AmbiguousRunError: If the response was lost or late and the run cannot be identified.
            TransportError: If the server cannot be reached or the connection breaks. A RequestTimeoutError if `timeout`
                expires before the run has been created.
            UnsupportedByServerError: If the input is an empty list and the server is older than 0.11.
        """
        run = self._submit(
            flow,
            input,
            overrides,
            None,
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

    def start_run(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> SyncRunHandle[OutputT]:
        """Start a flow and return a handle of its run, without waiting for the run to end.

        Example:
            ```python
            handle = client.start_run("workflow.yaml", {"name": "World"})
            result = handle.result(timeout=60)
            ```

        Args:
            flow: The flow, or the id of a stored one, as for `run`.
            input: The input, as for `submit`.
            overrides: Changes to steps for this run only, as for `create_run`.
            output_type: The type of the output, as for `run`: the handle's results have outputs of this type.
            **options: The same as for `submit`, and with the same meaning.

        Returns:
            The handle. Its `run_id` is the run's id, and its methods read the run.

        Raises:
            StepflowClientError: The same errors as `submit` raises.
        """
        from .._calls.call_options import OPTIONS_OF

        refuse_unknown(options, ("flow", "input", "output_type", *OPTIONS_OF["submit"]))
        if output_type is not None:
            typed.check_output_type(output_type)
        # Without being held, the response has the result of a run that ended at once. A batch may have many items.
        is_single = not isinstance(input, (list, tuple)) or len(input) == 1
        run = self._submit(flow, input, overrides, 0 if is_single else None, **options)
        return self.handle(run.run_id, output_type)._remember_start(flow, run)

    def _submit(
        self,
        flow: FlowSource,
        input: Any,
        overrides: Any,
        hold: int | None,
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
    ) -> responses.Started:
        """Start a flow and return the server's response, which may be held for a number of seconds."""
        check_flags(variables_from_env=variables_from_env, private_copy=private_copy, check_input=check_input)
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
            None if wait_for_components is False else self._make_readiness_check(flow, overrides, wait_for_components),
        )
        creator = self._services.creator if idempotency_key is None else self._services.keyed
        with call_scope(timeout, limits_requests=False):
            return self._call_in_scope("submit", None, partial(creator.start, call, hold), labels)

    def handle(
        self, run_id: RunId, output_type: type[OutputT] | TypeAdapter[OutputT] | None = None
    ) -> SyncRunHandle[OutputT]:
        """Return a handle of a run. No request is sent, so the run need not exist.

        Args:
            run_id: The run.
            output_type: The type of its output, as for `run`.

        Raises:
            InvalidArgumentError: If it is no run id, or no type that an output can have.
        """
        from .handle import SyncRunHandle

        return SyncRunHandle(self, run_id, output_type)

    def find_run(
        self,
        flow: FlowSource | None = None,
        *,
        idempotency_key: str,
        idempotency_scope: str | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> RunDetails | None:
        """Return the run that `run` or `submit` created with an `idempotency_key`, in any process, or None.

        Example:
            ```python
            if client.find_run("workflow.yaml", idempotency_key="doc-42") is None:
                print("doc-42 was not processed yet")
            ```

        Args:
            flow: The flow itself, not its id, as it was given to `run`, with its keys in the same order. A copy with
                the key is stored to find out the copy's id; nothing is run. With a scope, no flow is needed.
            idempotency_key: The key.
            idempotency_scope: The scope of the key, as for `run`. The run may be of any version of the flow: its
                `flow_id` says which. None, the default, uses the scope of the client, if it has one.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout, for each request.

        Raises:
            FlowFileError: If the flow's file cannot be read.
            InvalidArgumentError: If an argument is invalid.
            InvalidFlowError: If the server refuses the flow.
            TransportError: If the server cannot be reached.
        """
        with call_scope(timeout, limits_requests=False):
            return self._services.keyed.find_run(flow, idempotency_key, idempotency_scope)

    def map(
        self,
        flow: FlowSource,
        inputs: Iterable[Any],
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
    ) -> SyncOutcomeStream[OutputT]:
        """Run a flow on any number of inputs and yield one outcome for each.

        An input is read only when there is room for it, so the inputs may be endless, and neither inputs nor outcomes
        fill the memory. Consecutive inputs form a chunk, which is executed as one run. Up to four chunks are in flight,
        or four for each server of a list with `strategy="spread"`. No input is read while the caller processes the
        outcomes of a chunk. If `inputs` raises an exception, the outcomes of all inputs read before it are yielded
        first, then the exception is raised.

        Example:
            ```python
            with client.map("workflow.yaml", inputs, journal="batch.journal") as outcomes:
                for outcome in outcomes:
                    print(outcome.index, outcome.status, outcome.output)
            ```

        Args:
            flow: The flow, as for `run`, but not the id of a stored one.
            inputs: An iterable of inputs. Each is any JSON value, including a list. An input that
                cannot be represented in JSON fails on its own, without a run. An exception can stand for an input that
                could not be read; it fails in the same way. Outcomes wait until a chunk is filled: if inputs arrive
                slowly, use a `chunk_size` of 1.
            max_concurrency: Maximum number of tasks that are executed at once, over all chunks. None, the default,
                leaves it to the server: ten in each run, except on 0.10.
            chunk_size: Maximum number of inputs in one run. None, the default, adapts to the server: up to 400, for
                about one second each.
            ordered: Whether to yield outcomes in the order of the inputs. A slow chunk then delays at most seven others
                (with several servers, one fewer than are in flight). Default False.
            on_error: `yield`, the default, yields the outcome of an input that does not succeed like any other; `raise`
                stops at the first one.
            variables: Values of the flow's variables for all inputs, as for `run`.
            variables_from_env: Whether to read missing variables from the environment, as for `run`. Default False.
            overrides: Changes to steps for all inputs, as for `run`.
            output_type: The type of the outputs, as for `run`. An output that does not match makes the outcome a
                failure with the code `invalid_output`, whose `unwrap` raises the OutputTypeError.
            check_input: Whether to check the variables and each input against the flow's schemas. An input that does
                not match fails on its own, with the code `invalid_input`, without a run. Default True.
            max_attempts: Maximum number of times that an input is run if it fails. Each attempt is a run of the inputs
                of a chunk that failed, after a pause of about 1, 2, 4 ... 30 seconds; the chunk's outcomes wait for
                it. None, the default, runs each input once.
            retry_on: The failures after which an input is run again: error codes, such as `{"component_failed"}`, or a
                function of its `Outcome` that returns whether to run it again. Default: those whose `error` is
                retryable. Steps that have run, run again with the input. Needs `max_attempts`.
            idempotency_key: A function of an input that returns its key, as for `run`; None for an input without one.
                Each input is then a run of its own, and an input whose key has a run already gets the outcome of that
                run. Excludes `journal`, which it replaces, `max_attempts` and `chunk_size`.
            idempotency_scope: What the keys identify, whatever the version of the flow, as for `run`.
            journal: The path of a file that records the batch's progress. After a crash, the same call with the same
                inputs continues: it yields the recorded outcomes, takes over the runs that were created, and creates
                the others. Requires a server whose store survives as long. Only one batch at a time can use a journal.
            on_lost: What to do with inputs whose run is in the journal but no longer on the server, because the server
                was restarted without its store: `fail`, the default, gives them the error code `lost`, since they may
                have been executed; `rerun` runs them again.
            on_cancel: What to do with the runs in flight if the iteration ends early: `detach`, the default, leaves
                them running; `cancel` marks them as cancelled.
            timeout: Seconds until the last outcome, from the call on. None, the default, sets no limit. An input that
                is slow to be read is waited for.
            progress: True shows the number of outcomes, as for `run`, and the total if it is known. Or a function that
                is called with a `Progress` at the beginning, after outcomes and at the end. Default False.
            total: The number of inputs, for the progress. None, the default: the length of `inputs`, or what
                `read_inputs` expects.
            labels: Labels to find the batch by, as for `run`; they are recorded with its first run.

        Raises:
            OutputTypeError: If an output does not match `output_type`, with `on_error="raise"`.
            FlowFileError: If the flow's file cannot be read.
            InvalidArgumentError: If an argument is invalid.
            JournalError: If the journal belongs to another flow or to other inputs, variables or overrides, if it is
                damaged or in use by another batch, or if it cannot be read or written.
            InvalidFlowError: If the server refuses the flow.
            RunFailedError: If an input does not succeed, with `on_error="raise"`.
            OutputTypeError: If an output does not match `output_type`, with `on_error="raise"`.
            RunTimeoutError: If the timeout expires. The runs continue, unless `on_cancel` is `cancel`. A
                RequestTimeoutError if it expires before the first run is created.
            AmbiguousRunError: If the client cannot tell whether a chunk's run was created. With a journal, making the
                same call later finds out.
            TransportError: If the server cannot be reached.
        """
        from .batch import BatchOptions

        _check_progress(progress)
        if output_type is not None:
            typed.check_output_type(output_type)
        expected = requests.check_limit(total, "total")
        if labels is not None:
            self._recorder.check_labels(labels)
        options = BatchOptions(
            max_concurrency=max_concurrency,
            chunk_size=chunk_size,
            ordered=ordered,
            on_error=on_error,
            variables=variables,
            variables_from_env=variables_from_env,
            overrides=overrides,
            output_type=output_type,
            check_input=check_input,
            max_attempts=max_attempts,
            retry_on=retry_on,
            idempotency_key=idempotency_key,
            idempotency_scope=idempotency_scope,
            labels=labels,
            journal=journal,
            on_lost=on_lost,
            on_cancel=on_cancel,
        )
        outcomes = self._services.batch(flow, inputs, options).iterate_outcomes(compute_deadline(timeout))
        if progress is not False:
            outcomes = self._services.reporter.report_outcomes(outcomes, inputs, progress, expected)
        return streams.SyncOutcomeStream(self._connection.trace_stream("map", outcomes))

    def get_result(
        self,
        run_id: RunId,
        *,
        wait: bool = True,
        timeout: float | None = None,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
    ) -> FlowResult[OutputT]:
        """Wait until a run of one item ends and return its result.

        Args:
            run_id: The run.
            wait: Whether to wait. With False, a run that has not ended raises a RunTimeoutError at once. Default True.
            timeout: Seconds to wait. None, the default, sets no limit.
            output_type: The type of the output, as for `run`. None, the default: plain JSON.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If the run is a batch; use `get_results`.
            OutputTypeError: If the run succeeded but its output does not match the `output_type`.
            RunTimeoutError: If the run did not end in time. The run continues.
        """
        if output_type is not None:
            typed.check_output_type(output_type)
        waiter = self._services.waiter
        # The handle of a run that ended at once has the response with its result.
        started = getattr(run_id, "_started", None)
        run, result = waiter.wait_and_record(
            "get_result", run_id, waiter.read_result, wait=wait, timeout=timeout, single=True, started=started
        )
        older = self._find_older_flow_id(run.run_id)
        result = result if older is None else replace(result, older_flow_id=older)
        return result if output_type is None else typed.convert_output(result, output_type)

    def get_results(
        self,
        run_id: RunId,
        *,
        wait: bool = True,
        timeout: float | None = None,
        output_type: type[OutputT] | TypeAdapter[OutputT] | None = None,
    ) -> list[FlowResult[OutputT]]:
        """Wait until a run ends and return the results of all its items, in the order of their inputs.

        Args:
            run_id: The run.
            wait: Whether to wait. With False, a run that has not ended raises a RunTimeoutError at once. Default True.
            timeout: Seconds to wait. None, the default, sets no limit.
            output_type: The type of the outputs, as for `run`. None, the default: plain JSON.

        Raises:
            NotFoundError: If the server has no such run.
            OutputTypeError: If an item succeeded but its output does not match the `output_type`.
            RunTimeoutError: If the run did not end in time. The run continues.
        """
        if output_type is not None:
            typed.check_output_type(output_type)
        results = self._services.waiter.wait_for_results(run_id, wait=wait, timeout=timeout)
        return results if output_type is None else [typed.convert_output(result, output_type) for result in results]

    # Flows

    def store_flow(self, flow: FlowSource, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoreFlowResponse:
        """Store a flow and return its id.

        The same flow has the same id on every server. Integers in the flow stay integers (with a plain POST /flows,
        servers may convert them to floats). A flow that this client has stored before is not sent again.

        Args:
            flow: The path of a YAML or JSON file, or the flow as a mapping or an object (see `run`).
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If `flow` is not a flow, or is only the id of a stored one.
            InvalidFlowError: If the server refuses the flow; `diagnostics` lists the reasons.
        """
        with call_scope(timeout):
            return self._services.flows.store_flow(flow)

    def get_flow(self, flow_id: FlowId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoredFlow:
        """Return a stored flow, with its examples and the inputs of its test cases.

        Clients store test cases as examples, without their expected outputs.

        The tag that clients add to the flows they run is removed. Keys that the server does not know are missing.
        Servers may return numbers as floats; whole ones are converted back to integers.

        Args:
            flow_id: The flow: its id, or an object with a `flow_id`, such as what `store_flow` returned.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such flow.
            InvalidRequestError: If `flow_id` cannot be the id of a flow.
        """
        with call_scope(timeout):
            return self._services.flows.get_flow(flow_id)

    def delete_flow(self, flow_id: FlowId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> None:
        """Ask the server to delete a flow.

        Released servers accept this request but delete nothing. Most accept unknown ids too.

        Args:
            flow_id: The flow: its id, or an object with a `flow_id`, such as what `store_flow` returned.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.
        """
        with call_scope(timeout):
            self._services.flows.delete_flow(flow_id)

    def get_flow_variables(self, flow_id: FlowId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> FlowVariables:
        """Return the variables that a stored flow declares, as its author wrote them.

        The client reads them from the flow itself, so the result is the same on every release.

        Args:
            flow_id: The flow: its id, or an object with a `flow_id`, such as what `store_flow` returned.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such flow.
        """
        with call_scope(timeout):
            return self._services.flows.get_flow_variables(flow_id)

    def check(
        self,
        flow: FlowSource,
        *,
        offline: bool = False,
        type_check: bool = False,
        target: str | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> ValidationResult:
        """Check a flow with the offline rules of `stepflow_client.flows.check` and the components of the server.

        This finds faults that servers do not look for, such as unknown keys, components and inputs. For the server's
        own diagnostics, use `validate`.

        Args:
            flow: The path of a YAML or JSON file, or the flow itself.
            offline: Whether to skip requesting the server's components; only the builtin ones are known then. Default
                False.
            type_check: Whether to check types throughout the flow too, from the schemas of the components to the
                expressions that read their outputs. Default False.
            target: The release of the servers that the flow is for, such as `0.13`: faults that only other releases
                have are not reported. None for all supported releases.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Returns:
            The diagnostics, with line and column if the flow is a file.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If `target` is no release.
            TransportError: If the server cannot be reached, unless `offline` is True.
        """
        with call_scope(timeout):
            return self._services.flows.check(flow, offline=offline, type_check=type_check, target=target)

    def validate(self, flow: FlowSource, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ValidationResult:
        """Return the server's diagnostics of a flow, without storing it.

        Args:
            flow: The flow, as for `run`. If it is an id, the client reads the flow from the server first; keys that
                servers do not know are missing then.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            FlowFileError: If the file cannot be read, or contains no flow. (The faults of a flow are in the result.)
            NotFoundError: If the server has no flow with this id.
        """
        with call_scope(timeout):
            return self._services.flows.validate(flow)

    # Creating and reading runs

    def create_run(
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
        """Start a run of a stored flow and return it. The run has usually not ended yet.

        Args:
            flow_id: The flow: its id, or an object with a `flow_id`, such as what `store_flow` returned.
            input: The input: any JSON value. A list is a batch with one item for each element; an empty list makes a
                run without items (0.11 and newer). Write `[[1, 2]]` for a single input that is a list. None is the
                input null.
            variables: Values of the flow's variables: a mapping, or the path of a YAML or JSON file that contains one.
            overrides: Changes to steps for this run only: `{step: {"input": {...}}}`, the wrapped form that the server
                accepts, or a list of either, merged left to right. Servers refuse unknown steps.
            debug: Must be False: no released server has a debug mode, and True is refused.
            max_concurrency: Maximum number of tasks of the run that are executed at once: steps, branches of a step and
                items of sub-flows, counted over all items. It does not limit the number of items, and sub-flows
                (`/builtin/map`) may exceed it. None, the default, leaves it to the server: ten, or on 0.10 one task for
                each item.
            variables_from_env: Whether to read missing variables from the environment: from the variable that the flow
                names as `env_var`, then from `STEPFLOW_VAR_<NAME>`. Default False.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such flow.
            InvalidRequestError: If the server refuses an override.
            AmbiguousRunError: If the response was lost and the server has runs of this flow that may be the created
                one. Others may run the same flow, and servers do not report who created a run. (`run` and `submit` can
                identify their runs.)
            InvalidArgumentError: If an argument is invalid; nothing is sent. Overrides and variables are
                checked if this client knows the flow, as for `run`. An integer beyond 2**53 is refused if the server
                would change it (`SyncStepflowClient(exact_integers=False)` sends it).
            UnsupportedByServerError: If `debug` is True, or if the input is an empty list and the server is older than
                0.11.
        """
        with call_scope(timeout):
            requests.check_debug(debug)
            flow_id = requests.check_flow_id(flow_id)
            call = RunCall(flow_id, input, overrides, variables, variables_from_env, max_concurrency)
            return self._services.creator.create_run(flow_id, call)

    def get_run(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Return the current state of a run.

        `items.completed` stays 0 until the whole run ends, on every release.

        Args:
            run_id: The run.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such run.
        """
        with call_scope(timeout):
            run = self._runs.get_run(run_id)
        if run.is_finished:
            self._recorder.record_status(run.run_id, run.status)
        return run

    def snapshot(
        self,
        run_id: RunId,
        *,
        include: SnapshotPart | Iterable[SnapshotPart] = ("items", "steps", "flow", "arguments", "account", "counts"),
        item_index: int | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> RunSnapshot:
        """Return what is known about a run at one moment, with as few requests as possible.

        Independent requests are sent concurrently. Completed and failed runs do not change, so the client keeps what it
        has read of the latest ones: a later call only requests what is missing.

        Example:
            ```python
            run = client.snapshot(run_id)
            print(run.details.status, run.account.text)
            for step in run.steps or ():
                print(step.step_id, step.output)
            ```

        Args:
            run_id: The run.
            include: The parts to read: `items`, `steps`, `flow`, `arguments`, `account` and `counts`, by default all
                of them. An account includes the parts that it is made of; of a batch, only the steps of one item.
            item_index: The item of a batch whose steps and account to return, from 0. By default, the steps of all
                items, and the account of the first item that failed, or of the first item if none has.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout, for each request.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If the run has no such item, or there is no such part.
            RequestTimeoutError: If the timeout expires.
        """
        with call_scope(timeout):
            return self._services.snapshots.read(run_id, include, item_index)

    def get_run_items(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ListItemsResponse:
        """Return the items of a run, in the order of their inputs; the `result` of a running item is None.

        The error of a failed item includes the step that failed and its message. This takes a request for each failed
        item. In runs of more than 1,000 items, only the first 20 failed ones have it.

        If an item has not ended although its run has failed, the server may have lost it, or may still be executing it.
        After 30 s without a sign of life, it is returned as failed, with the code `lost` or `lost_before_start`. (In
        runs of more than 1,000 items, only the time at which the run was marked as failed counts; `get_results` reads
        all events.)

        Args:
            run_id: The run.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such run.
        """
        with call_scope(timeout):
            return self._runs.get_run_items(run_id)

    def get_run_steps(
        self,
        run_id: RunId,
        *,
        item_index: int | None = None,
        include_times: bool = False,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> ListStepsResponse:
        """Return the steps of a run that were started, by item, then in the order of the flow.

        Example:
            ```python
            for step in client.get_run_steps(run_id, include_times=True):
                print(step.step_id, step.started_at, step.duration, step.attempts)
            ```

        Args:
            run_id: The run.
            item_index: The item whose steps to return; None, the default, returns those of all items.
            include_times: Whether to set `started_at`, `completed_at`, `duration` and `attempts`, from the run's
                events. This takes one more request, whose response has three or more events for each step of all items.
                Default False.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such run.
            RequestTimeoutError: If the steps or the events did not arrive in time.
        """
        check_flag(include_times, "include_times")
        with call_scope(timeout):
            listed = self._runs.get_run_steps(run_id, item_index=item_index)
            steps = self._runs.mark_kept_steps(listed.run_id, listed.steps)
            if include_times:
                times = self._services.follower.read_step_times(listed.run_id, steps, timeout)
                steps = [times.add_times_to(step) for step in steps]
            return replace(listed, steps=steps)

    def get_run_arguments(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunArguments:
        """Return the arguments that a run was started with: inputs, variables and overrides, and its labels and note.

        Servers from 0.12 on do not report inputs and overrides, and no server reports variables, labels and notes.
        These come from the client's `history`, if it has one and the run is recorded there. Inputs reported by a server
        are not masked; recorded ones have `***` in place of secrets.

        Args:
            run_id: The run.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If neither the server nor the history has such a run.
        """
        with call_scope(timeout):
            return self._services.snapshots.read_arguments(run_id)

    def get_run_step(
        self, run_id: RunId, step_id: str, *, item_index: int = 0, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> StepDetails:
        """Return one step of one item.

        Args:
            run_id: The run.
            step_id: The id of the step.
            item_index: The index of the item, from 0. Default 0.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If there is no such step, or if it has not started.
        """
        with call_scope(timeout):
            step = self._runs.get_run_step(run_id, step_id, item_index=item_index)
            return (self._runs.mark_kept_steps(run_id, [step]))[0]

    def get_run_flow(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoredFlow:
        """Return the flow of a run, without the tag that the client adds. For its examples, use `get_flow`.

        Args:
            run_id: The run.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such run.
        """
        with call_scope(timeout):
            return self._runs.get_run_flow(run_id)

    def cancel_run(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Mark a run as cancelled and return it.

        On every released server this sets the status and the end time but stops nothing. The running step
        ends and later steps still start. At the end the status changes from cancelled to completed or failed. Until
        then `get_run_items` shows every item of the run as running, even those that have ended, and `get_results`
        returns cancelled for each; after that both return the real outcomes.

        A run that has ended is not changed. Servers may overwrite its status, so the client checks first.

        Args:
            run_id: The run.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has already ended.
        """
        with call_scope(timeout):
            run = self._runs.cancel_run(run_id)
            self._recorder.record_status(run.run_id, run.status)
            return run

    def delete_run(self, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> None:
        """Ask the server to delete a run that has ended.

        Released servers accept this request but delete nothing.

        Args:
            run_id: The run.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has not ended.
        """
        with call_scope(timeout):
            self._runs.delete_run(run_id)

    # Listing runs

    def list_runs(
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
            status: Return only runs with this status.
            limit: Maximum number of runs. None, the default, returns all of them, as servers have no limit of their
                own; use `iter_runs` to read them in pages.
            offset: Number of runs to skip, from the newest on.
            flow_name: Return only runs of flows with this name.
            root_run_id: Return only this run and the runs below it.
            parent_run_id: Return only runs that a step of this run created.
            roots_only: If True, leave out runs that steps created.
            since: Return only runs created at this time or later, by the server's clock: a datetime, or an ISO 8601
                text such as `2026-11-25T14:00:00Z`. A time without a time zone is local time. Creation times are read
                from the run ids, which have them to the millisecond.
            until: Return only runs created before this time. Servers have no such filter: the client pages through all
                newer runs.
            labels: Return only runs that the client's `history` has with these labels, values by name.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            InvalidArgumentError: If an argument is invalid. (Servers ignore a filter that they cannot read and list all
                runs.)
        """
        with call_scope(timeout):
            runs = self._services.lister.list_runs(
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
    ) -> SyncRunPager:
        """Return runs, newest first, read page by page.

        Arguments are checked at the call. No run is yielded twice. No run that exists and matches from start to end is
        missed, even if new runs are created or runs stop matching meanwhile.

        Args:
            status: Return only runs with this status. All filters are the same as for `list_runs`.
            page_size: Number of runs in each request, at least 2.
            filters: The other filters of `list_runs`; with `since`, the iteration ends there. `timeout` limits each
                request as a whole, in seconds; None for no limit. Default: the client's timeout.
        """
        from .._calls.call_options import RunFilters

        refuse_unknown(filters, ("status", "page_size", *RunFilters.__annotations__))
        return streams.SyncRunPager(self._services.lister.iter_runs(status, page_size=page_size, **filters))

    # Waiting

    def wait_run(self, run_id: RunId, *, timeout: float | None = None, progress: ProgressOption = False) -> RunDetails:
        """Wait until a run ends and return it.

        The wait survives lost connections and server restarts: with a timeout, until it expires; without one, until the
        server has not responded for two minutes.

        Args:
            run_id: The run.
            timeout: Seconds to wait. None, the default, sets no limit.
            progress: Whether to show the run's progress, or a function that is called with it, as for `run`. Default
                False.

        Raises:
            NotFoundError: If the server has no such run.
            RunTimeoutError: If the run did not end in time. The run continues.
            TransportError: If the server cannot be reached.
        """
        _check_progress(progress)
        with self._connection.trace("wait_run", kind="INTERNAL") as span:
            if progress is False:
                run = self._services.waiter.wait_run(run_id, timeout=timeout)
            else:
                run = self._services.reporter.wait_run(run_id, timeout, progress)
            span.note(run_id=run.run_id, run_status=run.status.value)
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
    ) -> SyncEventStream:
        """Return the events of a run, from the beginning or a cursor, until the run ends (0.12 and newer).

        Each event is yielded exactly once and in order, even if the connection breaks: the client reconnects by itself.
        The last event is a `RunCompletedEvent`. Servers do not send one for a run that was cancelled or that they lost
        (a failed recovery after a restart, an exhausted store). After a cancellation, the client infers it
        (`event.inferred`) about two seconds after the last event. A run that its server has given up, because it found
        that nobody executes it, may still be executed: it counts as lost after 30 s without a sign of life.

        Example:
            ```python
            with client.run_events(run_id) as events:
                for event in events:
                    print(event.type, event.timestamp)
            ```

        Leaving the block closes the connection at once. `events.cursor` is the cursor of the last event.

        Args:
            run_id: The run.
            after: The `cursor` of the last event that was handled, or the sequence number to start from. Default None:
                from the beginning.
            include_results: Whether to set `StepCompletedEvent.output`. Default False.
            include_sub_runs: Whether to include events of runs that steps created. Their step ids are not reliable
                (servers send the parent's, or none); use `get_run_steps` of the sub-run instead. Default False.
            event_types: The types of the events to yield, such as `["step_completed", "run_completed"]`. The client
                leaves out the others, as servers have no such filter. None, the default, yields all events.
            heartbeat: Seconds without an event after which a `HeartbeatEvent` is yielded, repeatedly. A program that
                relays the events, to a web page for example, can so keep its own connection open. A heartbeat may be
                delayed by the duration of a request, for example while the server is away. None, the default: no
                heartbeats.
            timeout: Seconds until the last event, from the call on. None, the default, sets no limit.

        Raises:
            InvalidArgumentError: If an argument is invalid, for example if `after` is the cursor of events with another
                `include_sub_runs`. It is raised at the call.
            NotFoundError: If the server has no such run. This error and those below are raised while iterating.
            RunTimeoutError: If the run did not end in time. The run continues.
            ServerConnectionError: If the server cannot be reached for a minute.
            UnsupportedByServerError: If the server has no stream of events.
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
        run_id = requests.check_run_id(run_id)
        return streams.SyncEventStream(self._connection.trace_stream("run_events", events, run_id))

    # Blobs

    def store_blob(
        self,
        data: Any,
        *,
        filename: str | None = None,
        blob_type: str | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> StoreBlobResponse:
        """Store a blob and return its id, the SHA-256 digest of its content.

        Args:
            data: Bytes, or any JSON value. JSON is stored exactly on every release.
            filename: A file name to store with the blob; for bytes it must be ASCII. If the same content is stored
                twice, the last name is kept.
            blob_type: The type of a JSON blob: `data` (the default) or `flow`.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            InvalidArgumentError: If the value cannot be represented in JSON.
        """
        with call_scope(timeout):
            return self._services.blobs.store_blob(data, filename=filename, blob_type=blob_type)

    def get_blob(self, blob_id: str, *, timeout: float | NotGiven | None = NOT_GIVEN) -> BlobContent:
        """Return a blob: its `data` is the JSON value, or `bytes` for a binary blob.

        Args:
            blob_id: The id of the blob.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout.

        Raises:
            NotFoundError: If the server has no such blob.
        """
        with call_scope(timeout):
            return self._services.blobs.get_blob(blob_id)

    # Running a run again

    def plan_rerun(self, run_id: RunId, **options: Unpack[PlanOptions]) -> RerunPlan:
        """Return what `rerun` would keep and execute, without starting a run.

        Args:
            run_id: The run.
            **options: The same as for `rerun`, except `variables_from_env`, `idempotency_key` and `labels`.

        Raises:
            StepflowClientError: The same errors as `rerun` raises.
        """
        from .._calls.call_options import PlanOptions
        from .._calls.rerun_plan import RerunRequest

        refuse_unknown(options, ("run_id", *PlanOptions.__annotations__))
        arguments: dict[str, Any] = {**options}
        timeout = arguments.pop("timeout", None)
        request = RerunRequest.from_arguments(run_id, **arguments, variables_from_env=True)
        return self._services.rerunner.plan(request, timeout=timeout)

    def rerun(
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
        """Run a finished run again, reuse outputs of its steps, and return all results.

        A kept step is not executed: its output is the one from the earlier run. Outputs of steps can be read on 0.12
        and newer. `keep="succeeded"` works on every release: if outputs cannot be read, the failed items are executed
        completely. The server's builtin components must be at `/builtin`.

        No server returns a run's variables, and servers from 0.12 on return neither its input nor its overrides. A
        client with a `history` reuses the recorded ones: the input if none is given, and variables and overrides unless
        the given ones replace them. Values of secret variables are not recorded. Without a history, pass all of them
        again. The outputs of kept steps still reflect the values of the earlier run: the plan's `outdated` names those
        computed from another input or other variables. A rerun can itself be run again: what it kept is kept or
        executed like any other step.

        Example:
            ```python
            again = client.rerun(run_id, keep=Keep(before="summarise"), input=document)
            print(again.result.output)
            ```

        Args:
            run_id: The earlier run.
            keep: The outputs of the earlier run to reuse. `nothing`, the default, executes everything. `succeeded`
                keeps the results of the items that succeeded, and the completed steps of the others. `completed` keeps
                every completed step of all items, and executes only steps that failed or were added. `unchanged` keeps
                every completed step whose output would be the same again: neither its definition, overrides, input and
                variables nor those of a step that it reads have changed. `Keep(before="summarise")` executes this step
                and all steps that read its output, and `Keep(all_except="summarise")` executes it alone: see `Keep`.
                Values of secret variables and the programs of workers are not compared. Without a history, `unchanged`
                executes all steps that read a given input or variable, and does not know overrides of the earlier run.
            input: The input of the earlier run; for a batch, the list of all its inputs, or with `items` of theirs. It
                can be omitted if no executed step reads it, or if it is recorded.
            variables: Values of the flow's variables, as for `run`.
            variables_from_env: Whether to read missing variables from the environment, as for `run`. Default False.
            overrides: Changes to steps that are executed, as for `run`.
            flow: A changed flow; None, the default, uses the flow of the run.
            force: Whether to keep steps whose definition has changed or that are overridden. Default False.
            items: The indexes of the items to run again, from 0; the results of the others are kept. None, the default,
                chooses all items that `keep` leaves.
            inherit: The recorded arguments that stand in for those that are not given: of `input`, `variables` and
                `overrides`, by default all. Without the last two, the new run is one of the flow as it is.
            max_concurrency: Maximum number of tasks of each new run that are executed at once, as for `create_run`.
            idempotency_key: A text of at most 512 characters that stands for this call: of all calls with it, from any
                process, one creates the new runs, and the others return the same runs. It belongs to the earlier run,
                whatever the flow and the scope of the client. None, the default, creates new runs with each call.
            labels: Labels to find the new runs by, as for `run`.
            timeout: Seconds for the whole call. None, the default, sets no limit.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has not ended.
            IdempotencyConflictError: If the key was used for this run with other arguments or items.
            InvalidArgumentError: If the flow has no such step or the run no such item, if the input is required but
                missing or is not that of the batch, if a kept step has changed, or if a secret variable of the recorded
                run is required and was not passed again.
            UnsupportedByServerError: If the server does not return the outputs of steps (before 0.12).
            RunTimeoutError: If the new runs did not end in time. They continue.
        """
        from .._calls.rerun_plan import RerunRequest

        request = RerunRequest.from_arguments(
            run_id,
            keep=keep,
            input=input,
            variables=variables,
            overrides=overrides,
            flow=flow,
            force=force,
            items=items,
            inherit=inherit,
            max_concurrency=max_concurrency,
            variables_from_env=variables_from_env,
            idempotency_key=idempotency_key,
        )
        with self._recorder.apply_labels(labels):
            return self._services.rerunner.run(request, timeout=timeout)

    def start_rerun(self, run_id: RunId, **options: Unpack[RerunOptions]) -> list[SyncRunHandle]:
        """Start a rerun and return a handle of each new run, without waiting for the runs to end.

        Items that keep different outputs need separate runs. The list is empty if there is nothing to run again.

        Example:
            ```python
            (handle,) = client.start_rerun(run_id, keep=Keep(before="summarise"))
            print((handle.result()).output)
            ```

        Args:
            run_id: The run.
            **options: The same as for `rerun`.

        Raises:
            StepflowClientError: The same errors as `rerun` raises.
        """
        from .._calls.call_options import RerunOptions
        from .._calls.rerun_plan import RerunRequest

        refuse_unknown(options, ("run_id", *RerunOptions.__annotations__))
        arguments: dict[str, Any] = {**options}
        labels, timeout = arguments.pop("labels", None), arguments.pop("timeout", None)
        request = RerunRequest.from_arguments(run_id, **arguments)
        with self._recorder.apply_labels(labels):
            run_ids = self._services.rerunner.start(request, timeout=timeout)
        return [self.handle(run_id) for run_id in run_ids]

    # Comparing runs

    def compare_runs(
        self,
        a: RunId,
        b: RunId,
        *,
        ignore: str | Iterable[str] = (),
        items: tuple[int, int] | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> RunComparison:
        """Return the differences between two runs: status, flow, and for each item its step outputs, output and errors.

        Both runs must be on this server. Inputs, variables and overrides are not compared, as servers do not return
        them; their effects show in the steps. Outputs of steps are compared on 0.12 and newer. A run that has not
        ended is compared in its current state. A step that was not run because a step that it reads failed has
        the status `not_run`, and no error.

        Example:
            ```python
            compared = client.compare_runs(before, after, ignore="$.steps.*.output.time")
            for difference in compared.differences:
                print(difference.path, difference.a, difference.b)
            ```

        Args:
            a: The first run.
            b: The second run.
            ignore: Paths to leave out, with everything below them, in the form that differences use; `*` matches any
                key or index.
            items: The index of an item of the first run and that of an item of the second run, to compare these alone.
                None, the default, compares all items, each with the one of the same index.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout, for each request.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If a path in `ignore` is malformed, or a run has no such item.
            RequestTimeoutError: If the timeout expires.
        """
        with call_scope(timeout, limits_requests=False):
            return self._services.snapshots.compare((a, b), ignore, items)

    def explain_run(
        self, run_id: RunId, *, item_index: int | None = None, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> RunAccount:
        """Return why an item of a run failed: the step that failed first, and the steps that did not run because of it.

        Servers list every step that reads a failed step as failed, with the same error. The account distinguishes them.
        It also lists steps that nothing needed, and items of sub-runs that failed although their step completed. A run
        that has not ended is explained in its current state.

        What the server does not report is listed in `unknown`, such as errors and outputs of steps before 0.12. The
        input and the variables of the run, if needed, are from the server if it reports them, or from the client's
        `history`.

        Example:
            ```python
            account = client.explain_run(run_id)
            print(account.cause, account.not_run)
            for step in account.steps:
                print(step.step_id, step.text)
            ```

        Args:
            run_id: The run.
            item_index: The index of the item, from 0. None, the default, takes the first item that failed, or the first
                item if none has.
            timeout: Seconds for the whole call; None for no limit. Default: the client's timeout, for each request.

        Raises:
            NotFoundError: If the server has no such run.
            InvalidArgumentError: If the run has no such item.
            RequestTimeoutError: If the timeout expires.
        """
        with call_scope(timeout, limits_requests=False):
            account = (self._services.snapshots.read(run_id, ("account",), item_index)).account
            assert account is not None
            return account


def _add_hint(result: FlowResult, flow: FlowSource, input: Any, overrides: Any, variables: Any) -> FlowResult:
    """Return a failed result whose error says which field of its input the component refuses, if that is known.

    It also says where the step is written, if the flow is written in Python.
    """
    source = flow_argument(flow)
    if isinstance(source, StoredFlowId) or result.error is None:
        return result
    from .._runs.refusals import FailureHints
    from ..flows.interpreter import NOT_KNOWN, flow_with
    from ..flows.nodes import describe_place

    values = {} if variables is None else dict(variables) if isinstance(variables, Mapping) else NOT_KNOWN
    try:
        hint = FailureHints(flow_with(load_flow(source), overrides), values).find_hint(result.error, input)
    except FlowFileError:
        # The file is gone; the failure to report is the run's.
        return result
    hint = "; ".join(filter(None, (hint, describe_place(flow, result.error.step_id))))
    return replace(result, error=replace(result.error, hint=hint)) if hint else result


def _check_progress(progress: object) -> None:
    # Import the progress code only if progress is shown.
    if progress is not False:
        from .._display.progress_display import check_progress

        check_progress(progress)
