"""Between our exchanges and httpx: any httpx transport as an exchange, and our exchange as an httpx transport."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import httpx

from .._deadline import has_passed
from .._http import (
    Broken,
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
    lower,
)
from .._settings import API_PATH, ServerUrl, TokenAuth
from .._sockets import async_home
from .exchange import Exchange, Layer, Stream

__all__ = ["ExchangeTransport", "HttpxAuth", "HttpxExchange", "LocalTransport", "StreamBody", "Token"]


class HttpxExchange(Exchange):
    """Sends through an httpx transport.

    Args:
        transport: The transport; it is closed with the exchange.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, root: ServerUrl) -> None:
        self._transport = transport
        self._api = str(root) + API_PATH

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give the answer, read to its end."""
        with _our_errors():
            response = await self._transport.handle_async_request(to_httpx(request, self._api))
            try:
                if request.deadline is None:
                    content = await response.aread()
                else:
                    content = b"".join([chunk async for chunk in _until_deadline(response.aiter_bytes(), request)])
            finally:
                await response.aclose()
        # What was compressed has been unpacked.
        headers = lower((k, v) for k, v in response.headers.multi_items() if k != "content-encoding")
        return HttpResponse(response.status_code, headers, content)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[Stream, None]:
        """Send a request and give the answer as it comes."""
        with _our_errors():
            response = await self._transport.handle_async_request(to_httpx(request, self._api))
        try:
            yield Stream(response.status_code, lower(response.headers.multi_items()), self._chunks(response))
        finally:
            await response.aclose()

    @staticmethod
    async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
        with _our_errors():
            async for chunk in response.aiter_bytes():
                yield chunk


async def _until_deadline(chunks: AsyncIterator[bytes], request: HttpRequest) -> AsyncIterator[bytes]:
    """Give chunks as they come; httpx bounds the wait for each, and not for all of them."""
    async for chunk in chunks:
        if has_passed(request.deadline):
            raise ReadTimeout("nothing more in time")
        yield chunk


class HttpxAuth(Layer):
    """Adds credentials by an `httpx.Auth`, which may want to see answers and send requests of its own.

    Args:
        inner: What sends.
        auth: The credentials.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, inner: Exchange, auth: httpx.Auth, root: ServerUrl) -> None:
        super().__init__(inner)
        self._auth = auth
        self._api = str(root) + API_PATH

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request as often as the credentials want."""
        flow = self._auth.async_auth_flow(to_httpx(request, self._api))
        try:
            signed = await flow.__anext__()
            while True:
                response = await self.inner.exchange(_signed(request, signed))
                answer = httpx.Response(
                    response.status, headers=response.headers, content=response.content, request=signed
                )
                try:
                    signed = await flow.asend(answer)
                except StopAsyncIteration:
                    return response
        finally:
            await flow.aclose()

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[Stream, None]:
        """Send a request with the credentials that come first."""
        flow = self._auth.async_auth_flow(to_httpx(request, self._api))
        try:
            signed = await flow.__anext__()
        finally:
            await flow.aclose()
        async with self.inner.stream(_signed(request, signed)) as stream:
            yield stream


class Token(Layer):
    """Adds a bearer token that is asked for before each request.

    Args:
        inner: What sends.
        auth: The token.
    """

    def __init__(self, inner: Exchange, auth: TokenAuth) -> None:
        super().__init__(inner)
        self._auth = auth

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request with the token."""
        return await self.inner.exchange(await self._signed(request))

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[Stream, None]:
        """Send a request with the token and give the answer as it comes."""
        async with self.inner.stream(await self._signed(request)) as stream:
            yield stream

    async def _signed(self, request: HttpRequest) -> HttpRequest:
        signed = replace(request, headers=dict(request.headers))
        flow = self._auth.async_auth_flow(signed)
        try:
            await flow.__anext__()
        finally:
            await flow.aclose()
        return signed


class ExchangeTransport(httpx.AsyncBaseTransport):
    """Lets an httpx client, that of the generated code, send through our exchange.

    Args:
        exchange: What sends; it is not closed with the transport.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, exchange: Exchange, root: ServerUrl) -> None:
        self._exchange = exchange
        self._root_path = root.path + API_PATH

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and give the answer."""
        raw_path, _, query = request.url.raw_path.decode("ascii").partition("?")
        ours = HttpRequest(
            method=request.method,
            path=raw_path.removeprefix(self._root_path),
            query=query,
            headers={
                name: value for name, value in lower(request.headers.multi_items()).items() if name not in _CONNECTION
            },
            content=await request.aread(),
            timeout=_timeouts(request.extensions.get("timeout") or {}),
            idempotent=not (request.method == "POST" and raw_path.endswith("/runs")),
        )
        try:
            response = await self._exchange.exchange(ours)
        except WireError as error:
            raise _httpx_error(error)(str(error), request=request) from error
        return httpx.Response(response.status, headers=response.headers, content=response.content, request=request)


class LocalTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport, anew in each fork and event loop: connections belong to one of them.

    Args:
        **settings: What httpx's transport takes.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._settings = settings
        self._home: tuple[object, ...] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection of this process and event loop."""
        self._come_home()
        return await super().handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections of this process and event loop; those of others are left alone."""
        self._come_home()
        await super().aclose()

    def _come_home(self) -> None:
        home = async_home()
        if self._home is not None and home != self._home:
            super().__init__(**self._settings)
        self._home = home


class StreamBody(httpx.AsyncByteStream):
    """The chunks of a stream as the body of an httpx response, which is what httpx-sse reads.

    Args:
        chunks: The chunks.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk


_CONNECTION = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turn httpx's errors into ours."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict) as error:
        raise _our_error(error)(str(error) or type(error).__name__) from error


def _our_error(error: Exception) -> type[WireError]:
    if isinstance(error, httpx.RemoteProtocolError):
        broken = "disconnected" in str(error) or "peer closed" in str(error)
        return Broken if broken else NotHttp
    if isinstance(error, httpx.InvalidURL):
        return CannotSend
    return next((ours for theirs, ours in _ERRORS if isinstance(error, theirs)), NotHttp)


def _httpx_error(error: WireError) -> type[httpx.TransportError]:
    if isinstance(error, NotHttp):
        return httpx.RemoteProtocolError
    return next((theirs for theirs, ours in _ERRORS if isinstance(error, ours)), httpx.ReadError)


def _timeouts(phases: Mapping[str, float | None]) -> Timeouts:
    """Give httpx's phases; one without a limit gets our default."""
    return Timeouts(**{phase: seconds for phase, seconds in phases.items() if seconds is not None})


_ERRORS: list[tuple[type[httpx.TransportError], type[WireError]]] = [
    (httpx.ConnectTimeout, ConnectTimeout),
    (httpx.PoolTimeout, PoolTimeout),
    (httpx.WriteTimeout, WriteTimeout),
    (httpx.ReadTimeout, ReadTimeout),
    (httpx.ConnectError, ConnectFailed),
    (httpx.ProxyError, ConnectFailed),
    (httpx.LocalProtocolError, CannotSend),
    (httpx.UnsupportedProtocol, CannotSend),
    (httpx.ReadError, Broken),
    (httpx.NetworkError, Broken),
]


def to_httpx(request: HttpRequest, api: str) -> httpx.Request:
    """Give a request as httpx has it.

    Args:
        request: The request.
        api: The URL of the API, with `/api/v1`.
    """
    query = f"?{request.query}" if request.query else ""
    limits = request.timeout if request.deadline is None else request.timeout.at_most(request.patience(math.inf))
    return httpx.Request(
        request.method,
        f"{api}{request.path}{query}",
        headers=request.headers,
        content=request.content or None,
        extensions={"timeout": limits.as_dict()},
    )


def _signed(request: HttpRequest, signed: httpx.Request) -> HttpRequest:
    headers = {k: v for k, v in lower(signed.headers.multi_items()).items() if k not in _CONNECTION}
    return HttpRequest(
        request.method,
        request.path,
        request.query,
        headers,
        request.content,
        request.timeout,
        request.idempotent,
        request.deadline,
    )
