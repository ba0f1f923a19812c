"""Following one run until it ends: turning its events into a display, and reporting how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from stepflow_client import StepflowClientError
from stepflow_client._command import deadline_of, deadline_scope, progress_of
from stepflow_client._rules.run_progress import FlowOutline
from stepflow_client.types.statuses import FAILED_STATUSES

from ..errors import Problem
from ..records.results import cancelled_run_problem, get_failure
from ..server.connect import Target
from .failures import MAX_EXPLAINED_ITEMS, add_failed_sub_runs

if TYPE_CHECKING:
    from rich.tree import Tree
    from stepflow_client import RunDetails, StepAccount
    from stepflow_client.events import RunEvent
    from stepflow_client.types.snapshot import SnapshotPart

# Seconds between updates of the display.
_REFRESH_SECONDS = 0.2
# For larger runs, the items are not requested to find out what failed.
_MAX_ITEMS = 10_000
# Maximum number of items for which skipped steps are looked up while the run is still running.
_FEW_ITEMS = 20
# Maximum number of sub-runs whose step ids are requested.
_MAX_FLOWS = 100

Shown = Callable[["RunEvent", float | None, "str | None"], None]
"""Called with each event, the duration of what has ended, and the error of a failed step."""


class RunWatch:
    """A run that is followed."""

    def __init__(self, target: Target, run_id: str, timeout: float | None = None) -> None:
        """Request the run and the server's time; `timeout` limits following the run, from now on."""
        self._target = target
        self._deadline = deadline_of(timeout)
        with deadline_scope(self._deadline):
            health = target.client.health_check().timestamp
            self.snapshot = target.client.snapshot(run_id, include=("flow", "arguments"))
        self._clock_difference = timedelta() if health is None else health - datetime.now(UTC)
        self._message: str | None = None
        self._accounts: dict[tuple[int, str], StepAccount] = {}
        """The outcome of each step, once the run has ended."""
        self.progress = progress_of(self.snapshot, flow_of=self._get_flow_outline)
        if self.run.is_finished:
            self._deadline = None
            self._read_final_state()

    @property
    def run(self) -> RunDetails:
        """The run and its state when it was last requested."""
        return self.snapshot.details

    def show_message(self, text: str) -> None:
        """Show a message until the next event arrives."""
        self._message = text

    def tree(self, height: int | None, *messages: str) -> Tree:
        """Return the tree of the run's current state, with messages below it."""
        from .tree import build_tree

        if self._message is not None:
            messages += (self._message,)
        elif not self._target.client.server_info().capabilities["events"]:
            messages += ("this server reports no events: the steps are not shown",)
        now = datetime.now(UTC) + self._clock_difference
        failed_below = self.run.failed_in_sub_runs or 0
        return build_tree(self.progress, now, "; ".join(messages) or None, height=height, failed_below=failed_below)

    def follow(
        self,
        show: Shown = lambda event, seconds, error: None,
        refresh: Callable[[], None] = lambda: None,
        *,
        sub_runs: bool = False,
    ) -> None:
        """Process events until the run has ended.

        Args:
            show: Called with each event.
            refresh: Called several times per second.
            sub_runs: Whether to include the events of sub-runs.

        Raises:
            RunTimeoutError: If the run has not ended in time.
        """
        # For a run that is itself a sub-run, servers would send its parent's events, with wrong step ids.
        sub_runs = sub_runs and self.run.parent_run_id is None
        drawn, until = -math.inf, self._deadline or math.inf
        follow = self._target.client._services.watcher.follow
        followed = follow(self.progress, every=_REFRESH_SECONDS, until=until, include_sub_runs=sub_runs)
        # A request to a server that does not respond ends in time too.
        with deadline_scope(self._deadline), closing(followed):
            for now in followed:
                if now.event is not None:
                    self._message = None
                    show(now.event, now.seconds, self._find_step_error(now.event))
                self.snapshot = now.snapshot or self.snapshot
                if now.event is None or time.monotonic() - drawn >= _REFRESH_SECONDS:
                    refresh()
                    drawn = time.monotonic()
        self._message = None
        # Events do not contain why items failed.
        self._read_final_state()
        errors: dict[str | None, str] = {}
        for item in self.snapshot.items or ():
            if item.error is not None:
                errors.setdefault(item.error.step_id, _first_line(item.error.message))
        for step in self.progress.steps:
            if step.failed and step.error is None:
                step.error = errors.get(step.step_id)
        for (index, _), account in self._accounts.items():
            self._note_not_run(index, account)

    def _read_final_state(self) -> None:
        """Request the parts of the run that explain why items failed, unless the run is too large."""
        from stepflow_client._runs.explanation import explain_steps

        run = self.run
        has_failed = run.status in FAILED_STATUSES
        parts: list[SnapshotPart] = ["counts"]
        if run.items.total <= MAX_EXPLAINED_ITEMS and (has_failed or any(step.failed for step in self.progress.steps)):
            parts += ("items", "steps", "flow", "arguments")
        elif has_failed and run.items.total <= _MAX_ITEMS:
            parts.append("items")
        snapshot = self._target.client.snapshot(run.run_id, include=parts)
        details = add_failed_sub_runs(self._target.client, snapshot.details)
        self.snapshot = replace(snapshot, details=details)
        self._accounts = explain_steps(self.snapshot) if "steps" in parts else {}

    def _note_not_run(self, item: int, account: StepAccount) -> None:
        """Record that a step was not run because of another one."""
        step = next((step for step in self.progress.steps if step.step_id == account.step_id), None)
        if step is not None and item in step.ended and account.because_of is not None:
            step.not_run[item] = account.because_of

    def _find_step_error(self, event: RunEvent) -> str | None:
        """Request why a step failed; only once per step, because a batch may have very many items."""
        if event.type != "step_completed" or getattr(event, "status", None) != "failed":
            return None
        run = self.progress.of(event)
        step, item = run.step_of(event), getattr(event, "item_index", 0)
        account = None
        if run is self.progress:
            account = self._accounts.get((item, step.step_id))
            # In large runs, only the end tells which steps were not run.
            is_small = self.run.items.total <= _FEW_ITEMS
            others = [other for other in run.steps if other is not step and item in other.ended and other.failed]
            if account is not None:
                self._note_not_run(item, account)
            elif item not in step.not_run and is_small and others:
                with suppress(StepflowClientError):
                    for explained in self._target.client.explain_run(run.run_id, item_index=item).steps:
                        self._note_not_run(item, explained)
        if item in step.not_run or step.error is not None:
            return None
        error = None if account is None else account.error
        if account is None:
            # The run continues even if this request fails.
            with suppress(StepflowClientError):
                error = self._target.client.get_run_step(run.run_id, step.step_id, item_index=item).error
        step.error = None if error is None else _first_line(error.message)
        return step.error

    def _get_flow_outline(self, run_id: str, item: int) -> FlowOutline:
        # Flows of sub-runs may not be stored, so their runs are requested.
        if len(self.progress.sub_runs) > _MAX_FLOWS:
            return None, {}
        try:
            run = self._target.client.snapshot(run_id, include="steps")
        except StepflowClientError:
            return None, {}
        steps = {step.step_index: step.step_id for step in run.steps or () if step.step_index is not None}
        return run.details.flow_name, steps


def find_failure(target: Target, run: RunDetails) -> Problem | None:
    """Return the problem for a run that ended without success; None for a successful run."""
    if run.status == "completed":
        return None
    if run.status == "cancelled":
        return cancelled_run_problem(run.run_id)
    parts: list[SnapshotPart] = ["items"] if run.items.total <= _MAX_ITEMS else []
    items = target.client.snapshot(run.run_id, include=parts).items or ()
    results = [item.result for item in items if item.result is not None]
    if run.items.total == 1 and results:
        return get_failure(results[0])
    # The server has lost the items that never stop running.
    failed = run.items.failed + run.items.running
    message = f"{failed} of {run.items.total} items of run {run.run_id} failed"
    if first := next((item for item in items if item.error is not None), None):
        step = f" at step {first.error.step_id!r}" if first.error.step_id else ""
        message += f"; item {first.index}{step}: {first.error.message}"
    return Problem(message, kind="run_failed", run_id=run.run_id)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
