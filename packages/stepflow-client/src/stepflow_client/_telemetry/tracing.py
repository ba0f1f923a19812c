"""Adds OpenTelemetry spans, metrics and trace context to requests if the application uses OpenTelemetry.

This module does nothing unless the application has already imported the OpenTelemetry API.

Spans don't link to a run's trace, because the server starts a new trace for each run and doesn't report its ID. Use the
run ID to correlate them: it is `stepflow.run.id` here and `run_id` in the server's span.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, Self

from .._base.bounded_dict import BoundedDict
from .._http.settings import API_PATH, ServerUrl
from ..errors import StepflowClientError

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

    from .._http.http1_format import HttpRequest
    from ..types.statuses import ExecutionStatus

_TRACER_NAME = "stepflow.client"
# Duration buckets from the HTTP semantic conventions, plus a few more for runs.
_DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0]
# Span attributes, named after the semantic conventions where possible.
_ATTRIBUTE_NAMES = {
    "operation": "stepflow.operation",
    "flow_name": "stepflow.flow.name",
    "run_id": "stepflow.run.id",
    "run_status": "stepflow.run.status",
    "method": "http.request.method",
    "url": "url.full",
    "status_code": "http.response.status_code",
    "resends": "http.request.resend_count",
    "error": "error.type",
}
# Metrics only use attributes with few distinct values.
_METRIC_ATTRIBUTES = ("stepflow.operation", "server.address", "server.port", "http.response.status_code", "error.type")


class OperationSpan:
    """The span of a client operation. This base class does nothing, for applications that don't use OpenTelemetry."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End the operation."""

    def make_current(self) -> AbstractContextManager[object]:
        """Return a context manager in which new spans become children of this one, even if it isn't the current span.

        Use it around each step of a generator, so that the span isn't current in the code that iterates over the
        generator.
        """
        return _NO_MEASUREMENT

    def add_trace_headers(self, request: HttpRequest, url: str, run_id: str | None) -> HttpRequest:
        """Record a request and return it with a `traceparent` header.

        Args:
            request: The request.
            url: The server's root URL, without credentials.
            run_id: The ID of the request's run, if any.
        """
        return request

    def record_attributes(self, **attributes: object) -> None:
        """Record string and integer attributes, using the keys of `_ATTRIBUTE_NAMES` as names.

        Other values are ignored.
        """


Kind = Literal["CLIENT", "INTERNAL"]
"""CLIENT for a single request, INTERNAL for an operation that sends several."""

_NO_MEASUREMENT = nullcontext()
_NO_OPERATION = OperationSpan()
_innermost: ContextVar[_RecordedSpan | None] = ContextVar("stepflow_operation", default=None)


def trace_operation(name: str, server: ServerUrl | None, kind: Kind, is_current: bool) -> OperationSpan:
    """Return a context manager that wraps an operation in a span and measures it.

    Args:
        name: The operation's name, e.g. `create_run`.
        server: The server that receives the request, or None if there may be several.
        kind: The span kind.
        is_current: Whether spans created in the block become children of this one. Pass False if a generator yields
            inside the block, since the span would also be current in the code that iterates over the generator. In that
            case, use `OperationSpan.make_current` between yields.
    """
    return _NO_OPERATION if is_untraced() else _RecordedSpan(name, server, kind, is_current)


is_untraced = partial(sys.modules.keys().isdisjoint, ("opentelemetry.trace", "opentelemetry.metrics"))
"""Returns True if the application doesn't use OpenTelemetry. Implemented in C, because it runs on every call."""


def annotate_operation(**attributes: object) -> None:
    """Record attributes on the current operation. See `OperationSpan.record_attributes`."""
    if (traced := _innermost.get()) is not None:
        traced.record_attributes(**attributes)


def count_resend() -> None:
    """Record that the current operation is retrying a request."""
    if (traced := _innermost.get()) is not None:
        traced.resends += 1


# Start times of the newest runs created by this process (`time.monotonic()`), or None once their end has been counted.
_newest_runs: BoundedDict[str, float | None] = BoundedDict(100_000)
_newest_lock = threading.Lock()


def count_started_run(run_id: str, began: float) -> None:
    """Count a run created by this process.

    Args:
        run_id: The run.
        began: When its creation began, by `time.monotonic()`.
    """
    if (instruments := _get_instruments()) is not None:
        with _newest_lock:
            _newest_runs.put_newest(run_id, began)
        instruments.run_started.add(1)


def count_ended_run(run_id: str, status: ExecutionStatus) -> None:
    """Count a finished run once per process, and measure its duration if this process created it.

    Args:
        run_id: The run.
        status: The run's status. Ignored unless final.
    """
    if (instruments := _get_instruments()) is None or not status.is_finished:
        return
    with _newest_lock:
        is_new = run_id not in _newest_runs
        began = _newest_runs.get(run_id)
        _newest_runs.put_newest(run_id, None)
    attributes = {_ATTRIBUTE_NAMES["run_status"]: status.value}
    if is_new or began is not None:
        instruments.run_ended.add(1, attributes)
    if began is not None:
        instruments.run_duration.record(time.monotonic() - began, attributes)


@contextmanager
def measure_chunk(inputs: int) -> Iterator[None]:
    """Measure a `map` chunk, counting its inputs as in flight."""
    if (instruments := _get_instruments()) is None:
        yield
        return
    began = time.monotonic()
    instruments.inputs_in_flight.add(inputs)
    try:
        yield
    finally:
        instruments.inputs_in_flight.add(-inputs)
        instruments.chunk_duration.record(time.monotonic() - began)


class _RecordedSpan(OperationSpan):
    __slots__ = ("_attributes", "_context", "_is_current", "_kind", "_name", "_span", "_started", "_tokens", "resends")

    def __init__(self, name: str, server: ServerUrl | None, kind: Kind, is_current: bool) -> None:
        self._name, self._kind, self._is_current = name, kind, is_current
        self._attributes: dict[str, Any] = {_ATTRIBUTE_NAMES["operation"]: name}
        if server is not None:
            self._attributes |= {"server.address": server.host, "server.port": server.port}
        self.resends = 0

    def __enter__(self) -> Self:
        from opentelemetry.trace import SpanKind, get_tracer_provider, set_span_in_context

        self._started = time.monotonic()
        self._span = _create_tracer(get_tracer_provider()).start_span(
            f"stepflow.{self._name}", kind=SpanKind[self._kind], attributes=self._attributes
        )
        self._context = set_span_in_context(self._span)
        if self._is_current:
            self._activate()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._is_current:
            self._deactivate()
        if self.resends:
            self.record_attributes(resends=self.resends)
        # Cancelling an operation or closing a stream early isn't a failure.
        if isinstance(error, Exception):
            from opentelemetry.trace import Status, StatusCode

            # Record only the error's type: the message can quote request data, including secrets.
            self._span.set_status(Status(StatusCode.ERROR))
            self.record_attributes(error=type(error).__name__)
            if isinstance(error, StepflowClientError):
                self.record_attributes(status_code=error.status_code, run_id=error.run_id)
        self._span.end()
        if (instruments := _get_instruments()) is not None:
            attributes = {name: self._attributes[name] for name in _METRIC_ATTRIBUTES if name in self._attributes}
            instruments.duration.record(time.monotonic() - self._started, attributes)
            if self.resends:
                instruments.retries.add(self.resends, attributes)

    @contextmanager
    def make_current(self) -> Iterator[None]:
        self._activate()
        try:
            yield
        finally:
            self._deactivate()

    def _activate(self) -> None:
        from opentelemetry import context

        self._tokens: tuple[Any, Token[_RecordedSpan | None]] = context.attach(self._context), _innermost.set(self)

    def _deactivate(self) -> None:
        from opentelemetry import context

        context.detach(self._tokens[0])
        _innermost.reset(self._tokens[1])

    def add_trace_headers(self, request: HttpRequest, url: str, run_id: str | None) -> HttpRequest:
        from opentelemetry.propagate import inject

        headers = dict(request.headers)
        inject(headers, context=self._context)
        query = f"?{request.query}" if request.query else ""
        self.record_attributes(method=request.method, url=f"{url}{API_PATH}{request.path}{query}", run_id=run_id)
        return request._replace(headers=headers)

    def record_attributes(self, **attributes: object) -> None:
        for name, value in attributes.items():
            if isinstance(value, (str, int)):
                self._attributes[_ATTRIBUTE_NAMES[name]] = value
                self._span.set_attribute(_ATTRIBUTE_NAMES[name], value)


# Applications set the provider only once (tests may change it).
@lru_cache(maxsize=1)
def _create_tracer(provider: TracerProvider) -> Tracer:
    from importlib.metadata import version

    return provider.get_tracer(_TRACER_NAME, version("stepflow-client"))


def _get_instruments() -> _Instruments | None:
    """Return the metric instruments, or None if the application doesn't use metrics."""
    if "opentelemetry.metrics" not in sys.modules:
        return None
    from opentelemetry.metrics import get_meter_provider

    return _create_instruments(get_meter_provider())


class _Instruments:
    def __init__(self, provider: MeterProvider) -> None:
        from importlib.metadata import version

        meter = provider.get_meter(_TRACER_NAME, version("stepflow-client"))
        histogram = partial(_create_histogram, meter)
        self.duration = histogram("operation.duration", "Duration of Stepflow client operations, including retries")
        self.retries = meter.create_counter(f"{_TRACER_NAME}.operation.retries", "{retry}", "Retried requests")
        self.run_started = meter.create_counter(f"{_TRACER_NAME}.run.started", "{run}", "Runs created")
        self.run_ended = meter.create_counter(f"{_TRACER_NAME}.run.ended", "{run}", "Runs that the client saw end")
        self.run_duration = histogram("run.duration", "Time from a run's creation until the client saw it end")
        self.inputs_in_flight = meter.create_up_down_counter(
            f"{_TRACER_NAME}.map.inputs_in_flight", "{input}", "Inputs passed to map whose runs have not ended"
        )
        self.chunk_duration = histogram("map.chunk.duration", "Duration of map chunks, from creation to outcomes")


_create_instruments = lru_cache(maxsize=1)(_Instruments)


def _create_histogram(meter: Meter, name: str, description: str) -> Histogram:
    name = f"{_TRACER_NAME}.{name}"
    try:
        return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_DURATION_BUCKETS)
    except TypeError:
        # Older API releases (before 1.30) don't have this argument.
        return meter.create_histogram(name, "s", description)
