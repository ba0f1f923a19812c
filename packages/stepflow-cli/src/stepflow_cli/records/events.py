"""The events of a run as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output.view import Column, View, rfc3339
from .runs import VALUES

if TYPE_CHECKING:
    from stepflow_client.events import RunEvent

__all__ = ["EVENT", "event_record"]

EVENT = View(
    columns=(
        *(Column("cursor"), Column("timestamp", title="TIME", kind="time"), Column("type")),
        *(Column("item_index", title="ITEM", kind="number"), Column("step_id", title="STEP")),
        Column("status", kind="status"),
    ),
    name="cursor",
    fields=("run_id", "sequence_number", "inferred", "step_index", "attempt", "output", "flow_id", "item_count"),
    open_fields=VALUES,
)
"""An event."""


def event_record(event: RunEvent, *, with_output: bool = False) -> dict[str, Any]:
    """Return an event as a record.

    Args:
        event: The event.
        with_output: Whether the outputs of steps were requested; otherwise they are null, whatever the step's output.
    """
    record = event.model_dump(mode="json") | {"timestamp": rfc3339(event.timestamp)}
    if not with_output:
        record.pop("output", None)
    return record
