"""Read an item of a run, along with everything else that its page shows. Secrets are masked."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass, field, replace
from functools import cached_property

from starlette.concurrency import run_in_threadpool
from stepflow_client import ExecutionStatus, RunAccount, RunDetails, RunItem
from stepflow_client._command import PLAIN, OutputDecoder, pause_garbage_collector
from stepflow_client.drawing import RunReport, StepTime
from stepflow_client.drawing.report_data import mask_arguments, mask_snapshot
from stepflow_client.types.runs import RunSnapshot

from ..server.server_log_files import KeptLogLine, read_run_log_lines
from .site_state import Site

ITEM_PAGE_PARTS = ("items", "steps", "flow", "arguments")
"""The parts of a run needed by an item's page."""
MAX_DRAWN_ITEMS = 200
"""The page of an item only reads all of the run's steps if the run has at most this many items."""
_MAX_SUB_RUNS = 100
_MAX_UNCOLLECTED_OBJECTS = 200_000


@dataclass(frozen=True)
class ItemReport:
    """One item of a run, along with everything needed to show it."""

    report: RunReport
    """The item and its steps. Outputs stay as the server sent them, because a page shows only small parts of them."""
    decoder: OutputDecoder
    """Decodes the flow's output."""
    total: int
    """The number of items in the run."""
    sub_runs: list[RunDetails] = field(default_factory=list)
    """Up to 100 sub-runs that the run's steps created (for any item), oldest first."""
    lines: list[KeptLogLine] = field(default_factory=list)
    """The run's log lines, if its server was started on this computer."""

    @property
    def item(self) -> RunItem:
        """The item."""
        return self.report.items[0]

    def get_value_decoder(self, step_id: str | None, part: str) -> OutputDecoder:
        """Return the decoder for the `input` or `output` of a step, or of the whole flow if `step_id` is None."""
        if step_id is not None:
            return self.decoder.for_steps
        # The flow's input isn't encoded the way outputs are, so there's nothing to decode.
        return self.decoder if part == "output" else PLAIN

    @property
    def account(self) -> RunAccount | None:
        """The state of each step and, if the item failed, an explanation of why."""
        return next(iter(self.report.accounts.values()), None)

    @cached_property
    def step_times(self) -> dict[str, StepTime]:
        """The times of the steps that this run executed, by step ID."""
        return {time.step_id: time for time in self.report.times if self.report._was_newly_run(time)}


async def read_item_report(site: Site, run: RunDetails, index: int) -> ItemReport | None:
    """Return an item of a run, or None if there is no such item.

    The last finished item is cached, because people tend to look at several of its steps and outputs can be large.
    """
    last: ItemReport | None = site.last_item
    follower = site.followers.find_follower(run.run_id)
    if last is not None and last.report.run == run and last.item.index == index:
        # The run's labels and notes may have changed since then.
        snapshot = await site.read_snapshot(run.run_id, ("flow", "arguments"))
        assert snapshot.arguments is not None
        given = mask_arguments(snapshot.flow or {}, snapshot.arguments)
        return replace(last, report=replace(last.report, snapshot=replace(last.report.snapshot, arguments=given)))
    # Don't cache the item while step times are still being read.
    is_complete = follower is None or follower.has_ended
    with pause_garbage_collector():
        snapshot, sub_runs, lines = await asyncio.gather(
            site.read_snapshot(run.run_id, ITEM_PAGE_PARTS, index),
            site.client.list_runs(None, _MAX_SUB_RUNS, parent_run_id=run.run_id),
            run_in_threadpool(read_run_log_lines, run.run_id),
        )
        if gc.get_count()[0] > _MAX_UNCOLLECTED_OBJECTS:
            # The output is large and will stay in memory, so move all objects to the oldest generation. Otherwise, the
            # garbage collector would scan them again and again.
            gc.freeze()
            gc.unfreeze()
    items = snapshot.items or ()
    if index >= len(items):
        return None
    item, follower = items[index], site.followers.find_follower(run.run_id)
    if not run.is_finished and follower is not None and (error := follower.get_item_errors().get(index)) is not None:
        # Servers don't report an item's error until the whole run has ended.
        item = replace(item, status=ExecutionStatus.FAILED, error=error)
    report = await build_masked_report(site, replace(snapshot, items=[item]), is_timed=len(items) <= MAX_DRAWN_ITEMS)
    report = replace(report, times=[time for time in report.times if time.item_index == index])
    decoder, oldest_first = site.snapshots.get_output_decoder(run.run_id), list(reversed(sub_runs.runs))
    item_report = ItemReport(report, decoder, len(items), oldest_first, lines)
    if is_complete and run.is_finished and item.status.is_finished:
        site.last_item = item_report
    return item_report


async def build_masked_report(site: Site, snapshot: RunSnapshot, *, is_timed: bool = True) -> RunReport:
    """Return a run's report for display, with secrets masked."""
    times = []
    if is_timed and snapshot.steps and (await site.client.server_info()).capabilities.get("events"):
        times = await (await site.followers.get_or_create_follower(snapshot.run_id)).wait_and_list_step_times()
    return RunReport(mask_snapshot(snapshot), times)
