"""Between our exchanges and httpx: any httpx transport as an exchange, and our exchange as an httpx transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx

from .._http import HttpRequest, HttpResponse, lower
from .._settings import API_PATH
from .exchange import Exchange, Layer, Stream

__all__ = ["ExchangeTransport", "HttpxAuth", "HttpxExchange", "StreamBody"]


class HttpxExchange(Exchange):
    """Sends through an httpx transport.

    Args:
        transport: The transport; it is closed with the exchange.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, root: httpx.URL) -> None:
        self._transport = transport
        self._api = str(root).rstrip("/") + API_PATH

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give the answer, read to its end."""
        response = await self._transport.handle_async_request(to_httpx(request, self._api))
        try:
            content = await response.aread()
        finally:
            await response.aclose()
        # What was compressed has been unpacked.
        headers = lower((k, v) for k, v in response.headers.multi_items() if k != "content-encoding")
        return HttpResponse(response.status_code, headers, content)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[Stream, None]:
        """Send a request and give the answer as it comes."""
        response = await self._transport.handle_async_request(to_httpx(request, self._api))
        try:
            yield Stream(response.status_code, lower(response.headers.multi_items()), response.aiter_bytes())
        finally:
            await response.aclose()


class HttpxAuth(Layer):
    """Adds credentials by an `httpx.Auth`, which may want to see answers and send requests of its own.

    Args:
        inner: What sends.
        auth: The credentials.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, inner: Exchange, auth: httpx.Auth, root: httpx.URL) -> None:
        super().__init__(inner)
        self._auth = auth
        self._api = str(root).rstrip("/") + API_PATH

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


class ExchangeTransport(httpx.AsyncBaseTransport):
    """Lets an httpx client, that of the generated code, send through our exchange.

    Args:
        exchange: What sends; it is not closed with the transport.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, exchange: Exchange, root: httpx.URL) -> None:
        self._exchange = exchange
        self._root_path = root.path.rstrip("/") + API_PATH

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
            timeout=httpx.Timeout(**request.extensions["timeout"]),
            idempotent=not (request.method == "POST" and raw_path.endswith("/runs")),
        )
        response = await self._exchange.exchange(ours)
        return httpx.Response(response.status, headers=response.headers, content=response.content, request=request)


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


def to_httpx(request: HttpRequest, api: str) -> httpx.Request:
    """Give a request as httpx has it.

    Args:
        request: The request.
        api: The URL of the API, with `/api/v1`.
    """
    query = f"?{request.query}" if request.query else ""
    return httpx.Request(
        request.method,
        f"{api}{request.path}{query}",
        headers=request.headers,
        content=request.content or None,
        extensions={"timeout": request.timeout.as_dict()},
    )


def _signed(request: HttpRequest, signed: httpx.Request) -> HttpRequest:
    headers = {k: v for k, v in lower(signed.headers.multi_items()).items() if k not in _CONNECTION}
    return HttpRequest(
        request.method, request.path, request.query, headers, request.content, request.timeout, request.idempotent
    )
