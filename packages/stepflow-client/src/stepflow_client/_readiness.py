"""Waits until a started server can be used."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any

from ._server_process import ServerProcess

_POLL_SECONDS = 0.005
# 0.12 answers the list of components only when its workers are there, or after half a minute.
_REQUEST_SECONDS = 1.0


def wait_until_ready(process: ServerProcess, timeout: float, cancelled: Callable[[], bool]) -> bool:
    """Return True when the server and its workers can be used.

    False: the process ended, `timeout` seconds passed, or `cancelled` says so; ask the process which.

    The port line comes first: it proves that what answers on the port is this process and no other.
    """
    deadline = time.monotonic() + timeout

    def until(condition: Callable[[], bool], pause: float = _POLL_SECONDS) -> bool:
        while not cancelled() and process.poll() is None and time.monotonic() < deadline:
            if condition():
                return True
            process.port_known.wait(pause) if process.port is None else time.sleep(pause)
        return False

    return (
        until(lambda: process.port is not None)
        and until(lambda: _get(process, "/api/v1/health") is not None)
        and until(lambda: _components_complete(process), pause=0.02)
    )


def _components_complete(process: ServerProcess) -> bool:
    answer = _get(process, "/api/v1/components")
    if answer is None:
        return False
    # Before 0.12 neither is told: there, healthy is ready.
    return bool(answer.get("complete", True)) or not answer.get("failedPlugins", True)


def _get(process: ServerProcess, path: str) -> dict[str, Any] | None:
    """Return the JSON object the server answers with, or None for anything else."""
    # No proxies and no pool: a plain request to this machine.
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=_REQUEST_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        value = json.loads(response.read()) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return value if isinstance(value, dict) else None
