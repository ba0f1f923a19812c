"""The steps on a run's page: the table's rows, the selected step, and the step that created a sub-run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stepflow_client import NotFoundError, RunDetails, StepAccount, StepDetails
from stepflow_client._command import ResolvedInput
from stepflow_client.drawing import StepTime
from stepflow_client.flows.graph import FlowSteps, find_inner_flow, get_steps_by_id
from stepflow_client.types.run_explanation import get_displayed_step_state

from ..server.server_log_files import KeptLogLine
from .item_page_data import ItemReport
from .links import ItemUrls
from .run_list import SortOrder
from .site_state import Site


async def find_sub_run_creator(site: Site, run: RunDetails) -> tuple[str, str] | None:
    """Return the URL and ID of the step that created a sub-run, or None if that step isn't known."""
    if run.parent_run_id is None:
        return None
    try:
        parent = await site.read_snapshot(run.parent_run_id, ("flow", "steps"))
    except NotFoundError:
        return None
    step_id = infer_sub_run_creator(run, parent.flow or {}, parent.steps or ())
    if step_id is None or parent.details.items.total != 1:
        # In a batch, there's no way to tell which item created the sub-run.
        return None
    return ItemUrls(parent.run_id, 0, is_batch=False).step(step_id), step_id


def infer_sub_run_creator(run: RunDetails, flow: Mapping[str, Any], steps: Sequence[StepDetails]) -> str | None:
    """Infer which of the parent run's steps created a sub-run. Return None if that's ambiguous.

    Servers don't report this. If a step's output contains the sub-run's ID (as with `/builtin/eval`), that step created
    it. Otherwise, it must be the only executed step that runs a flow, or the only one that runs a flow with this name.
    """
    for step in steps:
        if isinstance(step.output, Mapping) and step.output.get("run_id") == run.run_id:
            return step.step_id
    executed = {step.step_id for step in steps}
    inner = {name: find_inner_flow(step) for name, step in get_steps_by_id(flow).items() if name in executed}
    flows = {name: flow.flow for name, flow in inner.items() if flow is not None}
    if len(flows) > 1:
        names = {name: flow.get("name") if isinstance(flow, Mapping) else None for name, flow in flows.items()}
        flows = {name: flows[name] for name, flow_name in names.items() if flow_name == run.flow_name}
    return next(iter(flows)) if len(flows) == 1 else None


MAX_ROWS = 100
# A log line is matched to a step if it was logged at most this long before the step started or after it ended.
_LOG_TOLERANCE = timedelta(milliseconds=200)


@dataclass(frozen=True)
class StepRow:
    """A row in the table of steps."""

    account: StepAccount
    time: StepTime | None

    @property
    def icon_state(self) -> str:
        """The state that determines the step's icon and color."""
        return get_displayed_step_state(self.account)


@dataclass(frozen=True)
class SelectedStep(StepRow):
    """The step shown in the panel."""

    details: StepDetails | None
    input: ResolvedInput
    is_cause: bool
    """Whether the item failed because of this step."""
    hint: str | None
    reads: Sequence[str]
    read_by: Sequence[str]
    sub_runs: Sequence[RunDetails]
    lines: Sequence[KeptLogLine]


STEP_SORT_KEYS: Mapping[str, Callable[[StepRow], Any]] = {
    "step": lambda row: row.account.step_id,
    "status": lambda row: row.account.text,
    "component": lambda row: row.account.component,
    "duration": lambda row: row.time.duration if row.time else None,
    "attempts": lambda row: len(row.time.attempts) if row.time else None,
}
"""Sort keys for the table of steps, by column."""


def build_step_rows(
    item_report: ItemReport, selected: str | None, order: SortOrder, *, shows_all: bool
) -> tuple[list[StepRow], int, StepRow | None]:
    """Return the table's rows, the number of steps left out, and the row of the slowest step (if several steps ran).

    The table contains the first 100 steps, plus any later steps that failed, are still running, or are selected.
    """
    steps = item_report.account.steps if item_report.account else ()
    rows = order.sort_rows((StepRow(step, item_report.step_times.get(step.step_id)) for step in steps), STEP_SORT_KEYS)
    shown = [
        row
        for place, row in enumerate(rows)
        if shows_all or place < MAX_ROWS or row.icon_state in ("failed", "running") or row.account.step_id == selected
    ]
    timed = [row for row in rows if row.time is not None and row.time.duration is not None]
    slowest = SortOrder("duration", is_descending=True).sort_rows(timed, STEP_SORT_KEYS)[0] if len(timed) > 1 else None
    return shown, len(rows) - len(shown), slowest


def find_selected_step_details(item_report: ItemReport, step_id: str) -> SelectedStep | None:
    """Return a step along with its details, or None if the item doesn't have that step."""
    account, report = item_report.account, item_report.report
    step = account.step(step_id) if account is not None else None
    if account is None or step is None:
        return None
    flow, time = FlowSteps(report.flow), item_report.step_times.get(step_id)
    # Include any lines logged by the run or a worker while the step ran, plus any lines that mention the step.
    begin = time.attempts[0] - _LOG_TOLERANCE if time is not None and time.attempts else None
    end = time.end + _LOG_TOLERANCE if time is not None and time.end is not None else None
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
        reads=[name for name in flow.by_id if name in flow.dependencies_by_step.get(step_id, ())],
        read_by=[name for name, reads in flow.dependencies_by_step.items() if step_id in reads],
        sub_runs=[
            run for run in item_report.sub_runs if infer_sub_run_creator(run, report.flow, report.steps) == step_id
        ],
        lines=lines,
    )
