"""Transports: each sends a request and returns its response. A client stacks them, from the top:

dialect       translates for servers of older releases
retry         repeats requests that are safe to repeat
failover      chooses one of several servers
credentials   adds the credentials of one server
hooks         calls the caller's event_hooks
pool          sends over this package's own connections, or
httpx_bridge  sends through an httpx transport: for a proxy, a test's or the user's
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from ..._http.messages import HttpRequest, HttpResponse, Timeouts
from ..._rules.releases import health_check


class Stream:
    """A response whose body is read in chunks.

    Args:
        status: The HTTP status.
        headers: The headers, with names in lower case.
        read: Returns an iterator over the chunks of the body. An empty chunk means that none arrived within
            `remaining`; over httpx, which then closes the connection, it is the last chunk.
        remaining: Seconds to wait for a chunk. It may be changed between chunks (over httpx: only before the first).
    """

    __slots__ = ("chunks", "headers", "remaining", "status")

    def __init__(
        self,
        status: int,
        headers: dict[str, str],
        read: Callable[[Stream], AsyncGenerator[bytes, None]],
        remaining: float,
    ) -> None:
        self.status = status
        self.headers = headers
        self.remaining = remaining
        self.chunks = read(self)


class Transport(ABC):
    """Sends requests. Failures are raised as HttpError."""

    @abstractmethod
    def send(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Send a request and return the complete response."""

    @abstractmethod
    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the response, whose body is still to be read."""

    def forget(self) -> None:  # noqa: B027 - most have nothing to forget
        """Note that a request got no usable response: another server may respond to the next one."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections."""


class Middleware(Transport):
    """Wraps another transport and forwards everything that a subclass does not change."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    def send(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Send a request and return the complete response."""
        return self.inner.send(request)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the response, whose body is still to be read."""
        return self.inner.stream(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.inner.aclose()


def build_health_request(request: HttpRequest, timeout: Timeouts) -> HttpRequest:
    """Return the health check to send before a request, with its headers and deadline."""
    headers = {name: value for name, value in request.headers.items() if name != "content-type"}
    return HttpRequest(
        health_check.method,
        health_check.path,
        headers=headers,
        timeout=timeout,
        deadline=request.deadline,
        max_response_bytes=request.max_response_bytes,
        operation=health_check.name,
    )
