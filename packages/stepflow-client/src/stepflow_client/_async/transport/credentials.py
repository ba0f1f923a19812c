"""Transports that add the credentials of one server to requests; which one a client has is decided in `assembly`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..._base.lazy import lazy_module
from ..._http.messages import HttpRequest, HttpResponse
from ..._http.settings import API_PATH, ServerUrl, TokenAuth
from ..._http.time_limit import async_call_within
from ..._rules.deadline import has_passed
from ...errors import InvalidArgumentError, RequestTimeoutError, StepflowClientError
from .base import Middleware, Stream, Transport

if TYPE_CHECKING:
    import httpx
else:
    httpx = lazy_module("httpx")

Signed = TypeVar("Signed")


class Authorization(Middleware):
    """Adds the credentials of one server, which are sent to no other server."""

    def __init__(self, inner: Transport, header: str) -> None:
        super().__init__(inner)
        self._header = header

    def send(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Send a request with the credentials."""
        return self.inner.send(self._sign(request))

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request with the credentials and return the response as it arrives."""
        return self.inner.stream(self._sign(request))

    def _sign(self, request: HttpRequest) -> HttpRequest:
        return request._replace(headers={**request.headers, "authorization": self._header})


class Token(Middleware):
    """Adds a bearer token, which is requested from the caller's code before each request.

    Args:
        inner: The transport that sends the requests.
        auth: The source of the token.
    """

    def __init__(self, inner: Transport, auth: TokenAuth) -> None:
        super().__init__(inner)
        self._auth = auth

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request with the token."""
        return await self.inner.send(await self._sign(request))

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[Stream, None]:
        """Send a request with the token and return the response as it arrives."""
        async with self.inner.stream(await self._sign(request)) as stream:
            yield stream

    async def _sign(self, request: HttpRequest) -> HttpRequest:
        signed = request._replace(headers=dict(request.headers))
        flow = self._auth.async_auth_flow(signed)
        async with aclosing(flow):
            await _request_credentials(flow.__anext__, request)
        return signed


class HttpxAuth(Middleware):
    """Adds credentials with an `httpx.Auth`, which may need to see responses.

    Args:
        inner: The transport that sends the requests.
        auth: The credentials.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, inner: Transport, auth: httpx.Auth, root: ServerUrl) -> None:
        super().__init__(inner)
        self._auth = auth
        self._api = str(root) + API_PATH

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request as often as the `httpx.Auth` requires."""
        from .httpx_bridge import copy_headers_from, to_httpx

        flow = self._auth.async_auth_flow(to_httpx(request, self._api))
        async with aclosing(flow):
            signed = await _request_credentials(flow.__anext__, request)
            while True:
                response = await self.inner.send(copy_headers_from(request, signed))
                answer = httpx.Response(
                    response.status, headers=response.headers, content=response.content, request=signed
                )
                following = await _request_credentials(partial(flow.asend, answer), request)
                if following is None:
                    return response
                signed = following

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[Stream, None]:
        """Send a request with the first credentials of the `httpx.Auth`; it does not see the response."""
        from .httpx_bridge import copy_headers_from, to_httpx

        flow = self._auth.async_auth_flow(to_httpx(request, self._api))
        async with aclosing(flow):
            signed = await _request_credentials(flow.__anext__, request)
        async with self.inner.stream(copy_headers_from(request, signed)) as stream:
            yield stream


async def _request_credentials(step: Callable[[], Awaitable[Signed]], request: HttpRequest) -> Signed | None:
    """Return the request with credentials from the caller's code; None if it has no further request.

    Args:
        step: The next step of the caller's code: of a callable that returns a token, or of an `httpx.Auth`.
        request: The request; waiting for credentials counts towards its time.

    Raises:
        RequestTimeoutError: If it takes longer than the connect timeout; the sync client only detects a passed
            deadline.
        InvalidArgumentError: If the caller's code fails.
    """
    seconds = request.remaining(request.timeout.connect)
    try:
        signed = await async_call_within(step, seconds)
        if has_passed(request.deadline):
            raise TimeoutError
    except StopAsyncIteration:
        return None
    except TimeoutError as error:
        late = RequestTimeoutError(f"{request} was not sent: the credentials given as auth did not come in time")
        late.was_sent = False
        raise late from error
    except (StepflowClientError, AssertionError):
        raise
    except Exception as error:
        # The error's message may quote the credentials.
        raise InvalidArgumentError(f"the credentials given as auth failed: {type(error).__name__}") from error
    return signed
