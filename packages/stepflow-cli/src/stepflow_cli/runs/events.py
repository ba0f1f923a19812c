"""The events of runs in words, and the progress of the runs in a list."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stepflow_client import StepflowClientError
from stepflow_client._command import progress_of
from stepflow_client._rules.run_progress import RunProgress, StepProgress
from stepflow_client.progress import Progress

from ..records.runs import duration_text, get_seconds_so_far

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client._command import RunUpdate
    from stepflow_client.events import RunEvent


def describe_event(event: RunEvent, root: RunProgress, seconds: float | None = None, error: str | None = None) -> str:
    """Return an event as one line of text.

    Args:
        event: The event; `root` has already processed it.
        root: The run that is followed.
        seconds: How long it took, for the end of a step, item or run.
        error: The error of a failed step.
    """
    run = root.of(event)
    below = "" if run is root else f"sub-run {run.run_id}, "
    item = below if run.total == 1 else f"{below}item {getattr(event, 'item_index', 0)}, "
    whole_run = f"run {run.run_id}" if run is root else f"sub-run {run.run_id}"
    took = "" if seconds is None else f" in {duration_text(seconds)}"
    match event.type:
        case "run_created" | "sub_run_created":
            items = "" if run.total == 1 else f", {run.total} items"
            return f"{whole_run}: running{items}"
        case "run_completed":
            return f"{whole_run}: {run.status}{took}"
        case "steps_needed":
            return f"{item}steps needed: {', '.join(getattr(event, 'step_ids', ())) or 'none'}"
        case "step_ready" | "step_started" | "step_completed":
            step = run.step_of(event)
            return f"{item}step {step.step_id}: {_describe_step_state(event, step, took, error)}"
    return f"{whole_run}: {getattr(event, 'name', event.type).replace('_', ' ')}"


def _describe_step_state(event: RunEvent, step: StepProgress, took: str, error: str | None) -> str:
    if event.type == "step_ready":
        return "ready"
    if event.type == "step_started":
        attempt = getattr(event, "attempt", 1)
        return f"running, attempt {attempt}" if attempt > 1 else "running"
    cause, status = step.not_run.get(getattr(event, "item_index", 0)), getattr(event, "status", "completed")
    if cause is not None:
        return f"not run ({cause} failed)"
    if step.kept and status == "completed":
        return "kept"
    return f"{status}{took}" + ("" if error is None else f": {error}")


# Maximum number of runs that are followed at once: each takes a connection.
_MAX_FOLLOWED = 10
# Larger batches are not followed: each item takes some memory.
_MAX_ITEMS = 10_000
# Maximum time to read the events of one run between two updates.
_READ_SECONDS = 0.5
# Seconds without an event after which the events so far count as read.
_SILENCE = 0.02


class RunningRuns:
    """Follows running runs, counts their items and describes their progress. It must be closed."""

    def __init__(self, client: SyncStepflowClient) -> None:
        self._client = client
        self._followed: dict[str, Generator[RunUpdate, None, None]] = {}
        self._progress: dict[str, RunProgress] = {}

    def close(self) -> None:
        """Stop following."""
        self._keep_only(set())

    def add_progress(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the records of runs, with `progress` and the items that have ended so far; follow those that are new.

        Args:
            records: The newest runs. Runs that are not among them are no longer followed.
        """
        totals = {
            record["run_id"]: record["items"]["total"]
            for record in records
            if record["status"] == "running" and 1 <= record["items"]["total"] <= _MAX_ITEMS
        }
        self._keep_only(set(totals))
        # Batches first: they take longest.
        for run_id in sorted(totals, key=lambda run_id: totals[run_id] == 1):
            # The list itself shows whether the server is reachable; the counts so far stay until the run has ended.
            with suppress(StepflowClientError):
                self._read_events(run_id)
        return [self._add_progress(record) for record in records]

    def _keep_only(self, run_ids: set[str]) -> None:
        for run_id in self._followed.keys() - run_ids:
            self._followed.pop(run_id).close()
            del self._progress[run_id]

    def _read_events(self, run_id: str) -> None:
        if run_id not in self._followed:
            if len(self._followed) >= _MAX_FOLLOWED:
                return
            self._progress[run_id] = progress_of(self._client.snapshot(run_id, include="flow"))
            self._followed[run_id] = self._client._services.watcher.follow(self._progress[run_id], every=_SILENCE)
            next(self._followed[run_id])
        end = time.monotonic() + _READ_SECONDS
        for update in self._followed[run_id]:
            if update.event is None or time.monotonic() > end:
                return

    def _add_progress(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        items, seconds = record["items"], get_seconds_so_far(record) or 0.0
        progress = self._progress.get(record["run_id"])
        if progress is not None:
            return {**record, "items": items | progress.counts(), "progress": str(progress.progress(seconds))}
        failed = items["failed"] + items["cancelled"]
        counts = Progress(total=items["total"], completed=items["completed"], failed=failed, duration=seconds)
        return {**record, "progress": duration_text(seconds) if counts.total == 1 else str(counts)}
