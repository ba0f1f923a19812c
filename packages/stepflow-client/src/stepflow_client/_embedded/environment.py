"""The environment variables of a server, which its workers inherit."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from .._data.arguments import wrong
from .watchdog import TOKEN_VARIABLE

ORCHESTRATOR_VARIABLE = "STEPFLOW_ORCHESTRATOR_ID"
_DESTINATION = "STEPFLOW_LOG_DESTINATION"
# These would contradict the server's command-line arguments.
_CONTRADICTING = ("STEPFLOW_CONFIG", "STEPFLOW_PORT")
_PREFIX = "STEPFLOW_"
# The variables with this prefix that servers and workers read. The others belong to the client, including its token.
_SERVER_VARIABLES = frozenset(
    _PREFIX + name
    for name in (
        *("LOG_LEVEL", "OTHER_LOG_LEVEL", "LOG_DESTINATION", "LOG_FORMAT", "LOG_FILE", "COMPONENT_STDERR"),
        *("TRACE_ENABLED", "METRICS_ENABLED", "OTLP_ENDPOINT", "SERVICE_NAME"),
        *("ORCHESTRATOR_ID", "ORCHESTRATOR_URL", "TASKS_URL", "QUEUE_NAME", "TRANSPORT", "MAX_CONCURRENT"),
        *("BLOB_URL", "BLOB_THRESHOLD_BYTES", "NATS_URL", "NATS_STREAM", "NATS_CONSUMER", "SHUTDOWN_GRACE_SECS"),
    )
)


def collect_inherited_environment(referenced: Collection[str] = ()) -> dict[str, str]:
    """Return the variables of this process that a server gets: all except the client's own.

    Args:
        referenced: Names of variables that the configuration refers to.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIX) or name in _SERVER_VARIABLES or name in referenced
    }


def build_server_environment(env: Mapping[str, str], token: str, orchestrator_id: str | None = None) -> dict[str, str]:
    """Return the environment of the server, which its workers inherit.

    Args:
        env: Variables set for the server.
        token: The token that identifies the processes of the server.
        orchestrator_id: The name of the server, unless a variable sets another one.
    """
    environment = {name: value for name, value in env.items() if name not in _CONTRADICTING}
    if orchestrator_id is not None:
        environment.setdefault(ORCHESTRATOR_VARIABLE, orchestrator_id)
    # Without it, older servers do not pass on the output of a worker, even if it ends before it is ready.
    environment.setdefault("STEPFLOW_COMPONENT_STDERR", "verbose")
    environment[TOKEN_VARIABLE] = token
    return environment


def build_telemetry_environment(endpoint: str) -> Mapping[str, str]:
    """Return the variables that make a server and its workers export traces.

    Args:
        endpoint: The URL of an OpenTelemetry collector that receives OTLP over gRPC.

    Raises:
        InvalidArgumentError: If it is not the http or https URL of a host without a path. Servers accept any text and
            silently export nothing.
    """
    try:
        parsed = urlsplit(endpoint) if isinstance(endpoint, str) else None
        is_valid = (
            parsed is not None
            and parsed.scheme in ("http", "https")
            and bool(parsed.hostname)
            and parsed.port != 0
            and parsed.path in ("", "/")
            and not parsed.query
            and endpoint.isprintable()
            and " " not in endpoint
        )
    except ValueError:
        is_valid = False
    if not is_valid:
        expected = "the URL of a collector, such as http://localhost:4317"
        raise wrong("otlp_endpoint", expected, endpoint, hint="the server sends OTLP over gRPC, so the URL has no path")
    environment = {"STEPFLOW_OTLP_ENDPOINT": endpoint, "STEPFLOW_TRACE_ENABLED": "true"}
    if _DESTINATION not in os.environ:
        # Otherwise workers would send their logs to the collector only. The server has its own argument for this.
        environment[_DESTINATION] = "stderr,otlp"
    return environment
