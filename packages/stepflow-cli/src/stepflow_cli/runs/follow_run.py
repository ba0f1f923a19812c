"""Follows a run until it ends, showing its events as text or its state as a tree, and reports how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from rich.tree import Tree
from stepflow_client import StepflowClientError
from stepflow_client._command import build_initial_progress, compute_deadline, deadline_scope
from stepflow_client._rules.run_progress import FlowOutline, RunProgress, StepProgress
from stepflow_client.progress import Progress
from stepflow_client.types.run_explanation import format_state
from stepflow_client.types.statuses import FAILED_STATUSES, ExecutionStatus

from ..errors import Problem
from ..output.colors_and_escaping import escape, escape_lines_for_terminal
from ..output.tables import STATUS_STYLES, truncate_to_width
from ..records.print_results import build_cancelled_run_problem, build_result_problem
from ..records.runs import duration_text, get_run_seconds_so_far
from ..server.connect import Target
from .explain_failures import MAX_EXPLAINED_ITEMS, add_failed_sub_run_item_count

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepAccount, SyncStepflowClient
    from stepflow_client._command import RunUpdate
    from stepflow_client.events import RunEvent
    from stepflow_client.types.runs import SnapshotPart


def describe_event(event: RunEvent, root: RunProgress, seconds: float | None = None, error: str | None = None) -> str:
    """Describe an event on one line.

    Args:
        event: An event that `root` has already processed.
        root: The run that is being followed.
        seconds: The duration, if a step, item or run has ended.
        error: The error, if a step failed.
    """
    run = root.get_or_add_event_run(event)
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
            step = run.get_or_add_event_step(event)
            return f"{item}step {step.step_id}: {_describe_step_state(event, step, took, error)}"
    return f"{whole_run}: {getattr(event, 'name', event.type).replace('_', ' ')}"


def _describe_step_state(event: RunEvent, step: StepProgress, took: str, error: str | None) -> str:
    if event.type == "step_ready":
        return "ready"
    if event.type == "step_started":
        attempt = getattr(event, "attempt", 1)
        return f"running, attempt {attempt}" if attempt > 1 else "running"
    item, status = getattr(event, "item_index", 0), getattr(event, "status", "completed")
    if item in step.not_run:
        return f"not run ({step.not_run[item]} failed)"
    if item in step.unclear:
        status = "failed or not run"
    if step.kept and status == "completed":
        return "kept"
    return f"{status}{took}" + ("" if error is None else f": {error}")


# Maximum number of runs to follow at once. Each one needs a connection.
_MAX_FOLLOWED_RUNS = 10
# Maximum number of items in a batch to follow. Each one uses memory.
_MAX_EVENT_ITEMS = 10_000
# Maximum number of seconds to spend reading the events of one run before each update.
_MAX_READ_SECONDS = 0.5
# If no event arrives for this many seconds, assume that all events so far have been read.
_SILENCE = 0.02


class RunningRunsFollower:
    """Follows running runs, counting their items and describing their progress. It must be closed."""

    def __init__(self, client: SyncStepflowClient) -> None:
        self._client = client
        self._followed: dict[str, Generator[RunUpdate, None, None]] = {}
        self._progress: dict[str, RunProgress] = {}

    def close(self) -> None:
        """Stop following all runs."""
        self._stop_following_others(set())

    def add_progress(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Add `progress` and the current item counts to the records of runs, and start following any new runs.

        Args:
            records: The newest runs. Any other runs are no longer followed.
        """
        totals = {
            record["run_id"]: record["items"]["total"]
            for record in records
            if record["status"] == "running" and 1 <= record["items"]["total"] <= _MAX_EVENT_ITEMS
        }
        self._stop_following_others(set(totals))
        # Start with batches, because they take the longest.
        for run_id in sorted(totals, key=lambda run_id: totals[run_id] == 1):
            # If there is an error, keep the old counts. The request for the list already shows whether the server can
            # be reached.
            with suppress(StepflowClientError):
                self._read_pending_events(run_id)
        return [self._add_record_progress(record) for record in records]

    def _stop_following_others(self, run_ids: set[str]) -> None:
        for run_id in self._followed.keys() - run_ids:
            self._followed.pop(run_id).close()
            del self._progress[run_id]

    def _read_pending_events(self, run_id: str) -> None:
        if run_id not in self._followed:
            if len(self._followed) >= _MAX_FOLLOWED_RUNS:
                return
            self._progress[run_id] = build_initial_progress(self._client.snapshot(run_id, include="flow"))
            self._followed[run_id] = self._client._services.watcher.iter_updates(self._progress[run_id], every=_SILENCE)
            next(self._followed[run_id])
        end = time.monotonic() + _MAX_READ_SECONDS
        for update in self._followed[run_id]:
            if update.event is None or time.monotonic() > end:
                return

    def _add_record_progress(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        items, seconds = record["items"], get_run_seconds_so_far(record) or 0.0
        progress = self._progress.get(record["run_id"])
        if progress is not None:
            items = items | progress.get_item_counts()
            return {**record, "items": items, "progress": str(progress.make_progress(seconds))}
        failed = items["failed"] + items["cancelled"]
        counts = Progress(total=items["total"], completed=items["completed"], failed=failed, duration=seconds)
        return {**record, "progress": duration_text(seconds) if counts.total == 1 else str(counts)}


_MAX_ID_WIDTH = 40
# Minimum number of steps to show, no matter how small the terminal is.
_MIN_ROWS = 3
# Maximum number of sub-runs to show. Any others are only counted.
_MAX_SHOWN_SUB_RUNS = 8


def build_run_tree(
    run: RunProgress, now: datetime, note: str | None = None, *, height: int | None = None, failed_below: int = 0
) -> Tree:
    """Return a tree that shows a run's current state.

    Args:
        run: The run.
        now: The current time by the server's clock.
        note: A message to show on the last line.
        height: Maximum number of lines, or None for no limit. If there are too many steps, inactive ones are only
            counted.
        failed_below: The number of failed items in sub-runs, if the run has completed.
    """
    state = format_state(run.status, failed_children=failed_below if run.status == "completed" else 0)
    status = state, STATUS_STYLES.get(run.status, "")
    title = _join_escaped_line(
        f"run {escape(run.run_id)}\n{_format_flow_name(run)} ", status, _format_duration(run.get_duration(now))
    )
    if run.total != 1:
        title.append(f"  {run.total} items")
    tree = Tree(title)
    shown_errors: list[str] = []
    below = list(run.sub_runs.values())
    if height is not None:
        # Reserve lines for the title, the note and the count.
        height = max(_MIN_ROWS, height - 3 - 2 * min(len(below), _MAX_SHOWN_SUB_RUNS))
    _add_step_lines(tree, run, now, height, shown_errors)
    # Show the running sub-runs first and then the newest of those that have ended, all in order of creation.
    places = sorted(range(len(below)), key=lambda place: (below[place].is_over, -place))
    for sub_run in [below[place] for place in sorted(places[:_MAX_SHOWN_SUB_RUNS])]:
        status = sub_run.status, STATUS_STYLES.get(sub_run.status, "")
        title = _join_escaped_line(f"sub-run {sub_run.run_id} ", status, _format_duration(sub_run.get_duration(now)))
        title.append(f"  {_format_flow_name(sub_run)}")
        _add_step_lines(tree.add(title), sub_run, now, None if height is None else 1, shown_errors)
    if len(below) > _MAX_SHOWN_SUB_RUNS:
        tree.add(
            _join_escaped_line(
                f"{len(below)} sub-runs in all: {_format_status_counts([sub_run.status for sub_run in below])}"
            )
        )
    if note:
        tree.add(_join_escaped_line(note))
    return tree


def _add_step_lines(tree: Tree, run: RunProgress, now: datetime, most: int | None, shown_errors: list[str]) -> None:
    """Add a line for each step in a run.

    Args:
        tree: The tree to add to.
        run: The run.
        now: The current time by the server's clock.
        most: Maximum number of lines.
        shown_errors: Errors that have already been shown and aren't repeated. New errors are added to this list.
    """
    every = run.steps
    steps = every if most is None or len(every) <= most else _select_shown_steps(every, run, most)
    width = min(_MAX_ID_WIDTH, max((cell_len(escape(step.step_id)) for step in steps), default=0))
    widest = max((cell_len(escape(step.get_state_text(run.total, run.is_over))) for step in steps), default=0)
    for step in steps:
        line = _format_step_line(step, run, now, width, widest)
        if (
            step.error
            and step.failed_count > len(step.not_run)
            and not any(step.error in each for each in shown_errors)
        ):
            shown_errors.append(step.error)
            line.append(f"  {escape(step.error)}")
        tree.add(line)
    if len(steps) < len(every):
        left_out = [step.get_state_text(run.total, run.is_over) for step in every if step not in steps]
        tree.add(_join_escaped_line(f"… and {_format_status_counts(left_out)}"))


def _select_shown_steps(steps: Sequence[StepProgress], run: RunProgress, most: int) -> list[StepProgress]:
    """Return the steps to show.

    If they don't all fit, prefer running steps, then failed ones, then the next to run.
    """
    order = {"running": 0, "failed": 1, "waiting": 2}

    def rank_step(place: int) -> tuple[int, int]:
        status = steps[place].get_status(run.total, run.is_over)
        # Among steps with the same status, prefer later ones (or earlier ones, if they are waiting).
        return order.get(status, 3), place if status == "waiting" else -place

    return [steps[place] for place in sorted(sorted(range(len(steps)), key=rank_step)[:most])]


def _format_step_line(step: StepProgress, run: RunProgress, now: datetime, width: int, widest: int) -> Text:
    name = set_cell_size(truncate_to_width(escape(step.step_id), width), width)
    status = escape(step.get_state_text(run.total, run.is_over))
    text = _join_escaped_line(f"{name}  ", (set_cell_size(status, widest), STATUS_STYLES.get(status, "dim")))
    is_run = not step.kept and (len(step.not_run) < len(step.ended) or not step.not_run)
    text.append(f"{_format_duration(step.get_duration(now) if is_run else None):>8}")
    if run.total != 1:
        failed = step.failed_count - len(step.not_run) - len(step.unclear)
        text.append(f"  {failed + step.count_items_with_status('completed')} of {run.total} done")
        text.append(f", {len(step.running)} running" if step.running else "")
        text.append(f", {failed} failed" if failed else "")
        text.append(f", {len(step.unclear)} failed or not run" if step.unclear else "")
        text.append(f", {len(step.not_run)} not run" if step.not_run else "")
    elif step.attempt > 1:
        text.append(f"  attempt {step.attempt}")
    return Text(text.plain.rstrip(), spans=text.spans, no_wrap=True, overflow="ellipsis")


def _join_escaped_line(*parts: str | tuple[str, str]) -> Text:
    safe = (escape_lines_for_terminal(part) if isinstance(part, str) else (escape(part[0]), part[1]) for part in parts)
    return Text.assemble(*safe, no_wrap=True, overflow="ellipsis")


def _format_flow_name(run: RunProgress) -> str:
    return escape(run.flow_name or "unnamed flow")


def _format_duration(seconds: float | None) -> str:
    return "" if seconds is None else f"  {duration_text(seconds)}"


def _format_status_counts(statuses: Sequence[str]) -> str:
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


# Number of seconds between updates of the display.
_REFRESH_SECONDS = 0.2
# Maximum number of items to fetch to find out what failed.
_MAX_FETCHED_ITEMS = 10_000
# Maximum number of items for which skipped steps are looked up before the run ends.
_MAX_SMALL_RUN_ITEMS = 20
# Maximum number of sub-runs for which step IDs are fetched.
_MAX_FETCHED_SUB_RUNS = 100

ShowEvent = Callable[["RunEvent", float | None, "str | None"], None]
"""Called with each event, along with the duration if something has ended and the error if a step failed."""


class RunWatch:
    """A run being followed."""

    def __init__(self, target: Target, run_id: str, timeout: float | None = None) -> None:
        """Fetch the run and the server's time.

        `timeout` is the maximum number of seconds to follow the run, counting from now.
        """
        self._target = target
        self._deadline = compute_deadline(timeout)
        with deadline_scope(self._deadline):
            health = target.client.health_check().timestamp
            self.snapshot = target.client.snapshot(run_id, include=("flow", "arguments"))
        self._clock_difference = timedelta() if health is None else health - datetime.now(UTC)
        self._message: str | None = None
        self._accounts: dict[tuple[int, str], StepAccount] = {}
        """The outcome of each step by item index and step ID. Empty until the run has ended."""
        self.progress = build_initial_progress(self.snapshot, flow_of=self._fetch_sub_run_outline)
        if self.details.is_finished:
            self._deadline = None
            self._read_final_state()

    @property
    def details(self) -> RunDetails:
        """The run as of the last fetch."""
        return self.snapshot.details

    def show_message(self, text: str) -> None:
        """Show a message until the next event arrives."""
        self._message = text

    def build_tree(self, height: int | None, *messages: str) -> Tree:
        """Return a tree that shows the run's current state, with messages below it."""

        if self._message is not None:
            messages += (self._message,)
        elif not self._target.client.server_info().capabilities["events"]:
            messages += ("this server reports no events: the steps are not shown",)
        now = datetime.now(UTC) + self._clock_difference
        failed_below = self.details.failed_in_sub_runs or 0
        return build_run_tree(self.progress, now, "; ".join(messages) or None, height=height, failed_below=failed_below)

    def follow(
        self,
        show: ShowEvent = lambda event, seconds, error: None,
        refresh: Callable[[], None] = lambda: None,
        *,
        sub_runs: bool = False,
    ) -> None:
        """Process events until the run ends.

        Args:
            show: Called with each event.
            refresh: Called several times per second.
            sub_runs: Whether to include events from sub-runs.

        Raises:
            RunTimeoutError: If the run does not end in time.
        """
        # If the run is a sub-run itself, servers would send its parent's events, with the wrong step IDs.
        sub_runs = sub_runs and self.details.parent_run_id is None
        drawn, until = -math.inf, self._deadline or math.inf
        follow = self._target.client._services.watcher.iter_updates
        followed = follow(self.progress, every=_REFRESH_SECONDS, until=until, include_sub_runs=sub_runs)
        # Apply the deadline to requests too, because the server may not respond.
        with deadline_scope(self._deadline), closing(followed):
            for now in followed:
                if now.event is not None:
                    self._message = None
                    show(now.event, now.seconds, self._fetch_step_error(now.event))
                self.snapshot = now.snapshot or self.snapshot
                if now.event is None or time.monotonic() - drawn >= _REFRESH_SECONDS:
                    refresh()
                    drawn = time.monotonic()
        self._message = None
        # Events don't say why items failed, so fetch the reasons now.
        self._read_final_state()
        errors: dict[str | None, str] = {}
        for item in self.snapshot.items or ():
            if item.error is not None:
                errors.setdefault(item.error.step_id, _get_first_line(item.error.message))
        for step in self.progress.steps:
            if step.failed_count and step.error is None:
                step.error = errors.get(step.step_id)
        for (index, _), account in self._accounts.items():
            self._record_skipped_step(index, account)

    def _read_final_state(self) -> None:
        """Read the state of the run after it has ended.

        Unless there are too many items, find out why some of them failed.
        """
        from stepflow_client._runs.explanation import explain_steps

        run = self.details
        has_failed = run.status in FAILED_STATUSES
        parts: list[SnapshotPart] = ["counts"]
        has_failed_step = any(step.failed_count for step in self.progress.steps)
        if run.items.total <= MAX_EXPLAINED_ITEMS and (has_failed or has_failed_step):
            parts += ("items", "steps", "flow", "arguments")
        elif has_failed and run.items.total <= _MAX_FETCHED_ITEMS:
            parts.append("items")
        snapshot = self._target.client.snapshot(run.run_id, include=parts)
        details = add_failed_sub_run_item_count(self._target.client, snapshot.details)
        self.snapshot = replace(snapshot, details=details)
        self._accounts = explain_steps(self.snapshot) if "steps" in parts else {}

    def _record_skipped_step(self, item: int, account: StepAccount) -> None:
        """Record that a step was (or may have been) skipped because another step failed."""
        step = next((step for step in self.progress.steps if step.step_id == account.step_id), None)
        if step is None or item not in step.ended:
            return
        if account.because_of is not None:
            step.not_run[item] = account.because_of
        elif account.state == "unknown" and account.status is ExecutionStatus.FAILED:
            step.unclear.add(item)

    def _fetch_step_error(self, event: RunEvent) -> str | None:
        """Return a failed step's error, but only the first time it fails, because a batch can have many failures."""
        if event.type != "step_completed" or getattr(event, "status", None) != "failed":
            return None
        run = self.progress.get_or_add_event_run(event)
        step, item = run.get_or_add_event_step(event), getattr(event, "item_index", 0)
        account = None
        if run is self.progress:
            account = self._accounts.get((item, step.step_id))
            # In a large run, skipped steps aren't identified until the end.
            is_small = self.details.items.total <= _MAX_SMALL_RUN_ITEMS
            others = [other for other in run.steps if other is not step and item in other.ended and other.failed_count]
            if account is not None:
                self._record_skipped_step(item, account)
            elif item not in step.not_run and is_small and others:
                with suppress(StepflowClientError):
                    for explained in self._target.client.explain_run(run.run_id, item_index=item).steps:
                        self._record_skipped_step(item, explained)
        if item in step.not_run or step.error is not None:
            return None
        error = None if account is None else account.error
        if account is None:
            # Keep following the run even if this request fails.
            with suppress(StepflowClientError):
                error = self._target.client.get_run_step(run.run_id, step.step_id, item_index=item).error
        step.error = None if error is None else _get_first_line(error.message)
        return step.error

    def _fetch_sub_run_outline(self, run_id: str, item: int) -> FlowOutline:
        # The flow of a sub-run isn't always stored, so fetch the run instead.
        if len(self.progress.sub_runs) > _MAX_FETCHED_SUB_RUNS:
            return None, {}
        try:
            run = self._target.client.snapshot(run_id, include="steps")
        except StepflowClientError:
            return None, {}
        steps = {step.step_index: step.step_id for step in run.steps or () if step.step_index is not None}
        return run.details.flow_name, steps


def build_failure_problem(target: Target, run: RunDetails) -> Problem | None:
    """Return the problem for a run that did not succeed, or None if it did."""
    if run.status == "completed":
        return None
    if run.status == "cancelled":
        return build_cancelled_run_problem(run.run_id)
    parts: list[SnapshotPart] = ["items"] if run.items.total <= _MAX_FETCHED_ITEMS else []
    items = target.client.snapshot(run.run_id, include=parts).items or ()
    results = [item.result for item in items if item.result is not None]
    if run.items.total == 1 and results:
        return build_result_problem(results[0])
    # If items are still marked as running, the server has lost them.
    failed = run.items.failed + run.items.running
    message = f"{failed} of {run.items.total} items of run {run.run_id} failed"
    if first := next((item for item in items if item.error is not None), None):
        step = f" at step {first.error.step_id!r}" if first.error.step_id else ""
        message += f"; item {first.index}{step}: {first.error.message}"
    return Problem(message, kind="run_failed", run_id=run.run_id)


def _get_first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
