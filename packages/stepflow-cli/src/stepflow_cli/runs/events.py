"""The events of runs in words, and the progress of the runs in a list."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from stepflow_client import StepflowClientError
from stepflow_client._command import progress_of
from stepflow_client._rules.run_progress import RunProgress
from stepflow_client.progress import Progress

from ..records.runs import duration_text, seconds_so_far

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client._command import Followed
    from stepflow_client.events import RunEvent


def words_for(event: RunEvent, root: RunProgress, seconds: float | None = None, error: str | None = None) -> str:
    """Return an event as one line of text.

    Args:
        event: The event; `root` has already processed it.
        root: The run that is followed.
        seconds: How long it took, for the end of a step, item or run.
        error: The error of a failed step.
    """
    run = root.of(event)
    where = f"run {run.run_id}" if run is root else f"sub-run {run.run_id}"
    took = "" if seconds is None else f" in {duration_text(seconds)}"
    match event.type:
        case "run_created" | "sub_run_created":
            items = "" if run.total == 1 else f", {run.total} items"
            return f"{where}: running{items}"
        case "run_completed":
            return f"{where}: {run.status}{took}"
        case "steps_needed":
            return f"{_item(run, root, event)}steps needed: {', '.join(getattr(event, 'step_ids', ())) or 'none'}"
        case "step_ready":
            return f"{_step(run, root, event)}: ready"
        case "step_started":
            attempt = getattr(event, "attempt", 1)
            return f"{_step(run, root, event)}: running{f', attempt {attempt}' if attempt > 1 else ''}"
        case "step_completed":
            step = run.step_of(event)
            cause = step.not_run.get(getattr(event, "item_index", 0))
            if cause is not None:
                return f"{_step(run, root, event)}: not run ({cause} failed)"
            if step.kept and getattr(event, "status", "completed") == "completed":
                return f"{_step(run, root, event)}: kept"
            why = "" if error is None else f": {error}"
            return f"{_step(run, root, event)}: {getattr(event, 'status', 'completed')}{took}{why}"
    return f"{where}: {getattr(event, 'name', event.type).replace('_', ' ')}"


def _item(run: RunProgress, root: RunProgress, event: RunEvent) -> str:
    below = "" if run is root else f"sub-run {run.run_id}, "
    return below if run.total == 1 else f"{below}item {getattr(event, 'item_index', 0)}, "


def _step(run: RunProgress, root: RunProgress, event: RunEvent) -> str:
    return f"{_item(run, root, event)}step {run.step_of(event).step_id}"


_AT_ONCE = 10
"""Maximum number of runs that are followed at once: each takes a connection."""
_MAX_ITEMS = 10_000
"""Larger batches are not followed: each item takes some memory."""
_READ_SECONDS = 0.5
"""Maximum time to read the events of one run between two updates."""
_SILENCE = 0.02
"""Seconds without an event after which the events so far count as read."""


class RunningRuns:
    """Follows running runs, counts their items and describes their progress; a context manager."""

    def __init__(self, client: SyncStepflowClient) -> None:
        self._client = client
        self._followed: dict[str, Generator[Followed, None, None]] = {}
        self._progress: dict[str, RunProgress] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop following."""
        self._keep(set())

    def updated(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the records of runs, with `progress` and the items that have ended so far; follow those that are new.

        Args:
            records: The newest runs. Runs that are not among them are no longer followed.
        """
        running = {record["run_id"]: record["items"]["total"] for record in records if _is_followed(record)}
        self._keep(set(running))
        # Batches first: they are the long ones.
        for run_id in sorted(running, key=lambda each: running[each] == 1):
            # The list itself shows whether the server is there; the counts so far stay until the run has ended.
            with suppress(StepflowClientError):
                self._read(run_id)
        return [self._with_progress(record) for record in records]

    def _keep(self, run_ids: set[str]) -> None:
        for run_id in self._followed.keys() - run_ids:
            self._followed.pop(run_id).close()
            del self._progress[run_id]

    def _read(self, run_id: str) -> None:
        if run_id not in self._followed:
            if len(self._followed) >= _AT_ONCE:
                return
            self._progress[run_id] = progress_of(self._client.snapshot(run_id, include="flow"))
            self._followed[run_id] = self._client._services.watcher.follow(self._progress[run_id], every=_SILENCE)
            next(self._followed[run_id])
        end = time.monotonic() + _READ_SECONDS
        for seen in self._followed[run_id]:
            if seen.event is None or time.monotonic() > end:
                return

    def _with_progress(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        items, seconds = record["items"], seconds_so_far(record) or 0.0
        progress = self._progress.get(record["run_id"])
        if progress is None:
            failed = items["failed"] + items["cancelled"]
            now = Progress(total=items["total"], completed=items["completed"], failed=failed, duration=seconds)
            return {**record, "progress": duration_text(seconds) if now.total == 1 else str(now)}
        return {**record, "items": items | progress.counts(), "progress": str(progress.progress(seconds))}


def _is_followed(record: Mapping[str, Any]) -> bool:
    return bool(record["status"] == "running" and 1 <= record["items"]["total"] <= _MAX_ITEMS)
