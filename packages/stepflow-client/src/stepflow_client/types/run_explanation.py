"""Run accounts, as returned by `explain_run`: why an item failed, and what happened to each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from .model_base import Model, Shown, field, frozen_model
from .results import FlowErrorOrNone
from .statuses import ErrorCode, ExecutionStatus

__all__ = [
    "FailedChild", "FailedItems", "FailureKind", "RunAccount", "StepAccount", "StepState", "format_state",
    "get_displayed_step_state",
]  # fmt: skip

StepState = Literal["completed", "failed", "not_run", "not_needed", "running", "not_started", "cancelled", "unknown"]
"""What happened to a step:

- `completed`: the step completed.
- `failed`: the step itself failed.
- `not_run`: a step it depends on failed, so its component was not called. Servers list such steps as failed, with the
  dependency's error.
- `not_needed`: neither the output nor a required step needed the step, e.g. because its branch wasn't taken.
- `running`: the step had started but hadn't ended.
- `not_started`: the step hadn't started when the run was read, cancelled or lost.
- `cancelled`: the server reports the step as cancelled.
- `unknown`: the server does not report enough to tell.
"""

FailureKind = Literal["step", "output", "stall", "cancelled", "lost", "unknown"]
"""Why an item did not succeed:

- `step`: a step failed (see `RunAccount.cause`).
- `output`: every step the output depends on completed, but evaluating the output itself failed.
- `stall`: the output needs a step the server never started, because an `$if` or `$coalesce` had to read another step
  first.
- `cancelled`: the run was cancelled.
- `lost`: the server lost the run.
- `unknown`: the server does not report enough to tell.
"""


def format_state(
    state: str,
    because_of: str | None = None,
    failed_children: int = 0,
    *,
    is_kept: bool = False,
    is_default: bool | None = False,
    status: str | None = None,
) -> str:
    """Describe the state of a step or run in words.

    Args:
        state: The step's state, or the run's status.
        because_of: The failed step that kept this step from running.
        failed_children: How many sub-run items failed even though the step completed.
        is_kept: Whether a rerun keeps the step's output.
        is_default: Whether the step failed and its output is its `onError` default.
        status: The server's status, shown if the state is unknown.
    """
    if state == "not_run":
        return f"not run ({f'{because_of} failed' if because_of else 'the server did not start it'})"
    if state == "unknown" and status is not None:
        # Servers also list a step as failed if it only reads a failed step.
        state = "failed or not run" if status == "failed" else status
    words = "kept" if is_kept else state.replace("_", " ")
    words += " with its default" if is_default else ""
    return f"{words}, {failed_children} failed in sub-runs" if failed_children else words


def get_displayed_step_state(step: StepAccount) -> str:
    """Return the state to use in diagrams and for colors, or the server's status if the state is unknown."""
    if step.is_kept:
        return "completed"
    return step.status.value if step.state == "unknown" and step.status is not None else step.state


def count_failed_in_sub_runs(accounts: Iterable[StepAccount]) -> int:
    """Return how many sub-run items failed even though the steps that started them completed."""
    return sum(len(account.failed_children) for account in accounts)


@frozen_model(kw_only=False)
class FailedChild(Model):
    """A sub-run item that failed even though the step that started it completed."""

    index: int
    """The item's zero-based position in the step's list. Always 0 for `/builtin/eval`."""
    message: str
    """The error message."""
    step_id: str | None = None
    """The sub-run step that the message mentions, if any."""


@frozen_model
class FailedItems(Model):
    """Batch items that failed for the same reason."""

    text: str
    """The reason in one line, e.g. `9 x step 'ask': no user … (items 0, 1, 2, ...)`."""
    total: int
    step_id: str | None = None
    """The step that failed, or None if unknown or if no step failed."""
    code: ErrorCode | None = None
    message: str
    """The message. If the messages differ, it consists of the words they have in common, separated by `…`."""
    item_indexes: list[int]
    """The indexes of the first 20 items in the group."""


@frozen_model(kw_only=False)
class StepAccount(Model):
    """What happened to one of an item's steps."""

    step_id: str
    state: StepState = "unknown"
    component: str | None = None
    status: ExecutionStatus | None = None
    """The status reported by the server, or None if it does not list the step."""
    because_of: str | None = None
    """If the state is `not_run`, the step whose failure kept this step from running."""
    error: FlowErrorOrNone = None
    """The error of a failed step, or None for a step that did not run."""
    is_default: bool | None = False
    """Whether the step failed and fell back to its `onError` default. None if we can't tell, because the output equals
    the default or is unknown."""
    failed_children: Sequence[FailedChild] = ()
    """Sub-run items that failed even though the step completed."""
    is_kept: bool = False
    """Whether this is a rerun that reused the step's earlier output instead of calling its component."""

    @property
    def text(self) -> str:
        """The state in words, e.g. `failed`, `not run (charge_card failed)` or `completed, 1 failed in sub-runs`."""
        status, failed = self.status and self.status.value, len(self.failed_children)
        return format_state(
            self.state, self.because_of, failed, is_kept=self.is_kept, is_default=self.is_default, status=status
        )


@frozen_model(kw_only=False)
class RunAccount(Model, Shown):
    """Why an item failed, and what happened to each of its steps."""

    _derived: ClassVar = ("text", "not_run", "may_be_executing")
    run_id: str
    item_index: int
    status: ExecutionStatus
    """The item's status."""
    kind: FailureKind | None = None
    """Why the item did not succeed, or None if it did or hasn't ended."""
    cause: str | None = None
    """The ID of the step that caused the failure, or None if unknown or if no step did."""
    error: FlowErrorOrNone = None
    """The item's error, including the step and message of its cause."""
    hint: str | None = None
    """How to fix the problem, if known, e.g. which input field the component rejects."""
    steps: Sequence[StepAccount] = field(default=(), repr=False)
    """All of the flow's steps, in flow order. If the flow isn't known, only the steps that the server lists."""
    unknown: Sequence[str] = ()
    """Sentences describing what couldn't be determined. Empty if everything is known."""

    @property
    def failed(self) -> list[str]:
        """The IDs of steps that failed themselves, even if their failure had no effect on the item."""
        return [step.step_id for step in self.steps if step.state == "failed"]

    @property
    def not_run(self) -> dict[str, str | None]:
        """Maps the ID of each step that did not run to the failed step that kept it from running."""
        return {step.step_id: step.because_of for step in self.steps if step.state == "not_run"}

    @property
    def not_needed(self) -> list[str]:
        """The IDs of steps that turned out not to be needed."""
        return [step.step_id for step in self.steps if step.state == "not_needed"]

    @property
    def completed(self) -> list[str]:
        """The IDs of steps that completed."""
        return [step.step_id for step in self.steps if step.state == "completed"]

    @property
    def may_be_executing(self) -> list[str]:
        """The IDs of a cancelled item's steps that may still be executing (cancelling doesn't stop them)."""
        is_cancelled = self.kind == "cancelled"
        return [step.step_id for step in self.steps if is_cancelled and step.state in ("running", "unknown")]

    def step(self, step_id: str) -> StepAccount | None:
        """Return a step's account, or None if the item has no such step."""
        return next((step for step in self.steps if step.step_id == step_id), None)

    @property
    def text(self) -> str:
        """The account in one sentence."""
        message = "" if self.error is None else f": {self.error.message}"
        match self.kind:
            case None:
                return format_state(self.status.value, failed_children=count_failed_in_sub_runs(self.steps))
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
        """Return the step accounts as dicts, e.g. for `pandas.DataFrame`."""
        return [step.to_dict() for step in self.steps]
