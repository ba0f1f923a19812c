"""One connection to a server: sends what an operation asks for and gives a usable answer or one of our errors."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx
from httpx_sse import EventSource
from stepflow_api import Client
from stepflow_api.api.health import health_check

from .. import _wire
from .._servers import pinned, recognise, require
from .._settings import (
    API_PATH,
    Token,
    check_auth,
    check_headers,
    check_timeout,
    environment_proxy,
    parse_url,
    ssl_context,
)
from .._tracing import operation_span
from ..errors import (
    InvalidArgumentError,
    InvalidResponseError,
    RequestTimeoutError,
    ServerConnectionError,
    StepflowClientError,
    TransportError,
)
from ..types import ServerInfo
from .transport import DialectTransport

__all__ = ["Connection"]

Answer = TypeVar("Answer")
logger = logging.getLogger("stepflow.client")

_HTTPX_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict)


class Connection:
    """The HTTP side of a client. Nothing is opened before the first request."""

    def __init__(
        self,
        base_url: str | httpx.URL,
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
    ) -> None:
        root = parse_url(base_url)
        auth = check_auth(auth)
        if root.userinfo:
            # Credentials in the URL become what they stand for, and leave the URL that logs and errors show.
            auth = auth or (unquote(root.username), unquote(root.password))
            root = root.copy_with(userinfo=b"")
        self.url = str(root).rstrip("/")
        self.timeout = check_timeout(timeout)
        self.closed = False
        try:
            self.dialect = DialectTransport(
                transport or _transport(root, verify, cert, proxy, limits),
                root,
                None if server is None else pinned(self.url, server),
            )
            self.http = httpx.AsyncClient(
                base_url=self.url + API_PATH,
                timeout=self.timeout,
                headers=check_headers(headers),
                auth=auth,
                transport=self.dialect,
                trust_env=False,
            )
        except InvalidArgumentError:
            raise
        except (TypeError, ValueError, AttributeError, ImportError, httpx.InvalidURL) as error:
            raise InvalidArgumentError(f"a connection setting cannot be used: {error}") from None
        self.api = Client(base_url=self.url + API_PATH).set_async_httpx_client(self.http)

    async def close(self) -> None:
        """Close what is open. A closed connection sends nothing more."""
        self.closed = True
        await self.http.aclose()

    async def server(self) -> ServerInfo:
        """Give what the server is; asked once."""
        known = self.dialect.server
        if known is not None:
            return known
        answer = await self.call("health_check", health_check._get_kwargs(), dict)
        # The transport has seen the answer too, unless it is no health of a Stepflow server.
        return self.dialect.server or recognise(self.url, answer)

    async def call(
        self,
        operation: str,
        request: Mapping[str, Any],
        make: Callable[[dict[str, Any]], Answer],
        *,
        timeout: float | httpx.Timeout | None = None,
        run_id: str | None = None,
        waits: float = 0,
        needs: str | None = None,
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
        """
        if needs is not None:
            require(await self.server(), needs, needs)
        response = await self.send(operation, request, timeout=timeout, run_id=run_id, waits=waits)
        asked = _asked(request)
        try:
            return _wire.build(make, _wire.value(response.content, asked), asked)
        except InvalidResponseError as error:
            # Another server may stand behind the URL now.
            self.dialect.forget()
            error.run_id = error.run_id or run_id
            raise

    async def send(
        self,
        operation: str,
        request: Mapping[str, Any],
        *,
        timeout: float | httpx.Timeout | None = None,
        run_id: str | None = None,
        waits: float = 0,
    ) -> httpx.Response:
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
        if self.closed:
            raise StepflowClientError("the client is closed", hint="make a new one")
        headers = dict(request.get("headers") or {})
        limit = self.timeout if timeout is None else check_timeout(timeout)
        if waits:
            limit = httpx.Timeout(**{**limit.as_dict(), "read": (limit.read or 0) + waits})
        started = time.monotonic()
        asked = _asked(request)
        with operation_span(operation, headers):
            try:
                response = await self.http.request(**{**request, "headers": headers, "timeout": limit})
            except StepflowClientError as error:
                error.run_id = error.run_id or run_id
                raise
            except (*_HTTPX_ERRORS, OSError, ValueError) as error:
                raise self._transport_error(error, asked, limit, run_id) from error
        logger.debug("%s -> %s in %.1f ms", asked, response.status_code, (time.monotonic() - started) * 1000)
        kind = response.headers.get("content-type", "")
        problem = _wire.error_for(response.status_code, kind, response.content, asked, run_id=run_id)
        if problem is not None:
            raise problem
        return response

    async def stream(
        self, operation: str, request: Mapping[str, Any], *, silence: float, run_id: str
    ) -> AsyncGenerator[dict[str, Any], None]:
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
        if self.closed:
            raise StepflowClientError("the client is closed", hint="make a new one")
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        limit = httpx.Timeout(**{**self.timeout.as_dict(), "read": silence})
        asked = _asked(request)
        opened = False
        with operation_span(operation, headers):
            try:
                async with self.http.stream(**{**request, "headers": headers, "timeout": limit}) as response:
                    kind = response.headers.get("content-type", "")
                    if response.status_code != 200 or not kind.startswith("text/event-stream"):
                        content = await response.aread()
                        problem = _wire.error_for(response.status_code, kind, content, asked, run_id=run_id)
                        raise problem or InvalidResponseError(f"{asked} was not answered with events", run_id=run_id)
                    opened = True
                    async for event in EventSource(response).aiter_sse():
                        if event.data:
                            yield _wire.value(event.data.encode(), asked)
            except httpx.ReadTimeout as error:
                if not opened:
                    raise self._transport_error(error, asked, limit, run_id) from error
            except (*_HTTPX_ERRORS, OSError, ValueError) as error:
                if isinstance(error, StepflowClientError):
                    raise
                raise self._transport_error(error, asked, limit, run_id) from error

    def _transport_error(
        self, error: Exception, asked: str, limit: httpx.Timeout, run_id: str | None
    ) -> TransportError | InvalidArgumentError:
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx.ConnectTimeout):
            return ServerConnectionError(
                f"{self.url} did not accept a connection within {limit.connect:g} s", run_id=run_id
            )
        if isinstance(error, httpx.PoolTimeout):
            return RequestTimeoutError(f"{asked} waited {limit.pool:g} s for a free connection", run_id=run_id)
        if isinstance(error, httpx.TimeoutException):
            seconds = limit.write if isinstance(error, httpx.WriteTimeout) else limit.read
            return RequestTimeoutError(f"{asked} got no answer from {self.url} within {seconds:g} s", run_id=run_id)
        if isinstance(error, (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol)):
            return InvalidArgumentError(f"{asked} cannot be sent: {reason}", run_id=run_id)
        broken = "disconnected" in reason or "peer closed" in reason
        if isinstance(error, httpx.RemoteProtocolError) and not broken:
            return InvalidResponseError(
                f"{self.url} does not answer in HTTP: {reason}",
                hint="is this the URL of a Stepflow server?",
                run_id=run_id,
            )
        if isinstance(error, (httpx.ConnectError, httpx.ProxyError)):
            return ServerConnectionError(
                f"{self.url} cannot be reached: {reason}", hint="is the server running?", run_id=run_id
            )
        if isinstance(error, (httpx.TransportError, OSError)):
            return ServerConnectionError(f"the connection to {self.url} broke: {reason}", run_id=run_id)
        return InvalidResponseError(f"the answer to {asked} cannot be read: {reason}", run_id=run_id)


def _transport(
    root: httpx.URL,
    verify: bool | str | ssl.SSLContext,
    cert: str | tuple[str, ...] | None,
    proxy: str | httpx.URL | httpx.Proxy | None,
    limits: httpx.Limits | None,
) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(
        verify=ssl_context(root, verify, cert),
        proxy=proxy or environment_proxy(root),
        limits=limits or httpx.Limits(max_connections=100, max_keepalive_connections=20),
    )


def _asked(request: Mapping[str, Any]) -> str:
    return f"{str(request['method']).upper()} {request['url']}"
