"""The outcome of one input of `client.map`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import repeat
from typing import TYPE_CHECKING, Any, Self

from .results import _NO_OUTPUT, FlowErrorOrNone, FlowResult, OutputT, Typed, failure
from .statuses import FAILED_STATUSES, ExecutionStatus

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome(Typed[OutputT]):
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
    duration: float | None = field(default=None, compare=False)
    """Seconds from the request that created the run until its results were available. None for an input that was not
    run, or whose outcome was read from a journal."""

    @classmethod
    def _of_successes(
        cls, run_id: str, indexes: list[int], keys: list[str | int | None], outputs: list[Any], duration: float
    ) -> list[Self]:
        """Return the outcomes of inputs that have all succeeded in one run.

        A field is set for all of them at once, which takes half the time of creating one after the other.
        """
        made = list(map(object.__new__, [cls] * len(outputs)))
        columns: tuple[Iterable[Any], ...] = (
            indexes,
            keys,
            repeat(run_id),
            repeat(ExecutionStatus.COMPLETED),
            outputs,
            repeat(None),
            repeat(duration),
        )
        for each, column in zip(fields(cls), columns, strict=True):
            deque(map(getattr(cls, each.name).__set__, made, column), maxlen=0)
        return made

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

    def to_dict(self) -> dict[str, Any]:
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

    def unwrap(self) -> OutputT:
        """Return the output of a success.

        Raises:
            RunFailedError: If it is not a success; the error's `result` is `result`.
        """
        self.raise_for_failure()
        output: OutputT = self.output
        return output

    def raise_for_failure(self) -> Self:
        """Return this outcome if it is a success.

        Raises:
            RunFailedError: If it is not; the error's `result` is `result`.
        """
        if not self.is_success:
            raise failure(self.result, f"input {self.index}")
        return self
