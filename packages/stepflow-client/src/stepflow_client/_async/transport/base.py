"""What sends a request and returns its response. A client stacks them, from the top:

dialect       translates for servers of older releases
retry         repeats what is safe to repeat
failover      chooses one of several servers
credentials   adds the authorization of one server
pool          connections of our own, or
httpx_bridge  any httpx transport: a proxy, a test's, one of the user's
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager

from ..._http.messages import HttpRequest, HttpResponse

__all__ = ["Middleware", "Stream", "Transport"]


class Stream:
    """A response that is read piece by piece.

    Args:
        status: The HTTP status.
        headers: The headers, names in lower case.
        read: Makes the chunks of the body. An empty chunk means that none has come within `remaining`; over
            httpx, which closes the connection then, it is the last.
        remaining: Seconds to wait for a chunk; may be changed between two chunks (over httpx: before the first).
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
    """Sends requests; failures are HttpErrors."""

    @abstractmethod
    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the response, read to its end."""

    @abstractmethod
    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the response, its body still to be read."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what is open."""


class Middleware(Transport):
    """Wraps another transport and passes on what it does not change."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the response, read to its end."""
        return await self.inner.send(request)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the response, its body still to be read."""
        return self.inner.stream(request)

    async def aclose(self) -> None:
        """Close what is open."""
        await self.inner.aclose()
