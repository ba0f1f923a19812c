"""What became of one input of `client.map`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .errors import RunFailedError
from .types import ExecutionStatus, FlowError

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one input of a batch."""

    index: int
    """The position of the input, from 0 on."""
    key: str | int | None
    """The field `id`, else `key`, of an input that is an object and has it as text or integer."""
    run_id: str | None
    """The run that held the input; None for an input that could not be sent."""
    status: ExecutionStatus
    output: Any = None
    """The flow's output; None too where the input did not succeed."""
    error: FlowError | None = None
    """Why it failed; None where it did not."""
    seconds: float | None = field(default=None, compare=False)
    """How long its run took, from the request that created it until its results were there; None for an input that was
    not run, or whose outcome a journal had."""

    @property
    def is_success(self) -> bool:
        """True if the input completed."""
        return self.status is ExecutionStatus.COMPLETED

    def record(self) -> dict[str, Any]:
        """Return the outcome as plain JSON data: `output` where it succeeded, else `error`."""
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
        """Return the outcome itself if it is a success.

        Raises:
            RunFailedError: If it is none.
        """
        if self.is_success:
            return self
        said = self.error.message if self.error is not None else f"it was {self.status.value}"
        raise RunFailedError(f"input {self.index} failed: {said}", run_id=self.run_id)
