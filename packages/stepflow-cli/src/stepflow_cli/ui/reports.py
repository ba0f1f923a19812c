"""What the pages read of a run, without secret values."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from starlette.concurrency import run_in_threadpool
from stepflow_client import ExecutionStatus, RunAccount, RunDetails, RunItem
from stepflow_client._command import PLAIN, OutputDecoder, collector_paused
from stepflow_client.drawing import RunReport
from stepflow_client.drawing.charts import StepTime
from stepflow_client.drawing.report_data import mask_arguments, mask_snapshot
from stepflow_client.types.runs import RunSnapshot

from ..server.logs import KeptLine, read_run_lines
from .site import Site

PARTS = ("items", "steps", "flow", "arguments")
"""The parts of a run that its page shows."""
MAX_DRAWN_ITEMS = 200
"""Maximum number of items whose steps are all read for a page."""
_MAX_SUB_RUNS = 100
_MANY_OBJECTS = 200_000


@dataclass(frozen=True)
class ItemReport:
    """One item of a run, with everything that its screen shows."""

    report: RunReport
    """The item with its steps. Outputs are as the server sent them: a page shows a small part of them."""
    decoder: OutputDecoder
    """Decodes the output of the flow."""
    total: int
    """Number of items of the run."""
    sub_runs: list[RunDetails] = field(default_factory=list)
    """The runs that steps of the run created, for any of its items: at most 100, the oldest first."""
    lines: list[KeptLine] = field(default_factory=list)
    """The log lines of the run, if its server was started on this machine."""

    @property
    def item(self) -> RunItem:
        """The item."""
        return self.report.items[0]

    def get_decoder(self, step_id: str | None, of: str) -> OutputDecoder:
        """Return the decoder of the `input` or `output` of a step; that of the flow if there is no step."""
        if step_id is not None:
            return self.decoder.of_step
        # The input of the flow is not what the server sent.
        return self.decoder if of == "output" else PLAIN

    @property
    def account(self) -> RunAccount | None:
        """Why the item failed, and the state of its steps."""
        return next(iter(self.report.accounts.values()), None)

    @cached_property
    def times(self) -> dict[str, StepTime]:
        """The times of the steps that ran."""
        return {time.step_id: time for time in self.report.times if self.report._has_time(time)}


async def read_item(site: Site, run: RunDetails, index: int) -> ItemReport | None:
    """Return an item of a run; None if the run has no such item.

    The last finished one is kept, because people look at several of its steps, and its outputs may be large.
    """
    last: ItemReport | None = site.last_item
    follower = site.followers.find(run.run_id)
    if last is not None and last.report.run == run and last.item.index == index:
        # Labels and notes may have changed since.
        snapshot = await site.read_snapshot(run.run_id, ("flow", "arguments"))
        assert snapshot.arguments is not None
        given = mask_arguments(snapshot.flow or {}, snapshot.arguments)
        return replace(last, report=replace(last.report, snapshot=replace(last.report.snapshot, arguments=given)))
    # Times that arrive later belong to it too.
    is_complete = follower is None or follower.has_ended
    with _pause_collection():
        snapshot, sub_runs, lines = await asyncio.gather(
            site.read_snapshot(run.run_id, PARTS, index),
            site.client.list_runs(None, _MAX_SUB_RUNS, parent_run_id=run.run_id),
            run_in_threadpool(read_run_lines, run.run_id),
        )
    items = snapshot.items or ()
    if index >= len(items):
        return None
    item, follower = items[index], site.followers.find(run.run_id)
    if not run.is_finished and follower is not None and (error := follower.get_errors().get(index)) is not None:
        # Servers report it when the whole run has ended.
        item = replace(item, status=ExecutionStatus.FAILED, error=error)
    report = await build_report(site, replace(snapshot, items=[item]), is_timed=len(items) <= MAX_DRAWN_ITEMS)
    report = replace(report, times=[time for time in report.times if time.item_index == index])
    decoder, oldest_first = site.snapshots.get_decoder(run.run_id), list(reversed(sub_runs.runs))
    item_report = ItemReport(report, decoder, len(items), oldest_first, lines)
    if is_complete and run.is_finished and item.status.is_finished:
        site.last_item = item_report
    return item_report


@contextmanager
def _pause_collection() -> Iterator[None]:
    """Keep the garbage collector from traversing a large output, once in each generation; all of it stays in use."""
    with collector_paused():
        yield
        if gc.get_count()[0] > _MANY_OBJECTS:
            # Moves all objects to the oldest generation.
            gc.freeze()
            gc.unfreeze()


async def build_report(site: Site, snapshot: RunSnapshot, *, is_timed: bool = True) -> RunReport:
    """Return a run as pages show it, without secret values."""
    times = []
    if is_timed and snapshot.steps and (await site.client.server_info()).capabilities.get("events"):
        times = await (await site.followers.get(snapshot.run_id)).read_times()
    return RunReport(mask_snapshot(snapshot), times)
