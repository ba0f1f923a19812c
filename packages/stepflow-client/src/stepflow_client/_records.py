"""Runs and results as plain records, for a process that prints them and ends, such as the command.

The types that callers of a client get need pydantic, whose import takes longer than a short run. This module reads only
the usual cases: lists of runs that match the API description, and single inputs that succeeded. In all other cases,
such as a failure or a field of another type, callers get the usual types or the usual errors.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ._base.lazy import lazy_module
from ._codec import answers
from ._sync.listing import RunLister
from .types.statuses import STATUS_NUMBERS, ExecutionStatus, read_status

if TYPE_CHECKING:
    from ._codec import responses
    from ._sync.client import SyncStepflowClient
    from .types import FlowResult, ListItemsResponse, RunDetails
else:
    responses = lazy_module("stepflow_client._codec.responses")

__all__ = ["PlainResult", "PlainRun", "get_result", "run_lister"]


class PlainResult:
    """The result of a successful run, with the attributes of `FlowResult`."""

    status = ExecutionStatus.COMPLETED
    error = None
    is_success, is_failed, is_cancelled = True, False, False

    def __init__(self, run_id: str, output: Any, cached_at: datetime | None = None) -> None:
        """Store the arguments."""
        self.run_id = run_id
        self.output = output
        self.cached_at = cached_at

    def raise_for_failure(self) -> PlainResult:
        """Return the result itself."""
        return self


def get_result(client: SyncStepflowClient, run_id: str, *, timeout: float | None = None) -> FlowResult | PlainResult:
    """Return the same as `client.get_result`, but a `PlainResult` for a success."""
    reading = client._connection.reading(run_id)

    def read(run_id: str, status: ExecutionStatus) -> PlainResult | ListItemsResponse:
        told = client._runs.item_answers(run_id, None)
        if len(told) == 1 and {status, read_status(told[0]["status"])} == {ExecutionStatus.COMPLETED}:
            output = answers.build(lambda item: reading.flow_output(item.get("output")), told[0], f"GET /runs/{run_id}")
            return PlainResult(run_id, output)
        return client._runs.explain(responses.items(run_id, told, reading), status)

    run, found = client._waiter.finished(run_id, wait=True, timeout=timeout, single=True, read=read)
    client._recorder.seen(run.run_id, run.status)
    return found if isinstance(found, PlainResult) else responses.only_result(found, run.status, reading)


class PlainRun:
    """A run, with some of the attributes of `RunDetails`."""

    def __init__(self, record: dict[str, Any]) -> None:
        """Store the fields in their order."""
        self._record = record
        self.run_id: str = record["run_id"]
        self.status: ExecutionStatus = record["status"]
        self.created_at: datetime | None = record["created_at"]
        self.completed_at: datetime | None = record["completed_at"]

    @property
    def is_finished(self) -> bool:
        """True if the status is final."""
        return self.status.is_final

    def model_dump(self, *, mode: str = "json") -> dict[str, Any]:
        """Return the fields by name, with the status as a string."""
        return {**self._record, "status": self.status.value}


def run_lister(client: SyncStepflowClient) -> RunLister[RunDetails | PlainRun]:
    """Return an object that lists runs like the client, but returns plain records if possible."""
    return RunLister(client._connection, _runs)


class _UnusualError(Exception):
    """The data is not one of the usual cases, so the usual types must read or reject it."""


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|\+00:00)", re.ASCII)
_COUNTS = ("total", "completed", "running", "failed", "cancelled")
_STATUSES: dict[Any, ExecutionStatus] = {**STATUS_NUMBERS, **{status.value: status for status in ExecutionStatus}}


def _runs(answer: dict[str, Any]) -> list[RunDetails | PlainRun]:
    try:
        return [_run(answers.checked_summary(summary)) for summary in answer["runs"]]
    except _UnusualError:
        return list(responses.runs(answer).runs)


def _run(summary: dict[str, Any]) -> PlainRun:
    if any("_" in key for key in summary):
        # Models also accept the names of their fields.
        raise _UnusualError
    status, items = summary["status"], summary.get("items", {})
    if type(status) not in (int, str) or status not in _STATUSES or type(items) is not dict:
        raise _UnusualError
    counts = {name: items.get(name, 0) for name in _COUNTS}
    if set(map(type, counts.values())) != {int}:
        raise _UnusualError
    return PlainRun(
        {
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
    )


def _text(value: Any) -> str | None:
    if value is None or (type(value) is str and value.isascii()):
        return value
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise _UnusualError from None
    return str(value)


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    found = _TIME.fullmatch(value) if type(value) is str else None
    if found is None:
        raise _UnusualError
    try:
        # Servers send nanoseconds; a datetime has microseconds.
        return datetime.fromisoformat(f"{found[1]}{(found[2] or '')[:7]}+00:00")
    except ValueError:
        raise _UnusualError from None
