"""Reads what the client itself needs of runs and flows: ids, states, items of a new run. Pure.

This module is imported without pydantic. The module `responses`, whose types need pydantic, builds the values that
callers get. The formats are those of the current server; responses of older servers are translated first.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from ..types.statuses import FAILED_STATUSES, STATUS_NUMBERS, ExecutionStatus, read_status

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INDEX_OF, _STATUS_OF = itemgetter("itemIndex"), itemgetter("status")


def checked_summary(summary: Any) -> dict[str, Any]:
    """Return a run's summary after checking that its ids can be sent: they are used in the paths of requests."""
    if not isinstance(summary, dict):
        raise TypeError(f"the summary of a run is {summary!r}")
    return {**summary, "runId": _run_id(summary["runId"]), "flowId": _sendable(summary["flowId"], "flowId")}


def summary_of(answer: dict[str, Any], run_id: str | None = None) -> dict[str, Any]:
    """Return the checked summary in a response about a run.

    Raises:
        ValueError: If the summary is about another run.
    """
    summary = checked_summary(answer["summary"])
    if run_id is not None and summary["runId"] != run_id:
        raise ValueError(f"it is about another run, {summary['runId']}")
    return summary


def _run_id(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"runId is {value!r}")
    # Nearly all ids already have this form, and UUID takes several times as long.
    return value if _UUID.fullmatch(value) else str(UUID(value))


def _sendable(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or value in (".", ".."):
        raise TypeError(f"{what} is {value!r}")
    value.encode()
    return value


def flow_id(answer: dict[str, Any], key: str = "flowId") -> str:
    """Return the id of a flow after checking that it can be used in paths and bodies."""
    return _sendable(answer[key], key)


class Started(NamedTuple):
    """The data of a newly created run that is needed to wait for its end."""

    run_id: str
    status: ExecutionStatus
    answers: list[dict[str, Any]]
    """Its items, if the response contains them, for `responses.items`."""
    older_flow_id: str | None = None
    """The id of its flow, if it was found under a key and is of another flow than the given one."""
    summary: dict[str, Any] | None = None
    """What the server reports of the run, for `responses.created`; None if the run was not created by this call."""

    @property
    def has_ended(self) -> bool:
        """True if the status is final, and no item of a failed run may still be executed."""
        if not is_failed(self.status):
            return self.status.is_finished
        return bool(self.answers) and all(read_status(answer["status"]).is_finished for answer in self.answers)


def started(answer: dict[str, Any]) -> Started:
    """Read the fields of a newly created run that are needed to wait for its end."""
    summary = answer["summary"]
    items = checked_items(answer.get("results") or [])
    return Started(_run_id(summary["runId"]), read_status(summary["status"]), items, summary=summary)


def checked_items(answers: Any) -> list[dict[str, Any]]:
    """Return the items of a response after checking that each has an index and a status.

    Items are built lazily, so this check also covers items that are never accessed.
    """
    if not isinstance(answers, list) or not set(map(type, answers)) <= {dict}:
        raise TypeError("the items are no list of objects")
    # Check the types first: `true` equals 1.
    if not set(map(type, map(_INDEX_OF, answers))) <= {int}:
        raise TypeError("the index of an item is no integer")
    statuses = list(map(_STATUS_OF, answers))
    if not set(map(type, statuses)) <= {int, str}:
        raise TypeError("the status of an item is neither a number nor a word")
    for status in set(statuses).difference(STATUS_NUMBERS):
        read_status(status)
    return answers


class RunState(NamedTuple):
    """The state of a run: the data that a client waiting for it needs."""

    run_id: str
    status: ExecutionStatus
    total: int
    """Number of items."""
    summary: dict[str, Any]
    """The whole summary sent by the server, for `responses.details`."""

    @property
    def is_finished(self) -> bool:
        """True if the status is final."""
        return self.status.is_finished

    @property
    def running(self) -> int:
        """Number of items that count as running."""
        running = self.summary.get("items", {}).get("running", 0)
        return running if isinstance(running, int) else 0


def given(answer: dict[str, Any]) -> dict[str, Any]:
    """Read the inputs and overrides a run was started with, which only older servers return."""
    told = answer.get("given") or {}
    inputs = told.get("inputs")
    if inputs is not None and not isinstance(inputs, list):
        raise TypeError("inputs: not a list")
    return {"inputs": inputs, "overrides": told.get("overrides")}


def stored_flow(answer: dict[str, Any]) -> dict[str, Any]:
    """Read the content of a stored flow, including what a client has added to it."""
    content = answer["flow"]
    if not isinstance(content, dict):
        raise TypeError("flow: not an object")
    return content


def run_state(answer: dict[str, Any], run_id: str | None = None) -> RunState:
    """Read the state of a run; `run_id` is the one requested."""
    return _state(summary_of(answer, run_id))


def run_states(answer: dict[str, Any]) -> list[RunState]:
    """Read the states of the runs of a list."""
    return [_state(checked_summary(summary)) for summary in answer["runs"]]


def _state(summary: dict[str, Any]) -> RunState:
    items = summary.get("items", {})
    total = items.get("total", 0)
    if isinstance(total, bool) or not isinstance(total, int):
        raise TypeError(f"items.total is {total!r}")
    return RunState(summary["runId"], read_status(summary["status"]), total, summary)


def is_failed(status: ExecutionStatus) -> bool:
    """Return whether a status is that of a failure."""
    return status in FAILED_STATUSES


def is_unfinished(status: ExecutionStatus) -> bool:
    """Return whether a status is not final."""
    return not status.is_finished
