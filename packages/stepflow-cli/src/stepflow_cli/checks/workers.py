"""The workers of a server: missing ones, and workers of a local server that have died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import Check, error, ok, skipped, warning

if TYPE_CHECKING:
    import psutil
    from stepflow_client import SyncStepflowClient

__all__ = ["dead_workers", "workers"]

_TIMEOUT = 60.0
"""Seconds for listing the components; servers wait 5 s for each plugin without a worker."""
_HOSTS = ("localhost", "127.0.0.1", "::1")
_HINT = "start it, or look into its log; a run that needs it waits for about 30 s, and may fail then"


def workers(client: SyncStepflowClient) -> Check:
    """Check that each plugin of the server has a worker."""
    from stepflow_client import StepflowClientError

    try:
        listed = client.list_components(include_schemas=False, timeout=_TIMEOUT)
    except StepflowClientError as problem:
        return error("workers", f"components cannot be listed: {problem.message}", problem.hint)
    if listed.failed_plugins:
        named = ", ".join(each.plugin for each in listed.failed_plugins)
        one = len(listed.failed_plugins) == 1
        told = "; ".join(dict.fromkeys(each.error for each in listed.failed_plugins if each.error))
        message = f"the plugin{'' if one else 's'} {named} {'has' if one else 'have'} no worker"
        return error("workers", f"{message} ({told})" if told else message, _HINT)
    dead = list(dead_workers(client.url))
    if dead:
        # The server remembers a plugin's components even without a worker.
        return warning(
            "workers",
            f"{' and '.join(dead)}",
            "look into its log; the server may start it again for the next run, which then waits for about 30 s",
        )
    if not client.server_info().capabilities.get("events"):
        return skipped("workers", "this release does not tell of them")
    return ok("workers", "none is missing")


def dead_workers(url: str) -> Iterator[str]:
    """Yield how each worker ended that a local server has started and not yet restarted."""
    parts = urlsplit(url)
    if parts.hostname not in _HOSTS or parts.port is None:
        return
    import psutil

    server = _listener(parts.port)
    if server is None:
        return
    with suppress(psutil.Error, OSError):
        for child in server.children():
            if child.status() == psutil.STATUS_ZOMBIE and (end := _end_of(child.pid)) is not None:
                yield f"worker {child.pid} {end}"


def _listener(port: int) -> psutil.Process | None:
    """Return the Stepflow server that listens on a local port, if it belongs to this user."""
    import psutil

    for process in psutil.process_iter(["name"]):
        # Listing the connections of all processes takes long; those of a server are few.
        if not str(process.info["name"]).startswith("stepflow"):
            continue
        with suppress(psutil.Error, OSError):
            if any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in _connections(process)):
                return process
    return None


def _connections(process: psutil.Process) -> list[Any]:
    # The name of the method before psutil 6.
    ask = getattr(process, "net_connections", None) or process.connections
    return list(ask(kind="tcp"))


def _end_of(pid: int) -> str | None:
    """Return how a process ended that has not been reaped yet, as far as the system reports it.

    None for one that ended with exit code 0: it may have moved its work to the background.
    """
    import os

    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            code = os.waitstatus_to_exitcode(int(file.read().rpartition(b" ")[2]))
    except (OSError, ValueError):
        return "has ended"
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}" if code else None
