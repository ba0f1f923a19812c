"""Sends traces and metrics of a client, its embedded server and a worker to a collector, and prints them as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from stepflow_client import StepflowClientError, StepflowRuntime, SyncStepflowClient

sys.path.insert(0, str(Path(__file__).parent))
from collector import Collector

RUNS, STEPS = 6, 9
"""Number of runs that `load` creates, and number of steps that workers execute for them."""


def flow(component: str) -> dict[str, Any]:
    return {
        "name": component,
        "steps": [{"id": "a", "component": f"/python/{component}", "input": {"$input": "$"}}],
        "output": {"$step": "a"},
    }


def load(client: SyncStepflowClient) -> None:
    """Make a known number of calls and runs."""
    echo = flow("echo")
    client.run(echo, 1).unwrap()
    assert client.run(flow("fail"), {"message": "as it should"}).is_failed
    run_id = client.submit(echo, [1, 2])
    client.get_results(run_id)
    client.wait_run(run_id)
    with client.run_events(run_id) as events:
        assert [event.type for event in events][-1] == "run_completed"
    with client.map(echo, range(5), chunk_size=2) as outcomes:
        assert sorted(outcome.output for outcome in outcomes) == [0, 1, 2, 3, 4]
    with SyncStepflowClient("http://127.0.0.1:9", server_release="0.13", retry=2) as nowhere:
        try:
            nowhere.list_runs()
        except StepflowClientError:
            return
    raise AssertionError("there is no server on port 9")


def to_dict(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def spans_of(collector: Collector) -> list[dict[str, Any]]:
    return [
        {
            "service": to_dict(resource_group.resource.attributes)["service.name"],
            "name": span.name,
            "trace": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "attributes": to_dict(span.attributes),
        }
        for request in collector.received["TraceService"]
        for resource_group in request.resource_spans
        for scope in resource_group.scope_spans
        for span in scope.spans
    ]


def metrics_of(collector: Collector) -> dict[str, float]:
    """Return the last value or the count of each of the client's time series, by name and attributes."""
    values: dict[str, float] = {}
    for request in collector.received["MetricsService"]:
        for resource_group in request.resource_metrics:
            for scope in resource_group.scope_metrics:
                for metric in scope.metrics if scope.scope.name == "stepflow.client" else ():
                    for point in getattr(metric, metric.WhichOneof("data")).data_points:
                        labels = [str(value) for key, value in to_dict(point.attributes).items() if "stepflow" in key]
                        is_number = hasattr(point, "as_int")
                        values[" ".join([metric.name, *labels])] = point.as_int if is_number else point.count
    return values


def main() -> None:
    collector = Collector()
    here = Resource.create({"service.name": "application"})
    tracing = TracerProvider(resource=here)
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector.url, insecure=True)))
    trace.set_tracer_provider(tracing)
    exporter = OTLPMetricExporter(endpoint=collector.url, insecure=True)
    measuring = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)], resource=here)
    metrics.set_meter_provider(measuring)
    config = json.loads(Path("config.json").read_text())
    with StepflowRuntime.start(config=config, otlp_endpoint=collector.url) as runtime:
        load(runtime.sync_client)
        deadline = time.monotonic() + 30
        # Servers and workers export spans with a delay of some seconds.
        while time.monotonic() < deadline:
            span_counts = Counter(span["service"] for span in spans_of(collector))
            if span_counts["stepflow-python"] == STEPS and span_counts["stepflow-server"] == RUNS + STEPS:
                break
            time.sleep(0.1)
        logs = [str(entry) for entry in runtime.get_recent_logs(1000)]
    tracing.shutdown()
    measuring.shutdown()
    print(json.dumps({"spans": spans_of(collector), "metrics": metrics_of(collector), "logs": logs}))


main()
