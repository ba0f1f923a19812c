# Written from _async/adapters.py by `make generate`. Change that file instead.

"""Between our exchanges and httpx: any httpx transport as an exchange, and our exchange as an httpx transport."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
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
from .._sockets import sync_home
from .exchange import Exchange, Layer, Stream

__all__ = ["ExchangeTransport", "HttpxAuth", "HttpxExchange", "LocalTransport", "StreamBody", "Token"]


class HttpxExchange(Exchange):
    """Sends through an httpx transport.

    Args:
        transport: The transport; it is closed with the exchange.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, transport: httpx.BaseTransport, root: ServerUrl) -> None:
        self._transport = transport
        self._api = str(root) + API_PATH

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give the answer, read to its end."""
        with _our_errors():
            response = self._transport.handle_request(to_httpx(request, self._api))
            try:
                if request.deadline is None:
                    content = response.read()
                else:
                    content = b"".join([chunk for chunk in _until_deadline(response.iter_bytes(), request)])
            finally:
                response.close()
        # What was compressed has been unpacked.
        headers = lower((k, v) for k, v in response.headers.multi_items() if k != "content-encoding")
        return HttpResponse(response.status_code, headers, content)

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request and give the answer as it comes."""
        with _our_errors():
            response = self._transport.handle_request(to_httpx(request, self._api))
        try:
            yield Stream(response.status_code, lower(response.headers.multi_items()), self._chunks(response))
        finally:
            response.close()

    @staticmethod
    def _chunks(response: httpx.Response) -> Generator[bytes, None, None]:
        with _our_errors():
            for chunk in response.iter_bytes():
                yield chunk


def _until_deadline(chunks: Iterator[bytes], request: HttpRequest) -> Iterator[bytes]:
    """Give chunks as they come; httpx bounds the wait for each, and not for all of them."""
    for chunk in chunks:
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

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request as often as the credentials want."""
        flow = self._auth.sync_auth_flow(to_httpx(request, self._api))
        try:
            signed = flow.__next__()
            while True:
                response = self.inner.exchange(_signed(request, signed))
                answer = httpx.Response(
                    response.status, headers=response.headers, content=response.content, request=signed
                )
                try:
                    signed = flow.send(answer)
                except StopIteration:
                    return response
        finally:
            flow.close()

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request with the credentials that come first."""
        flow = self._auth.sync_auth_flow(to_httpx(request, self._api))
        try:
            signed = flow.__next__()
        finally:
            flow.close()
        with self.inner.stream(_signed(request, signed)) as stream:
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

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request with the token."""
        return self.inner.exchange(self._signed(request))

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request with the token and give the answer as it comes."""
        with self.inner.stream(self._signed(request)) as stream:
            yield stream

    def _signed(self, request: HttpRequest) -> HttpRequest:
        signed = replace(request, headers=dict(request.headers))
        flow = self._auth.sync_auth_flow(signed)
        try:
            flow.__next__()
        finally:
            flow.close()
        return signed


class ExchangeTransport(httpx.BaseTransport):
    """Lets an httpx client, that of the generated code, send through our exchange.

    Args:
        exchange: What sends; it is not closed with the transport.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, exchange: Exchange, root: ServerUrl) -> None:
        self._exchange = exchange
        self._root_path = root.path + API_PATH

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and give the answer."""
        raw_path, _, query = request.url.raw_path.decode("ascii").partition("?")
        ours = HttpRequest(
            method=request.method,
            path=raw_path.removeprefix(self._root_path),
            query=query,
            headers={
                name: value for name, value in lower(request.headers.multi_items()).items() if name not in _CONNECTION
            },
            content=request.read(),
            timeout=_timeouts(request.extensions.get("timeout") or {}),
            idempotent=not (request.method == "POST" and raw_path.endswith("/runs")),
        )
        try:
            response = self._exchange.exchange(ours)
        except WireError as error:
            raise _httpx_error(error)(str(error), request=request) from error
        return httpx.Response(response.status, headers=response.headers, content=response.content, request=request)


class LocalTransport(httpx.HTTPTransport):
    """httpx's own transport, anew in each fork and event loop: connections belong to one of them.

    Args:
        **settings: What httpx's transport takes.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._settings = settings
        self._home: tuple[object, ...] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over a connection of this process and event loop."""
        self._come_home()
        return super().handle_request(request)

    def close(self) -> None:
        """Close the connections of this process and event loop; those of others are left alone."""
        self._come_home()
        super().close()

    def _come_home(self) -> None:
        home = sync_home()
        if self._home is not None and home != self._home:
            super().__init__(**self._settings)
        self._home = home


class StreamBody(httpx.SyncByteStream):
    """The chunks of a stream as the body of an httpx response, which is what httpx-sse reads.

    Args:
        chunks: The chunks.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
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
