"""A run's events in words: one line for each change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepflow_client._rules.run_progress import RunProgress

from ..records.runs import duration_text

if TYPE_CHECKING:
    from stepflow_client.events import RunEvent

__all__ = ["words_for"]


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
