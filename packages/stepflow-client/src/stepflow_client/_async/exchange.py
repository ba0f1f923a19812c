"""What sends a request and brings its answer. Layers of it lie on each other:

dialect   speaks to servers of any release
credentials
pool      connections of our own, or
httpx     any httpx transport: a proxy, a test's, one of the user's
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from .._http import HttpRequest, HttpResponse

__all__ = ["Exchange", "Layer", "Stream"]


@dataclass(slots=True)
class Stream:
    """An answer that comes bit by bit."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]


class Exchange(ABC):
    """Sends requests. Failures are httpx's exceptions."""

    @abstractmethod
    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give the answer, read to its end."""

    @abstractmethod
    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and give the answer as it comes."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what is open."""


class Layer(Exchange):
    """Lies on another exchange and passes on what it does not change."""

    def __init__(self, inner: Exchange) -> None:
        self.inner = inner

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give the answer, read to its end."""
        return await self.inner.exchange(request)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[Stream]:
        """Send a request and give the answer as it comes."""
        return self.inner.stream(request)

    async def aclose(self) -> None:
        """Close what is open."""
        await self.inner.aclose()
