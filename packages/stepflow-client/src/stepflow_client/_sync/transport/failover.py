# Written from _async/transport/failover.py by `make generate`. Change that file instead.

"""Several servers that share one store, as one, each with its own credentials."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from ..._http.messages import (
    ConnectFailed,
    ConnectionBroken,
    HttpError,
    HttpRequest,
    HttpResponse,
    PoolTimeout,
    ReadTimeout,
    WriteTimeout,
)
from .base import Middleware, Stream, Transport

__all__ = ["Authorization", "Failover"]

_FIRST_REST, _LONGEST_REST = 0.5, 30.0
_AWAY = frozenset({502, 503, 504})
"""Statuses that a proxy returns for a server that is away."""


class Authorization(Middleware):
    """Adds the credentials of one server, which no other one gets.

    Args:
        inner: What sends to the server.
        header: What `authorization` says.
    """

    def __init__(self, inner: Transport, header: str) -> None:
        super().__init__(inner)
        self._header = header

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request with the credentials."""
        return self.inner.send(self._signed(request))

    def stream(self, request: HttpRequest) -> AbstractContextManager[Stream]:
        """Send a request with the credentials and return the response as it comes."""
        return self.inner.stream(self._signed(request))

    def _signed(self, request: HttpRequest) -> HttpRequest:
        return replace(request, headers={**request.headers, "authorization": self._header})


class Failover(Transport):
    """Sends to the server that responded last; one that cannot be reached is left alone for a growing while.

    Args:
        servers: One for each server, in the order of preference.
    """

    def __init__(self, servers: list[Transport]) -> None:
        self._servers = servers
        self._current = 0
        self._rests = [_FIRST_REST] * len(servers)
        self._rest_until = [0.0] * len(servers)

    def close(self) -> None:
        """Close the connections to all servers."""
        for server in self._servers:
            server.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the first server that takes it.

        The next server is tried where nothing was sent. After a broken connection, a timeout, or a response of a proxy
        that its server is away, the next request goes elsewhere: this one too, if it is sent again.
        """
        failure: HttpError | None = None
        for number in self._order():
            try:
                response = self._servers[number].send(request)
            except PoolTimeout:
                raise
            except ConnectFailed as error:
                self._failed(number)
                failure = error
            except (ConnectionBroken, ReadTimeout, WriteTimeout):
                self._failed(number)
                raise
            else:
                self._heard(number, response.status)
                return response
        assert failure is not None
        raise failure

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request to the server that comes first; a failure sends the next one elsewhere."""
        number = self._order()[0]
        is_open = False
        try:
            with self._servers[number].stream(request) as stream:
                self._heard(number, stream.status)
                is_open = True
                yield stream
        except (ConnectFailed, ConnectionBroken, ReadTimeout, WriteTimeout) as error:
            # A stream that has nothing to tell is silent, and its server well.
            if not (is_open and isinstance(error, ReadTimeout)):
                self._failed(number)
            raise

    def _order(self) -> list[int]:
        """Return the servers to try: from the current one on, those that rest last."""
        count = len(self._servers)
        around = [(self._current + step) % count for step in range(count)]
        now = time.monotonic()
        return sorted(around, key=lambda number: self._rest_until[number] > now)

    def _failed(self, number: int) -> None:
        self._rest_until[number] = time.monotonic() + self._rests[number]
        self._rests[number] = min(self._rests[number] * 2, _LONGEST_REST)

    def _heard(self, number: int, status: int) -> None:
        if status in _AWAY:
            self._failed(number)
            return
        self._current = number
        self._rests[number] = _FIRST_REST
        self._rest_until[number] = 0.0
