"""Runs and lists of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from .account import FailedItems, RunAccount, state_text
from .models import Listing, Model, record
from .shown import Shown
from .statuses import ExecutionStatus

__all__ = ["CreateRunResponse", "ItemCounts", "ListRunsResponse", "RunDetails"]


@record
class ItemCounts(Model):
    """Numbers of a run's items by state. Servers count the items of a run only when the run ends."""

    total: int = 0
    completed: int = 0
    running: int = 0
    failed: int = 0
    cancelled: int = 0


@record
class RunDetails(Model, Shown):
    """A run and its state."""

    _derived: ClassVar = ("duration",)
    run_id: str
    """A UUID string."""
    flow_id: str
    flow_name: str | None = None
    status: ExecutionStatus
    items: ItemCounts = ItemCounts()
    created_at: datetime | None = None
    completed_at: datetime | None = None
    root_run_id: str | None = None
    """The id of the run at the top of the tree that this run belongs to; its own id if it was not created by a step."""
    parent_run_id: str | None = None
    """The id of the run whose step created this run; None for a root run."""
    orchestrator_id: str | None = None
    """The id of the server process that executes the run, if the server reports it."""
    failed_in_sub_runs: int | None = None
    """Number of items of sub-runs that failed although the steps that started them completed, in a completed run; None
    if the steps of the run were not read."""
    account: RunAccount | None = None
    """Why the run did not succeed; that of its first failed item if it is a batch. Set by `snapshot`, on request."""
    failures: list[FailedItems] | None = None
    """The failed items of a batch by reason, the largest of at most 5 groups first; set together with `account`."""

    def __post_init__(self) -> None:
        counts = self.items
        if self.status is ExecutionStatus.CANCELLED and counts.running:
            # A cancelled run never ends its items on the server.
            counts = replace(counts, running=0, cancelled=counts.cancelled + counts.running)
            object.__setattr__(self, "items", counts)

    @property
    def is_finished(self) -> bool:
        """True if the status is final.

        A server may mark a run as failed that it is still executing, while `items.running` is not zero; `wait_run` and
        `get_result` wait until that is settled.
        """
        return self.status.is_finished

    @property
    def duration(self) -> float | None:
        """Seconds from the creation of the run to its end, by the server's clock; None for a run that has not ended."""
        if self.created_at is None or self.completed_at is None:
            return None
        return max(0.0, (self.completed_at - self.created_at).total_seconds())

    @property
    def text(self) -> str:
        """The status in words: `completed, 2 failed in sub-runs`."""
        return state_text(self.status.value, failed_children=self.failed_in_sub_runs or 0)


CreateRunResponse = RunDetails
"""What `create_run` returns: a run that was just created."""


@record
class ListRunsResponse(Listing[RunDetails]):
    """Runs, newest first: iterate over it, index it, or use `runs`."""

    _shown: ClassVar = ("run_id", "flow_name", "status", "items.total", "created_at", "runs")
    runs: list[RunDetails]

    def _entries(self) -> Sequence[RunDetails]:
        return self.runs
