"""Waits until a started server can be used."""

from __future__ import annotations

import http.client
import json
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .config import Workers
from .process import ServerProcess
from .worker_exits import EndedWorker, find_ended_workers

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


@dataclass(slots=True)
class StartupWait:
    """Waits for a started server and its workers."""

    process: ServerProcess
    workers: Workers
    is_cancelled: Callable[[], bool]

    def until_ready(self, timeout: float, worker_timeout: float | None) -> None:
        """Wait until the server and its workers can be used.

        Wait for the line with the port first: it proves that this process, and no other, listens on the port.

        Args:
            timeout: Seconds to wait for the server and the workers that it starts.
            worker_timeout: Additional seconds to wait for workers started elsewhere; None to not wait for them.

        Raises:
            NotReadyError: If the process or a worker ends, the timeout expires, or the wait is cancelled.
        """
        deadline = time.monotonic() + timeout
        late = f"The server was not ready within {timeout:g} s"
        self._until(lambda: self.process.port is not None, deadline, late)
        health = _PolledRequest(self.process, "/api/v1/health", _HEALTH_SECONDS)
        self._until(lambda: health.response() is not None, deadline, late)
        external = self.workers.external
        if self.workers.started or not external:
            # Older servers do not report the state of workers: they count as ready once they are healthy.
            self._until(self._connected(ignored=external), deadline, late)
        if external and worker_timeout is not None:
            late = f"No worker of {', '.join(sorted(external))} connected within {worker_timeout:g} s"
            self._until(self._connected(), time.monotonic() + worker_timeout, late)

    def _until(self, condition: Callable[[], bool], deadline: float, late: str) -> None:
        """Poll a condition until a deadline, and fail early if it can no longer be met."""
        process = self.process
        next_check = time.monotonic() + _WORKER_CHECK_SECONDS
        while True:
            # Before the condition, so that a server that is ready is already confined.
            process.confine()
            if condition():
                return
            now = time.monotonic()
            if self.is_cancelled() or process.poll() is not None:
                raise NotReadyError
            if now >= next_check:
                next_check = now + _WORKER_CHECK_SECONDS
                # A worker that ended with exit code 0 may have started another one.
                failed = next((worker for worker in find_ended_workers(process.leader) if worker.exit_code != 0), None)
                # An older server itself ends in this case, with a more detailed message.
                if failed is not None and not process.ends_within(0.5):
                    raise NotReadyError(f"ended {failed.how} before it was ready", worker=failed)
            if now >= deadline:
                raise NotReadyError(late)
            process.port_known.wait(_POLL_SECONDS) if process.port is None else time.sleep(_POLL_SECONDS)

    def _connected(self, ignored: frozenset[str] = frozenset()) -> Callable[[], bool]:
        """Return a condition: whether all workers are connected, except those of the ignored plugins."""
        components = _PolledRequest(self.process, "/api/v1/components?excludeSchemas=true", _COMPONENTS_SECONDS)

        def connected() -> bool:
            response = components.response()
            if response is None:
                return False
            failed = response.get("failedPlugins")
            if not failed or response.get("complete", True):
                return True
            return all(isinstance(plugin, dict) and plugin.get("plugin") in ignored for plugin in failed)

        return connected


class _PolledRequest:
    """A GET request to the local server, without proxies or a pool, that is repeated without blocking."""

    def __init__(self, process: ServerProcess, path: str, timeout: float) -> None:
        self._process, self._path, self._timeout = process, path, timeout
        self._connection: http.client.HTTPConnection | None = None
        self._sent_at = 0.0

    def response(self) -> dict[str, Any] | None:
        """Return the response if it has arrived and is a JSON object; send or repeat the request as needed."""
        value = None
        try:
            if self._connection is None:
                self._sent_at = time.monotonic()
                self._connection = http.client.HTTPConnection("127.0.0.1", self._process.port, timeout=_HEALTH_SECONDS)
                self._connection.request("GET", self._path, headers={"Connection": "close"})
            # Not select.select, which does not support descriptors above 1023.
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection.sock, selectors.EVENT_READ)
                is_readable = bool(selector.select(0))
            if not is_readable and time.monotonic() <= self._sent_at + self._timeout:
                return None
            if is_readable:
                response = self._connection.getresponse()
                value = json.loads(response.read()) if response.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self._close()
        return value if isinstance(value, dict) and value else None

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    def __del__(self) -> None:
        self._close()
