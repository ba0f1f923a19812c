"""An OpenTelemetry collector receives the spans and metrics of an application, its embedded server and a worker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import workers
from tests.environments.conftest import environment
from tests.releases import NEWEST

pytestmark = [pytest.mark.environments, pytest.mark.timeout(240)]

EXPORTER = ("opentelemetry-sdk~=1.30", "opentelemetry-exporter-otlp-proto-grpc~=1.30", "h2~=4.1", "zstandard>=0.23")


@pytest.fixture
def received(run_program: Callable[..., str], tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "config.json").write_text(json.dumps(workers.config(NEWEST)))
    output: dict[str, Any] = json.loads(run_program(environment("telemetry", *EXPORTER), "telemetry.py"))
    return output


def test_a_collector_receives_spans_and_metrics(received: dict[str, Any]) -> None:
    check_spans(received["spans"])
    check_metrics(received["metrics"])
    # Log lines of workers reach the runtime, too.
    assert any("Registered" in line and "echo" in line for line in received["logs"])


def check_spans(spans: list[dict[str, Any]]) -> None:
    """Check that a run's ID links the client's spans to the trace of the server and the worker that executed it."""
    by_service = {name: [span for span in spans if span["service"] == name] for name in SERVICES}
    created = {
        span["attributes"]["stepflow.run.id"]: span
        for span in by_service["application"]
        if span["name"] == "stepflow.create_run"
    }
    assert len(created) == 6
    executed = {span["attributes"]["run_id"]: span for span in by_service["stepflow-server"] if not span["parent"]}
    assert executed.keys() == created.keys()
    for run_id, root in executed.items():
        assert root["name"] == "run_execution"
        # The server starts its own trace: it ignores the request's `traceparent` and does not use the run's ID.
        assert root["trace"] not in {created[run_id]["trace"], run_id.replace("-", "")}
        below = [span for span in spans if span["trace"] == root["trace"] and span is not root]
        assert {span["service"] for span in below} == {"stepflow-server", "stepflow-python"}
        steps = {span["id"] for span in below if span["service"] == "stepflow-server"}
        assert {span["parent"] for span in below if span["service"] == "stepflow-python"} == steps
    whole = Counter(span["name"].removeprefix("stepflow.") for span in by_service["application"] if not span["parent"])
    assert whole == {"run": 2, "submit": 1, "get_results": 1, "wait_run": 1, "run_events": 1, "map": 1, "list_runs": 1}


SERVICES = ("application", "stepflow-server", "stepflow-python")
OPERATION = "stepflow.client.operation.duration"


def check_metrics(metrics: dict[str, float]) -> None:
    others = {name: value for name, value in metrics.items() if not name.startswith(OPERATION)}
    assert others == {
        "stepflow.client.operation.retries list_runs": 2,
        "stepflow.client.run.started": 6,
        "stepflow.client.run.ended completed": 5,
        "stepflow.client.run.ended failed": 1,
        "stepflow.client.run.duration completed": 5,
        "stepflow.client.run.duration failed": 1,
        "stepflow.client.map.inputs_in_flight": 0,
        "stepflow.client.map.chunk.duration": 3,
    }
    whole = {name: metrics[f"{OPERATION} {name}"] for name in ("run", "submit", "map", "get_results", "create_run")}
    assert whole == {"run": 2, "submit": 1, "map": 1, "get_results": 1, "create_run": 6}
