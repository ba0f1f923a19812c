"""The outcome of one input of `client.map`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from .models import LOCAL, Model, field, record
from .results import (
    _NO_OUTPUT,
    ErrorCode,
    FlowErrorOrNone,
    FlowResult,
    OutputT,
    OutputTypeError,
    Typed,
    make_run_failed_error,
)
from .shown import Shown
from .statuses import FAILED_STATUSES, ExecutionStatus

__all__ = ["Outcome"]


@record(kw_only=False)
class Outcome(Typed[OutputT], Model, Shown):
    """The outcome of one input of a batch. `Outcome[Output]` is one whose output is an `Output`."""

    index: int
    """The position of the input, from 0."""
    key: str | int | None
    """The value of the input's field `id`, else of `key`, if the input is an object and the value is text or an
    integer."""
    run_id: str | None
    """The id of the run that executed the input; None for an input that could not be sent."""
    status: ExecutionStatus
    if TYPE_CHECKING:
        output: OutputT = _NO_OUTPUT
    else:
        output: Any = None
    """The flow's output; also None if the input did not succeed."""
    error: FlowErrorOrNone = None
    """The reason for the failure; None if the input did not fail."""
    duration: float | None = field(default=None, compare=False, metadata=LOCAL)
    """Seconds from the request that created the run until its results were available. None for an input that was not
    run, or whose outcome was read from a journal. If it was run more than once, the time of its last run.

    `to_dict` leaves out this field and `item_index`.
    """
    attempts: int = 1
    """How often the input was run: more than once only with `max_attempts`. 0 for an input that could not be sent."""
    item_index: int | None = field(default=None, compare=False, metadata=LOCAL)
    """The index of the item within its run, from 0; None for an input that could not be sent."""

    @property
    def is_success(self) -> bool:
        """True if the input completed."""
        return self.status is ExecutionStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """True if the input failed, or if the server could not recover its run."""
        return self.status in FAILED_STATUSES

    @property
    def is_cancelled(self) -> bool:
        """True if the run of the input was cancelled."""
        return self.status is ExecutionStatus.CANCELLED

    @property
    def result(self) -> FlowResult:
        """The same as a result, as `run` returns it."""
        return FlowResult(run_id=self.run_id or "", status=self.status, output=self.output, error=self.error)

    def unwrap(self) -> OutputT:
        """Return the output of a success.

        Raises:
            RunFailedError: If it is not a success; the error's `result` is `result`.
            OutputTypeError: If the run succeeded, but its output does not match the `output_type` of `map`.
        """
        self.raise_for_failure()
        output: OutputT = self.output
        return output

    def raise_for_failure(self) -> Self:
        """Return this outcome if it is a success.

        Raises:
            RunFailedError: If it is not; the error's `result` is `result`.
            OutputTypeError: If the run succeeded, but its output does not match the `output_type` of `map`.
        """
        if self.error is not None and self.error.code is ErrorCode.INVALID_OUTPUT:
            message, details = f"input {self.index}: {self.error.message}", self.error.details
            raise OutputTypeError(message, run_id=self.run_id, details=details, result=self.result)
        if not self.is_success:
            raise make_run_failed_error(self.result, f"input {self.index}")
        return self
