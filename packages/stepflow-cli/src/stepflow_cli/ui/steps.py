"""The steps on the screen of a run: a row for each, and all details of the selected one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stepflow_client import RunDetails, StepAccount, StepDetails
from stepflow_client._command import ResolvedInput
from stepflow_client.drawing.charts import StepTime
from stepflow_client.flows.graph import FlowSteps

from ..server.logs import KeptLine
from .relations import infer_creator
from .reports import ItemReport
from .sorting import Order

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
        state, status = self.account.state, self.account.status
        if self.account.is_kept:
            return "completed"
        return status.value if state == "unknown" and status is not None else state

    @property
    def words(self) -> str:
        """Its state, in words."""
        is_unknown = self.account.state == "unknown" and not self.account.is_kept
        return self.mark.replace("_", " ") if is_unknown else self.account.text


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
    "status": lambda row: row.words,
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
    rows = order.sorted((StepRow(step, item_report.times.get(step.step_id)) for step in steps), STEP_KEYS)
    shown = [
        row
        for place, row in enumerate(rows)
        if shows_all or place < MAX_ROWS or row.mark in ("failed", "running") or row.account.step_id == selected
    ]
    timed = [row for row in rows if row.time is not None and row.time.duration is not None]
    slowest = Order("duration", is_descending=True).sorted(timed, STEP_KEYS)[0] if len(timed) > 1 else None
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
