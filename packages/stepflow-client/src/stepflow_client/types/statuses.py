"""The statuses of runs, items and steps, by name and by the number on the wire. Pure; does not import pydantic."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FAILED_STATUSES", "STATUS_NUMBERS", "ExecutionStatus", "read_status", "status_number"]

_MOST_MEMBERS = 1_000
"""Maximum number of members of an enumeration, including those added for values of newer servers."""


class _OpenEnum(StrEnum):
    """An enumeration that accepts unknown values of newer servers: each becomes a new member."""

    @classmethod
    def _missing_(cls, value: object) -> _OpenEnum | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value.upper()
        member._value_ = value
        if len(cls._value2member_map_) > _MOST_MEMBERS:
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


_FINAL = frozenset(
    {
        ExecutionStatus.COMPLETED,
        ExecutionStatus.FAILED,
        ExecutionStatus.CANCELLED,
        ExecutionStatus.RECOVERY_FAILED,
    }
)

FAILED_STATUSES = frozenset({ExecutionStatus.FAILED, ExecutionStatus.RECOVERY_FAILED})
"""The statuses of a failure."""

NO_ROUTE = "error routing component"
"""The message of servers of every release if no plugin executes a component: there is none, or its worker is away."""

# Part of the public types, and pickled under this module name.
ExecutionStatus.__module__ = "stepflow_client.types"

STATUS_NUMBERS = dict(enumerate(ExecutionStatus, start=1))
"""Statuses by their number on the wire, which is their position in the enumeration, from 1."""


def read_status(value: object) -> ExecutionStatus:
    """Return the status for its number on the wire, or for its name.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        known = STATUS_NUMBERS.get(value)
        return known if known is not None else ExecutionStatus(f"unknown_{value}")
    if isinstance(value, str):
        return ExecutionStatus(value)
    raise ValueError(f"{value!r} is not a status")


def status_number(status: ExecutionStatus | str) -> int | None:
    """Return the number of a status on the wire, or None if its number is unknown."""
    for number, known in STATUS_NUMBERS.items():
        if known == status:
            return number
    prefix, _, digits = str(status).rpartition("_")
    return int(digits) if prefix == "unknown" and digits.isdecimal() and len(digits) < 10 else None
