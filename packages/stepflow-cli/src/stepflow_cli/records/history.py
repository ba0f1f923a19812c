"""Recorded runs as records, and the views of their tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stepflow_client._base.text import rfc3339

from ..output.columns import format_json_cell
from ..output.view import Column, View, columns

if TYPE_CHECKING:
    from stepflow_client.history import HistoryEntry


def _format_labels(labels: object) -> str:
    if not isinstance(labels, Mapping) or not labels:
        return "-"
    return " ".join(f"{name}={value}" for name, value in labels.items())


def _format_names(names: object) -> str:
    return ", ".join(names) if isinstance(names, list) and names else "-"


_LABELS = Column("labels", show=_format_labels)
_VALUES = ("input", "variables", "overrides", "flow")

ENTRY = View(
    columns=(
        *columns("run_id:id", "status:status", "flow_name=FLOW", "created_at:time=CREATED"),
        Column("labels", show=_format_labels, optional=True),
        Column("note", optional=True),
    ),
    fields=("server", "flow_id", "flow_file"),
    open_fields=("labels",),
)
"""A recorded run as a row of a table."""

ENTRY_IN_FULL = View(
    columns=(
        *columns(
            "run_id:id", "status:status", "created_at:time", "server", "flow_name=FLOW", "flow_id:id", "flow_file"
        ),
        _LABELS,
        *columns("note", "rerun_of:id"),
        Column("kept", show=_format_names),
        *(Column(name, show=format_json_cell) for name in _VALUES[:-1]),
        Column("omitted", show=_format_names),
    ),
    folds=True,
)
"""A single recorded run."""


def build_entry_record(entry: HistoryEntry, *, full: bool = False) -> dict[str, Any]:
    """Return a recorded run as a record.

    Args:
        entry: The run.
        full: Whether to include its flow, input, variables and overrides.
    """
    name = entry.flow.get("name") if isinstance(entry.flow, Mapping) else None
    record: dict[str, Any] = {
        "run_id": entry.run_id,
        "status": entry.status if entry.is_confirmed else "unconfirmed",
        "flow_name": name,
        "created_at": rfc3339(entry.created_at),
        "labels": dict(entry.labels),
        "note": entry.note,
        "server": entry.server,
        "flow_id": entry.flow_id,
        "flow_file": entry.flow_file,
    }
    if full:
        record |= {field: getattr(entry, field) for field in _VALUES} | {"omitted": list(entry.omitted)}
        record |= {"rerun_of": entry.rerun_of, "kept": list(entry.kept), "rerun_items": list(entry.rerun_items)}
        record |= {"has_more_runs": entry.has_more_runs}
    return record
