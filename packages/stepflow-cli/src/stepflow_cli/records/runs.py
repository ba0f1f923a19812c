"""Runs, items and steps as records, and the views of their tables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stepflow_client._rules.words import duration_text

from ..output.view import Column, View, rfc3339

if TYPE_CHECKING:
    from stepflow_client import FlowResult, RunDetails, RunItem, StepDetails
    from stepflow_client._records import PlainRun

__all__ = [
    "ITEM",
    "RUN",
    "RUN_IN_FULL",
    "STATUSES",
    "STEP",
    "TIMED_STEP",
    "VALUES",
    "duration_text",
    "item_record",
    "run_record",
    "step_record",
]

STATUSES = ("running", "completed", "failed", "cancelled", "paused", "recovery_failed")
"""All statuses of the server, as words because the client's enumeration takes long to import."""


def _short_text(seconds: object) -> str:
    """Return a duration as text, in milliseconds if it is below one second."""
    if isinstance(seconds, (int, float)) and seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return duration_text(seconds)


def _items_text(items: object) -> str:
    if not isinstance(items, Mapping):
        return "-"
    return f"{sum(items[name] for name in ('completed', 'failed', 'cancelled'))}/{items['total']}"


_ID = Column("run_id", kind="id")
_STATUS = Column("status", kind="status")
_FLOW = Column("flow_name", title="FLOW")
_ITEMS = Column("items", kind="number", show=_items_text)
_DURATION = Column("duration", kind="number", show=duration_text)
_MORE = ("flow_id", "completed_at", "root_run_id", "parent_run_id", "orchestrator_id")
_COUNTS = tuple(f"items.{name}" for name in ("total", "completed", "running", "failed", "cancelled"))

RUN = View(
    columns=(
        *(_ID, _STATUS, _FLOW, _ITEMS._replace(optional=True)),
        *(Column("created_at", title="CREATED", kind="time", optional=True), _DURATION._replace(optional=True)),
    ),
    fields=(*_MORE, *_COUNTS),
)
"""A run as a row of a table."""

RUN_IN_FULL = View(
    columns=(
        *(_ID, _STATUS, _FLOW, Column("flow_id", kind="id"), _ITEMS),
        *(Column("created_at", kind="time"), Column("completed_at", kind="time"), _DURATION),
        *(Column("root_run_id", kind="id"), Column("parent_run_id", kind="id"), Column("orchestrator_id")),
    ),
    fields=_COUNTS,
)
"""A single run."""

_ERROR = ("error", "error.code", "error.step_id", "error.details")
VALUES = ("output", "error.details")
"""Fields whose contents come from users and servers."""

ITEM = View(
    columns=(Column("index", kind="number"), _STATUS, Column("output"), Column("error.message", title="ERROR")),
    name="index",
    fields=("completed_at", *_ERROR),
    open_fields=VALUES,
)
"""An item of a run."""

STEP = View(
    columns=(
        *(Column("item_index", title="ITEM", kind="number"), Column("step_id", title="STEP"), _STATUS),
        *(Column("component"), Column("output"), Column("error.message", title="ERROR")),
    ),
    name="step_id",
    fields=("step_index", "updated_at", *_ERROR),
    open_fields=VALUES,
)
"""A step of an item."""

_TIMES = ("started_at", "completed_at", "duration", "attempts")
TIMED_STEP = STEP._replace(
    columns=(
        *STEP.columns[:4],
        *(Column("started_at", title="STARTED", kind="time", optional=True), _DURATION._replace(show=_short_text)),
        *(Column("attempts", kind="number"), *STEP.columns[4:]),
    ),
    fields=("completed_at", *STEP.fields),
)
"""A step of an item with its times."""


def run_record(run: RunDetails | PlainRun) -> dict[str, Any]:
    """Return a run as a record. `duration` is in seconds; for a running run, it is the time so far."""
    record = run.model_dump(mode="json")
    end = run.completed_at or (None if run.is_finished else datetime.now(UTC))
    known = run.created_at is not None and end is not None
    # The clocks of two machines may differ.
    seconds = max(0.0, (end - run.created_at).total_seconds()) if known else None  # type: ignore[operator]
    return record | {
        "created_at": rfc3339(run.created_at),
        "completed_at": rfc3339(run.completed_at),
        "duration": seconds if seconds is None else round(seconds, 6),
    }


def item_record(item: RunItem) -> dict[str, Any]:
    """Return an item as a record."""
    result: FlowResult | None = item.result
    return {
        "index": item.index,
        "status": item.status.value,
        "output": None if result is None else result.output,
        "error": None if result is None or result.error is None else result.error.model_dump(mode="json"),
        "completed_at": rfc3339(item.completed_at),
    }


def step_record(step: StepDetails, *, times: bool = False) -> dict[str, Any]:
    """Return a step as a record.

    Args:
        step: The step.
        times: Whether to include the fields of its times.
    """
    record = step.model_dump(mode="json", exclude=set(_TIMES)) | {"updated_at": rfc3339(step.updated_at)}
    if times:
        record |= {"started_at": rfc3339(step.started_at), "completed_at": rfc3339(step.completed_at)}
        record |= {"duration": step.duration, "attempts": step.attempts}
    return record
