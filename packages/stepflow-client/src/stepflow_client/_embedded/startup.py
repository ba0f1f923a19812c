"""Waits until a started server can be used."""

from __future__ import annotations

import http.client
import json
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .config import Workers
from .process import ServerProcess
from .worker_exits import EndedWorker, ended_workers

_POLL_SECONDS = 0.005
_HEALTH_SECONDS = 1.0
# Listing the components may take 5 s for each worker that is not connected.
_COMPONENTS_SECONDS = 30.0
_WORKER_CHECK_SECONDS = 0.2


class NotReadyError(Exception):
    """The server or one of its workers cannot be used.

    The message says why. It is empty if the process has ended or the wait was cancelled.
    """

    def __init__(self, message: str = "", *, worker: EndedWorker | None = None) -> None:
        super().__init__(message)
        self.worker = worker
        """The worker that has ended, if that is the reason."""


@dataclass(frozen=True, slots=True)
class ReadinessTimeouts:
    """How long to wait for a server and its workers."""

    startup: float
    """Seconds to wait for the server and the workers it starts."""

    external: float | None
    """Additional seconds to wait for workers that are started elsewhere; None to not wait for them."""


def wait_until_ready(
    process: ServerProcess, workers: Workers, timeouts: ReadinessTimeouts, cancelled: Callable[[], bool]
) -> None:
    """Wait until the server and its workers can be used.

    The first condition is the line with the port: it proves that this process, and no other, listens on the port.

    Raises:
        NotReadyError: If the process or a worker ends, the timeout expires, or `cancelled` returns True.
    """
    wait = _Wait(process, timeouts.startup, cancelled)
    late = f"The server was not ready within {timeouts.startup:g} s"
    wait.until(lambda: process.port is not None, late)
    wait.until(_Question(process, "/api/v1/health", _HEALTH_SECONDS).is_answered, late)
    if workers.started or not workers.external:
        # Older servers do not report the state of workers: a healthy server counts as ready.
        wait.until(_connected(process, ignored=workers.external), late)
    if workers.external and timeouts.external is not None:
        names = ", ".join(sorted(workers.external))
        wait = _Wait(process, timeouts.external, cancelled)
        wait.until(
            _connected(process, ignored=frozenset()), f"No worker of {names} connected within {timeouts.external:g} s"
        )


class _Wait:
    """Waits for conditions until a deadline, and fails early if they can no longer be met."""

    def __init__(self, process: ServerProcess, seconds: float, cancelled: Callable[[], bool]) -> None:
        self._process = process
        self._deadline = time.monotonic() + seconds
        self._cancelled = cancelled
        self._next_check = time.monotonic() + _WORKER_CHECK_SECONDS

    def until(self, condition: Callable[[], bool], late: str) -> None:
        while True:
            # Before the condition, so that a server that is ready is already confined.
            self._process.confine()
            if condition():
                return
            now = time.monotonic()
            if self._cancelled() or self._process.poll() is not None:
                raise NotReadyError
            if now >= self._next_check:
                self._next_check = now + _WORKER_CHECK_SECONDS
                self._refuse_dead_worker()
            if now >= self._deadline:
                raise NotReadyError(late)
            self._process.port_known.wait(_POLL_SECONDS) if self._process.port is None else time.sleep(_POLL_SECONDS)

    def _refuse_dead_worker(self) -> None:
        # A worker that ended with exit code 0 may have started another one.
        dead = next((each for each in ended_workers(self._process.leader) if each.exit_code != 0), None)
        # An older server itself ends in this case, with a more detailed message.
        if dead is not None and not self._process.ends_within(0.5):
            raise NotReadyError(f"ended {dead.how} before it was ready", worker=dead)


def _connected(process: ServerProcess, ignored: frozenset[str]) -> Callable[[], bool]:
    question = _Question(process, "/api/v1/components?excludeSchemas=true", _COMPONENTS_SECONDS)

    def connected() -> bool:
        if not question.is_answered():
            return False
        failed = question.answer.get("failedPlugins")
        if not failed or question.answer.get("complete", True):
            return True
        return all(isinstance(each, dict) and each.get("plugin") in ignored for each in failed) or question.again()

    return connected


class _Question:
    """A GET request to the local server, without proxies or a pool, whose response is polled."""

    def __init__(self, process: ServerProcess, path: str, timeout: float) -> None:
        self._process, self._path, self._timeout = process, path, timeout
        self._connection: http.client.HTTPConnection | None = None
        self._asked_at = 0.0
        self.answer: dict[str, Any] = {}

    def again(self) -> bool:
        """Discard the response, so that the next poll sends the request again. Return False."""
        self.answer = {}
        return False

    def is_answered(self) -> bool:
        """Return whether the response, a JSON object, has arrived; if not, send or repeat the request as needed."""
        if self.answer:
            return True
        try:
            connection = self._connection or self._ask()
            if not _is_readable(connection.sock):
                if time.monotonic() > self._asked_at + self._timeout:
                    self._close()
                return False
            response = connection.getresponse()
            value = json.loads(response.read()) if response.status == 200 else None
            self.answer = value if isinstance(value, dict) else {}
        except (OSError, http.client.HTTPException, ValueError):
            self.answer = {}
        self._close()
        return bool(self.answer)

    def _ask(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._process.port, timeout=_HEALTH_SECONDS)
        self._connection = connection
        self._asked_at = time.monotonic()
        connection.request("GET", self._path, headers={"Connection": "close"})
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    def __del__(self) -> None:
        self._close()


def _is_readable(sock: socket.socket) -> bool:
    # Not select.select, which does not support descriptors from 1024 on.
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))
