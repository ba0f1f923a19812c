"""What sends a request and brings its answer. Layers of it lie on each other:

dialect   speaks to servers of any release
credentials
pool      connections of our own, or
httpx     any httpx transport: a proxy, a test's, one of the user's
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager

from ..._http.messages import HttpRequest, HttpResponse

__all__ = ["Middleware", "Stream", "Transport"]


class Stream:
    """A response that comes bit by bit.

    Args:
        status: The HTTP status.
        headers: The headers, names in lower case.
        read: Makes the chunks of the body. An empty chunk means that none has come for as long as `patience`; over
            httpx, which closes the connection then, it is the last.
        patience: Seconds to wait for a chunk; may be changed between two chunks (over httpx: before the first).
    """

    __slots__ = ("chunks", "headers", "patience", "status")

    def __init__(
        self,
        status: int,
        headers: dict[str, str],
        read: Callable[[Stream], AsyncGenerator[bytes, None]],
        patience: float,
    ) -> None:
        self.status = status
        self.headers = headers
        self.patience = patience
        self.chunks = read(self)


class Transport(ABC):
    """Sends requests. Failures are httpx's exceptions."""

    @abstractmethod
    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the answer, read to its end."""

    @abstractmethod
    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the answer as it comes."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what is open."""


class Middleware(Transport):
    """Lies on another exchange and passes on what it does not change."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the answer, read to its end."""
        return await self.inner.send(request)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and return the answer as it comes."""
        return self.inner.stream(request)

    async def aclose(self) -> None:
        """Close what is open."""
        await self.inner.aclose()
