"""Results of items (outputs, errors, statuses), and outcomes of the inputs passed to `client.map`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .._base.error_classes import StepflowClientError
from .model_base import FIELD_TYPES, LOCAL, Model, Shown, field, frozen_model
from .statuses import FAILED_STATUSES, NO_REASON, NO_ROUTE, ErrorCode, ExecutionStatus

__all__ = ["ErrorCode", "ExecutionStatus", "FlowError", "FlowResult", "Outcome", "OutputT"]

_RETRYABLE_CODES = frozenset(
    {ErrorCode.TIMEOUT, ErrorCode.UNREACHABLE, ErrorCode.RESOURCE_UNAVAILABLE, ErrorCode.LOST_BEFORE_START}
)


@frozen_model
class FlowError(Model):
    """Why an item or step failed."""

    message: str
    """The error message from the component or server, unchanged."""
    code: ErrorCode | None = None
    """The kind of failure, with the same names for all servers, or None if the server doesn't report one."""
    step_id: str | None = None
    """The ID of the step that caused the failure, or None if unknown or if evaluating the flow's output failed.

    Steps that didn't run because of this failure are listed as failed too. Use `explain_run` to tell them apart.
    """
    details: Any = None
    """Additional data from the server, e.g. the raw error code, or the chain of causes from older servers."""
    hint: str | None = field(default=None, repr=False, metadata=LOCAL)
    """How to fix the problem, if known.

    The hint says which input field is missing or is rejected by the component and, for flows written in Python,
    includes the step's line number. It's set on results of `run` and outcomes of `map`, but not included in `to_dict`.
    """

    @property
    def is_retryable(self) -> bool:
        """Whether a retry might succeed. True after a timeout, if a worker or resource was unavailable, or if the
        server lost the run before it started.

        You can't tell a disconnected worker from an unknown component, because servers report "error routing component"
        for both. Note that a retry runs every step again, even one that timed out or whose worker died.
        """
        is_routing = self.code is ErrorCode.ORCHESTRATOR and self.message == NO_ROUTE
        return is_routing or self.code in _RETRYABLE_CODES


if TYPE_CHECKING:
    import typing_extensions

    # Checking `is_failed` can't narrow `error`. Adding Any makes every type checker accept `result.error.message`
    # anyway, while `result.error is None` still counts as a real check.
    FlowErrorOrNone = FlowError | Any
    """The type of every `error` field: a `FlowError` after a failure, otherwise None."""

    OutputT = typing_extensions.TypeVar("OutputT", default=Any)

    class _Generic(Generic[OutputT]): ...
else:
    FlowErrorOrNone = FlowError | None
    FIELD_TYPES["FlowErrorOrNone"] = FlowError
    OutputT = TypeVar("OutputT")

    class _Generic:
        __slots__ = ()

        def __class_getitem__(cls, output: Any) -> type:
            # No check needed here, because the output is validated when it's decoded.
            return cls


class TypedResult(_Generic[OutputT]):
    """Base class of item results, which are generic in their output type."""

    __slots__ = ()
    status: ExecutionStatus

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


_NO_OUTPUT: Any = None


@frozen_model
class FlowResult(TypedResult[OutputT], Model, Shown):
    """The result of a single-item run, or of one item of a batch.

    `run(..., output_type=Output)` returns a `FlowResult[Output]`, whose output is an `Output` instance. The output of
    a plain `FlowResult` is any JSON value.
    """

    run_id: str = ""
    """The run ID, a UUID string. Empty if the result did not come from a server."""
    status: ExecutionStatus
    output: OutputT = _NO_OUTPUT
    """The flow's output (any JSON value), or None if the item did not succeed.

    Current servers return object keys in random order. If this client started the run, keys are restored to the order
    in the flow's `output`, and any other keys are sorted.
    """
    error: FlowErrorOrNone = None
    """Why the item failed: a `FlowError` if `is_failed` is True, otherwise None.

    If this client started the run, values of the flow's secret variables are replaced by `***`.
    """
    cached_at: datetime | None = field(default=None, repr=False, metadata=LOCAL)
    """When the result was cached, in UTC, if it came from a `ResultCache`. None if the flow ran for this call.

    Not included in `to_dict`.
    """
    older_flow_id: str | None = field(default=None, repr=False, metadata=LOCAL)
    """The ID of the run's flow, if the run was found by a scoped idempotency key and used a different version of the
    flow. Otherwise None.

    The run's version is usually older, but it may be newer while two versions are in use. Not included in `to_dict`.
    """

    @property
    def is_skipped(self) -> bool:
        """Always False, since no released server skips runs."""
        return False

    def __post_init__(self) -> None:
        if self.error is None and self.status in FAILED_STATUSES:
            object.__setattr__(self, "error", FlowError(message=NO_REASON))

    def unwrap(self) -> OutputT:
        """Return the output if the item succeeded.

        Raises:
            RunFailedError: If it didn't. The error's `result` is this result.
        """
        return self.raise_for_failure().output

    def raise_for_failure(self) -> Self:
        """Return this result if the item succeeded.

        Raises:
            RunFailedError: If it didn't. The error's `result` is this result.
        """
        if not self.is_success:
            raise make_run_failed_error(self, f"run {self.run_id}" if self.run_id else "the run")
        return self


def make_run_failed_error(result: FlowResult[Any], what: str) -> RunFailedError:
    """Return the error for an unsuccessful result.

    Args:
        result: The result.
        what: A name for the thing that failed, to use in the message.
    """
    error = result.error
    if error is None:
        return RunFailedError(f"{what} is {result.status.value}", run_id=result.run_id or None, result=result)
    where = f" at step {error.step_id!r}" if error.step_id else ""
    message = f"{what} failed{where}: {error.message}"
    return RunFailedError(message, run_id=result.run_id or None, result=result, details=error, hint=error.hint)


class RunFailedError(StepflowClientError):
    """A run ended without succeeding.

    Attributes:
        result: The run's result, if known.
    """

    __module__ = "stepflow_client.errors"

    def __init__(self, message: str, *, result: FlowResult | None = None, **more: Any) -> None:
        """Store the message and the result."""
        super().__init__(message, **more)
        self.result = result


class OutputTypeError(StepflowClientError):
    """A run succeeded, but its output doesn't match the `output_type`.

    `details` lists each mismatch with its `path` and `message`.

    Attributes:
        result: The result, with the output as plain JSON.
    """

    __module__ = "stepflow_client.errors"

    def __init__(self, message: str, *, result: FlowResult | None = None, **more: Any) -> None:
        """Store the message and the result."""
        super().__init__(message, **more)
        self.result = result


@frozen_model(kw_only=False)
class Outcome(TypedResult[OutputT], Model, Shown):
    """The outcome of one batch input. An `Outcome[Output]` has an `Output` instance as its output."""

    index: int
    """The input's zero-based position."""
    key: str | int | None
    """The input's `id` or else its `key`. Only set if the input is an object and the value is a string or int."""
    run_id: str | None
    """The ID of the run that executed the input, or None if the input could not be sent."""
    status: ExecutionStatus
    output: OutputT = _NO_OUTPUT
    """The flow's output, or None if the input did not succeed."""
    error: FlowErrorOrNone = None
    """Why the input failed, or None if it didn't."""
    duration: float | None = field(default=None, compare=False, metadata=LOCAL)
    """Number of seconds between the request that created the run (the last run, if the input was retried) and the
    results becoming available. None if the input never ran or its outcome came from a journal.

    This field and `item_index` aren't included in `to_dict`.
    """
    attempts: int = 1
    """How many times the input ran: more than 1 only if `max_attempts` is set, and 0 if the input couldn't be sent."""
    item_index: int | None = field(default=None, compare=False, metadata=LOCAL)
    """The item's zero-based index within its run, or None if the input could not be sent."""

    @property
    def result(self) -> FlowResult:
        """This outcome as a `FlowResult`, the type that `run` returns."""
        return FlowResult(run_id=self.run_id or "", status=self.status, output=self.output, error=self.error)

    def unwrap(self) -> OutputT:
        """Return the output if the input succeeded.

        Raises:
            RunFailedError: If it didn't. The error's `result` is `result`.
            OutputTypeError: If the run succeeded, but its output does not match the `output_type` passed to `map`.
        """
        return self.raise_for_failure().output

    def raise_for_failure(self) -> Self:
        """Return this outcome if the input succeeded.

        Raises:
            RunFailedError: If it didn't. The error's `result` is `result`.
            OutputTypeError: If the run succeeded, but its output does not match the `output_type` passed to `map`.
        """
        if self.error is not None and self.error.code is ErrorCode.INVALID_OUTPUT:
            message, details = f"input {self.index}: {self.error.message}", self.error.details
            raise OutputTypeError(message, run_id=self.run_id, details=details, result=self.result)
        if not self.is_success:
            raise make_run_failed_error(self.result, f"input {self.index}")
        return self
