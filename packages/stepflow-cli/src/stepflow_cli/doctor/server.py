"""Check the server and its workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stepflow_client import AuthenticationError, StepflowClientError
from stepflow_client._command import ANOTHER_SERVICE
from stepflow_client._rules.operations_and_releases import NEWEST, parse_release

from ..server.connect import add_url_origins_to_hint, describe_plugins_without_worker
from ..settings.server_choice import ServerChoice
from . import CheckResult, error, ok, skipped, warning
from .network import speaks_tls

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.types import HealthResponse, ServerInfo

_TIMEOUT = 10.0
# Maximum clock difference, in seconds.
_MAX_CLOCK_SKEW_SECONDS = 5.0
# The duration, in seconds, of the run that measures the event stream.
_SLEEP_SECONDS = 1.5


def check_server(client: SyncStepflowClient, choice: ServerChoice, *, skip_reason: str | None) -> Iterator[CheckResult]:
    """Check as much of the server as we can reach.

    Args:
        client: The client.
        choice: How the server was selected.
        skip_reason: Why the event stream isn't measured, or None to measure it (which creates a run).
    """
    try:
        before = time.time()
        health = client.health_check(timeout=_TIMEOUT)
        after = time.time()
        info = client.server_info()
    except AuthenticationError as problem:
        yield _build_credentials_error(problem, choice)
        return
    except StepflowClientError as problem:
        hint = add_url_origins_to_hint(problem.hint or ANOTHER_SERVICE, choice)
        if client.url.startswith("http://") and speaks_tls(client.url):
            hint = f"it speaks TLS: use https{client.url.removeprefix('http')}"
        yield error("stepflow", problem.message, hint, exit_code=4)
        return
    yield ok("stepflow", f"{client.url} is a Stepflow server, and {health.status}")
    yield _check_server_release(info)
    try:
        client.list_runs(limit=1, timeout=_TIMEOUT)
    except AuthenticationError as problem:
        yield _build_credentials_error(problem, choice)
        return
    except StepflowClientError as problem:
        yield error("authorization", f"cannot list runs: {problem.message}", problem.hint)
        return
    credentials = choice.credentials_description
    yield ok("authorization", f"accepted, with {credentials}" if credentials else "no credentials are needed")
    yield _check_clock_difference(health, before, after)
    check = check_workers(client)
    yield check
    if check.status == "error" and skip_reason is None:
        skip_reason = "each run would wait for the missing worker"
    if choice.is_embedded:
        yield skipped("events", "not applicable to an embedded server")
    else:
        yield skipped("events", f"not measured: {skip_reason}") if skip_reason else _check_event_delay(client, info)


def _build_credentials_error(problem: StepflowClientError, choice: ServerChoice) -> CheckResult:
    if problem.status_code == 407:
        hint = "add the proxy's user and password to its URL"
        return error("authorization", "the proxy requires credentials (407)", hint, exit_code=4)
    credentials = choice.credentials_description
    if credentials is None:
        hint = "set STEPFLOW_TOKEN, or token_env, token_file or token_command in a profile"
        message = f"the server requires credentials ({problem.status_code}), but none are set"
    else:
        hint = "check that the credentials are for this server and have not expired"
        message = f"the server rejects {credentials} ({problem.status_code})"
    return error("authorization", message, hint, exit_code=4)


def _check_server_release(info: ServerInfo) -> CheckResult:
    if info.release is None:
        message = f"it does not report its release, and its commit {info.commit or '-'} is unknown"
        return warning("release", f"{message}; treated as {info.dialect}", "upgrade stepflow-cli if it is newer")
    number = parse_release(info.release)
    if number is None or number > NEWEST:
        newest = ".".join(map(str, NEWEST))
        message = f"{info.release} is newer than {newest}, the newest release this command was tested with"
        return warning("release", message, "upgrade stepflow-cli")
    return ok("release", f"{info.release} is supported")


def _check_clock_difference(health: HealthResponse, before: float, after: float) -> CheckResult:
    if health.timestamp is None:
        return skipped("clock", "the server does not report its time")
    # The server read its clock at some point between `before` and `after`.
    server = health.timestamp.timestamp()
    off = server - before if server < before else max(0.0, server - after)
    if abs(off) <= _MAX_CLOCK_SKEW_SECONDS:
        return ok("clock", "the server's clock agrees with this machine's")
    side = "ahead of" if off > 0 else "behind"
    message = f"the server's clock is {abs(off):.0f} s {side} this machine's"
    hint = "synchronize both with NTP; run times look wrong, and tokens may be rejected as expired"
    return warning("clock", message, hint)


def _check_event_delay(client: SyncStepflowClient, info: ServerInfo) -> CheckResult:
    """Check whether anything delays events.

    This starts a run that sleeps, and measures when its first event arrives.
    """
    if not info.capabilities.get("events"):
        return ok("events", "this release has no event stream; commands poll runs instead")
    steps = [{"id": "sleeping", "component": "/builtin/sleep", "input": {"duration_ms": int(_SLEEP_SECONDS * 1000)}}]
    flow: dict[str, Any] = {"name": "stepflow-doctor", "steps": steps, "output": {"$step": "sleeping"}}
    try:
        run_id = client.submit(flow)
        started = time.monotonic()
        first = None
        with closing(client.run_events(run_id)) as stream:
            for event in stream:
                first = time.monotonic() - started if first is None else first
                if event.type == "run_completed":
                    break
        whole = time.monotonic() - started
    except StepflowClientError as problem:
        return error("events", f"they cannot be read: {problem.message}", problem.hint)
    if first is None or whole < _SLEEP_SECONDS / 2:
        return skipped("events", f"run {run_id} ended too soon to measure them: are the builtin components missing?")
    if first > _SLEEP_SECONDS * 0.9:
        message = f"the first came after {first:.1f} s, when run {run_id} had ended: something is buffering the stream"
        hint = "turn off buffering in the server's proxy (nginx: proxy_buffering off), at least for /events"
        return warning("events", message, hint)
    return ok("events", "they arrive right away, while the run continues")


# Timeout for listing components, in seconds. Servers wait 5 s for each plugin that has no worker.
_COMPONENTS_TIMEOUT = 60.0
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_WORKER_HINT = "start it, or check its log; a run that needs it waits for about 30 s, and may then fail"


def check_workers(client: SyncStepflowClient) -> CheckResult:
    """Check that all of the server's plugins have a worker."""
    try:
        listed = client.list_components(include_schemas=False, timeout=_COMPONENTS_TIMEOUT)
    except StepflowClientError as problem:
        return error("workers", f"cannot list components: {problem.message}", problem.hint)
    if (missing := describe_plugins_without_worker(listed)) is not None:
        return error("workers", missing, _WORKER_HINT)
    dead = list(describe_dead_workers(client.url))
    if dead:
        # Servers keep listing a plugin's components after its worker has exited.
        hint = "check its log; the server may restart it for the next run, which then waits for about 30 s"
        return warning("workers", " and ".join(dead), hint)
    if not client.server_info().capabilities.get("events"):
        return skipped("workers", "this release does not report them")
    return ok("workers", "none is missing")


def describe_dead_workers(url: str) -> Iterator[str]:
    """Describe how a local server's workers died, ignoring any that have been restarted."""
    parts = urlsplit(url)
    if parts.hostname not in _LOCAL_HOSTS or parts.port is None:
        return
    import psutil

    # Start with the dead processes, because there are few of them. Listing the connections of every server is far
    # slower.
    for child in psutil.process_iter(["status", "ppid"]):
        if child.info["status"] != psutil.STATUS_ZOMBIE or not _is_server_on_port(child.info["ppid"], parts.port):
            continue
        if (end := _describe_process_exit(child.pid)) is not None:
            yield f"worker {child.pid} {end}"


def _is_server_on_port(pid: int, port: int) -> bool:
    """Return True if a process is one of this user's Stepflow servers and listens on a local port."""
    import psutil

    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        # The method was named `connections` before psutil 6.
        connections = getattr(process, "net_connections", None) or process.connections
        return process.name().startswith("stepflow") and any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in connections(kind="tcp")
        )
    return False


def _describe_process_exit(pid: int) -> str | None:
    """Describe how an unreaped process ended, if the system reports it.

    Return None for exit code 0, because the process may have moved its work to the background.
    """
    import os

    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            code = os.waitstatus_to_exitcode(int(file.read().rpartition(b" ")[2]))
    except (OSError, ValueError):
        return "has ended"
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}" if code else None
