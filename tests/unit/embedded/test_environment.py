"""The telemetry settings of an embedded server."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, StepflowRuntime
from stepflow_client._embedded.process import build_telemetry_environment


@pytest.mark.parametrize(
    "wrong",
    [
        "", "localhost:4317", "localhost", "ftp://localhost", "http://", "http://:4317", "http://localhost:0",
        "http://localhost:port", "http://localhost:70000", "http://localhost:4318/v1/traces", "http://localhost?a=b",
        "http://[::1", "http://local host", "http://localhost\n", 4317, b"http://localhost", ["http://localhost"],
    ],
)  # fmt: skip
def test_an_invalid_collector_url_is_refused_before_the_start(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="otlp_endpoint must be the URL of a collector, such as"):
        StepflowRuntime.start(otlp_endpoint=wrong)


@pytest.mark.parametrize("url", ["http://localhost:4317", "http://10.0.0.1", "https://[::1]:4317/"])
def test_telemetry_variables_of_servers_and_workers(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEPFLOW_LOG_DESTINATION", raising=False)
    exporting = {"STEPFLOW_OTLP_ENDPOINT": url, "STEPFLOW_TRACE_ENABLED": "true"}
    assert build_telemetry_environment(url) == {**exporting, "STEPFLOW_LOG_DESTINATION": "stderr,otlp"}
    # An existing log destination is kept.
    monkeypatch.setenv("STEPFLOW_LOG_DESTINATION", "file")
    assert build_telemetry_environment(url) == exporting
