"""Spans and metrics of operations, and the trace context in requests; no cost without tracing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stepflow_client import RetryPolicy, StepflowClient, StepflowClientError, SyncStepflowClient
from stepflow_client._rules import timing_constants
from stepflow_client._telemetry import tracing

from tests.releases import ROOT
from tests.unit.both_twins import CALLS, EVENT, FLOW, RUN_ID, SUMMARY, TWINS, URL, Server, call, call_with_handler


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
@pytest.mark.parametrize("name", ["list_runs", "get_flow", "list_components", "get_blob", "get_run"])
def test_a_span_for_each_operation(twin: str, name: str, spans: InMemorySpanExporter) -> None:
    server = Server()
    call_with_handler(twin, server, CALLS[name], server_release="0.13")
    finished = spans.get_finished_spans()
    assert [span.name for span in finished] == [f"stepflow.{name}"]
    assert finished[0].kind is trace.SpanKind.CLIENT
    assert [request.headers["traceparent"] for request in server.requests] == [context_of(finished[0])]


REQUEST = {"server.address": "server", "server.port": 7840, "http.response.status_code": 200}
NAMED = {**FLOW, "name": "letter"}


def spans_by_operation(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    finished = spans.get_finished_spans()
    operations = {span.name.removeprefix("stepflow."): span for span in finished}
    assert len(operations) == len(finished)
    return operations


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", ["run", "submit"])
def test_request_spans_are_children_of_the_run_span(twin: str, name: str, spans: InMemorySpanExporter) -> None:
    server = Server()
    operations = {"run": lambda client: client.run(NAMED, 1), "submit": lambda client: client.submit(NAMED, [1, 2])}
    with trace.get_tracer("application").start_as_current_span("outer") as outer:
        call_with_handler(twin, server, operations[name], server_release="0.13")
    by_operation = spans_by_operation(spans)
    assert list(by_operation) == ["store_flow", "store_blob", "create_run", name, "outer"]
    assert parent_of(by_operation[name]) == outer.get_span_context().span_id
    assert by_operation[name].kind is trace.SpanKind.INTERNAL
    requests = [by_operation[each] for each in ("store_flow", "store_blob", "create_run")]
    for span in requests:
        assert span.kind is trace.SpanKind.CLIENT
        assert parent_of(span) == by_operation[name].get_span_context().span_id
    assert [request.headers["traceparent"] for request in server.requests] == [context_of(span) for span in requests]


@pytest.mark.parametrize("twin", TWINS)
def test_spans_name_their_run_and_flow(twin: str, spans: InMemorySpanExporter) -> None:
    call_with_handler(twin, Server(), lambda client: client.run(NAMED, 1), server_release="0.13")
    by_operation = spans_by_operation(spans)
    assert by_operation["run"].attributes == {
        "server.address": "server",
        "server.port": 7840,
        "stepflow.operation": "run",
        "stepflow.flow.name": "letter",
        "stepflow.run.id": RUN_ID,
        "stepflow.run.status": "completed",
    }
    assert by_operation["create_run"].attributes == {
        **REQUEST,
        "stepflow.operation": "create_run",
        "stepflow.run.id": RUN_ID,
        "http.request.method": "POST",
        "url.full": f"{URL}/api/v1/runs",
    }


WAITING = {
    "get_result": ["get_run_items"],
    "get_results": ["list_runs", "get_run_items"],
    "wait_run": ["list_runs"],
    "run_events": ["get_run_events"],
    "map": ["store_flow", "store_blob", "create_run"],
}
"""Operations that wait, with the requests that they send."""


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", WAITING)
def test_waiting_operations_have_a_span_above_their_requests(twin: str, name: str, spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("application").start_as_current_span("outer") as outer:
        call_with_handler(twin, Server(), CALLS[name], server_release="0.13")
    by_operation = spans_by_operation(spans)
    assert list(by_operation) == [*WAITING[name], name, "outer"]
    operation = by_operation[name]
    assert parent_of(operation) == outer.get_span_context().span_id
    assert operation.kind is trace.SpanKind.INTERNAL
    assert {parent_of(by_operation[request]) for request in WAITING[name]} == {operation.get_span_context().span_id}
    if name != "map":
        attributes = operation.attributes or {}
        assert (attributes["stepflow.run.id"], attributes["stepflow.run.status"]) == (RUN_ID, "completed")


@pytest.mark.parametrize("twin", TWINS)
def test_the_span_of_a_batch_names_its_flow(twin: str, spans: InMemorySpanExporter) -> None:
    call_with_handler(twin, Server(), lambda client: client.map(NAMED, [1]), server_release="0.13")
    assert (spans_by_operation(spans)["map"].attributes or {})["stepflow.flow.name"] == "letter"


@pytest.mark.parametrize("twin", TWINS)
def test_url_attributes_have_the_query_but_no_credentials(twin: str, spans: InMemorySpanExporter) -> None:
    transport = httpx.MockTransport(Server())
    call(
        twin,
        transport,
        lambda client: client.list_runs(limit=3),
        url="http://ann:secret@server:7840",
        server_release="0.13",
    )
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["url.full"] == f"{URL}/api/v1/runs?limit=3"
    assert "secret" not in str(span.attributes)


@pytest.mark.parametrize("twin", TWINS)
def test_a_failure_is_recorded_in_the_span(twin: str, spans: InMemorySpanExporter) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(StepflowClientError):
        call_with_handler(twin, broken, CALLS["list_runs"], server_release="0.13", retry=RetryPolicy(max_attempts=3))
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    # The type of the error, but not its message, which may quote a secret.
    assert span.attributes == {
        "server.address": "server",
        "server.port": 7840,
        "stepflow.operation": "list_runs",
        "http.request.method": "GET",
        "url.full": f"{URL}/api/v1/runs",
        "http.request.resend_count": 2,
        "error.type": "ServerConnectionError",
    }
    assert not span.events
    assert span.status.description is None


@pytest.mark.parametrize("twin", TWINS)
def test_error_and_invalid_responses_are_recorded_in_the_span(twin: str, spans: InMemorySpanExporter) -> None:
    server = Server()
    error = {"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}
    server.responses[f"GET /runs/{RUN_ID}"] = httpx.Response(404, json=error)
    server.responses["GET /runs"] = httpx.Response(200, json={"runs": 7})
    for operation in (CALLS["get_run"], CALLS["list_runs"]):
        with pytest.raises(StepflowClientError):
            call_with_handler(twin, server, operation, server_release="0.13")
    by_operation = spans_by_operation(spans)
    for name, status_code, kind in (("get_run", 404, "NotFoundError"), ("list_runs", 200, "InvalidResponseError")):
        attributes = by_operation[name].attributes or {}
        assert by_operation[name].status.status_code is trace.StatusCode.ERROR
        assert (attributes["http.response.status_code"], attributes["error.type"]) == (status_code, kind)
    assert (by_operation["get_run"].attributes or {})["stepflow.run.id"] == RUN_ID


class Flaky(Server):
    """Fails every other request."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        response = super().__call__(request)
        return httpx.Response(503) if len(self.requests) % 2 else response


@pytest.mark.parametrize("twin", TWINS)
def test_retries_of_a_success_are_counted(twin: str, spans: InMemorySpanExporter) -> None:
    call_with_handler(twin, Flaky(), CALLS["list_runs"], server_release="0.13")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.UNSET
    assert (span.attributes or {})["http.request.resend_count"] == 1


# Event streams


def test_the_span_of_a_stream_is_not_current_in_the_loop_body(spans: InMemorySpanExporter) -> None:
    with SyncStepflowClient(URL, transport=httpx.MockTransport(Server()), server_release="0.13") as client:
        events = client.run_events(RUN_ID)
        for _ in events:
            assert trace.get_current_span() is trace.INVALID_SPAN
            break
        assert trace.get_current_span() is trace.INVALID_SPAN
        assert not spans.get_finished_spans()
        events.close()
    by_operation = spans_by_operation(spans)
    assert list(by_operation) == ["get_run_events", "run_events"]
    for span in by_operation.values():
        # Leaving the stream early is not a failure.
        assert span.status.status_code is trace.StatusCode.UNSET
        assert (span.attributes or {})["stepflow.run.id"] == RUN_ID


def test_the_span_of_an_asynchronous_stream_is_not_current_in_the_loop_body(spans: InMemorySpanExporter) -> None:
    async def main() -> None:
        async with StepflowClient(URL, transport=httpx.MockTransport(Server()), server_release="0.13") as client:
            with trace.get_tracer("application").start_as_current_span("outer") as outer:
                async with aclosing(client.run_events(RUN_ID)) as events:
                    async for _ in events:
                        assert trace.get_current_span() is outer
                        break
                    assert trace.get_current_span() is outer
                await client.list_runs()
        by_operation = spans_by_operation(spans)
        for name in ("run_events", "list_runs"):
            assert parent_of(by_operation[name]) == outer.get_span_context().span_id

    asyncio.run(main())


IN_TASKS = """
import asyncio, httpx, logging, sys
import opentelemetry.trace
from stepflow_client import StepflowClient
from tests.unit.both_twins import RUN_ID, URL, Server

assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
logging.basicConfig()

async def main():
    async with StepflowClient(URL, transport=httpx.MockTransport(Server()), server_release="0.13") as client:
        events = client.run_events(RUN_ID)
        while True:
            # Each task has its own context.
            if await asyncio.create_task(anext(events, None)) is None:
                break
        abandoned = client.run_events(RUN_ID)
        await asyncio.create_task(anext(abandoned))
        await asyncio.create_task(abandoned.aclose())

asyncio.run(main())
"""


def test_a_stream_may_be_read_from_several_tasks() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_TASKS], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")


# Metrics


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    # Other tests of this process may have seen the same run.
    tracing._newest_runs.clear()
    provider = MeterProvider([reader])
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", provider)
    yield reader
    provider.shutdown()


def points_of(reader: InMemoryMetricReader) -> dict[tuple[str, str], Any]:
    """Return the data points by metric name and operation or run status."""
    data = reader.get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("stepflow.client", version("stepflow-client"))
    return {
        (metric.name, ", ".join(str((point.attributes or {}).get(name, "")) for name in SERIES).strip(", ")): point
        for metric in scope.metrics
        for point in metric.data.data_points
    }


SERIES = ("stepflow.operation", "stepflow.run.status")
DURATION, RETRIES = "stepflow.client.operation.duration", "stepflow.client.operation.retries"
STARTED, ENDED, SECONDS = (f"stepflow.client.run.{name}" for name in ("started", "ended", "duration"))
IN_FLIGHT, CHUNK = "stepflow.client.map.inputs_in_flight", "stepflow.client.map.chunk.duration"


@pytest.mark.parametrize("twin", TWINS)
def test_calls_and_durations_are_measured(twin: str, metrics: InMemoryMetricReader) -> None:
    call_with_handler(twin, Server(), lambda client: client.run(NAMED, 1), server_release="0.13")
    points = points_of(metrics)
    operations = [name for metric, name in points if metric == DURATION]
    assert operations == ["store_flow", "store_blob", "create_run", "run"]
    create = points[DURATION, "create_run"]
    # No run id, path or flow: each value would create its own series.
    assert create.attributes == {**REQUEST, "stepflow.operation": "create_run"}
    assert create.count == 1
    assert 0 < create.sum < 60
    assert create.explicit_bounds[0] == 0.005
    assert points[DURATION, "run"].sum >= create.sum


@pytest.mark.parametrize("twin", TWINS)
def test_retries_and_failures_are_measured(twin: str, metrics: InMemoryMetricReader) -> None:
    call_with_handler(twin, Flaky(), CALLS["list_runs"], server_release="0.13")
    with pytest.raises(StepflowClientError):
        call_with_handler(twin, Flaky(), CALLS["get_run"], server_release="0.13", retry=RetryPolicy(max_attempts=1))
    points = points_of(metrics)
    assert points[RETRIES, "list_runs"].value == 1
    assert (RETRIES, "get_run") not in points
    failed = points[DURATION, "get_run"].attributes
    assert (failed["error.type"], failed["http.response.status_code"]) == ("ServerFaultError", 503)


@pytest.mark.parametrize("twin", TWINS)
def test_the_start_and_the_end_of_a_run_are_counted_once(twin: str, metrics: InMemoryMetricReader) -> None:
    call_with_handler(twin, Server(), lambda client: client.submit(NAMED, 1), server_release="0.13")
    points = points_of(metrics)
    assert (points[STARTED, ""].value, points[STARTED, ""].attributes) == (1, {})
    assert (ENDED, "completed") not in points
    for name in ("get_result", "wait_run", "run_events", "get_results"):
        call_with_handler(twin, Server(), CALLS[name], server_release="0.13")
    points = points_of(metrics)
    assert points[ENDED, "completed"].value == 1
    assert points[SECONDS, "completed"].count == 1
    assert points[STARTED, ""].value == 1


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", ["get_result", "wait_run", "run_events", "get_results"])
def test_the_end_of_a_run_of_another_process_is_counted_without_duration(
    twin: str, name: str, metrics: InMemoryMetricReader
) -> None:
    call_with_handler(twin, Server(), CALLS[name], server_release="0.13")
    points = points_of(metrics)
    assert points[ENDED, "completed"].value == 1
    assert (SECONDS, "completed") not in points
    assert (STARTED, "") not in points


@pytest.mark.parametrize("twin", TWINS)
def test_failed_runs_are_counted_but_get_run_is_not(twin: str, metrics: InMemoryMetricReader) -> None:
    server = Server()
    failed = {"itemIndex": 0, "status": 3, "errorMessage": "no", "errorCode": 3}
    body = {"summary": {**SUMMARY, "status": 3}, "results": [failed]}
    server.responses["POST /runs"] = httpx.Response(200, json=body)
    call_with_handler(twin, server, CALLS["get_run"], server_release="0.13")
    call_with_handler(twin, server, lambda client: client.run(NAMED, 1), server_release="0.13")
    points = points_of(metrics)
    assert {key: point.value for key, point in points.items() if key[0] == ENDED} == {(ENDED, "failed"): 1}
    assert points[SECONDS, "failed"].count == 1


@pytest.mark.parametrize("twin", TWINS)
def test_the_end_of_a_sub_run_is_not_counted(twin: str, metrics: InMemoryMetricReader) -> None:
    server = Server()
    inner = {**EVENT, "event": {"RunCompleted": {"runId": RUN_ID.replace("1", "2"), "status": 3}}}
    frames = "".join(f"data: {json.dumps(event)}\n\n" for event in (inner, {**EVENT, "sequenceNumber": 2}))
    kind = {"content-type": "text/event-stream"}
    server.responses[f"GET /runs/{RUN_ID}/events"] = httpx.Response(200, headers=kind, text=frames)
    events = call_with_handler(
        twin, server, lambda client: client.run_events(RUN_ID, include_sub_runs=True), server_release="0.13"
    )
    assert [event.status.value for event in events] == ["failed", "completed"]
    assert [key for key in points_of(metrics) if key[0] == ENDED] == [(ENDED, "completed")]


@pytest.mark.parametrize("twin", TWINS)
def test_the_inputs_and_chunks_of_a_batch_are_measured(twin: str, metrics: InMemoryMetricReader) -> None:
    in_flight: list[int] = []

    class RecordsInFlight(Server):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if (request.method, request.url.path) == ("POST", "/api/v1/runs"):
                in_flight.append(points_of(metrics)[IN_FLIGHT, ""].value)
            return super().__call__(request)

    call_with_handler(
        twin, RecordsInFlight(), lambda client: client.map(FLOW, [{"n": 1}, float("nan")]), server_release="0.13"
    )
    # An input that cannot be sent is never in flight.
    assert in_flight == [1]
    points = points_of(metrics)
    assert points[IN_FLIGHT, ""].value == 0
    assert points[CHUNK, ""].count == 1
    assert (points[STARTED, ""].value, points[ENDED, "completed"].value) == (1, 1)


@pytest.mark.parametrize("twin", TWINS)
def test_retried_inputs_are_in_flight_again(
    twin: str, metrics: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing_constants, "DEFAULT", timing_constants.DEFAULT._replace(retry_first_pause=0.02))
    in_flight: list[int] = []

    class Failing(Server):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if (request.method, request.url.path) == ("POST", "/api/v1/runs"):
                in_flight.append(points_of(metrics)[IN_FLIGHT, ""].value)
            return super().__call__(request)

    server = Failing()
    failed = {"itemIndex": 0, "status": 3, "errorMessage": "too slow", "errorCode": 1}
    server.responses["POST /runs"] = httpx.Response(
        200, json={"summary": {**SUMMARY, "status": 3}, "results": [failed]}
    )
    (outcome,) = call_with_handler(
        twin, server, lambda client: client.map(FLOW, [1], max_attempts=2), server_release="0.13"
    )
    assert (outcome.attempts, in_flight) == (2, [1, 1])
    points = points_of(metrics)
    assert (points[IN_FLIGHT, ""].value, points[CHUNK, ""].count) == (0, 2)


WITHOUT_TRACING = """
import httpx, json, sys
from stepflow_client import SyncStepflowClient

requests = []

def respond(request):
    requests.append(request)
    return httpx.Response(200, json={"status": "healthy", "build": {}})

SyncStepflowClient(transport=httpx.MockTransport(respond)).health_check()
assert "traceparent" not in requests[0].headers
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


def test_without_tracing_nothing_is_imported_or_sent() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_TRACING], check=True, timeout=60)
