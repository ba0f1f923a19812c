"""Every request to the server carries the application's trace."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stepflow_client import StepflowClient, SyncStepflowClient

from tests.fault_proxy import FaultProxy

FLOW = {"name": "echo", "steps": [], "output": {"$input": "$"}}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The global provider can be set only once in a process.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize("twin", ["async", "sync"])
def test_every_request_carries_the_trace(twin: str, server_url: str, spans: InMemorySpanExporter) -> None:
    async def main(url: str) -> str:
        async with StepflowClient(url) as client:
            result = await client.run(FLOW, 7)
            assert [event.type async for event in client.run_events(result.run_id)][-1] == "run_completed"
            return result.run_id

    def blocking(url: str) -> str:
        with SyncStepflowClient(url) as client:
            result = client.run(FLOW, 7)
            assert [event.type for event in client.run_events(result.run_id)][-1] == "run_completed"
            return result.run_id

    with FaultProxy(server_url) as proxy:
        with trace.get_tracer("application").start_as_current_span("outer") as outer:
            run_id = blocking(proxy.url) if twin == "sync" else asyncio.run(main(proxy.url))
        sent = b"".join(bytes(connection.request) for connection in proxy.connections)
    requests = re.findall(rb"(?:GET|POST) (/api/\S+) HTTP/1.1\r\n", sent)
    parents = re.findall(rb"\r\ntraceparent: 00-(\w{32})-(\w{16})-\w\w\r\n", sent)
    assert len(parents) == len(requests) > 3
    trace_id = f"{outer.get_span_context().trace_id:032x}".encode()
    assert {each for each, _ in parents} == {trace_id}
    finished = {
        f"{span.context.span_id:016x}".encode(): span
        for span in spans.get_finished_spans()
        if span.context is not None and span.name != "outer"
    }
    # Each request belongs to a span of the client, and the run's span has the run's ID.
    assert {parent for _, parent in parents} <= set(finished)
    (run,) = [span for span in finished.values() if span.name == "stepflow.run"]
    attributes = run.attributes or {}
    assert (attributes["stepflow.run.id"], attributes["stepflow.flow.name"]) == (run_id, "echo")
    assert attributes["stepflow.run.status"] == "completed"


@pytest.mark.parametrize("twin", ["async", "sync"])
def test_a_missing_key_marker_is_not_an_error_in_spans(twin: str, server_url: str, spans: InMemorySpanExporter) -> None:
    key = f"doc-{time.time_ns()}"

    async def main() -> None:
        async with StepflowClient(server_url) as client:
            await client.run(FLOW, 7, idempotency_key=key)

    if twin == "sync":
        with SyncStepflowClient(server_url) as client:
            client.run(FLOW, 7, idempotency_key=key)
    else:
        asyncio.run(main())
    finished = spans.get_finished_spans()
    assert "stepflow.get_blob" in {span.name for span in finished}
    assert [span.name for span in finished if span.status.status_code.name == "ERROR"] == []
    assert [span.name for span in finished if "error.type" in (span.attributes or {})] == []
