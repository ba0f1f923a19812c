"""Failover between servers that share a store. Each server has its own credentials."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

from ..._http import http1_format
from ..._http.http1_format import HttpError, HttpRequest, HttpResponse
from ..._rules.deadlines import has_passed
from ..._rules.server_loads import ServerLoads
from .base import Stream, Transport, build_health_request

_MIN_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 30.0
# How many seconds a failed server has to respond to the health check that precedes its next run.
_TRIAL = 3.0
# Statuses a proxy returns when its server is unavailable.
_UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
# Errors that mean a server is down or unresponsive.
_SERVER_DOWN_ERRORS = (
    http1_format.ConnectFailed,
    http1_format.ConnectionBroken,
    http1_format.ReadTimeout,
    http1_format.WriteTimeout,
)


class Failover(Transport):
    """Sends requests to the server that last responded.

    After a server fails, it's tried last for a while (longer each time).

    Args:
        servers: One transport per server, in order of preference.
        spread: Picks a server for each new run. Requests about a run then go to the server that created the run, as
            long as it's available. If None, all requests go to the server that last responded.
    """

    def __init__(self, servers: list[Transport], spread: ServerLoads | None = None) -> None:
        self._servers = servers
        self._spread = spread
        self._current = 0
        self._backoff_seconds = [_MIN_BACKOFF_SECONDS] * len(servers)
        self._backoff_until = [0.0] * len(servers)

    async def aclose(self) -> None:
        """Close the connections to all servers."""
        for server in self._servers:
            await server.aclose()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the first server that accepts it.

        Tries the next server if nothing was sent, or if there was no response in time and the request is safe to
        repeat. After a broken connection, or a proxy's "unavailable" response, later requests (including a retry of
        this one) go to another server.
        """
        left = self._order_servers(request.server)
        while True:
            with self._choose_server(request, left) as number:
                left.remove(number)
                # Don't send a new run to a failed server until it has responded again.
                is_doubtful = self._spread is not None and not request.idempotent and self._has_failed(number)
                if left and is_doubtful and not await self._passes_health_check(request, number):
                    continue
                try:
                    response = await self._servers[number].send(_limit_to_share_of_time_left(request, len(left)))
                except http1_format.PoolTimeout:
                    # All connections to the server are busy, so it must be responding.
                    if not left:
                        raise
                except _SERVER_DOWN_ERRORS as error:
                    error.server = number
                    self._record_failure(number)
                    # Leave broken connections to the retry policy, since it backs off first.
                    is_repeatable = request.idempotent and not isinstance(error, http1_format.ConnectionBroken)
                    may_repeat = is_repeatable and not has_passed(request.deadline)
                    if not left or not (may_repeat or isinstance(error, http1_format.ConnectFailed)):
                        raise
                else:
                    self._record_response(number, response.status)
                    return response._replace(server=number)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[Stream, None]:
        """Send a request to the preferred server. If it fails, later requests go to another server."""
        number = self._order_servers(request.server)[0]
        is_open = False
        try:
            async with self._servers[number].stream(request) as stream:
                self._record_response(number, stream.status)
                is_open = True
                yield stream
        except _SERVER_DOWN_ERRORS as error:
            error.server = number
            # A silent stream may just have no events, so silence doesn't count as a failure.
            if not (is_open and isinstance(error, http1_format.ReadTimeout)):
                self._record_failure(number)
            raise

    def _order_servers(self, first: int | None) -> list[int]:
        """Return the servers in the order to try them: `first` or the current server first, failed servers last."""
        count = len(self._servers)
        # Don't prefer a failed server until it has responded again.
        first = self._current if first is None or self._has_failed(first) else first
        around = [(first + step) % count for step in range(count)]
        return sorted(around, key=self._is_backing_off)

    def _has_failed(self, number: int) -> bool:
        return self._backoff_seconds[number] > _MIN_BACKOFF_SECONDS

    def _is_backing_off(self, number: int) -> bool:
        return self._backoff_until[number] > time.monotonic()

    @contextmanager
    def _choose_server(self, request: HttpRequest, untried: list[int]) -> Iterator[int]:
        """Choose the next server to try. (The only requests that aren't idempotent are those that create runs.)"""
        if self._spread is None or request.idempotent:
            yield untried[0]
            return
        live = [number for number in untried if not self._is_backing_off(number)]
        with self._spread.placing_run(live or untried) as number:
            yield number

    async def _passes_health_check(self, request: HttpRequest, number: int) -> bool:
        """Return whether a failed server passes a health check. Other requests avoid the server in the meantime.

        Args:
            request: The request to send to the server if it passes.
            number: The server's index.
        """
        self._backoff_until[number] = time.monotonic() + self._backoff_seconds[number]
        try:
            response = await self._servers[number].send(build_health_request(request, request.timeout.at_most(_TRIAL)))
        except HttpError:
            self._record_failure(number)
            return False
        self._record_response(number, response.status)
        return not self._has_failed(number)

    def _record_failure(self, number: int) -> None:
        self._backoff_until[number] = time.monotonic() + self._backoff_seconds[number]
        self._backoff_seconds[number] = min(self._backoff_seconds[number] * 2, _MAX_BACKOFF_SECONDS)

    def _record_response(self, number: int, status: int) -> None:
        if status in _UNAVAILABLE_STATUSES:
            self._record_failure(number)
            return
        if self._spread is None or self._is_backing_off(self._current):
            self._current = number
        self._backoff_seconds[number] = _MIN_BACKOFF_SECONDS
        self._backoff_until[number] = 0.0


def _limit_to_share_of_time_left(request: HttpRequest, others: int) -> HttpRequest:
    """Limit a request to its share of the remaining time, so that one server can't use it all up.

    Args:
        request: The request.
        others: How many other servers are left to try after this one.
    """
    if request.deadline is None or not (others and request.idempotent):
        return request
    now = time.monotonic()
    return request._replace(deadline=now + max(request.deadline - now, 0) / (others + 1))
