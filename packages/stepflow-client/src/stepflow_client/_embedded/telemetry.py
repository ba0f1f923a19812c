"""Where a server and its workers send their traces."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from .._data.arguments import wrong

_DESTINATION = "STEPFLOW_LOG_DESTINATION"


def telemetry_environment(endpoint: str) -> Mapping[str, str]:
    """Return the variables with which a server and its workers export traces.

    Args:
        endpoint: The URL of an OpenTelemetry collector that receives OTLP over gRPC.

    Raises:
        InvalidArgumentError: If it is not an http or https URL of a host. Servers start with any text, and export
            nothing if it is no such URL.
    """
    if not isinstance(endpoint, str) or not _is_root(endpoint):
        wanted = "the URL of a collector, such as http://localhost:4317"
        raise wrong("otlp_endpoint", wanted, endpoint, hint="the server sends OTLP over gRPC, so the URL has no path")
    environment = {"STEPFLOW_OTLP_ENDPOINT": endpoint, "STEPFLOW_TRACE_ENABLED": "true"}
    if _DESTINATION not in os.environ:
        # Otherwise workers would write their log to the collector only. The server has an argument of its own.
        environment[_DESTINATION] = "stderr,otlp"
    return environment


def _is_root(url: str) -> bool:
    """Return whether a text is the http or https URL of a host, without a path."""
    try:
        parsed = urlsplit(url)
        is_host = bool(parsed.hostname) and parsed.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        return False
    return is_host and parsed.scheme in ("http", "https") and parsed.path in ("", "/") and not parsed.query
