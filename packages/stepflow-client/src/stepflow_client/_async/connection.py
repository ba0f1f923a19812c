"""Sends the request of one operation and returns a usable response, or raises one of this package's errors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast
from urllib.parse import urlencode

from .._base.logging import logger
from .._codec import answers
from .._data.reading import Reading, Readings
from .._data.values import encode
from .._http.messages import (
    SHORTEST,
    HttpError,
    HttpRequest,
    HttpResponse,
    Timeouts,
)
from .._http.proxies import check_proxy, environment_proxy, shown_proxy
from .._http.settings import (
    API_PATH,
    Token,
    check_auth,
    check_bytes,
    check_headers,
    check_strategy,
    check_timeout,
    parse_urls,
    static_authorization,
)
from .._rules import bindings as api
from .._rules import timings
from .._rules.deadline import current_deadline, earlier
from .._rules.failures import error_from
from .._rules.operations import OPERATIONS
from .._rules.releases import Server, pinned, recognise
from .._rules.spread import Spread
from .._rules.transient import RetryPolicy, retry_after
from .._shared.tracing import Operation, operation
from ..errors import (
    ApiError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    StepflowClientError,
    UnsupportedByServerError,
)
from .transport.assembly import sender_to, signing
from .transport.dialect import Dialect
from .transport.failover import Failover
from .transport.retry import Retry

if TYPE_CHECKING:
    import ssl

    import httpx
    from stepflow_api import Client


__all__ = ["Connection"]

Answer = TypeVar("Answer")
_ALONE = nullcontext()


class _Run(Protocol):
    @property
    def run_id(self) -> str: ...


class Connection:
    """Sends the operations of a client. Nothing is opened before the first request."""

    def __init__(
        self,
        base_url: str | httpx.URL | Sequence[str | httpx.URL],
        *,
        timeout: float | httpx.Timeout,
        headers: Mapping[str, str] | None,
        auth: httpx.Auth | Token | tuple[str, str] | None,
        verify: bool | str | ssl.SSLContext,
        cert: str | tuple[str, ...] | None,
        proxy: str | httpx.URL | httpx.Proxy | None,
        limits: httpx.Limits | None,
        transport: httpx.AsyncBaseTransport | None,
        server: str | None,
        retry: RetryPolicy,
        max_response_bytes: int,
        strategy: str,
    ) -> None:
        roots = parse_urls(base_url)
        is_spread = check_strategy(strategy) == "spread" and len(roots) > 1
        root = roots[0]
        credentials = check_auth(auth)
        self.root = root
        self.url = str(root)
        self._urls = [str(each) for each in roots]
        self.timeout = check_timeout(timeout)
        self.max_response_bytes = check_bytes(max_response_bytes, "max_response_bytes")
        self.is_shared = len(roots) > 1
        """Whether there are several servers, so that a run may belong to another server than the one requested."""
        self.spread = Spread(len(roots)) if is_spread else None
        """Chooses the server of each new run; None unless new runs are spread over several servers."""
        self.places = len(roots) if is_spread else 1
        """Number of servers that execute this client's new runs."""
        self.timings = timings.DEFAULT
        """How long the parts of the client wait, and how far they search."""
        self.closed = False
        self.has_answered = False
        """Whether a server has ever responded to an operation of this client."""
        self.headers = {"accept": "*/*", "user-agent": "stepflow-client"}
        self.headers |= {name.lower(): value for name, value in (check_headers(headers) or {}).items()}
        known = None if server is None else pinned(self.url, server)
        proxy = check_proxy(proxy)
        # Credentials in a URL are sent only to its server; they are not part of its text.
        header = static_authorization(credentials or (root.user if len(roots) == 1 else None))
        if header is not None:
            self.headers["authorization"] = header
        senders = [sender_to(each, verify, cert, proxy, limits, transport) for each in roots]
        if header is None:
            senders = [signing(sender, credentials, each) for sender, each in zip(senders, roots, strict=True)]
        self.proxy = None if transport is not None else shown_proxy(proxy or environment_proxy(root))
        """The URL of the proxy for the (first) server, without its password; None if there is none."""
        sender = senders[0] if len(senders) == 1 else Failover(senders, self.spread)
        self._retry = Retry(sender, retry)
        self.dialect = Dialect(self._retry, self.url, known)
        self.readings = Readings()
        self._api: Client | None = None

    @property
    def api(self) -> Client:
        """The generated client. It sends its requests through this connection."""
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

    @property
    def last_unreachable_at(self) -> float | None:
        """When the server was last found unreachable, by `time.monotonic()`; None if it never was."""
        return self._retry.last_unreachable_at

    async def close(self) -> None:
        """Close all connections. Afterwards, no requests can be sent."""
        self.closed = True
        await self.dialect.aclose()

    async def server(self) -> Server:
        """Return the server's release and capabilities. They are requested only if they are not known yet."""
        known = self.dialect.server
        if known is not None:
            return known
        answer = await self.health()
        return self.dialect.server or recognise(self.url, answer)

    def reading(self, run_id: str | None) -> Reading:
        """Return how to read responses about a run."""
        server = self.dialect.server
        return self.readings.of(run_id, keeps_order=server is not None and server.capabilities["exact_numbers"])

    async def health(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Return the server's health.

        Raises:
            InvalidResponseError: If the response is not from a Stepflow server.
        """
        try:
            answer = await self.call("health_check", api.health_check._get_kwargs(), dict, timeout=timeout)
        except (InvalidResponseError, InvalidRequestError, NotFoundError, UnsupportedByServerError) as error:
            raise InvalidResponseError(
                f"{self.url} responds, but not like a Stepflow server: {error.message}",
                status_code=error.status_code,
                details=error.details,
                hint="is this the URL of a Stepflow server?",
            ) from error
        recognise(self.url, answer)
        return answer

    async def call(
        self,
        operation: str,
        request: Mapping[str, Any],
        make: Callable[[dict[str, Any]], Answer],
        *,
        timeout: float | httpx.Timeout | None = None,
        run_id: str | None = None,
        waits: float = 0,
        raw: bool = False,
    ) -> Answer:
        """Send a request and return what `make` builds from the JSON object in the response.

        Args:
            operation: The operation's name in the spec.
            request: The result of the operation's generated `_get_kwargs`.
            make: Converts the object to the value to return.
            timeout: Seconds for the request as a whole, instead of the client's timeout for each phase.
            run_id: The run concerned, for errors.
            waits: Seconds the server was asked to hold the request; they are added to the timeout.
            raw: Whether to leave numbers as the server sent them, because `make` restores those that it reads.

        Raises:
            TransportError: If no usable response arrived.
            ApiError: If the server responded with an error.
        """
        try:
            with self.traced(operation) as span:
                response = await self._send(span, operation, request, timeout=timeout, run_id=run_id, waits=waits)
                answer = self._read(request, response, make, raw=raw)
                if self.spread is not None and response.server is not None and operation == "create_run":
                    self.spread.note(cast("_Run", answer).run_id, response.server)
                span.returns(answer)
                return answer
        except StepflowClientError as error:
            error.run_id = error.run_id or run_id
            # A response may quote the inputs of the run.
            self.readings.of(run_id).secrets.clean(error)
            raise

    def _read(
        self, request: Mapping[str, Any], response: HttpResponse, make: Callable[[dict[str, Any]], Answer], *, raw: bool
    ) -> Answer:
        """Return what `make` builds from a response."""
        asked = f"{request['method'].upper()} {request['url']}"
        try:
            read = answers.raw_value if raw else answers.value
            return answers.build(make, read(response.content, asked), asked)
        except InvalidResponseError:
            # The URL may now lead to another server.
            self.dialect.forget()
            raise

    async def send(
        self,
        operation: str,
        request: Mapping[str, Any],
        *,
        timeout: float | httpx.Timeout | None = None,
        run_id: str | None = None,
        waits: float = 0,
        may_be_missing: bool = False,
    ) -> HttpResponse:
        """Send a request and return the response; raise on error responses.

        Args:
            operation: The operation's name in the spec.
            request: The result of the operation's generated `_get_kwargs`.
            timeout: Seconds for the request as a whole, instead of the client's timeout for each phase.
            run_id: The run concerned, for errors.
            waits: Seconds the server was asked to hold the request; they are added to the timeout.
            may_be_missing: Whether a 404 response is returned too, because it answers the caller's question.

        Raises:
            TransportError: If no usable response arrived.
            ApiError: If the server responded with an error.
        """
        with self.traced(operation) as span:
            return await self._send(
                span,
                operation,
                request,
                timeout=timeout,
                run_id=run_id,
                waits=waits,
                may_be_missing=may_be_missing,
            )

    def url_of(self, error: Exception) -> str:
        """Return the URL of the server that caused an error, or of the first server if that is unknown."""
        number = getattr(error, "server", None)
        return self.url if number is None else self._urls[number]

    def traced(
        self, name: str, *, kind: Literal["CLIENT", "INTERNAL"] = "CLIENT", is_current: bool = True
    ) -> Operation:
        """Return a context manager that traces and measures an operation. See `_tracing.operation`."""
        return operation(name, None if self.is_shared else self.root, kind=kind, is_current=is_current)

    async def _send(
        self,
        span: Operation,
        operation: str,
        request: Mapping[str, Any],
        *,
        timeout: float | httpx.Timeout | None,
        run_id: str | None,
        waits: float,
        may_be_missing: bool = False,
    ) -> HttpResponse:
        limit = self.timeout if timeout is None else check_timeout(timeout, of_a_call=True)
        if waits:
            limit = limit.waiting(waits)
        is_idempotent = OPERATIONS[operation].is_idempotent
        sent = self.prepare(request, limit, idempotent=is_idempotent, run_id=run_id, whole=limit.whole)
        started = time.monotonic()
        span.sends(sent, self.url, run_id)
        try:
            response = await self.dialect.send(sent)
        except StepflowClientError as error:
            error.run_id = error.run_id or run_id
            raise
        except (HttpError, OSError, ValueError) as error:
            raise error_from(error, sent, self.url_of(error), self.proxy, run_id) from error
        self.has_answered = True
        span.note(status_code=response.status)
        if logger.writes_debug:
            logger.debug("%s -> %s in %.1f ms", sent, response.status, (time.monotonic() - started) * 1000)
        is_usual = response.status == 200 and response.headers.get("content-type") == "application/json"
        if not (is_usual or (may_be_missing and response.status == 404)):
            try:
                _refuse_errors(response, operation, str(sent), run_id)
            except NotFoundError as error:
                if operation == "create_run" and self.spread is not None:
                    error.hint = "do the servers share one store? strategy='spread' needs it"
                raise
        return response

    def awaiting(self, run_id: str) -> AbstractContextManager[None]:
        """Return a context manager that counts a run towards its server's load while the run is waited for."""
        return _ALONE if self.spread is None else self.spread.awaiting(run_id)

    def prepare(
        self,
        request: Mapping[str, Any],
        limit: Timeouts,
        *,
        idempotent: bool,
        run_id: str | None = None,
        whole: float = math.inf,
    ) -> HttpRequest:
        """Return the request to send, with its headers, timeouts, size limit and deadline.

        Args:
            request: The result of the operation's generated `_get_kwargs`.
            limit: The timeouts; the caller's deadline may shorten them.
            idempotent: Whether sending the request twice has the same effect as sending it once.
            run_id: The run concerned.
            whole: Seconds for the request as a whole; not for a stream, which may last for hours.

        Raises:
            StepflowClientError: If the client is closed.
        """
        if self.closed:
            raise StepflowClientError("the client is closed", hint="make a new one")
        deadline = earlier(current_deadline(), whole)
        if deadline is not None:
            limit = limit.at_most(max(deadline - time.monotonic(), SHORTEST))
        headers = dict(self.headers)
        for name, value in (request.get("headers") or {}).items():
            headers[name.lower()] = value
        params = request.get("params")
        return HttpRequest(
            method=str(request["method"]).upper(),
            path=request["url"],
            query=urlencode({name: _parameter(value) for name, value in params.items()}) if params else "",
            headers=headers,
            content=encode(request["json"]) if "json" in request else request.get("content") or b"",
            timeout=limit,
            idempotent=idempotent,
            deadline=deadline,
            max_response_bytes=self.max_response_bytes,
            server=None if self.spread is None else self.spread.home(run_id),
        )


def _refuse_errors(response: HttpResponse, operation: str, asked: str, run_id: str | None) -> None:
    problem = answers.error_for(response.status, response.content_type, response.content, asked, run_id=run_id)
    if problem is not None:
        problem.attempts = response.attempts
        if isinstance(problem, ApiError):
            problem.retry_after = retry_after(response)
            if response.status == 404 and problem.details is None:
                # The response does not say what is missing.
                problem.hint = OPERATIONS[operation].not_found or None
        raise problem


def _parameter(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
