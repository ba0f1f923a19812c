"""Runs and results as plain objects, for programs that print them and end.

The usual types are pydantic models, whose import takes longer than a short run. `client.plain` reads runs and results
without it, as far as they are of the usual form: runs that match the API description, and results of runs of one item
that succeeded. Everything else, such as a failure, is returned as the usual type.

    with SyncStepflowClient() as client:
        for run in client.plain.iter_runs(status="failed"):
            print(run.run_id, run.created_at)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .types.statuses import ExecutionStatus

__all__ = ["PlainResult", "PlainRun"]


class PlainResult:
    """The result of a successful run, with the attributes of `FlowResult`.

    Args:
        run_id: The id of the run.
        output: The output of the flow.
        cached_at: When the result was cached, if it is from a cache.
    """

    status = ExecutionStatus.COMPLETED
    error = None
    is_success: bool = True
    is_failed: bool = False
    is_cancelled: bool = False

    def __init__(self, run_id: str, output: Any, cached_at: datetime | None = None) -> None:
        """Store the arguments."""
        self.run_id = run_id
        self.output = output
        self.cached_at = cached_at

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of `FlowResult` by name, with the status as a plain string."""
        return {"run_id": self.run_id, "status": self.status.value, "output": self.output, "error": None}

    def unwrap(self) -> Any:
        """Return the output."""
        return self.output

    def raise_for_failure(self) -> PlainResult:
        """Return the result itself."""
        return self


class PlainRun:
    """A run, with some of the attributes of `RunDetails`.

    Args:
        fields: All fields of the run by name, in their order.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        """Store the fields."""
        self._fields = fields
        self.run_id: str = fields["run_id"]
        self.status: ExecutionStatus = fields["status"]
        self.created_at: datetime | None = fields["created_at"]
        self.completed_at: datetime | None = fields["completed_at"]

    @property
    def is_finished(self) -> bool:
        """True if the status is final."""
        return self.status.is_finished

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name. The status is a plain string, times are datetimes."""
        return {**self._fields, "status": self.status.value}
