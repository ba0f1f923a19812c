"""OpenTelemetry, where the application uses it: one span for each operation, its context sent to the server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["operation_span"]


_NO_SPAN = nullcontext()


def operation_span(operation: str, headers: MutableMapping[str, str]) -> AbstractContextManager[None]:
    """Wrap one operation in a span and add the W3C `traceparent` header.

    An application that traces has imported opentelemetry already; one that has not pays nothing here.

    Args:
        operation: The operation's name, for example `create_run`.
        headers: Where the header goes.
    """
    return _span(operation, headers) if "opentelemetry.trace" in sys.modules else _NO_SPAN


@contextmanager
def _span(operation: str, headers: MutableMapping[str, str]) -> Iterator[None]:
    from opentelemetry.propagate import inject
    from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer

    tracer = get_tracer("stepflow.client")
    # What went wrong is marked, not recorded: an error may quote what was sent, secrets too.
    with tracer.start_as_current_span(
        f"stepflow.{operation}", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
    ) as span:
        inject(headers)
        try:
            yield
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", type(error).__name__)
            raise
