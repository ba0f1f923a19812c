"""Sends operations and returns their responses, or raises one of this package's errors."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast
from urllib.parse import urlencode

from .. import errors
from .._base.bounded_dict import BoundedDict
from .._base.logging import logger
from .._base.text_formatting import duration_text
from .._codec import responses
from .._concurrency import async_shield
from .._data.arguments import check_choice, check_integer
from .._data.wire import PLAIN, PLAIN_UNORDERED, OutputDecoder, decode, decode_keeping_floats, to_json
from .._http import settings as http_settings
from .._http.connecting import build_ssl_context
from .._http.http1_format import MIN_TIMEOUT, HeaderItems, HttpError, HttpRequest, HttpResponse
from .._http.settings import API_PATH, PoolLimits, ServerUrl, Timeouts
from .._rules import operations_and_releases as api, timing_constants
from .._rules.deadlines import current_deadline, current_timeouts
from .._rules.operations_and_releases import Operation, OperationRequest, Server, identify_server, make_pinned_server
from .._rules.retries import RetryPolicy, parse_retry_after
from .._rules.server_loads import ServerLoads
from .._rules.transport_errors import convert_error
from .._telemetry.tracing import Kind, OperationSpan, is_untraced, trace_operation
from ..errors import ApiError, StepflowClientError
from .transport.base import Transport
from .transport.failover import Failover
from .transport.middlewares import DialectTranslator, HttpxAuth, Retry, StaticAuthorization, TokenAuthorization
from .transport.pool import Pool

if TYPE_CHECKING:
    import ssl

    import httpx
    from stepflow_api import Client

    from ..types import ComponentList


Answer = TypeVar("Answer")
Item = TypeVar("Item")
# Maximum number of runs whose decoders a client remembers.
_MAX_DECODERS = 10_000


class ConnectionSettings(NamedTuple):
    """A client's connection settings, which have the same meaning as in `StepflowClient`."""

    base_url: str | httpx.URL | Sequence[str | httpx.URL]
    timeout: float | httpx.Timeout | None
    headers: Mapping[str, str] | None
    auth: httpx.Auth | http_settings.Token | tuple[str, str] | None
    verify: bool | str | ssl.SSLContext
    cert: str | tuple[str, ...] | None
    proxy: str | httpx.URL | httpx.Proxy | None
    limits: httpx.Limits | None
    transport: httpx.AsyncBaseTransport | None
    server_release: str | None
    strategy: str
    retry: RetryPolicy
    max_response_bytes: int
    event_hooks: Mapping[str, Sequence[Callable[[Any], Any]]] | None


class Connection:
    """Sends a client's operations. No connection is opened until the first request."""

    def __init__(self, settings: ConnectionSettings) -> None:
        roots = http_settings.parse_urls(settings.base_url)
        strategy = check_choice(settings.strategy, "strategy", ("failover", "spread"))
        is_spread = strategy == "spread" and len(roots) > 1
        root = roots[0]
        credentials = http_settings.check_auth(settings.auth)
        self.root = root
        self.url = str(root)
        self._urls = [str(url) for url in roots]
        self.timeout = http_settings.parse_timeout(settings.timeout)
        max_bytes = settings.max_response_bytes
        self.max_response_bytes = check_integer(max_bytes, "max_response_bytes", least=1, most=sys.maxsize)
        self.is_shared = len(roots) > 1
        """Whether there are multiple servers, in which case the one that responds may not have the run."""
        self.spread = ServerLoads(len(roots)) if is_spread else None
        """Picks a server for each new run. None unless runs are spread across multiple servers."""
        self.places = len(roots) if is_spread else 1
        """How many servers execute this client's new runs."""
        self.timings = timing_constants.DEFAULT
        """Timings and limits, such as how long to wait and how far back to search."""
        self.config: Callable[[], Mapping[str, Any]] | None = None
        """Returns the server's configuration. None if we don't know it. (We do for an embedded server.)"""
        self.has_answered = False
        """Whether any server has ever responded to one of this client's operations."""
        self.headers = {"accept": "*/*", "user-agent": "stepflow-client"}
        """Headers to send with every request. A request that adds headers gets its own copy."""
        server = None if settings.server_release is None else make_pinned_server(self.url, settings.server_release)
        settings = settings._replace(proxy=http_settings.parse_proxy(settings.proxy))
        # Credentials in a URL are only ever sent to that URL's server. `str(root)` doesn't include them.
        header = http_settings.build_static_authorization(credentials or (root.user if len(roots) == 1 else None))
        self._auth_header = {} if header is None else {"authorization": header}
        self._set_default_headers(http_settings.check_headers(settings.headers) or {})
        senders = [build_server_transport(url, settings) for url in roots]
        if header is None:
            pairs = zip(senders, roots, strict=True)
            senders = [wrap_with_authorization(sender, url, credentials) for sender, url in pairs]
        proxy = None if settings.transport is not None else settings.proxy or http_settings.find_environment_proxy(root)
        self.proxy = http_settings.format_proxy(proxy)
        """The URL of the (first) server's proxy, without its password, or None if there isn't one."""
        sender = senders[0] if len(senders) == 1 else Failover(senders, self.spread)
        self.dialect = DialectTranslator(Retry(sender, settings.retry), self.url, server)
        self.decoders: BoundedDict[str | None, OutputDecoder] = BoundedDict(_MAX_DECODERS)
        """Decoders for responses about this client's most recent runs, by run ID."""
        self._api: Client | None = None

    @property
    def api(self) -> Client:
        """The generated API client, which sends its requests over this connection."""
        if self._api is None:
            import httpx
            from stepflow_api import Client

            from .transport.httpx_bridge import TransportBridge

            http = httpx.AsyncClient(
                base_url=self.url + API_PATH,
                timeout=httpx.Timeout(**self.timeout.as_dict()),
                headers=self.headers,
                transport=TransportBridge(self.dialect, self.root, self.max_response_bytes),
                trust_env=False,
            )
            self._api = Client(base_url=self.url + API_PATH).set_async_httpx_client(http)
        return self._api

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return a connection that sends additional headers but otherwise shares everything with this one."""
        twin = copy.copy(self)
        twin._set_default_headers(headers)
        twin._api = None
        return twin

    def _set_default_headers(self, headers: Mapping[str, str]) -> None:
        self.headers = {**self.headers, **{name.lower(): value for name, value in headers.items()}, **self._auth_header}
        self._merge_headers = lru_cache(maxsize=8)(partial(_merge_headers, self.headers))

    async def close(self) -> None:
        """Close all connections and reject any later requests."""
        self.dialect.closed = True
        with async_shield():
            await self.dialect.aclose()

    async def detect_server(self) -> Server:
        """Return the server's release and capabilities, requesting them only if they aren't known yet."""
        server = self.dialect.server
        if server is not None:
            return server
        answer = await self.request_health()
        return self.dialect.server or identify_server(self.url, answer)

    def get_output_decoder(self, run_id: str | None) -> OutputDecoder:
        """Return the decoder for responses about a run."""
        decoder, server = self.decoders.get(run_id, PLAIN), self.dialect.server
        if server is not None and server.capabilities["exact_numbers"]:
            return decoder
        return PLAIN_UNORDERED if decoder is PLAIN else decoder._replace(keeps_order=False)

    async def request_health(self) -> dict[str, Any]:
        """Request the server's health and return it.

        Raises:
            InvalidResponseError: If the response isn't from a Stepflow server.
        """
        answer = await self.call(api.health_check(), dict)
        identify_server(self.url, answer)
        return answer

    async def list_components(self, *, include_schemas: bool = True) -> ComponentList:
        """Return the components that flows can use, including their paths if we know the server's configuration."""
        request = api.list_components(exclude_schemas=None if include_schemas else True)
        listed = await self.call(request, responses.read_components)
        if self.config is None:
            return listed
        return responses.add_component_paths_from_routes(listed, self.config().get("routes") or {})

    async def call(
        self,
        request: OperationRequest,
        convert_response: Callable[[dict[str, Any]], Answer] | None,
        *,
        may_be_missing: bool = False,
        span: OperationSpan | None = None,
    ) -> Answer:
        """Send a request and return the response, converted from JSON by `convert_response` unless that is None.

        Uses the timeouts of the current `call_scope`, or else the client's.

        Raises:
            TransportError: If no usable response arrived.
            ApiError: If the server responded with an error.
        """
        if span is None and not is_untraced():
            with self.trace_operation(request.operation.name) as span:
                return await self.call(request, convert_response, may_be_missing=may_be_missing, span=span)
        run_id = request.run_id
        try:
            limit = current_timeouts() or self.timeout
            sent = self.build_request(request, limit.for_long_poll(request.held) if request.held else limit)
            if span is not None:
                sent = span.add_trace_headers(sent, self.url, run_id)
            started = time.monotonic()
            try:
                response = await self.dialect.send(sent)
            except StepflowClientError:
                raise
            except (HttpError, OSError, ValueError) as error:
                self.dialect.forget_server()
                raise convert_error(error, sent, self.get_server_url_of_error(error), self.proxy, run_id) from error
            self.has_answered = True
            if span is not None:
                span.record_attributes(status_code=response.status)
            logger.debug("%s -> %s in %.1f ms", sent, response.status, (time.monotonic() - started) * 1000)
            is_usual = response.status == 200 and response.headers.get("content-type") == "application/json"
            if not (is_usual or (may_be_missing and response.status == 404)):
                self._raise_for_error(request.operation, sent, response)
            if convert_response is None:
                return cast("Answer", response)
            parse = decode_keeping_floats if request.operation.keeps_numbers else decode
            try:
                body = responses.parse_object(response.content, sent, parse)
                answer = responses.build_from_response(convert_response, body, sent)
            except errors.InvalidResponseError:
                # Detect the release again next time, since there may be a different server at the URL by now.
                self.dialect.forget_server()
                raise
            if self.spread is not None and response.server is not None and request.operation is api.create_run:
                self.spread.remember_server(cast("Any", answer).run_id, response.server)
            if span is not None:
                span.record_attributes(run_id=getattr(answer, "run_id", None))
            return answer
        except StepflowClientError as error:
            error.run_id = error.run_id or run_id
            # A response may quote the run's inputs, so remove any secrets.
            self.decoders.get(run_id, PLAIN).secrets.hide_in_error(error)
            raise

    def send(self, request: OperationRequest, *, may_be_missing: bool = False) -> Awaitable[HttpResponse]:
        """Send a request and return the response, raising an exception for error responses.

        Args:
            request: The request.
            may_be_missing: Whether the caller treats a 404 as a valid response. If so, it's returned instead of being
                raised as an error.

        Raises:
            TransportError: If no usable response arrived.
            ApiError: If the server responded with an error.
        """
        return self.call(request, None, may_be_missing=may_be_missing)

    def _raise_for_error(self, operation: Operation, sent: HttpRequest, response: HttpResponse) -> None:
        """If the response is an error response, raise the corresponding error."""
        problem = responses.find_response_error(response.status, response.content_type, response.content, str(sent))
        if problem is None:
            return
        problem.attempts = response.attempts
        if isinstance(problem, ApiError):
            problem.retry_after = parse_retry_after(response)
            if problem.retry_after and response.status in (429, 503):
                problem.hint = f"try again in {duration_text(problem.retry_after)}"
            if response.status == 404 and problem.details is None:
                # The response doesn't say what's missing, so explain it here.
                problem.hint = operation.not_found or None
        if isinstance(problem, errors.NotFoundError) and operation is api.create_run and self.spread is not None:
            problem.hint = "do the servers share one store? strategy='spread' requires it"
        raise problem

    def get_server_url_of_error(self, error: Exception) -> str:
        """Return the URL of the server that caused an error, or of the first server if we can't tell which one."""
        number = getattr(error, "server", None)
        return self.url if number is None else self._urls[number]

    def trace_operation(self, name: str, *, kind: Kind = "CLIENT", is_current: bool = True) -> OperationSpan:
        """Return a context manager that traces and measures an operation (see `tracing.trace_operation`)."""
        return trace_operation(name, None if self.is_shared else self.root, kind, is_current)

    async def trace_stream(
        self, name: str, source: AsyncGenerator[Item, None], run_id: str | None = None
    ) -> AsyncGenerator[Item, None]:
        """Yield a generator's items in a span that starts with the first item and ends when the generator does.

        Requests that the generator sends become child spans, but the code that iterates over the items isn't covered by
        the span.

        Args:
            name: The operation's name.
            source: The generator.
            run_id: The run that the operation is about, if any.
        """
        with self.trace_operation(name, kind="INTERNAL", is_current=False) as span:
            span.record_attributes(run_id=run_id)
            async with aclosing(source):
                while True:
                    with span.make_current():
                        try:
                            item = await anext(source)
                        except StopAsyncIteration:
                            return
                    yield item

    def build_request(self, request: OperationRequest, timeouts: Timeouts) -> HttpRequest:
        """Build the request to send, with its headers, timeouts, size limit and deadline.

        Args:
            request: The request.
            timeouts: The timeouts to use, unless the caller's deadline is earlier.

        Raises:
            ClientClosedError: If the client is closed.
        """
        if self.dialect.closed:
            raise errors.ClientClosedError("the client is closed", hint="create a new one")
        deadline = current_deadline()
        if timeouts.whole != math.inf:
            deadline = min(time.monotonic() + timeouts.whole, math.inf if deadline is None else deadline)
        if deadline is not None:
            timeouts = timeouts.at_most(max(deadline - time.monotonic(), MIN_TIMEOUT))
        operation, parts = request.operation, request.parts
        params, headers, query = parts.get("params"), parts.get("headers"), ""
        if params:
            texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()}
            query = urlencode(texts)
        return HttpRequest(
            parts["method"],
            parts["url"],
            query,
            self.headers if not headers else self._merge_headers(tuple(headers.items())),
            to_json(parts["json"]) if "json" in parts else parts.get("content") or b"",
            timeouts,
            operation.is_idempotent,
            deadline,
            self.max_response_bytes,
            None if self.spread is None else self.spread.find_run_server(request.run_id),
            operation.name,
            request.is_retried,
        )


def _merge_headers(headers: Mapping[str, str], extra_headers: HeaderItems) -> dict[str, str]:
    return {**headers, **{name.lower(): value for name, value in extra_headers}}


def build_server_transport(root: ServerUrl, settings: ConnectionSettings) -> Transport:
    """Return a server's transport: our own pool, unless a custom transport or a proxy requires httpx."""
    limits, transport = settings.limits, settings.transport
    tls = build_ssl_context(root, settings.verify, settings.cert)
    via = settings.proxy or http_settings.find_environment_proxy(root)
    sender: Transport
    if transport is None and via is None:
        sender = Pool(root, tls, PoolLimits() if limits is None else http_settings.parse_pool_limits(limits))
    else:
        import httpx

        from .transport.httpx_bridge import ForkSafeTransport, HttpxTransport

        if transport is None:
            bounds = limits or httpx.Limits(**PoolLimits()._asdict())
            try:
                if isinstance(via, str) and via.startswith("https:"):
                    # Verify an https proxy's certificate the same way as a server's.
                    proxy_tls = build_ssl_context(root._replace(scheme="https"), settings.verify, None)
                    via = httpx.Proxy(via, ssl_context=proxy_tls)
                transport = ForkSafeTransport(verify=tls or False, proxy=via, limits=bounds)
            except (TypeError, ValueError, AttributeError, ImportError, httpx.InvalidURL) as error:
                raise errors.InvalidArgumentError(f"the proxy cannot be used: {error}") from None
        sender = HttpxTransport(transport, root)
    if settings.event_hooks is None:
        return sender
    from .._http.event_hooks import parse_event_hooks
    from .transport.httpx_bridge import Hooks

    return Hooks(sender, parse_event_hooks(settings.event_hooks), root)


def wrap_with_authorization(
    sender: Transport, root: ServerUrl, credentials: httpx.Auth | http_settings.TokenAuth | tuple[str, str] | None
) -> Transport:
    """Wrap a transport so that it adds a server's credentials (the client's, or those in the server's URL)."""
    if isinstance(credentials, http_settings.TokenAuth):
        return TokenAuthorization(sender, credentials)
    if http_settings.is_httpx_auth(credentials):
        return HttpxAuth(sender, credentials, root)
    header = http_settings.build_static_authorization(root.user)
    return sender if header is None else StaticAuthorization(sender, header)
