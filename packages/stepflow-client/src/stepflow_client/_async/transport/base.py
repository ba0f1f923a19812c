"""Transports send requests and return responses. A client stacks these layers, outermost first:

dialect       translates for older servers
retry         resends requests that are safe to repeat
failover      picks one of several servers
credentials   adds a server's credentials
hooks         calls the user's event_hooks
pool          sends over our own connections, or
httpx_bridge  sends through an httpx transport, e.g. for a proxy or a test
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from ..._http.http1_format import HttpRequest, HttpResponse
from ..._http.settings import Timeouts
from ..._rules.operations_and_releases import health_check


class Stream:
    """A response whose body is read in chunks.

    Args:
        status: The HTTP status.
        headers: The headers, with lowercase names.
        read: Returns an iterator over the body's chunks. An empty chunk means that nothing arrived within `remaining`
            seconds. With httpx, it's also the last chunk, because httpx then closes the connection.
        remaining: How many seconds to wait for a chunk. Can be changed between chunks (with httpx, only before the
            first).
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
    """Sends requests, raising HttpError on failure."""

    @abstractmethod
    def send(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Send a request and return the complete response."""

    @abstractmethod
    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the response before its body has been read."""

    def forget_server(self) -> None:  # noqa: B027 - most have nothing to forget
        """Forget the detected server after a failed request, since a different server may handle the next one."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections."""


class Middleware(Transport):
    """Wraps another transport, forwarding everything a subclass doesn't override."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    def send(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Send a request and return the complete response."""
        return self.inner.send(request)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the response before its body has been read."""
        return self.inner.stream(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.inner.aclose()


def build_health_request(request: HttpRequest, timeout: Timeouts) -> HttpRequest:
    """Build the health check that precedes a request, with the same headers and deadline."""
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
