"""One span for each operation, its context in the request; nothing where nobody traces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stepflow_client.errors import StepflowClientError

from tests.unit.both_twins import CALLS, FLOW, TWINS, Server, ask


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The global provider can be set only once in a process.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def context_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", ["list_runs", "get_flow", "list_components", "get_blob", "run_events"])
def test_a_span_for_each_operation(twin: str, name: str, spans: InMemorySpanExporter) -> None:
    server = Server()
    ask(twin, server, CALLS[name], server="0.13")
    finished = spans.get_finished_spans()
    operation = {"run_events": "get_run_events"}.get(name, name)
    assert [span.name for span in finished] == [f"stepflow.{operation}"]
    assert finished[0].kind is trace.SpanKind.CLIENT
    assert [request.headers["traceparent"] for request in server.requests] == [context_of(finished[0])]


@pytest.mark.parametrize("twin", TWINS)
def test_spans_lie_below_the_one_of_the_application(twin: str, spans: InMemorySpanExporter) -> None:
    server = Server()
    with trace.get_tracer("application").start_as_current_span("outer") as outer:
        ask(twin, server, lambda client: client.run(FLOW, 1), server="0.13")
    names = [span.name for span in spans.get_finished_spans()]
    assert names == ["stepflow.store_flow", "stepflow.store_blob", "stepflow.create_run", "outer"]
    for span in spans.get_finished_spans()[:-1]:
        assert span.parent is not None
        assert span.parent.span_id == outer.get_span_context().span_id
    sent = [request.headers["traceparent"] for request in server.requests]
    assert sent == [context_of(span) for span in spans.get_finished_spans()[:-1]]


@pytest.mark.parametrize("twin", TWINS)
def test_a_failure_is_seen_in_the_span(twin: str, spans: InMemorySpanExporter) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(StepflowClientError):
        ask(twin, broken, CALLS["list_runs"], server="0.13")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    # The kind of error, but not its text: that may quote a secret.
    assert span.attributes == {"error.type": "ServerConnectionError"}
    assert not span.events
    assert span.status.description is None


WITHOUT = """
import httpx, json, sys
from stepflow_client import SyncStepflowClient

seen = []

def answer(request):
    seen.append(request)
    return httpx.Response(200, json={"status": "healthy", "build": {}})

SyncStepflowClient(transport=httpx.MockTransport(answer)).health_check()
assert "traceparent" not in seen[0].headers
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


def test_without_tracing_nothing_is_imported_or_sent() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT], check=True, timeout=60)
