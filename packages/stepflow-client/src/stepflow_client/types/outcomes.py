"""The outcome of one input of `client.map`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import RunFailedError
from .results import FlowError
from .statuses import ExecutionStatus

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one input of a batch."""

    index: int
    """The position of the input, from 0."""
    key: str | int | None
    """The value of the input's field `id`, else of `key`, if the input is an object and the value is text or an
    integer."""
    run_id: str | None
    """The id of the run that executed the input; None for an input that could not be sent."""
    status: ExecutionStatus
    output: Any = None
    """The flow's output; also None if the input did not succeed."""
    error: FlowError | None = None
    """The reason for the failure; None if the input did not fail."""
    seconds: float | None = field(default=None, compare=False)
    """Seconds from the request that created the run until its results were available. None for an input that was not
    run, or whose outcome was read from a journal."""

    @property
    def is_success(self) -> bool:
        """True if the input completed."""
        return self.status is ExecutionStatus.COMPLETED

    def record(self) -> dict[str, Any]:
        """Return the outcome as plain JSON data: with `output` if it is a success, else with `error`."""
        record: dict[str, Any] = {
            "index": self.index,
            "key": self.key,
            "run_id": self.run_id,
            "status": self.status.value,
        }
        if self.is_success:
            record["output"] = self.output
        else:
            error = self.error
            record["error"] = {
                "code": error.code.value if error is not None and error.code is not None else None,
                "message": error.message if error is not None else f"the run was {self.status.value}",
                "step_id": error.step_id if error is not None else None,
            }
        return record

    def raise_for_failure(self) -> Outcome:
        """Return this outcome if it is a success.

        Raises:
            RunFailedError: If it is not.
        """
        if self.is_success:
            return self
        said = self.error.message if self.error is not None else f"it was {self.status.value}"
        raise RunFailedError(f"input {self.index} failed: {said}", run_id=self.run_id)
