"""Enums used by the public types, with their wire numbers, and the rules that decide whether a run has ended."""

from __future__ import annotations

import re
from enum import Enum, StrEnum
from typing import Any

__all__ = [
    "ENUMS", "FAILED_STATUSES", "STATUS_NUMBERS", "UNSUCCESSFUL_STATUSES", "DiagnosticLevel", "ErrorCode",
    "ExecutionStatus", "get_status_number", "parse_enum_member", "parse_status",
]  # fmt: skip

# Maximum number of members per enum, including those added for values sent by newer servers.
_MAX_MEMBERS = 1_000


class _OpenEnum(StrEnum):
    """An enum that turns unknown values from newer servers into new members."""

    @classmethod
    def _missing_(cls, value: object) -> _OpenEnum | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value.upper()
        member._value_ = value
        if len(cls._value2member_map_) > _MAX_MEMBERS:
            # Don't cache the member. Otherwise, a server could exhaust memory by sending new values.
            return member
        # Use `setdefault` so that two threads reading the same new value get the same member.
        return cls._value2member_map_.setdefault(value, member)  # type: ignore[return-value]


class ExecutionStatus(_OpenEnum):
    """The status of a run, item or step. Statuses added by newer servers appear as `unknown_<number>`."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RECOVERY_FAILED = "recovery_failed"

    @property
    def is_finished(self) -> bool:
        """True for final statuses: completed, failed, cancelled and recovery_failed."""
        return self in FINAL_STATUSES


FAILED_STATUSES = frozenset({ExecutionStatus.FAILED, ExecutionStatus.RECOVERY_FAILED})
"""Statuses that mean failure."""
UNSUCCESSFUL_STATUSES = FAILED_STATUSES | {ExecutionStatus.CANCELLED}
"""Final statuses of runs that did not succeed."""
FINAL_STATUSES = UNSUCCESSFUL_STATUSES | {ExecutionStatus.COMPLETED}
"""Statuses that never change once a run has reached them."""

NO_ROUTE = "error routing component"
"""The message (in every release) if a component can't be executed because it's unknown or has no connected worker."""
NO_REASON = "the server gave no reason"
"""Our message for failures that the server reports without a message."""
FAILED_STEP = re.compile(r'^step "(?P<id>.+)" failed$')
"""Matches a server's message if it only says which step failed."""

# Public, and pickled under this module name.
ExecutionStatus.__module__ = "stepflow_client.types"

STATUS_NUMBERS = dict(enumerate(ExecutionStatus, start=1))
"""Maps wire numbers to statuses. A status's number is its position in the enum, starting at 1."""


class ErrorCode(_OpenEnum):
    """Why an item or step failed. Codes unknown to this package appear as `unknown_<number>`."""

    TIMEOUT = "timeout"
    INVALID_INPUT = "invalid_input"
    COMPONENT_FAILED = "component_failed"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    COMPONENT_NOT_FOUND = "component_not_found"
    RESOURCE_UNAVAILABLE = "resource_unavailable"
    EXPRESSION_FAILED = "expression_failed"
    ORCHESTRATOR = "orchestrator"
    WORKER = "worker"
    LOST = "lost"
    """The server gave up on the run before the item ended, without giving a reason, and has shown no sign of life
    since. Either it restarted and couldn't recover the run, or its store failed. Steps have (or may have) started, so
    running the item again may repeat them. Set only by the client."""
    LOST_BEFORE_START = "lost_before_start"
    """Like `LOST`, but the server lists none of the item's steps as started. If the server is still executing the run
    after all, it may start them later."""
    INVALID_OUTPUT = "invalid_output"
    """The run succeeded, but its output does not match the `output_type` passed to `map`. Set only by the client."""


class DiagnosticLevel(_OpenEnum):
    """How severe a diagnostic is.

    Fatal: the server rejects the flow. Error: the flow will likely fail. Warning: it may behave unexpectedly.
    """

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"


_MEMBERS_BY_NUMBER: dict[type[Enum], dict[int, Any]] = {
    ExecutionStatus: STATUS_NUMBERS,
    ErrorCode: dict(zip(range(1, 11), ErrorCode, strict=False)),
    DiagnosticLevel: dict(enumerate(DiagnosticLevel, start=1)),
}
ENUMS: dict[str, type[Enum]] = {kind.__name__: kind for kind in _MEMBERS_BY_NUMBER}


def parse_enum_member(kind: type[Enum], value: object) -> Any:
    """Return the enum member for a wire number or a name.

    Raises:
        ValueError: If `value` is neither.
    """
    if isinstance(value, str):
        return kind(value)
    if isinstance(value, int) and not isinstance(value, bool):
        member = _MEMBERS_BY_NUMBER[kind].get(value)
        return member if member is not None else kind(f"unknown_{value}")
    raise ValueError(f"it is neither a name nor a number of {kind.__name__}")


def parse_status(value: object) -> ExecutionStatus:
    """Return the status for a wire number or a name; see `parse_enum_member`."""
    # Inlined because this runs for every run and item. (Check the type: `True == 1`.)
    member = STATUS_NUMBERS.get(value) if type(value) is int else None
    return parse_enum_member(ExecutionStatus, value) if member is None else member


def get_status_number(status: ExecutionStatus | str) -> int | None:
    """Return a status's wire number, or None if unknown."""
    for number, member in STATUS_NUMBERS.items():
        if member == status:
            return number
    prefix, _, digits = str(status).rpartition("_")
    return int(digits) if prefix == "unknown" and digits.isdecimal() and len(digits) < 10 else None


class RunEnding(Enum):
    """Whether, and how, a run has ended."""

    NOT_ENDED = "not ended"
    UNSETTLED = "unsettled"
    """The server has given up on the run but may still be executing it."""
    LOST = "lost"
    """The server has given up on the run and shows no sign of still executing it. Its items will never end."""
    ENDED = "ended"

    @property
    def is_finished(self) -> bool:
        """True if there is nothing left to wait for."""
        return self in (RunEnding.LOST, RunEnding.ENDED)


def is_given_up_by_server(status: ExecutionStatus, running: int) -> bool:
    """Return whether the server has given up on a run.

    Args:
        status: The run's status.
        running: How many of its items count as running. In all releases, this is zero once the run has actually ended.
    """
    return status in FAILED_STATUSES and running > 0


def decide_run_ending(status: ExecutionStatus, running: int, quiet_seconds: float, grace_seconds: float) -> RunEnding:
    """Return whether, and how, a run has ended.

    Args:
        status: The run's status.
        running: How many of its items count as running.
        quiet_seconds: Time since the last sign of life (an event, a step ending, or the change to this status).
        grace_seconds: How long a run that the server gave up on can go without a sign of life before it counts as lost.
    """
    if not status.is_finished:
        return RunEnding.NOT_ENDED
    if not is_given_up_by_server(status, running):
        return RunEnding.ENDED
    return RunEnding.LOST if quiet_seconds >= grace_seconds else RunEnding.UNSETTLED
