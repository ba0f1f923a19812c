"""Following one run until it ends: turning its events into a display, and reporting how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from stepflow_client import NotFoundError, RunTimeoutError, StepflowClientError
from stepflow_client._rules.run_progress import FlowOutline, RunProgress, StepProgress

from ..errors import Problem
from ..inputs.flow import step_ids
from ..records.results import cancelled_run, failure
from ..server.connect import Target
from .accounts import accounts_of_steps
from .events import EventReader

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepAccount
    from stepflow_client.events import RunEvent

_TICK = 0.2
"""Seconds between updates of the display."""
_MOST_ITEMS = 10_000
"""For larger runs, the items are not requested to find out what failed."""
_MOST_EXPLAINED = 1000
"""For larger runs, the steps are not requested to tell which were not run."""
_FEW_ITEMS = 20
"""Number of items up to which the steps that were not run are told while the run is still running."""
_FAILED = ("failed", "recovery_failed")
_MOST_FLOWS = 100
"""Maximum number of sub-runs whose step ids are requested."""

Shown = Callable[["RunEvent", float | None, "str | None"], None]
"""Called with each event, the duration of what has ended, and the error of a failed step."""


class Watch:
    """A run that is followed."""

    def __init__(self, target: Target, run_id: str) -> None:
        """Request the run and the server's time."""
        self._target = target
        health = target.client.health_check().timestamp
        self._ahead = timedelta() if health is None else health - datetime.now(UTC)
        self.run = self._look(run_id)
        self._said: str | None = None
        steps = dict(enumerate(self._step_ids()))
        self.progress = RunProgress(
            run_id,
            (self.run.flow_name, steps),
            total=self.run.items.total,
            created_at=self.run.created_at,
            flow_of=self._flow_of,
            kept=self._kept_steps(),
        )

    @property
    def now(self) -> datetime:
        """The time by the server's clock."""
        return datetime.now(UTC) + self._ahead

    def say(self, text: str) -> None:
        """Use this text as the note until the next event arrives."""
        self._said = text

    @property
    def note(self) -> str | None:
        """A message if the server is unreachable or has no events."""
        if self._said is not None:
            return self._said
        if self._target.client.server_info().capabilities["events"]:
            return None
        return "this server reports no events: the steps are not shown"

    def follow(
        self, show: Shown, refresh: Callable[[], None], *, timeout: float | None, sub_runs: bool = False
    ) -> None:
        """Process events until the run has ended.

        Args:
            show: Called with each event.
            refresh: Called several times per second.
            timeout: Seconds until a RunTimeoutError; None for no limit.
            sub_runs: Whether to include the events of sub-runs.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        # For a run that is itself a sub-run, servers would send its parent's events, with wrong step ids.
        sub_runs = sub_runs and self.run.parent_run_id is None
        options = {"include_sub_runs": sub_runs, "needs_stream": False}
        with EventReader(self._target.another_client, self.run.run_id, **options) as events:
            while not events.ended:
                refresh()
                for event in events.take(_TICK):
                    self._said = None
                    show(event, self.progress.see(event), self._error_of(event))
                self._check(deadline)
        self._finish()

    def _check(self, deadline: float | None) -> None:
        if deadline is not None and time.monotonic() > deadline and not self.progress.is_over:
            raise RunTimeoutError(f"run {self.run.run_id} has not ended yet", run_id=self.run.run_id)

    def _finish(self) -> None:
        """Request what events do not contain: the end itself, and why items failed."""
        self._said = None
        self.run = self._look(self.run.run_id)
        self.progress.end(self.run.status.value, self.run.completed_at)
        if self.run.status in _FAILED:
            self.progress.lose_running()
        if self.run.status in _FAILED and self.run.items.total <= _MOST_ITEMS:
            errors: dict[str | None, str] = {}
            for item in self._target.client.get_run_items(self.run.run_id).items:
                error = None if item.result is None else item.result.error
                if error is not None:
                    errors.setdefault(error.step_id, _first_line(error.message))
            for step in self.progress.steps:
                if step.failed and step.error is None:
                    step.error = errors.get(step.step_id)
        if any(step.failed for step in self.progress.steps) and self.run.items.total <= _MOST_EXPLAINED:
            self._note_not_run()

    def _note_not_run(self) -> None:
        """Record which steps were not run, if the server tells."""
        with suppress(StepflowClientError):
            steps = self._target.client.get_run_steps(self.run.run_id).steps
            for (item, _), account in accounts_of_steps(self._target.client, self.run.run_id, steps).items():
                self._note(item, account)

    def _note(self, item: int, account: StepAccount) -> None:
        """Record that a step was not run because of another one."""
        step = next((step for step in self.progress.steps if step.step_id == account.step_id), None)
        if step is not None and item in step.ended and account.because_of is not None:
            step.not_run[item] = account.because_of

    def _step_ids(self) -> list[str]:
        try:
            return step_ids(self._target.client.get_run_flow(self.run.run_id).flow)
        except NotFoundError:
            # The flow of a run created by a step may not be stored.
            return []

    def _kept_steps(self) -> list[str]:
        try:
            return self._target.client.get_run_arguments(self.run.run_id).kept
        except NotFoundError:
            return []

    def _look(self, run_id: str) -> RunDetails:
        """Return the run without its steps, of which there may be very many, if it is not a sub-run."""
        listed = self._target.client.list_runs(root_run_id=run_id, roots_only=True, limit=1).runs
        return next((run for run in listed if run.run_id == run_id), None) or self._target.client.get_run(run_id)

    def _error_of(self, event: RunEvent) -> str | None:
        """Request why a step failed; only once per step, because a batch may have very many items."""
        if event.type != "step_completed" or getattr(event, "status", None) != "failed":
            return None
        run = self.progress.of(event)
        step = run.step_of(event)
        item = getattr(event, "item_index", 0)
        if run is self.progress and item not in step.not_run and self._failed_before(step, item):
            with suppress(StepflowClientError):
                for account in self._target.client.explain_run(run.run_id, item_index=item).steps:
                    self._note(item, account)
        if item in step.not_run:
            return None
        if step.error is None:
            try:
                told = self._target.client.get_run_step(run.run_id, step.step_id, item_index=item)
            except StepflowClientError:
                # The run continues even if this request failed.
                return None
            step.error = None if told.error is None else _first_line(told.error.message)
            return step.error
        return None

    def _failed_before(self, step: StepProgress, item: int) -> bool:
        """Return whether another step of an item failed before this one. In large runs, only the end tells."""
        if self.run.items.total > _FEW_ITEMS:
            return False
        return any(item in other.ended and other.failed for other in self.progress.steps if other is not step)

    def _flow_of(self, run_id: str, item: int) -> FlowOutline:
        # Flows of sub-runs may not be stored, so their runs are requested.
        if len(self.progress.sub_runs) > _MOST_FLOWS:
            return None, {}
        try:
            name = self._target.client.get_run(run_id).flow_name
            steps = self._target.client.get_run_steps(run_id, item_index=item).steps
        except StepflowClientError:
            return None, {}
        return name, {step.step_index: step.step_id for step in steps if step.step_index is not None}


def failure_of(target: Target, run: RunDetails) -> Problem | None:
    """Return the problem for a run that ended without success; None for a successful run."""
    if run.status == "completed":
        return None
    if run.status == "cancelled":
        return cancelled_run(run.run_id)
    if run.items.total == 1:
        return failure(target.client.get_result(run.run_id, wait=False))
    # The server has lost the items that never stop running.
    failed = run.items.failed + run.items.running
    said = f"{failed} of {run.items.total} items of run {run.run_id} failed"
    if run.items.total <= _MOST_ITEMS:
        said += _first_failure(target, run)
    return Problem(said, kind="run_failed", run_id=run.run_id)


def _first_failure(target: Target, run: RunDetails) -> str:
    for item in target.client.get_run_items(run.run_id).items:
        if item.result is not None and item.result.error is not None:
            step = f" at step {item.result.error.step_id!r}" if item.result.error.step_id else ""
            return f"; item {item.index}{step}: {item.result.error.message}"
    return ""


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
