"""The steps on the screen of a run: a row for each, the details of the selected one, and the runs it created."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from stepflow_client import NotFoundError, RunDetails, StepAccount, StepDetails, StepflowClientError
from stepflow_client._command import ResolvedInput
from stepflow_client.drawing.charts import StepTime
from stepflow_client.flows.graph import FlowSteps, inner_flow, steps_by_id
from stepflow_client.types.account import shown_state

from ..server.logs import KeptLine
from .links import ItemUrls
from .listing import Order
from .reports import ItemReport
from .site import Site

_MAX_ATTEMPTS = 50


async def find_creator(site: Site, run: RunDetails) -> tuple[str, str] | None:
    """Return the URL of the step that created a sub-run, and its id; None if it is not known."""
    if run.parent_run_id is None:
        return None
    try:
        parent = await site.read_snapshot(run.parent_run_id, ("flow", "steps"))
    except NotFoundError:
        return None
    step_id = infer_creator(run, parent.flow or {}, parent.steps or ())
    if step_id is None or parent.details.items.total != 1:
        # Of a batch, it is not known which item the step belongs to.
        return None
    return ItemUrls(parent.run_id, 0, is_batch=False).step(step_id), step_id


def infer_creator(run: RunDetails, flow: Mapping[str, Any], steps: Sequence[StepDetails]) -> str | None:
    """Return the step that created a sub-run, from the flow and the steps of its parent; None if several may have.

    Servers do not report it. The output of `/builtin/eval` names the run; otherwise the step is known if only one of
    the steps that were executed runs a flow, or a flow of this name.
    """
    for step in steps:
        if isinstance(step.output, Mapping) and step.output.get("run_id") == run.run_id:
            return step.step_id
    executed = {step.step_id for step in steps}
    inner = {name: inner_flow(step) for name, step in steps_by_id(flow).items() if name in executed}
    flows = {name: flow.flow for name, flow in inner.items() if flow is not None}
    if len(flows) > 1:
        names = {name: flow.get("name") if isinstance(flow, Mapping) else None for name, flow in flows.items()}
        flows = {name: flows[name] for name, flow_name in names.items() if flow_name == run.flow_name}
    return next(iter(flows)) if len(flows) == 1 else None


@dataclass(frozen=True)
class Attempt:
    """One attempt at an item: the item of a run, or of one of its reruns."""

    run_id: str
    index: int
    """The position of the item in that run."""
    path: str
    """The path of its page."""
    status: str
    is_shown: bool
    """Whether it is the one whose page is shown."""


async def list_attempts(site: Site, run_id: str, index: int, total: int, status: str) -> list[Attempt]:
    """Return the attempts at an item that the history has, in the order of their start; at least the one shown.

    Args:
        site: The site.
        run_id: The run whose page is shown.
        index: The position of the item in it.
        total: The number of items of the run.
        status: The status of the item.
    """
    shown = Attempt(run_id, index, item_path(run_id, index, total), status, is_shown=True)
    first, visited = (run_id, index), set[str]()
    while first[0] not in visited:
        visited.add(first[0])
        entry = site.history.get(first[0])
        if entry is None or entry.rerun_of is None or first[1] >= len(entry.rerun_items):
            break
        first = entry.rerun_of, entry.rerun_items[first[1]]
    places = [first]
    for earlier_id, item in places:
        reruns = site.list_reruns(earlier_id, _MAX_ATTEMPTS)
        later = [(rerun.run_id, rerun.rerun_items.index(item)) for rerun in reruns if item in rerun.rerun_items]
        places += later[: _MAX_ATTEMPTS - len(places)]
    # The ids of runs begin with the time.
    places = sorted({*places, (run_id, index)})
    return [shown if place == (run_id, index) else await _read_attempt(site, *place) for place in places]


def item_path(run_id: str, index: int, total: int) -> str:
    """Return the path of the page of an item."""
    return f"/runs/{run_id}" if total == 1 else f"/runs/{run_id}/items/{index}"


async def _read_attempt(site: Site, run_id: str, index: int) -> Attempt:
    attempt = Attempt(run_id, index, f"/runs/{run_id}", "unknown", is_shown=False)
    try:
        run = (await site.read_snapshot(run_id, ())).details
        if run.items.total == 1:
            return replace(attempt, status=run.status.value)
        items = (await site.read_snapshot(run_id, "items")).items or ()
    except StepflowClientError:
        # It may have been deleted.
        return attempt
    status = next((item.status.value for item in items if item.index == index), "unknown")
    return replace(attempt, status=status, path=item_path(run_id, index, len(items)))


MAX_ROWS = 100
# How much earlier and later than a step the server's log lines about it may be.
_AROUND = timedelta(milliseconds=200)


@dataclass(frozen=True)
class StepRow:
    """A step in the table of steps."""

    account: StepAccount
    time: StepTime | None

    @property
    def mark(self) -> str:
        """The state whose look the step has."""
        return shown_state(self.account)


@dataclass(frozen=True)
class SelectedStep(StepRow):
    """The step that the panel shows."""

    details: StepDetails | None
    input: ResolvedInput
    is_cause: bool
    """Whether its failure made the item fail."""
    hint: str | None
    reads: Sequence[str]
    read_by: Sequence[str]
    sub_runs: Sequence[RunDetails]
    lines: Sequence[KeptLine]


STEP_KEYS: Mapping[str, Callable[[StepRow], Any]] = {
    "step": lambda row: row.account.step_id,
    "status": lambda row: row.account.text,
    "component": lambda row: row.account.component,
    "duration": lambda row: row.time.duration if row.time else None,
    "attempts": lambda row: len(row.time.attempts) if row.time else None,
}
"""The key of a row of the table of steps, by column."""


def build_step_rows(
    item_report: ItemReport, selected: str | None, order: Order, *, shows_all: bool
) -> tuple[list[StepRow], int, StepRow | None]:
    """Return the rows of the table, the number of steps without one, and the slowest step if several ran.

    The first 100 steps have a row, and beyond them those that failed or run, and the selected one.
    """
    steps = item_report.account.steps if item_report.account else ()
    rows = order.sort((StepRow(step, item_report.times.get(step.step_id)) for step in steps), STEP_KEYS)
    shown = [
        row
        for place, row in enumerate(rows)
        if shows_all or place < MAX_ROWS or row.mark in ("failed", "running") or row.account.step_id == selected
    ]
    timed = [row for row in rows if row.time is not None and row.time.duration is not None]
    slowest = Order("duration", is_descending=True).sort(timed, STEP_KEYS)[0] if len(timed) > 1 else None
    return shown, len(rows) - len(shown), slowest


def find_step(item_report: ItemReport, step_id: str) -> SelectedStep | None:
    """Return a step with its details; None if the item has no such step."""
    account, report = item_report.account, item_report.report
    step = account.step(step_id) if account is not None else None
    if account is None or step is None:
        return None
    flow, time = FlowSteps(report.flow), item_report.times.get(step_id)
    # The lines that the run or a worker wrote while the step ran, and those that name the step.
    begin = time.attempts[0] - _AROUND if time is not None and time.attempts else None
    end = time.end + _AROUND if time is not None and time.end is not None else None
    lines = []
    for line in item_report.lines:
        is_near = report.run.run_id in line.run_ids or not (line.run_ids or line.target)
        at = datetime.fromisoformat(line.time)
        is_meanwhile = begin is not None and at >= begin and (end is None or at <= end)
        if (is_near and is_meanwhile) or f'"{step_id}"' in line.message or f"'{step_id}'" in line.message:
            lines.append(line)
    return SelectedStep(
        step,
        time,
        details=next((details for details in report.steps if details.step_id == step_id), None),
        input=report.input_of(report.items[0].index, step_id),
        is_cause=account.cause == step_id,
        hint=account.hint if account.cause == step_id else None,
        reads=[name for name in flow.by_id if name in flow.reads.get(step_id, ())],
        read_by=[name for name, reads in flow.reads.items() if step_id in reads],
        sub_runs=[run for run in item_report.sub_runs if infer_creator(run, report.flow, report.steps) == step_id],
        lines=lines,
    )
