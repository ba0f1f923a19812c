"""Formats runs (from a server or the history), items, steps, events and differences as records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stepflow_client._base.text_formatting import duration_text, format_rfc3339, short_json

from ..output.record_views import Column, View, columns, format_json_cell

if TYPE_CHECKING:
    from stepflow_client import RunAccount
    from stepflow_client.events import RunEvent
    from stepflow_client.history import HistoryEntry

__all__ = ["duration_text"]

STATUSES = ("running", "completed", "failed", "cancelled", "paused", "recovery_failed")
"""All statuses that servers use. They are strings because the client's enum is slow to import."""


def _format_item_counts(items: object) -> str:
    if not isinstance(items, Mapping):
        return "-"
    return f"{sum(items[name] for name in ('completed', 'failed', 'cancelled'))}/{items['total']}"


def _format_run_status(record: Mapping[str, Any]) -> str:
    from stepflow_client.types.run_explanation import format_state

    return format_state(record["status"], failed_children=record["failed_in_sub_runs"] or 0)


_RUN_STATUS = Column("status", kind="status", row=_format_run_status)
_ITEMS_COLUMN = Column("items", kind="number", show=_format_item_counts)


def get_run_seconds_so_far(record: Mapping[str, Any]) -> float | None:
    """Return a run's duration in seconds or, if it hasn't ended, the number of seconds since it was created."""
    if record["duration"] is not None or record["created_at"] is None or record["status"] in _FINAL_STATUSES:
        return record["duration"]  # type: ignore[no-any-return]
    # Don't return less than 0, because clocks can differ between machines.
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(record["created_at"])).total_seconds())


_FINAL_STATUSES = ("completed", "failed", "cancelled", "recovery_failed")
_ELAPSED_COLUMN = Column("duration", kind="number", row=lambda record: duration_text(get_run_seconds_so_far(record)))
_DETAILS = ("flow_id", "completed_at", "root_run_id", "parent_run_id", "orchestrator_id")
_COUNTS = tuple(f"items.{name}" for name in ("total", "completed", "running", "failed", "cancelled"))


_FAILURES = ("failed_in_sub_runs", "account", "failures")
_OPTIONAL = _ITEMS_COLUMN._replace(optional=True), "created_at?:time=CREATED", _ELAPSED_COLUMN._replace(optional=True)
RUN = View(columns("run_id:id", _RUN_STATUS, "flow_name=FLOW", *_OPTIONAL), fields=(*_DETAILS, *_COUNTS, *_FAILURES))
"""A run as a row of a table."""

WATCHED_RUN = View(
    columns("run_id:id", _RUN_STATUS, "flow_name=FLOW", "progress:words", "created_at?:time=CREATED"),
    fields=(*_DETAILS, *_COUNTS, "items", "duration", *_FAILURES),
)
"""A run as a row of a live table."""

RUN_IN_FULL = View(
    columns=(
        *columns("run_id:id", _RUN_STATUS, "flow_name=FLOW", "flow_id:id", _ITEMS_COLUMN, "created_at:time"),
        *columns("completed_at:time", _ELAPSED_COLUMN, "root_run_id:id", "parent_run_id:id", "orchestrator_id"),
    ),
    fields=(*_COUNTS, *_FAILURES),
)
"""A single run with all of its fields."""


def _format_failure_cause(record: Mapping[str, Any]) -> str:
    account = record["account"]
    item = f"item {account['item_index']}: " if record["items"]["total"] != 1 else ""
    return f"{item}{account['text']}"


def _format_skipped_steps(not_run: object) -> str:
    if not isinstance(not_run, Mapping):
        return "-"
    return ", ".join(f"{step} ({cause} failed)" if cause else str(step) for step, cause in not_run.items()) or "-"


# Columns that explain why a run did not succeed, keyed by the part of the account that they show.
_REASON_COLUMNS = {
    "cause": Column("account", title="CAUSE", row=_format_failure_cause),
    "not_run": Column("account.not_run", title="NOT RUN", show=_format_skipped_steps),
    "hint": Column("account.hint", title="HINT"),
    "unknown": Column("account.unknown", title="NOT KNOWN"),
}


def _format_rerun_origin(record: Mapping[str, Any]) -> str:
    items = ", ".join(map(str, record["rerun_items"][:_MAX_NAMED]))
    more = ", ..." if len(record["rerun_items"]) > _MAX_NAMED else ""
    return f"{record['rerun_of']}, items {items}{more}" if items else str(record["rerun_of"])


_MAX_NAMED = 20
# Columns that link a rerun to its original, and a run to its reruns.
_LINK_COLUMNS = {
    "rerun_of": Column("rerun_of", title="RERUN OF", row=_format_rerun_origin),
    "reruns": Column("reruns", title="RERUNS", show=lambda value: ", ".join(value)),
}


def get_single_run_view(account: RunAccount | None, links: Collection[str] = ()) -> View:
    """Return the view for a single run.

    Args:
        account: The account that explains the run's failure, or None if the run did not fail.
        links: The record's fields that refer to other attempts at the run.
    """
    shown = [column for name, column in _LINK_COLUMNS.items() if name in links]
    if account is not None:
        shown += [column for name, column in _REASON_COLUMNS.items() if name == "cause" or getattr(account, name)]
    return RUN_IN_FULL._replace(columns=(*RUN_IN_FULL.columns, *shown)) if shown else RUN_IN_FULL


_ERROR_FIELDS = ("error", "error.code", "error.step_id", "error.details")
OPEN_FIELDS = ("output", "error.details")
"""Fields whose contents come from users and servers."""
OUTPUT_COLUMN = Column("output", show=format_json_cell)

ITEM = View(
    columns("index:number", "status:status", OUTPUT_COLUMN, "error.message=ERROR"),
    name="index",
    fields=("run_id", "completed_at", *_ERROR_FIELDS),
    open_fields=OPEN_FIELDS,
)
"""An item of a run."""


def _format_step_status(record: Mapping[str, Any]) -> str:
    """Describe a step's status, such as `not run (a failed)` if it depends on failed step a, or `kept` in a rerun."""
    from stepflow_client.types.run_explanation import format_state

    marks = {name: record[name] for name in ("is_kept", "is_default", "status")}
    return format_state(record["state"], record["because_of"], len(record["failed_children"]), **marks)


def _format_step_error(record: Mapping[str, Any]) -> str:
    """Return a step's own error. (A skipped step only repeats the error of the step that it reads from.)"""
    error = record.get("error")
    return str(error["message"]) if error and record["state"] != "not_run" else "-"


_EXPLANATION_FIELDS = ("state", "because_of", "is_default", "failed_children", "is_kept")
_TIME_FIELDS = ("updated_at", "started_at", "completed_at", "duration", "attempts")
STEP = View(
    columns(
        *("item_index:number=ITEM", "step_id=STEP", Column("status", kind="status", row=_format_step_status)),
        *("component", OUTPUT_COLUMN, Column("error.message", title="ERROR", row=_format_step_error)),
    ),
    name="step_id",
    fields=("step_index", *_EXPLANATION_FIELDS, *_TIME_FIELDS, *_ERROR_FIELDS),
    open_fields=OPEN_FIELDS,
)
"""A step of an item."""

_DURATION_COLUMN = Column("duration", kind="number", show=duration_text)
_TIME_COLUMNS = columns("started_at?:time=STARTED", _DURATION_COLUMN, "attempts:number")
TIMED_STEP = STEP._replace(columns=(*STEP.columns[:4], *_TIME_COLUMNS, *STEP.columns[4:]))
"""A step of an item, with its times."""


EVENT = View(
    columns=columns("cursor", "timestamp:time=TIME", "type", "item_index:number=ITEM", "step_id=STEP", "status:status"),
    name="cursor",
    fields=("run_id", "sequence_number", "inferred", "step_index", "attempt", "output", "flow_id", "item_count"),
    open_fields=OPEN_FIELDS,
)
"""An event."""


def build_event_record(event: RunEvent, *, with_output: bool = False) -> dict[str, Any]:
    """Return an event as a record.

    Args:
        event: The event.
        with_output: Whether step outputs were requested. If not, the output is omitted.
    """
    record = event.to_dict()
    if not with_output:
        record.pop("output", None)
    return record


DIFFERENCE = View(
    columns("path", "kind", Column("a", show=short_json), Column("b", show=short_json)),
    name="path",
    fields=("item_index", "step_id", "origin"),
    open_fields=("a", "b"),
)
"""A difference between two runs."""


def _format_labels(labels: object) -> str:
    if not isinstance(labels, Mapping) or not labels:
        return "-"
    return " ".join(f"{name}={value}" for name, value in labels.items())


def _format_names(names: object) -> str:
    return ", ".join(names) if isinstance(names, list) and names else "-"


_LABELS_COLUMN = Column("labels", show=_format_labels, optional=True)
_ARGUMENT_FIELDS = ("input", "variables", "overrides", "flow")

ENTRY = View(
    columns("run_id:id", "status:status", "flow_name=FLOW", "created_at:time=CREATED", _LABELS_COLUMN, "note?"),
    fields=("server", "flow_id", "flow_file"),
    open_fields=("labels",),
)
"""A run in the history as a row of a table."""

ENTRY_IN_FULL = View(
    columns(
        *("run_id:id", "status:status", "created_at:time", "server", "flow_name=FLOW", "flow_id:id", "flow_file"),
        *(_LABELS_COLUMN._replace(optional=False), "note", "rerun_of:id", Column("kept", show=_format_names)),
        *(Column(name, show=format_json_cell) for name in _ARGUMENT_FIELDS[:-1]),
        Column("omitted", show=_format_names),
    ),
    folds=True,
)
"""A single run in the history with all of its fields."""


def build_history_record(entry: HistoryEntry, *, full: bool = False) -> dict[str, Any]:
    """Return a run in the history as a record.

    Args:
        entry: The run.
        full: Whether to include the flow, input, variables and overrides.
    """
    name = entry.flow.get("name") if isinstance(entry.flow, Mapping) else None
    record: dict[str, Any] = {
        "run_id": entry.run_id,
        "status": entry.status if entry.is_confirmed else "unconfirmed",
        "flow_name": name,
        "created_at": format_rfc3339(entry.created_at),
        "labels": dict(entry.labels),
        "note": entry.note,
        "server": entry.server,
        "flow_id": entry.flow_id,
        "flow_file": entry.flow_file,
    }
    if full:
        record |= {field: getattr(entry, field) for field in _ARGUMENT_FIELDS} | {"omitted": list(entry.omitted)}
        record |= {"rerun_of": entry.rerun_of, "kept": list(entry.kept), "rerun_items": list(entry.rerun_items)}
        record |= {"has_more_runs": entry.has_more_runs}
    return record
