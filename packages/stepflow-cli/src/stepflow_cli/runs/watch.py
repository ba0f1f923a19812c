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
from stepflow_client._rules.run_progress import FlowOutline, StepProgress
from stepflow_client.types.statuses import FAILED_STATUSES

from ..errors import Problem
from ..records.results import cancelled_run, failure
from ..server.connect import Target
from .accounts import MAX_EXPLAINED_ITEMS, with_failed_sub_runs

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepAccount
    from stepflow_client.events import RunEvent
    from stepflow_client.types.snapshot import SnapshotPart

_TICK = 0.2
"""Seconds between updates of the display."""
_MAX_ITEMS = 10_000
"""For larger runs, the items are not requested to find out what failed."""
_FEW_ITEMS = 20
"""Number of items up to which the steps that were not run are told while the run is still running."""
_MAX_FLOWS = 100
"""Maximum number of sub-runs whose step ids are requested."""

Shown = Callable[["RunEvent", float | None, "str | None"], None]
"""Called with each event, the duration of what has ended, and the error of a failed step."""


class Watch:
    """A run that is followed."""

    def __init__(self, target: Target, run_id: str, timeout: float | None = None) -> None:
        """Request the run and the server's time; `timeout` limits following the run, from now on."""
        self._target = target
        self._deadline = deadline_of(timeout)
        with deadline_scope(self._deadline):
            health = target.client.health_check().timestamp
            self.snapshot = target.client.snapshot(run_id, include=("flow", "arguments"))
        self._ahead = timedelta() if health is None else health - datetime.now(UTC)
        self._said: str | None = None
        self._accounts: dict[tuple[int, str], StepAccount] = {}
        """What became of each step, once the run has ended."""
        self.progress = progress_of(self.snapshot, flow_of=self._flow_of)
        if self.run.is_finished:
            self._deadline = None
            self._read_end()

    @property
    def run(self) -> RunDetails:
        """The run and its state when it was last requested."""
        return self.snapshot.details

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

    def follow(self, show: Shown, refresh: Callable[[], None], *, sub_runs: bool = False) -> None:
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
        followed = follow(self.progress, every=_TICK, until=until, include_sub_runs=sub_runs)
        # A request to a server that does not respond ends in time too.
        with deadline_scope(self._deadline), closing(followed):
            for now in followed:
                if now.event is not None:
                    self._said = None
                    show(now.event, now.seconds, self._error_of(now.event))
                self.snapshot = now.snapshot or self.snapshot
                if now.event is None or time.monotonic() - drawn >= _TICK:
                    refresh()
                    drawn = time.monotonic()
        self._finish()

    def _finish(self) -> None:
        """Request what events do not contain: the end itself, and why items failed."""
        self._said = None
        self._read_end()
        errors: dict[str | None, str] = {}
        for item in self.snapshot.items or ():
            if item.error is not None:
                errors.setdefault(item.error.step_id, _first_line(item.error.message))
        for step in self.progress.steps:
            if step.failed and step.error is None:
                step.error = errors.get(step.step_id)
        for (index, _), account in self._accounts.items():
            self._note(index, account)

    def _read_end(self) -> None:
        """Request the parts of the run that tell why items failed, as far as the run is not too large."""
        from stepflow_client._runs.explanation import step_accounts

        run = self.run
        has_failed = run.status in FAILED_STATUSES
        parts: list[SnapshotPart] = ["counts"]
        if run.items.total <= MAX_EXPLAINED_ITEMS and (has_failed or any(step.failed for step in self.progress.steps)):
            parts += ("items", "steps", "flow", "arguments")
        elif has_failed and run.items.total <= _MAX_ITEMS:
            parts.append("items")
        snapshot = self._target.client.snapshot(run.run_id, include=parts)
        details = with_failed_sub_runs(self._target.client, snapshot.details)
        self.snapshot = replace(snapshot, details=details)
        self._accounts = step_accounts(self.snapshot) if "steps" in parts else {}

    def _note(self, item: int, account: StepAccount) -> None:
        """Record that a step was not run because of another one."""
        step = next((step for step in self.progress.steps if step.step_id == account.step_id), None)
        if step is not None and item in step.ended and account.because_of is not None:
            step.not_run[item] = account.because_of

    def _error_of(self, event: RunEvent) -> str | None:
        """Request why a step failed; only once per step, because a batch may have very many items."""
        if event.type != "step_completed" or getattr(event, "status", None) != "failed":
            return None
        run = self.progress.of(event)
        step = run.step_of(event)
        item = getattr(event, "item_index", 0)
        known = self._accounts.get((item, step.step_id)) if run is self.progress else None
        if known is not None:
            self._note(item, known)
        elif run is self.progress and item not in step.not_run and self._failed_before(step, item):
            with suppress(StepflowClientError):
                for account in self._target.client.explain_run(run.run_id, item_index=item).steps:
                    self._note(item, account)
        if item in step.not_run or step.error is not None:
            return None
        error = None if known is None else known.error
        if known is None:
            # The run continues even if this request fails.
            with suppress(StepflowClientError):
                error = self._target.client.get_run_step(run.run_id, step.step_id, item_index=item).error
        step.error = None if error is None else _first_line(error.message)
        return step.error

    def _failed_before(self, step: StepProgress, item: int) -> bool:
        """Return whether another step of an item failed before this one. In large runs, only the end tells."""
        if self.run.items.total > _FEW_ITEMS:
            return False
        return any(item in other.ended and other.failed for other in self.progress.steps if other is not step)

    def _flow_of(self, run_id: str, item: int) -> FlowOutline:
        # Flows of sub-runs may not be stored, so their runs are requested.
        if len(self.progress.sub_runs) > _MAX_FLOWS:
            return None, {}
        try:
            run = self._target.client.snapshot(run_id, include="steps")
        except StepflowClientError:
            return None, {}
        steps = {step.step_index: step.step_id for step in run.steps or () if step.step_index is not None}
        return run.details.flow_name, steps


def failure_of(target: Target, run: RunDetails) -> Problem | None:
    """Return the problem for a run that ended without success; None for a successful run."""
    if run.status == "completed":
        return None
    if run.status == "cancelled":
        return cancelled_run(run.run_id)
    parts: list[SnapshotPart] = ["items"] if run.items.total <= _MAX_ITEMS else []
    items = target.client.snapshot(run.run_id, include=parts).items or ()
    results = [item.result for item in items if item.result is not None]
    if run.items.total == 1 and results:
        return failure(results[0])
    # The server has lost the items that never stop running.
    failed = run.items.failed + run.items.running
    said = f"{failed} of {run.items.total} items of run {run.run_id} failed"
    if first := next((item for item in items if item.error is not None), None):
        step = f" at step {first.error.step_id!r}" if first.error.step_id else ""
        said += f"; item {first.index}{step}: {first.error.message}"
    return Problem(said, kind="run_failed", run_id=run.run_id)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
