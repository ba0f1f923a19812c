"""The account of a run: why an item failed, and what became of each step, as `explain_run` returns it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from .models import Model, Shown, field, record
from .results import FlowErrorOrNone
from .statuses import ErrorCode, ExecutionStatus

__all__ = [
    "FailedChild", "FailedItems", "FailureKind", "RunAccount", "StepAccount", "StepState", "shown_state", "state_text",
]  # fmt: skip

StepState = Literal["completed", "failed", "not_run", "not_needed", "running", "not_started", "cancelled", "unknown"]
"""What became of a step:

- `completed`: it completed.
- `failed`: it failed itself.
- `not_run`: a step that it reads failed, so its component was not called. Servers list such a step as failed, with the
  error of the step that it reads.
- `not_needed`: neither the output nor a step that must run needed it, for example because it is in a branch that was
  not taken.
- `running`: it had started and not ended.
- `not_started`: it had not started when the run was read, or when it was cancelled or lost.
- `cancelled`: the server says so.
- `unknown`: the server does not tell.
"""

FailureKind = Literal["step", "output", "stall", "cancelled", "lost", "unknown"]
"""Why an item did not succeed:

- `step`: a step failed; `RunAccount.cause` names it.
- `output`: all steps that the output reads completed, but the output itself could not be evaluated.
- `stall`: the output needs a step that the server did not start, because an `$if` or `$coalesce` had to read another
  step first.
- `cancelled`: the run was cancelled.
- `lost`: the server lost the run.
- `unknown`: the server does not tell enough.
"""


def state_text(
    state: str,
    because_of: str | None = None,
    failed_children: int = 0,
    *,
    is_kept: bool = False,
    is_default: bool | None = False,
    status: str | None = None,
) -> str:
    """Return the state of a step or run in words.

    Args:
        state: The step's state, or the run's status.
        because_of: The failed step that is the reason why the step was not run.
        failed_children: Number of items of its sub-runs that failed although it completed.
        is_kept: Whether a rerun keeps its output.
        is_default: Whether its output is the default for a failure.
        status: The server's status, which is shown if the state is unknown.
    """
    if state == "not_run":
        return f"not run ({f'{because_of} failed' if because_of else 'the server did not start it'})"
    if state == "unknown" and status is not None:
        # Servers list steps that read a failed one as failed, too.
        state = "failed or not run" if status == "failed" else status
    words = "kept" if is_kept else state.replace("_", " ")
    words += " with its default" if is_default else ""
    return f"{words}, {failed_children} failed in sub-runs" if failed_children else words


def shown_state(step: StepAccount) -> str:
    """Return the state that colours and pictures show: the server's status if the state is unknown."""
    if step.is_kept:
        return "completed"
    return step.status.value if step.state == "unknown" and step.status is not None else step.state


def count_failed_in_sub_runs(accounts: Iterable[StepAccount]) -> int:
    """Return the number of items of sub-runs that failed although the steps that started them completed."""
    return sum(len(account.failed_children) for account in accounts)


@record(kw_only=False)
class FailedChild(Model):
    """An item of a sub-run that failed although the step that started it completed."""

    index: int
    """The position in the step's list of items, from 0; 0 for `/builtin/eval`."""
    message: str
    """The error message."""
    step_id: str | None = None
    """The step of the sub-run that the message names; None if it names none."""


@record
class FailedItems(Model):
    """Items of a batch that failed for the same reason."""

    text: str
    """The reason in one line: `9 x step 'ask': no user … (items 0, 1, 2, ...)`."""
    total: int
    step_id: str | None = None
    """The step that failed; None if it is not known, or if no step did."""
    code: ErrorCode | None = None
    message: str
    """The message; if the messages differ, the words that they share, with `…` between them."""
    item_indexes: list[int]
    """The indexes of the first 20 of these items."""


@record(kw_only=False)
class StepAccount(Model):
    """What became of one step of an item."""

    step_id: str
    state: StepState = "unknown"
    component: str | None = None
    status: ExecutionStatus | None = None
    """The status that the server reports; None if it does not list the step."""
    because_of: str | None = None
    """For `not_run`: the step whose failure is the reason."""
    error: FlowErrorOrNone = None
    """The error of a failed step; None for a step that was not run."""
    is_default: bool | None = False
    """Whether the step failed and its `onError` default is its output. None if the server does not tell: the output is
    the default, or is not known."""
    failed_children: Sequence[FailedChild] = ()
    """The items of the step's sub-runs that failed although the step completed."""
    is_kept: bool = False
    """Whether the run is a rerun that keeps this step: its output is that of the earlier run, and its component was not
    called."""

    @property
    def text(self) -> str:
        """The state in words: `failed`, `not run (charge_card failed)`, `completed, 1 failed in sub-runs`, `kept`."""
        status, failed = self.status and self.status.value, len(self.failed_children)
        return state_text(
            self.state, self.because_of, failed, is_kept=self.is_kept, is_default=self.is_default, status=status
        )


@record(kw_only=False)
class RunAccount(Model, Shown):
    """Why one item of a run failed, and what became of each of its steps."""

    _derived: ClassVar = ("text", "not_run", "may_be_executing")
    run_id: str
    item_index: int
    status: ExecutionStatus
    """The status of the item."""
    kind: FailureKind | None = None
    """Why the item did not succeed; None if it did, or if it has not ended."""
    cause: str | None = None
    """The id of the step that failed first and made the item fail; None if no step did, or if it is not known."""
    error: FlowErrorOrNone = None
    """The item's error, with the step and the message of its cause."""
    hint: str | None = None
    """What to change, if that is known: for example which field of its input the component refuses."""
    steps: Sequence[StepAccount] = field(default=(), repr=False)
    """All steps of the flow, in its order; only those that the server lists if the flow is not known."""
    unknown: Sequence[str] = ()
    """What could not be determined, in sentences; empty if everything is known."""

    @property
    def failed(self) -> list[str]:
        """The ids of the steps that failed themselves, including those whose failure did no harm."""
        return [step.step_id for step in self.steps if step.state == "failed"]

    @property
    def not_run(self) -> dict[str, str | None]:
        """The ids of the steps that were not run, each with the failed step that is the reason."""
        return {step.step_id: step.because_of for step in self.steps if step.state == "not_run"}

    @property
    def not_needed(self) -> list[str]:
        """The ids of the steps that nothing needed."""
        return [step.step_id for step in self.steps if step.state == "not_needed"]

    @property
    def completed(self) -> list[str]:
        """The ids of the steps that completed."""
        return [step.step_id for step in self.steps if step.state == "completed"]

    @property
    def may_be_executing(self) -> list[str]:
        """The ids of the steps of a cancelled item that may still be executing: cancelling a run stops no step."""
        is_cancelled = self.kind == "cancelled"
        return [step.step_id for step in self.steps if is_cancelled and step.state in ("running", "unknown")]

    def step(self, step_id: str) -> StepAccount | None:
        """Return the account of a step; None if the item has no such step."""
        return next((step for step in self.steps if step.step_id == step_id), None)

    @property
    def text(self) -> str:
        """The account in one sentence."""
        message = "" if self.error is None else f": {self.error.message}"
        match self.kind:
            case None:
                return state_text(self.status.value, failed_children=count_failed_in_sub_runs(self.steps))
            case "step":
                return f"step {self.cause!r} failed{message}"
            case "output":
                return f"the output of the flow failed{message}"
            case "stall":
                return f"the server did not start a step that the output needs{message}"
            case "cancelled":
                names = ", ".join(self.may_be_executing)
                return f"cancelled; may still be executing: {names}" if names else "cancelled"
            case "lost":
                return f"lost{message}"
        return f"failed{message}"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the accounts of the steps as dicts, for example for `pandas.DataFrame`."""
        return [step.to_dict() for step in self.steps]
