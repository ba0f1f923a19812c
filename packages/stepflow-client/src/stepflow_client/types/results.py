"""The results of items: outputs, errors and statuses; and the outcomes of inputs in `client.map`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .._base.basic_errors import StepflowClientError
from .models import KINDS, LOCAL, Model, Shown, field, record
from .statuses import FAILED_STATUSES, NO_ROUTE, ErrorCode, ExecutionStatus

__all__ = ["ErrorCode", "ExecutionStatus", "FlowError", "FlowResult", "Outcome", "OutputT"]

_RETRYABLE = frozenset(
    {ErrorCode.TIMEOUT, ErrorCode.UNREACHABLE, ErrorCode.RESOURCE_UNAVAILABLE, ErrorCode.LOST_BEFORE_START}
)


@record
class FlowError(Model):
    """The reason for the failure of an item or step."""

    message: str
    """The message of the component or the server, unchanged."""
    code: ErrorCode | None = None
    """The kind of failure, named the same for every server; None if the server reports none."""
    step_id: str | None = None
    """The id of the step that failed first; None if unknown, or if the output of the flow itself failed.

    Steps that did not run because of it are listed as failed too; `explain_run` tells them apart.
    """
    details: Any = None
    """Other data from the server, such as the raw code, or the stack of causes from older servers."""
    hint: str | None = field(default=None, repr=False, metadata=LOCAL)
    """What to change, if that is known: which field of its input the flow misses or the component refuses, and the line
    of the step in a flow that is written in Python. Results of `run` and outcomes of `map` have it.

    `to_dict` leaves it out.
    """

    @property
    def is_retryable(self) -> bool:
        """Whether the same run may soon succeed: after a timeout, if a worker or a resource was not available, or if
        the server lost the run before it started.

        Servers report a worker that is not connected like a component that no plugin has: "error routing component".
        Steps that ran, also one that timed out or whose worker died, run again.
        """
        is_routing = self.code is ErrorCode.ORCHESTRATOR and self.message == NO_ROUTE
        return is_routing or self.code in _RETRYABLE


if TYPE_CHECKING:
    import typing_extensions

    # A property cannot narrow another one: with Any beside it, `result.error.message` behind `is_failed` is right for
    # every type checker, and `result.error is None` stays a question.
    FlowErrorOrNone = FlowError | Any
    """What `error` is wherever something may have failed: a `FlowError` if it has, else None."""

    OutputT = typing_extensions.TypeVar("OutputT", default=Any)

    class Typed(Generic[OutputT]):
        """What has an output of a type."""

else:
    FlowErrorOrNone = FlowError | None
    KINDS["FlowErrorOrNone"] = FlowError
    OutputT = TypeVar("OutputT")

    class Typed:
        __slots__ = ()

        def __class_getitem__(cls, output: Any) -> type:
            # The output is checked where it is read, not here.
            return cls


_NO_OUTPUT: Any = None


@record
class FlowResult(Typed[OutputT], Model, Shown):
    """The result of a run of one item, or of one item of a batch.

    `FlowResult[Output]` is a result whose output is an `Output`, as `run(..., output_type=Output)` returns it; the
    output of a plain `FlowResult` is any JSON value.
    """

    run_id: str = ""
    """The run's id, a UUID string; empty if the result is not from a server."""
    status: ExecutionStatus
    if TYPE_CHECKING:
        output: OutputT = _NO_OUTPUT
    else:
        output: Any = None
    """The flow's output, any JSON value; also None if the item did not succeed.

    Current servers send the keys of objects in a different order each time. If the client that reads the result
    started the run, the keys are in the order of the flow's `output`; keys whose order it does not determine are
    sorted.
    """
    error: FlowErrorOrNone = None
    """The reason for the failure: a `FlowError` if `is_failed` is True, else None.

    Values of the flow's secret variables are replaced by `***` in it if this client started the run.
    """
    cached_at: datetime | None = field(default=None, repr=False, metadata=LOCAL)
    """The time when the result was cached, in UTC, if it is from a `ResultCache`; None if the flow was run for this
    call.

    `to_dict` leaves it out.
    """
    older_flow_id: str | None = field(default=None, repr=False, metadata=LOCAL)
    """The id of the stored flow of the run, if the run was found under an idempotency key with a scope and is of
    another version of the flow than the given one; else None.

    Usually that is an older version. While two versions are in use, it may be the newer one. `to_dict`
    leaves it out.
    """

    @property
    def is_success(self) -> bool:
        """True if the item completed."""
        return self.status is ExecutionStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """True if the item failed, or if the server could not recover its run."""
        return self.status in FAILED_STATUSES

    @property
    def is_cancelled(self) -> bool:
        """True if the item was cancelled."""
        return self.status is ExecutionStatus.CANCELLED

    @property
    def is_skipped(self) -> bool:
        """Always False: no released server skips a run."""
        return False

    def __post_init__(self) -> None:
        if self.error is None and self.status in FAILED_STATUSES:
            object.__setattr__(self, "error", FlowError(message="the server does not say why"))

    def unwrap(self) -> OutputT:
        """Return the output of a success.

        Raises:
            RunFailedError: If it is not a success; the error's `result` is this result.
        """
        self.raise_for_failure()
        output: OutputT = self.output
        return output

    def raise_for_failure(self) -> Self:
        """Return this result if it is a success.

        Raises:
            RunFailedError: If it is not; the error's `result` is this result.
        """
        if not self.is_success:
            raise make_run_failed_error(self, f"run {self.run_id}" if self.run_id else "the run")
        return self


def make_run_failed_error(result: FlowResult[Any], what: str) -> RunFailedError:
    """Return the error of a result that is not a success.

    Args:
        result: The result.
        what: What failed, for the message.
    """
    error = result.error
    if error is None:
        return RunFailedError(f"{what} is {result.status.value}", run_id=result.run_id or None, result=result)
    where = f" at step {error.step_id!r}" if error.step_id else ""
    message = f"{what} failed{where}: {error.message}"
    return RunFailedError(message, run_id=result.run_id or None, result=result, details=error, hint=error.hint)


class RunFailedError(StepflowClientError):
    """A run ended without success.

    Attributes:
        result: The result of the run, if known.
    """

    __module__ = "stepflow_client.errors"

    def __init__(self, message: str, *, result: FlowResult | None = None, **more: Any) -> None:
        """Store the message and the result."""
        super().__init__(message, **more)
        self.result = result


class OutputTypeError(StepflowClientError):
    """A run succeeded, but its output does not match the `output_type`.

    `details` lists the `path` and the `message` of each fault.

    Attributes:
        result: The result, with its output as JSON.
    """

    __module__ = "stepflow_client.errors"

    def __init__(self, message: str, *, result: FlowResult | None = None, **more: Any) -> None:
        """Store the message and the result."""
        super().__init__(message, **more)
        self.result = result


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
