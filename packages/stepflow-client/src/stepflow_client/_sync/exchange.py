# Written from _async/exchange.py by `make generate`. Change that file instead.

"""What sends a request and brings its answer. Layers of it lie on each other:

dialect   speaks to servers of any release
credentials
pool      connections of our own, or
httpx     any httpx transport: a proxy, a test's, one of the user's
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from .._http import HttpRequest, HttpResponse

__all__ = ["Exchange", "Layer", "Stream"]


@dataclass(slots=True)
class Stream:
    """An answer that comes bit by bit."""

    status: int
    headers: dict[str, str]
    chunks: Iterator[bytes]


class Exchange(ABC):
    """Sends requests. Failures are httpx's exceptions."""

    @abstractmethod
    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give the answer, read to its end."""

    @abstractmethod
    def stream(self, request: HttpRequest) -> AbstractContextManager[Stream]:
        """Send a request and give the answer as it comes."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""


class Layer(Exchange):
    """Lies on another exchange and passes on what it does not change."""

    def __init__(self, inner: Exchange) -> None:
        self.inner = inner

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and give the answer, read to its end."""
        return self.inner.exchange(request)

    def stream(self, request: HttpRequest) -> AbstractContextManager[Stream]:
        """Send a request and give the answer as it comes."""
        return self.inner.stream(request)

    def close(self) -> None:
        """Close what is open."""
        self.inner.close()
