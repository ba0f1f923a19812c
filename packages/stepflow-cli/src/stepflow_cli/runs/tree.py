"""A run as a tree for the terminal: the run, a line for each step, and its sub-runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from rich.tree import Tree
from stepflow_client._rules.run_progress import RunProgress, StepProgress
from stepflow_client.types.account import state_text

from ..output.safety import printable, printable_lines
from ..output.tables import STATUS_STYLES, cut
from ..records.runs import duration_text

_WIDEST_ID = 40
# Minimum number of steps shown, however small the terminal is.
_MIN_ROWS = 3
# Maximum number of sub-runs shown; further ones are only counted.
_SUB_RUNS = 8


def build_tree(
    run: RunProgress, now: datetime, note: str | None = None, *, height: int | None = None, failed_below: int = 0
) -> Tree:
    """Return the tree of a run's current state.

    Args:
        run: The run.
        now: The time by the server's clock.
        note: A further message, shown as the last line.
        height: Maximum number of lines; inactive steps are then only counted. None for no limit.
        failed_below: Number of failed items in sub-runs of the run, if it has completed.
    """
    status = (
        state_text(run.status, failed_children=failed_below if run.status == "completed" else 0),
        STATUS_STYLES.get(run.status, ""),
    )
    title = _format_line(f"run {printable(run.run_id)}\n{_format_name(run)} ", status, _format_time(run.seconds(now)))
    if run.total != 1:
        title.append(f"  {run.total} items")
    tree = Tree(title)
    shown_errors: list[str] = []
    below = list(run.sub_runs.values())
    if height is not None:
        # Reserve lines for the title, the note, and a count.
        height = max(_MIN_ROWS, height - 3 - 2 * min(len(below), _SUB_RUNS))
    _add_steps(tree, run, now, height, shown_errors)
    for sub_run in _select_sub_runs(below):
        status = sub_run.status, STATUS_STYLES.get(sub_run.status, "")
        title = _format_line(f"sub-run {sub_run.run_id} ", status, _format_time(sub_run.seconds(now)))
        title.append(f"  {_format_name(sub_run)}")
        _add_steps(tree.add(title), sub_run, now, None if height is None else 1, shown_errors)
    if len(below) > _SUB_RUNS:
        tree.add(_format_line(f"{len(below)} sub-runs in all: {_format_counts([sub_run.status for sub_run in below])}"))
    if note:
        tree.add(_format_line(note))
    return tree


def _select_sub_runs(below: Sequence[RunProgress]) -> list[RunProgress]:
    """Return the running sub-runs and the newest of the others, in order of creation."""
    places = sorted(range(len(below)), key=lambda place: (below[place].is_over, -place))
    return [below[place] for place in sorted(places[:_SUB_RUNS])]


def _add_steps(tree: Tree, run: RunProgress, now: datetime, most: int | None, shown_errors: list[str]) -> None:
    """Add the lines of a run's steps.

    Args:
        tree: Where to add them.
        run: The run.
        now: The time by the server's clock.
        most: Maximum number of lines.
        shown_errors: The errors that are shown already; they are not repeated. New ones are added.
    """
    every = run.steps
    steps = every if most is None or len(every) <= most else _select_steps(every, run, most)
    width = min(_WIDEST_ID, max((cell_len(printable(step.step_id)) for step in steps), default=0))
    widest = max((cell_len(printable(step.state(run.total, run.is_over))) for step in steps), default=0)
    for step in steps:
        line = _format_step(step, run, now, width, widest)
        if step.error and step.failed > len(step.not_run) and not any(step.error in error for error in shown_errors):
            shown_errors.append(step.error)
            line.append(f"  {printable(step.error)}")
        tree.add(line)
    if len(steps) < len(every):
        left_out = [step.state(run.total, run.is_over) for step in every if step not in steps]
        tree.add(_format_line(f"… and {_format_counts(left_out)}"))


def _select_steps(steps: Sequence[StepProgress], run: RunProgress, most: int) -> list[StepProgress]:
    """Return the most interesting steps if there is no room for all: running steps, failed ones, and the next ones."""
    order = {"running": 0, "failed": 1, "waiting": 2}

    def rank(place: int) -> tuple[int, int]:
        status = steps[place].status(run.total, run.is_over)
        # Prefer the last of the finished steps and the first of the waiting ones.
        return order.get(status, 3), place if status == "waiting" else -place

    return [steps[place] for place in sorted(sorted(range(len(steps)), key=rank)[:most])]


def _format_step(step: StepProgress, run: RunProgress, now: datetime, width: int, widest: int) -> Text:
    name = set_cell_size(cut(printable(step.step_id), width), width)
    status = printable(step.state(run.total, run.is_over))
    text = _format_line(f"{name}  ", (set_cell_size(status, widest), STATUS_STYLES.get(status, "dim")))
    is_run = not step.kept and (len(step.not_run) < len(step.ended) or not step.not_run)
    text.append(f"{_format_time(step.seconds(now) if is_run else None):>8}")
    if run.total != 1:
        text.append(f"  {len(step.ended) - len(step.not_run)} of {run.total} done")
        text.append(f", {len(step.running)} running" if step.running else "")
        failed = step.failed - len(step.not_run)
        text.append(f", {failed} failed" if failed else "")
        text.append(f", {len(step.not_run)} not run" if step.not_run else "")
    elif step.attempt > 1:
        text.append(f"  attempt {step.attempt}")
    return Text(text.plain.rstrip(), spans=text.spans, no_wrap=True, overflow="ellipsis")


def _format_line(*parts: str | tuple[str, str]) -> Text:
    safe = (printable_lines(part) if isinstance(part, str) else (printable(part[0]), part[1]) for part in parts)
    return Text.assemble(*safe, no_wrap=True, overflow="ellipsis")


def _format_name(run: RunProgress) -> str:
    return printable(run.flow_name or "unnamed flow")


def _format_time(seconds: float | None) -> str:
    return "" if seconds is None else f"  {duration_text(seconds)}"


def _format_counts(statuses: Sequence[str]) -> str:
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
