"""The enumerations of the public types, by name and by the number on the wire, and which status ends a run. Pure."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any

__all__ = [
    "ENUMS", "FAILED_STATUSES", "STATUS_NUMBERS", "UNSUCCESSFUL_STATUSES", "DiagnosticLevel", "ErrorCode",
    "ExecutionStatus", "get_status_number", "read_enum", "read_status",
]  # fmt: skip

# Maximum number of members of an enumeration, including those added for values of newer servers.
_MAX_MEMBERS = 1_000


class _OpenEnum(StrEnum):
    """An enumeration that accepts unknown values of newer servers: each becomes a new member."""

    @classmethod
    def _missing_(cls, value: object) -> _OpenEnum | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value.upper()
        member._value_ = value
        if len(cls._value2member_map_) > _MAX_MEMBERS:
            # Not remembered, so that no server can fill the memory with new values.
            return member
        # setdefault: two threads that read the same new value at the same time get the same member.
        return cls._value2member_map_.setdefault(value, member)  # type: ignore[return-value]


class ExecutionStatus(_OpenEnum):
    """The status of a run, an item or a step. A status of a newer server appears as `unknown_<number>`."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RECOVERY_FAILED = "recovery_failed"

    @property
    def is_finished(self) -> bool:
        """True for the final statuses: completed, failed, cancelled, recovery_failed."""
        return self in _FINAL


FAILED_STATUSES = frozenset({ExecutionStatus.FAILED, ExecutionStatus.RECOVERY_FAILED})
"""The statuses of a failure."""
UNSUCCESSFUL_STATUSES = FAILED_STATUSES | {ExecutionStatus.CANCELLED}
"""The final statuses of a run that has not succeeded."""
_FINAL = UNSUCCESSFUL_STATUSES | {ExecutionStatus.COMPLETED}

NO_ROUTE = "error routing component"
"""The message of servers of every release if no plugin executes a component: there is none, or its worker is away."""

# Part of the public types, and pickled under this module name.
ExecutionStatus.__module__ = "stepflow_client.types"

STATUS_NUMBERS = dict(enumerate(ExecutionStatus, start=1))
"""Statuses by their number on the wire, which is their position in the enumeration, from 1."""


class ErrorCode(_OpenEnum):
    """The kind of failure of an item or a step. A code unknown to this package appears as `unknown_<number>`."""

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
    """The server gave the run up before the item ended, without a reason, and nothing happened in it afterwards: it was
    restarted and could not recover the run, or its store failed. Steps had started, or may have: running the item again
    may repeat them. Only the client sets this code; no server sends it."""
    LOST_BEFORE_START = "lost_before_start"
    """As `LOST`, but the server lists no step of the item as started. A server that is still executing
    the run, although it has given it up, may start them later."""
    INVALID_OUTPUT = "invalid_output"
    """The run succeeded, but its output does not match the `output_type` of `map`. Only the client sets this code."""


class DiagnosticLevel(_OpenEnum):
    """The severity of a diagnostic.

    Fatal: the flow is refused. Error: it will likely fail. Warning: it may behave unexpectedly.
    """

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"


_NUMBERS: dict[type[Enum], dict[int, Any]] = {
    ExecutionStatus: STATUS_NUMBERS,
    ErrorCode: dict(zip(range(1, 11), ErrorCode, strict=False)),
    DiagnosticLevel: dict(enumerate(DiagnosticLevel, start=1)),
}
ENUMS: dict[str, type[Enum]] = {kind.__name__: kind for kind in _NUMBERS}


def read_enum(kind: type[Enum], value: object) -> Any:
    """Return the member of an enumeration for its number on the wire, or for its name.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(value, str):
        return kind(value)
    if isinstance(value, int) and not isinstance(value, bool):
        member = _NUMBERS[kind].get(value)
        return member if member is not None else kind(f"unknown_{value}")
    raise ValueError(f"it is neither a name nor a number of {kind.__name__}")


def read_status(value: object) -> ExecutionStatus:
    """Return the status for its number on the wire, or for its name; see `read_enum`."""
    # The usual case is written out, as every run and item takes it. (`true` equals 1.)
    member = STATUS_NUMBERS.get(value) if type(value) is int else None
    return read_enum(ExecutionStatus, value) if member is None else member


def get_status_number(status: ExecutionStatus | str) -> int | None:
    """Return the number of a status on the wire, or None if its number is unknown."""
    for number, member in STATUS_NUMBERS.items():
        if member == status:
            return number
    prefix, _, digits = str(status).rpartition("_")
    return int(digits) if prefix == "unknown" and digits.isdecimal() and len(digits) < 10 else None


class Ending(Enum):
    """Whether a run has ended."""

    NOT_ENDED = "not ended"
    UNSETTLED = "unsettled"
    """The server has given the run up; it may still be executed."""
    LOST = "lost"
    """The server has given the run up, and nothing shows that it is still executed: its items never end."""
    ENDED = "ended"

    @property
    def is_finished(self) -> bool:
        """True if nothing more is expected of the run."""
        return self in (Ending.LOST, Ending.ENDED)


def is_given_up(status: ExecutionStatus, running: int) -> bool:
    """Return whether a server has given a run up.

    Args:
        status: The status of the run.
        running: The number of its items that count as running. It is zero in runs that have ended, on every release.
    """
    return status in FAILED_STATUSES and running > 0


def decide_ending(status: ExecutionStatus, running: int, quiet: float, grace: float) -> Ending:
    """Return whether a run has ended.

    Args:
        status: The status of the run.
        running: The number of its items that count as running.
        quiet: Seconds since the last sign of life: an event, the end of a step, or the change to this status.
        grace: Seconds without a sign of life after which a run that was given up counts as lost.
    """
    if not status.is_finished:
        return Ending.NOT_ENDED
    if not is_given_up(status, running):
        return Ending.ENDED
    return Ending.LOST if quiet >= grace else Ending.UNSETTLED
