# Written from _async/connection.py by `make generate`. Change that file instead.

"""The HTTP side of a client: sends what an operation asks for and gives a usable answer or one of our errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlencode

from .. import _operations as api
from .._deadline import current_deadline
from .._http import (
    SHORTEST,
    CannotSend,
    ConnectFailed,
    ConnectTimeout,
    HttpRequest,
    HttpResponse,
    NotHttp,
    PoolTimeout,
    ReadTimeout,
    Timeouts,
    WireError,
    WriteTimeout,
)
from .._lazy import lazy_module
from .._logging import logger
from .._retry import RetryPolicy, retry_after, was_not_processed
from .._servers import pinned, recognise, require
from .._settings import (
    API_PATH,
    ServerUrl,
    Token,
    TokenAuth,
    check_auth,
    check_headers,
    check_limits,
    check_timeout,
    environment_proxy,
    is_httpx_auth,
    parse_urls,
    shown_proxy,
    ssl_context,
    static_authorization,
)
from .._tracing import Operation, operation
from .._values import encode
from ..errors import (
    ApiError,
    InvalidArgumentError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    RequestTimeoutError,
    ServerConnectionError,
    StepflowClientError,
    TransportError,
    UnsupportedByServerError,
)
from .dialect import Dialect
from .endpoints import Endpoints
from .exchange import Exchange
from .pool import Pool
from .retry import Retry

if TYPE_CHECKING:
    import ssl

    import httpx
    from stepflow_api import Client

    from .. import _wire
    from ..types import ServerInfo
else:
    _wire = lazy_module("stepflow_client._wire")

__all__ = ["Connection"]

Answer = TypeVar("Answer")


class _Limits(NamedTuple):
    max_connections: int | None = 256
    max_keepalive_connections: int | None = 256


class Connection:
    """What a client talks through. Nothing is opened before the first request."""

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
        transport: httpx.BaseTransport | None,
        server: str | None,
        retry: RetryPolicy,
    ) -> None:
        roots = parse_urls(base_url)
        root = roots[0]
        credentials = check_auth(auth)
        # Credentials in the URL are sent as what they are; they do not show in its text.
        credentials = credentials or root.user
        self.root = root
        self.url = str(root)
        self.timeout = check_timeout(timeout)
        self.is_shared = len(roots) > 1
        """Whether the run of one request may be the run of another server."""
        self.closed = False
        self.has_answered = False
        """Whether a server was there at any time."""
        self.headers = {"accept": "*/*", "user-agent": "stepflow-client"}
        self.headers |= {name.lower(): value for name, value in (check_headers(headers) or {}).items()}
        known = None if server is None else pinned(self.url, server)
        senders = [_sender(each, verify, cert, proxy, limits, transport) for each in roots]
        self.proxy = None if transport is not None else shown_proxy(proxy or environment_proxy(root))
        """The proxy before the server, without its password."""
        sender = senders[0] if len(senders) == 1 else Endpoints(senders)
        if (header := static_authorization(credentials)) is not None:
            self.headers["authorization"] = header
        elif isinstance(credentials, TokenAuth):
            from .adapters import Token as TokenLayer

            sender = TokenLayer(sender, credentials)
        elif is_httpx_auth(credentials):
            from .adapters import HttpxAuth

            sender = HttpxAuth(sender, credentials, root)
        self._retry = Retry(sender, retry)
        self.dialect = Dialect(self._retry, self.url, known)
        self._api: Client | None = None

    @property
    def api(self) -> Client:
        """The generated client, which sends as this one does."""
        if self._api is None:
            import httpx
            from stepflow_api import Client

            from .adapters import ExchangeTransport

            http = httpx.Client(
                base_url=self.url + API_PATH,
                timeout=httpx.Timeout(**self.timeout.as_dict()),
                headers=self.headers,
                transport=ExchangeTransport(self.dialect, self.root),
                trust_env=False,
            )
            self._api = Client(base_url=self.url + API_PATH).set_httpx_client(http)
        return self._api

    @property
    def nobody_at(self) -> float | None:
        """When no server was found there last, by `time.monotonic()`; None if there always was one."""
        return self._retry.nobody_at

    def close(self) -> None:
        """Close what is open. A closed connection sends nothing more."""
        self.closed = True
        self.dialect.close()

    def server(self) -> ServerInfo:
        """Give what the server is; asked once."""
        known = self.dialect.server
        if known is not None:
            return known
        answer = self.health()
        return self.dialect.server or recognise(self.url, answer)

    def health(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Give the server's health.

        Raises:
            InvalidResponseError: If what answers is no Stepflow server.
        """
        try:
            answer = self.call("health_check", api.health_check._get_kwargs(), dict, timeout=timeout)
        except (InvalidResponseError, InvalidRequestError, NotFoundError, UnsupportedByServerError) as error:
            raise InvalidResponseError(
                f"{self.url} answers, but not as a Stepflow server does: {error.message}",
                status_code=error.status_code,
                details=error.details,
                hint="is this the URL of a Stepflow server?",
            ) from error
        recognise(self.url, answer)
        return answer

    def call(
        self,
        operation: str,
        request: Mapping[str, Any],
        make: Callable[[dict[str, Any]], Answer],
        *,
        timeout: float | httpx.Timeout | None = None,
        run_id: str | None = None,
        waits: float = 0,
        needs: str | None = None,
        raw: bool = False,
    ) -> Answer:
        """Send a request and give what `make` makes of the JSON object that comes back.

        Args:
            operation: As for `send`, like the other arguments.
            request: What the generated `_get_kwargs` of the operation gives.
            make: Turns the object into what the caller wants.
            timeout: In seconds, instead of the client's.
            run_id: The run concerned, for the errors.
            waits: Seconds the server was asked to hold the request; they come on top of the timeout.
            needs: The capability that the server must have.
            raw: Leave the numbers as the server sent them: `make` restores what it reads.
        """
        if needs is not None:
            require(self.server(), needs, needs)
        with self.traced(operation) as span:
            response = self._send(span, operation, request, timeout=timeout, run_id=run_id, waits=waits)
            asked = f"{request['method'].upper()} {request['url']}"
            try:
                read = _wire.raw_value if raw else _wire.value
                answer = _wire.build(make, read(response.content, asked), asked)
            except InvalidResponseError as error:
                # Another server may stand behind the URL now.
                self.dialect.forget()
                error.run_id = error.run_id or run_id
                raise
            span.returns(answer)
            return answer

    def send(
        self,
        operation: str,
        request: Mapping[str, Any],
        *,
        timeout: float | httpx.Timeout | None = None,
        run_id: str | None = None,
        waits: float = 0,
    ) -> HttpResponse:
        """Send a request and give the answer, read and known to be no error.

        Args:
            operation: The operation's name in the spec.
            request: What the generated `_get_kwargs` of the operation gives.
            timeout: In seconds, instead of the client's.
            run_id: The run concerned, for the errors.
            waits: Seconds the server was asked to hold the request; they come on top of the timeout.

        Raises:
            TransportError: If no usable answer came.
            ApiError: If the server answered no.
        """
        with self.traced(operation) as span:
            return self._send(span, operation, request, timeout=timeout, run_id=run_id, waits=waits)

    def traced(
        self, name: str, *, kind: Literal["CLIENT", "INTERNAL"] = "CLIENT", is_current: bool = True
    ) -> Operation:
        """Give a context manager that traces and measures an operation; as `_tracing.operation`."""
        return operation(name, None if self.is_shared else self.root, kind=kind, is_current=is_current)

    def _send(
        self,
        span: Operation,
        operation: str,
        request: Mapping[str, Any],
        *,
        timeout: float | httpx.Timeout | None,
        run_id: str | None,
        waits: float,
    ) -> HttpResponse:
        limit = self.timeout if timeout is None else check_timeout(timeout, of_a_call=True)
        if waits:
            limit = limit.reading(limit.read + waits)
        sent = self._request(request, limit, idempotent=operation != "create_run")
        started = time.monotonic()
        span.sends(sent, self.url, run_id)
        try:
            response = self.dialect.exchange(sent)
        except StepflowClientError as error:
            error.run_id = error.run_id or run_id
            raise
        except (WireError, OSError, ValueError) as error:
            raise self._transport_error(error, sent, run_id) from error
        self.has_answered = True
        span.note(status_code=response.status)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s -> %s in %.1f ms", sent, response.status, (time.monotonic() - started) * 1000)
        if response.status != 200 or response.headers.get("content-type") != "application/json":
            _refuse_errors(response, str(sent), run_id)
        return response

    def _request(self, request: Mapping[str, Any], limit: Timeouts, *, idempotent: bool) -> HttpRequest:
        """Turn what the generated code gives into a request."""
        if self.closed:
            raise StepflowClientError("the client is closed", hint="make a new one")
        deadline = current_deadline()
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
        )

    def stream(
        self, operation: str, request: Mapping[str, Any], *, silence: float, run_id: str
    ) -> Generator[dict[str, Any], None, None]:
        """Give the JSON objects of a stream of server-sent events until it ends or nothing comes for a while.

        Args:
            operation: As for `send`, like the other arguments.
            request: What the generated `_get_kwargs` of the operation gives.
            silence: Seconds without a byte after which the stream is given up, without an error.
            run_id: The run concerned, for the errors.

        Raises:
            TransportError: If the connection fails or breaks.
            ApiError: If the server answered no.
        """
        import httpx
        from httpx_sse import EventSource

        from .adapters import StreamBody

        sent = self._request(request, self.timeout.reading(silence), idempotent=True)
        sent.headers |= {"accept": "text/event-stream", "cache-control": "no-store"}
        opened = False
        with self.traced(operation, is_current=False) as span:
            span.sends(sent, self.url, run_id)
            try:
                with self.dialect.stream(sent) as stream:
                    span.note(status_code=stream.status)
                    body = StreamBody(stream.chunks)
                    response = httpx.Response(stream.status, headers=stream.headers, stream=body)
                    if stream.status != 200 or "text/event-stream" not in stream.headers.get("content-type", ""):
                        raise self._no_events(sent, response, response.read(), run_id)
                    opened = True
                    events: Any = EventSource(response).iter_sse()
                    with closing(events):
                        for event in events:
                            if event.data:
                                yield _wire.value(event.data.encode(), str(sent))
            except ReadTimeout as error:
                if not opened:
                    raise self._transport_error(error, sent, run_id) from error
            except (WireError, OSError, ValueError) as error:
                if isinstance(error, StepflowClientError):
                    raise
                raise self._transport_error(error, sent, run_id) from error

    def _no_events(
        self, sent: HttpRequest, response: httpx.Response, content: bytes, run_id: str
    ) -> StepflowClientError:
        kind = response.headers.get("content-type", "")
        problem = _wire.error_for(response.status_code, kind, content, str(sent), run_id=run_id)
        return problem or InvalidResponseError(f"{sent} was not answered with events", run_id=run_id)

    def _transport_error(
        self, error: Exception, asked: HttpRequest, run_id: str | None
    ) -> TransportError | InvalidArgumentError:
        told = self._told(error, asked, run_id)
        if isinstance(error, WireError):
            told.attempts = error.attempts
        if isinstance(told, TransportError):
            told.was_sent = not was_not_processed(error)
        return told

    def _told(self, error: Exception, asked: HttpRequest, run_id: str | None) -> TransportError | InvalidArgumentError:
        reason = str(error) or type(error).__name__
        limit = asked.timeout
        match error:
            case PoolTimeout():
                return RequestTimeoutError(f"{asked} waited {limit.pool:.3g} s for a free connection", run_id=run_id)
            case ConnectTimeout():
                message = f"{self.url} did not accept a connection within {limit.connect:.3g} s"
                return ServerConnectionError(message, run_id=run_id)
            case ConnectFailed():
                through = f" through the proxy {self.proxy}" if self.proxy else ""
                message = f"{self.url} cannot be reached{through}: {reason}"
                return ServerConnectionError(message, hint=_hint(error, self.proxy), run_id=run_id)
            case ReadTimeout() | WriteTimeout():
                seconds = limit.write if isinstance(error, WriteTimeout) else limit.read
                message = f"{asked} got no answer from {self.url} within {seconds:.3g} s"
                return RequestTimeoutError(message, run_id=run_id)
            case CannotSend():
                return InvalidArgumentError(f"{asked} cannot be sent: {reason}", run_id=run_id)
            case NotHttp():
                message = f"{self.url} does not answer in HTTP: {reason}"
                return InvalidResponseError(message, hint="is this the URL of a Stepflow server?", run_id=run_id)
            case WireError() | OSError():
                return ServerConnectionError(f"the connection to {self.url} broke: {reason}", run_id=run_id)
            case _:
                return InvalidResponseError(f"the answer to {asked} cannot be read: {reason}", run_id=run_id)


def _sender(
    root: ServerUrl,
    verify: bool | str | ssl.SSLContext,
    cert: str | tuple[str, ...] | None,
    proxy: str | httpx.URL | httpx.Proxy | None,
    limits: httpx.Limits | None,
    transport: httpx.BaseTransport | None,
) -> Exchange:
    """Give what sends: connections of our own, or an httpx transport where one is given or a proxy stands between."""
    tls = ssl_context(root, verify, cert)
    via = proxy or environment_proxy(root)
    if transport is None and via is None:
        return Pool(root, tls, _Limits() if limits is None else check_limits(limits))
    import httpx

    from .adapters import HttpxExchange, LocalTransport

    if transport is None:
        bounds = limits or httpx.Limits(**_Limits()._asdict())
        try:
            transport = LocalTransport(verify=tls or False, proxy=via, limits=bounds)
        except (TypeError, ValueError, AttributeError, ImportError, httpx.InvalidURL) as error:
            raise InvalidArgumentError(f"the proxy cannot be used: {error}") from None
    return HttpxExchange(transport, root)


def _hint(error: BaseException | None, proxy: str | None) -> str:
    """Say what may be wrong where there was no connection."""
    if proxy:
        return "is the proxy right? NO_PROXY names servers that are asked directly"
    words = ""
    while error is not None:
        words += f"{error} ".lower()
        error = error.__cause__
    if "certificate" in words:
        return "verify= takes the authority that vouches for the server"
    if "wrong version number" in words or "record layer" in words:
        return "does the server speak http, and not https?"
    return "is the server running?"


def _refuse_errors(response: HttpResponse, asked: str, run_id: str | None) -> None:
    problem = _wire.error_for(response.status, response.content_type, response.content, asked, run_id=run_id)
    if problem is not None:
        problem.attempts = response.attempts
        if isinstance(problem, ApiError):
            problem.retry_after = retry_after(response)
        raise problem


def _parameter(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
