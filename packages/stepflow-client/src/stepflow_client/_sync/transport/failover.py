# Written from _async/transport/failover.py by `make generate`. Change that file instead.

"""Treats several servers that share one store as one server; each has its own credentials."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

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
from ..._rules.spread import ServerLoads
from ..._rules.timeouts import has_passed
from .base import Stream, Transport, build_health_request

_MIN_REST_SECONDS, _MAX_REST_SECONDS = 0.5, 30.0
# Seconds in which a server that has failed must respond to a health check before it gets a new run.
_TRIAL = 3.0
# Statuses that a proxy returns for an unavailable server.
_UNAVAILABLE = frozenset({502, 503, 504})
# Errors of a server that is down, or does not respond.
_FAILURES = (ConnectFailed, ConnectionBroken, ReadTimeout, WriteTimeout)


class Failover(Transport):
    """Sends requests to the server that responded last; one that fails rests for increasing periods: it is tried last.

    Args:
        servers: One transport per server, in order of preference.
        spread: Chooses the server of each new run, and requests about a run go to the server that created it while that
            is available. If None, all requests go to the server that responded last.
    """

    def __init__(self, servers: list[Transport], spread: ServerLoads | None = None) -> None:
        self._servers = servers
        self._spread = spread
        self._current = 0
        self._rest_seconds = [_MIN_REST_SECONDS] * len(servers)
        self._rest_until = [0.0] * len(servers)

    def close(self) -> None:
        """Close the connections to all servers."""
        for server in self._servers:
            server.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the first server that accepts it.

        The next server is tried if nothing was sent, or if the server does not respond in time and the request is safe
        to repeat. After a broken connection, or a proxy's response that its server is unavailable, later requests go to
        another server, including a retry of this one.
        """
        left = self._order_servers(request.server)
        while True:
            with self._choose_server(request, left) as number:
                left.remove(number)
                # A server that has failed gets a new run only after it has responded again.
                is_doubtful = self._spread is not None and not request.idempotent and self._has_failed(number)
                if left and is_doubtful and not self._passes_health_check(request, number):
                    continue
                try:
                    response = self._servers[number].send(_limit_to_share(request, len(left)))
                except PoolTimeout:
                    # The connections to the server are in use, so it responds.
                    if not left:
                        raise
                except _FAILURES as error:
                    error.server = number
                    self._note_failure(number)
                    # A broken connection is left to the retry policy, which pauses first.
                    is_repeatable = request.idempotent and not isinstance(error, ConnectionBroken)
                    may_repeat = is_repeatable and not has_passed(request.deadline)
                    if not left or not (may_repeat or isinstance(error, ConnectFailed)):
                        raise
                else:
                    self._note_response(number, response.status)
                    return response._replace(server=number)

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request to the preferred server; after a failure, later requests go to another server."""
        number = self._order_servers(request.server)[0]
        is_open = False
        try:
            with self._servers[number].stream(request) as stream:
                self._note_response(number, stream.status)
                is_open = True
                yield stream
        except _FAILURES as error:
            error.server = number
            # An open stream without events is silent although its server is available.
            if not (is_open and isinstance(error, ReadTimeout)):
                self._note_failure(number)
            raise

    def _order_servers(self, first: int | None) -> list[int]:
        """Return the servers in the order to try them: from `first` or the current one on, resting ones at the end."""
        count = len(self._servers)
        # A server that has failed is not preferred again until it has responded.
        first = self._current if first is None or self._has_failed(first) else first
        around = [(first + step) % count for step in range(count)]
        return sorted(around, key=self._is_resting)

    def _has_failed(self, number: int) -> bool:
        return self._rest_seconds[number] > _MIN_REST_SECONDS

    def _is_resting(self, number: int) -> bool:
        return self._rest_until[number] > time.monotonic()

    @contextmanager
    def _choose_server(self, request: HttpRequest, left: list[int]) -> Iterator[int]:
        """Choose the next server to try. A request that must not be repeated creates a run."""
        if self._spread is None or request.idempotent:
            yield left[0]
            return
        live = [number for number in left if not self._is_resting(number)]
        with self._spread.place_run(live or left) as number:
            yield number

    def _passes_health_check(self, request: HttpRequest, number: int) -> bool:
        """Return whether a server that has failed passes a health check. Meanwhile, it rests for other requests.

        Args:
            request: The request to be sent to it next.
            number: The server.
        """
        self._rest_until[number] = time.monotonic() + self._rest_seconds[number]
        try:
            response = self._servers[number].send(build_health_request(request, request.timeout.at_most(_TRIAL)))
        except HttpError:
            self._note_failure(number)
            return False
        self._note_response(number, response.status)
        return not self._has_failed(number)

    def _note_failure(self, number: int) -> None:
        self._rest_until[number] = time.monotonic() + self._rest_seconds[number]
        self._rest_seconds[number] = min(self._rest_seconds[number] * 2, _MAX_REST_SECONDS)

    def _note_response(self, number: int, status: int) -> None:
        if status in _UNAVAILABLE:
            self._note_failure(number)
            return
        if self._spread is None or self._is_resting(self._current):
            self._current = number
        self._rest_seconds[number] = _MIN_REST_SECONDS
        self._rest_until[number] = 0.0


def _limit_to_share(request: HttpRequest, others: int) -> HttpRequest:
    """Return a request with a server's share of the time that is left, so that one server cannot use all of it.

    Args:
        request: The request.
        others: Number of servers that the request may be sent to afterwards.
    """
    if request.deadline is None or not (others and request.idempotent):
        return request
    now = time.monotonic()
    return request._replace(deadline=now + max(request.deadline - now, 0) / (others + 1))
