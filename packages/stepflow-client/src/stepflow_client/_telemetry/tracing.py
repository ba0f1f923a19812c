"""OpenTelemetry spans and metrics, and the trace context in each request, if the application uses OpenTelemetry.

An application that uses OpenTelemetry has already imported its API. Otherwise, this module does nothing.

Spans do not link to the traces of runs: a server starts a new trace for each run, and does not report its id. The run
id appears in both: as `stepflow.run.id` here, and as `run_id` in the server's span.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from .._base.newest import NewestEntries
from .._http.settings import API_PATH
from ..errors import StepflowClientError

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, UpDownCounter
    from opentelemetry.trace import Tracer

    from .._http.messages import HttpRequest
    from .._http.settings import ServerUrl
    from ..types.statuses import ExecutionStatus

_NAME = "stepflow.client"
# Histogram buckets of durations: those of the semantic conventions for HTTP, and some more for runs.
_DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0]
# The attributes of spans, with the names from the semantic conventions where those exist.
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
# The attributes of metrics: those with few distinct values.
_METRIC_ATTRIBUTES = ("stepflow.operation", "server.address", "server.port", "http.response.status_code", "error.type")


class Operation:
    """An operation of the client. This class does nothing; it is used by applications without OpenTelemetry."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End the operation."""

    def make_current(self) -> AbstractContextManager[object]:
        """Return a context manager in whose block new spans become children of this one's, although it is not current.

        Use it for each step of a generator, so that the span is not current in the code that iterates over it.
        """
        return _NO_MEASUREMENT

    def prepare_request(self, request: HttpRequest, url: str, run_id: str | None) -> HttpRequest:
        """Record a request, and return it with the `traceparent` header.

        Args:
            request: The request.
            url: The root URL of the server, without credentials.
            run_id: The id of the run concerned, if any.
        """
        return request

    def note_result(self, answer: object) -> None:
        """Record the id of the run that the caller gets, if there is one."""

    def note(self, **attributes: object) -> None:
        """Record attributes by the keys of `_ATTRIBUTE_NAMES`. Only strings and integers are recorded."""


Kind = Literal["CLIENT", "INTERNAL"]
"""CLIENT for a request, INTERNAL for an operation that sends several requests."""

_NO_MEASUREMENT = nullcontext()
_NO_OPERATION = Operation()
_innermost: ContextVar[_Traced | None] = ContextVar("stepflow_operation", default=None)


def trace_operation(name: str, server: ServerUrl | None, kind: Kind, is_current: bool) -> Operation:
    """Return a context manager that wraps an operation in a span and measures it.

    Args:
        name: The operation's name, for example `create_run`.
        server: The server that receives the request; None if it may be one of several.
        kind: The kind of the span.
        is_current: Whether spans created in the block become children of this one. Use False if a generator yields
            inside the block: otherwise the span would also be current in the code that iterates over the generator. It
            can use `Operation.make_current` between two yields.
    """
    return _NO_OPERATION if is_untraced() else _Traced(name, server, kind, is_current)


is_untraced = partial(sys.modules.keys().isdisjoint, ("opentelemetry.trace", "opentelemetry.metrics"))
"""Returns whether the application does not use OpenTelemetry. Every call asks, so this is a function written in C."""


def annotate(**attributes: object) -> None:
    """Record attributes of the current operation; see `Operation.note`."""
    if (traced := _innermost.get()) is not None:
        traced.note(**attributes)


def note_resend() -> None:
    """Record that a request of the current operation is sent again."""
    if (traced := _innermost.get()) is not None:
        traced.resends += 1


# When this process created its newest runs, by `time.monotonic()`; None for runs whose end has been counted.
_newest_runs: NewestEntries[str, float | None] = NewestEntries(100_000)
_newest_lock = threading.Lock()


def count_started_run(run_id: str, began: float) -> None:
    """Count a run that this process created.

    Args:
        run_id: The run.
        began: When its creation began, by `time.monotonic()`.
    """
    if (instruments := _get_instruments()) is not None:
        with _newest_lock:
            _newest_runs.put(run_id, began)
        instruments.run_started.add(1)


def count_ended_run(run_id: str, status: ExecutionStatus) -> None:
    """Count a run whose end was seen, once in a process, and measure it if the process created it.

    Args:
        run_id: The run.
        status: Its status. Nothing happens if it is not final.
    """
    if not status.is_finished or (instruments := _get_instruments()) is None:
        return
    with _newest_lock:
        is_new = run_id not in _newest_runs
        began = _newest_runs.get(run_id)
        _newest_runs.put(run_id, None)
    attributes = {_ATTRIBUTE_NAMES["run_status"]: status.value}
    if is_new or began is not None:
        instruments.run_ended.add(1, attributes)
    if began is not None:
        instruments.run_duration.record(time.monotonic() - began, attributes)


@contextmanager
def measure_chunk(inputs: int) -> Iterator[None]:
    """Measure a chunk of `map`, and count its inputs as in flight."""
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


class _Traced(Operation):
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
            self.note(resends=self.resends)
        # An operation that is cancelled, or closes a stream early, has not failed.
        if isinstance(error, Exception):
            from opentelemetry.trace import Status, StatusCode

            # Only the type of the error is recorded: its message may quote data of the request, including secrets.
            self._span.set_status(Status(StatusCode.ERROR))
            self.note(error=type(error).__name__)
            if isinstance(error, StepflowClientError):
                self.note(status_code=error.status_code, run_id=error.run_id)
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

        self._tokens: tuple[Any, Token[_Traced | None]] = context.attach(self._context), _innermost.set(self)

    def _deactivate(self) -> None:
        from opentelemetry import context

        context.detach(self._tokens[0])
        _innermost.reset(self._tokens[1])

    def prepare_request(self, request: HttpRequest, url: str, run_id: str | None) -> HttpRequest:
        from opentelemetry.propagate import inject

        headers = dict(request.headers)
        inject(headers, context=self._context)
        query = f"?{request.query}" if request.query else ""
        self.note(method=request.method, url=f"{url}{API_PATH}{request.path}{query}", run_id=run_id)
        return request._replace(headers=headers)

    def note_result(self, answer: object) -> None:
        self.note(run_id=getattr(answer, "run_id", None))

    def note(self, **attributes: object) -> None:
        for name, value in attributes.items():
            if isinstance(value, (str, int)):
                self._attributes[_ATTRIBUTE_NAMES[name]] = value
                self._span.set_attribute(_ATTRIBUTE_NAMES[name], value)


class _Instruments(NamedTuple):
    duration: Histogram
    retries: Counter
    run_started: Counter
    run_ended: Counter
    run_duration: Histogram
    inputs_in_flight: UpDownCounter
    chunk_duration: Histogram


# An application sets the provider once; only tests change it.
@lru_cache(maxsize=1)
def _create_tracer(provider: Any) -> Tracer:
    tracer: Tracer = provider.get_tracer(_NAME, _get_version())
    return tracer


def _get_instruments() -> _Instruments | None:
    """Return what measures; None if the application does not use metrics."""
    if "opentelemetry.metrics" not in sys.modules:
        return None
    from opentelemetry.metrics import get_meter_provider

    return _create_instruments(get_meter_provider())


@lru_cache(maxsize=1)
def _create_instruments(provider: Any) -> _Instruments:
    meter = provider.get_meter(_NAME, _get_version())

    def histogram(name: str, description: str) -> Histogram:
        about = {"name": f"{_NAME}.{name}", "unit": "s", "description": description}
        made: Histogram
        try:
            made = meter.create_histogram(**about, explicit_bucket_boundaries_advisory=_DURATION_BUCKETS)
        except TypeError:
            # Releases of the API before 1.30 do not have this argument.
            made = meter.create_histogram(**about)
        return made

    return _Instruments(
        duration=histogram("operation.duration", "Duration of operations of the Stepflow client, with retries"),
        retries=meter.create_counter(
            f"{_NAME}.operation.retries", unit="{retry}", description="Requests that were sent again"
        ),
        run_started=meter.create_counter(f"{_NAME}.run.started", unit="{run}", description="Runs that were created"),
        run_ended=meter.create_counter(f"{_NAME}.run.ended", unit="{run}", description="Runs whose end was seen"),
        run_duration=histogram("run.duration", "Time from the creation of a run until its end was seen"),
        inputs_in_flight=meter.create_up_down_counter(
            f"{_NAME}.map.inputs_in_flight", unit="{input}", description="Inputs of map in runs that have not ended"
        ),
        chunk_duration=histogram("map.chunk.duration", "Duration of chunks of map, from creation to their outcomes"),
    )


@lru_cache(maxsize=1)
def _get_version() -> str:
    from importlib.metadata import version

    return version("stepflow-client")
