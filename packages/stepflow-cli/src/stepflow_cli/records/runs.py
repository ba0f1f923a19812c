"""Runs, their items and steps, their events and their differences, as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stepflow_client._base.text import duration_text, short_json

from ..output.columns import json_cell
from ..output.view import Column, View, columns, rfc3339

if TYPE_CHECKING:
    from stepflow_client import FlowResult, RunAccount, RunDetails, RunDifference, RunItem, StepAccount, StepDetails
    from stepflow_client.events import RunEvent

__all__ = ["duration_text"]

STATUSES = ("running", "completed", "failed", "cancelled", "paused", "recovery_failed")
"""All statuses of the server, as words because the client's enumeration takes long to import."""


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


def _status_text(record: Mapping[str, Any]) -> str:
    from stepflow_client.types.account import state_text

    return state_text(record["status"], failed_children=record.get("failed_children", 0))


RUN = View(
    columns=(
        *(_ID, _STATUS, _FLOW, _ITEMS._replace(optional=True)),
        *(Column("created_at", title="CREATED", kind="time", optional=True), _DURATION._replace(optional=True)),
    ),
    fields=(*_MORE, *_COUNTS),
)
"""A run as a row of a table."""

WATCHED_RUN = View(
    columns=(
        *(_ID, _STATUS, _FLOW, Column("progress", kind="words")),
        Column("created_at", title="CREATED", kind="time", optional=True),
    ),
    fields=(*_MORE, *_COUNTS, "items", "duration"),
)
"""A run as a row of a table that is drawn again and again."""

RUN_IN_FULL = View(
    columns=(
        *(_ID, _STATUS._replace(row=_status_text), _FLOW, *columns("flow_id:id"), _ITEMS),
        *(*columns("created_at:time", "completed_at:time"), _DURATION),
        *columns("root_run_id:id", "parent_run_id:id", "orchestrator_id"),
    ),
    fields=(*_COUNTS, "account", "failed_children"),
)
"""A single run."""


def _cause_text(record: Mapping[str, Any]) -> str:
    account = record["account"]
    item = f"item {account['item_index']}: " if record["items"]["total"] != 1 else ""
    return f"{item}{account['text']}"


def _not_run_text(not_run: object) -> str:
    if not isinstance(not_run, Mapping):
        return "-"
    return ", ".join(f"{step} ({cause} failed)" if cause else str(step) for step, cause in not_run.items()) or "-"


_EXPLAINED = {
    "cause": Column("account", title="CAUSE", row=_cause_text),
    "not_run": Column("account.not_run", title="NOT RUN", show=_not_run_text),
    "hint": Column("account.hint", title="HINT"),
    "unknown": Column("account.unknown", title="NOT KNOWN"),
}
"""The columns of a single run that did not succeed, each with the part of its account that it shows."""


def run_view(account: RunAccount | None) -> View:
    """Return the view of a single run.

    Args:
        account: The account of the run; None if it did not fail.
    """
    if account is None:
        return RUN_IN_FULL
    shown = [column for name, column in _EXPLAINED.items() if name == "cause" or getattr(account, name)]
    return RUN_IN_FULL._replace(columns=(*RUN_IN_FULL.columns, *shown))


_ERROR = ("error", "error.code", "error.step_id", "error.details")
VALUES = ("output", "error.details")
"""Fields whose contents come from users and servers."""
OUTPUT = Column("output", show=json_cell)

ITEM = View(
    columns=(*columns("index:number"), _STATUS, OUTPUT, *columns("error.message=ERROR")),
    name="index",
    fields=("completed_at", *_ERROR),
    open_fields=VALUES,
)
"""An item of a run."""


def _step_status(record: Mapping[str, Any]) -> str:
    """Return what became of a step: `not run (a failed)` if the server lists it as failed like a; `kept` in a rerun."""
    from stepflow_client.types.account import state_text

    because_of, children = record.get("because_of"), record.get("failed_children", 0)
    return state_text(record["state"], because_of, children, is_kept=record.get("is_kept", False))


def _step_error(record: Mapping[str, Any]) -> str:
    """Return the message of a step that failed itself. The others have the message of the step that they read."""
    error = record.get("error")
    return str(error["message"]) if error and record.get("state") != "not_run" else "-"


STEP = View(
    columns=(
        *columns("item_index:number=ITEM", "step_id=STEP"),
        _STATUS._replace(row=_step_status),
        *columns("component"),
        OUTPUT,
        Column("error.message", title="ERROR", row=_step_error),
    ),
    name="step_id",
    fields=("step_index", "updated_at", "state", "because_of", "failed_children", "is_kept", *_ERROR),
    open_fields=VALUES,
)
"""A step of an item."""

_TIMES = ("started_at", "completed_at", "duration", "attempts")
TIMED_STEP = STEP._replace(
    columns=(
        *STEP.columns[:4],
        *(Column("started_at", title="STARTED", kind="time", optional=True), _DURATION),
        *(Column("attempts", kind="number"), *STEP.columns[4:]),
    ),
    fields=("completed_at", *STEP.fields),
)
"""A step of an item with its times."""


def run_record(run: RunDetails) -> dict[str, Any]:
    """Return a run as a record. `duration` is in seconds; for a running run, it is the time so far."""
    record = run.to_dict()
    end = run.completed_at or (None if run.is_finished else datetime.now(UTC))
    known = run.created_at is not None and end is not None
    # The clocks of two machines may differ.
    seconds = max(0.0, (end - run.created_at).total_seconds()) if known else None  # type: ignore[operator]
    return record | {
        "created_at": rfc3339(run.created_at),
        "completed_at": rfc3339(run.completed_at),
        "duration": seconds if seconds is None else round(seconds, 6),
    }


def explained_record(run: RunDetails, account: RunAccount | None) -> dict[str, Any]:
    """Return a run as a record, with its account: why it failed.

    Args:
        run: The run.
        account: The account of the run, or of the first failed item of a batch; None if it did not fail.
    """
    return run_record(run) | {"account": None if account is None else account.to_dict()}


def item_record(item: RunItem) -> dict[str, Any]:
    """Return an item as a record."""
    result: FlowResult | None = item.result
    return {
        "index": item.index,
        "status": item.status.value,
        "output": None if result is None else result.output,
        "error": None if result is None or result.error is None else result.error.to_dict(),
        "completed_at": rfc3339(item.completed_at),
    }


def step_record(step: StepDetails, account: StepAccount | None, *, times: bool = False) -> dict[str, Any]:
    """Return a step as a record.

    Args:
        step: The step, with the status that the server reports.
        account: What became of it; None if that is its status.
        times: Whether to include the fields of its times.
    """
    record = {name: value for name, value in step.to_dict().items() if name not in _TIMES}
    record["updated_at"] = rfc3339(step.updated_at)
    if times:
        record |= {"started_at": rfc3339(step.started_at), "completed_at": rfc3339(step.completed_at)}
        record |= {"duration": step.duration, "attempts": step.attempts}
    return record | {
        "state": step.status.value if account is None else account.state,
        "because_of": None if account is None else account.because_of,
        "failed_children": 0 if account is None else len(account.failed_children),
    }


EVENT = View(
    columns=columns("cursor", "timestamp:time=TIME", "type", "item_index:number=ITEM", "step_id=STEP", "status:status"),
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
    record = event.to_dict() | {"timestamp": rfc3339(event.timestamp)}
    if not with_output:
        record.pop("output", None)
    return record


DIFFERENCE = View(
    columns=(*columns("path", "kind"), Column("a", show=short_json), Column("b", show=short_json)),
    name="path",
    fields=("item_index", "step_id", "origin"),
    open_fields=("a", "b"),
)
"""One difference between two runs."""


def difference_records(differences: Iterable[RunDifference]) -> list[dict[str, Any]]:
    """Return differences as records."""
    return [each.to_dict() for each in differences]
