"""Reads the summary of a run as the server sends it. Pure; does not import pydantic."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from ..types.statuses import STATUS_NUMBERS, ExecutionStatus

RUN_FIELDS = {
    "run_id": "runId",
    "flow_id": "flowId",
    "flow_name": "flowName",
    "status": "status",
    "items": "items",
    "created_at": "createdAt",
    "completed_at": "completedAt",
    "root_run_id": "rootRunId",
    "parent_run_id": "parentRunId",
    "orchestrator_id": "orchestratorId",
}
"""The fields of a run by name, in order, with their names on the wire."""
_COUNTS = ("total", "completed", "running", "failed", "cancelled")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|\+00:00)", re.ASCII)
_STATUSES: dict[Any, ExecutionStatus] = {**STATUS_NUMBERS, **{status.value: status for status in ExecutionStatus}}


class UnusualError(Exception):
    """The summary is not of the usual form: the model `RunDetails` must convert or refuse it."""


def run_fields(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a run by name, with the values that `RunDetails` has; `items` is a dict.

    Args:
        summary: The summary, whose ids have been checked.

    Raises:
        UnusualError: If a field is not as the API description says.
    """
    if any("_" in key for key in summary):
        # The model also accepts the names of its fields.
        raise UnusualError
    status, items = summary["status"], summary.get("items", {})
    if type(status) not in (int, str) or status not in _STATUSES or type(items) is not dict:
        raise UnusualError
    counts = {name: items.get(name, 0) for name in _COUNTS}
    if set(map(type, counts.values())) != {int}:
        raise UnusualError
    return {
        "run_id": summary["runId"],
        "flow_id": summary["flowId"],
        "flow_name": _text(summary.get("flowName")),
        "status": _STATUSES[status],
        "items": counts,
        "created_at": _time(summary.get("createdAt")),
        "completed_at": _time(summary.get("completedAt")),
        "root_run_id": _text(summary.get("rootRunId")),
        "parent_run_id": _text(summary.get("parentRunId")),
        "orchestrator_id": _text(summary.get("orchestratorId")),
    }


def _text(value: Any) -> str | None:
    if value is None or (type(value) is str and value.isascii()):
        return value
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise UnusualError from None
    return str(value)


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    found = _TIME.fullmatch(value) if type(value) is str else None
    if found is None:
        raise UnusualError
    try:
        # Servers send nanoseconds; a datetime has microseconds.
        return datetime.fromisoformat(f"{found[1]}{(found[2] or '')[:7]}+00:00")
    except ValueError:
        raise UnusualError from None
