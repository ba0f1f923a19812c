"""Read runs and draw their graphs and timelines. Secrets are masked."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from stepflow_client import ExecutionStatus, RunAccount, RunDetails, RunItem, StepflowClientError
from stepflow_client._command import PLAIN, BoundedDict, OutputDecoder, pause_garbage_collector, write_yaml
from stepflow_client.drawing import RunReport, StepTime
from stepflow_client.drawing.charts import draw_timeline
from stepflow_client.drawing.drawn_graph import FoldedGraph, build_graph, fold_graph
from stepflow_client.drawing.layout import Layout, lay_out
from stepflow_client.drawing.report_data import mask_arguments, mask_snapshot
from stepflow_client.drawing.report_page import build_timeline_bars, find_worst_step_states
from stepflow_client.drawing.svg import Look, draw_svg
from stepflow_client.types.runs import RunSnapshot

from ..inputs.flow_loading import sort_flow_keys
from ..server.logs import KeptLogLine, read_run_log_lines
from .links import ItemUrls
from .site import Site

PARTS = ("items", "steps", "flow", "arguments")
"""The parts of a run that its page needs."""
MAX_DRAWN_ITEMS = 200
"""Maximum number of items for which a page reads all steps."""
_MAX_SUB_RUNS = 100
_MANY_OBJECTS = 200_000


@dataclass(frozen=True)
class ItemReport:
    """One item of a run, and everything needed to show it."""

    report: RunReport
    """The item and its steps. Outputs are still as the server sent them, because a page only shows a small part."""
    decoder: OutputDecoder
    """Decodes the flow's output."""
    total: int
    """The number of items in the run."""
    sub_runs: list[RunDetails] = field(default_factory=list)
    """Up to 100 sub-runs created by the run's steps, for any item, oldest first."""
    lines: list[KeptLogLine] = field(default_factory=list)
    """The run's log lines, if its server was started on this machine."""

    @property
    def item(self) -> RunItem:
        """The item."""
        return self.report.items[0]

    def get_output_decoder(self, step_id: str | None, part: str) -> OutputDecoder:
        """Return the decoder for a step's `input` or `output`. If there's no step, return the flow's."""
        if step_id is not None:
            return self.decoder.step_decoder
        # The flow's input doesn't come from the server in this form, so there's nothing to decode.
        return self.decoder if part == "output" else PLAIN

    @property
    def account(self) -> RunAccount | None:
        """Step states, and why the item failed."""
        return next(iter(self.report.accounts.values()), None)

    @cached_property
    def step_times(self) -> dict[str, StepTime]:
        """Times of the steps that ran, by step ID."""
        return {time.step_id: time for time in self.report.times if self.report._was_executed_not_kept(time)}


async def read_item_report(site: Site, run: RunDetails, index: int) -> ItemReport | None:
    """Return an item of a run, or None if there is no such item.

    The last finished item is cached: people tend to look at several of its steps, and outputs can be large.
    """
    last: ItemReport | None = site.last_item
    follower = site.followers.find_follower(run.run_id)
    if last is not None and last.report.run == run and last.item.index == index:
        # Labels and notes could have changed since.
        snapshot = await site.read_snapshot(run.run_id, ("flow", "arguments"))
        assert snapshot.arguments is not None
        given = mask_arguments(snapshot.flow or {}, snapshot.arguments)
        return replace(last, report=replace(last.report, snapshot=replace(last.report.snapshot, arguments=given)))
    # Don't cache the item while step times are still coming in.
    is_complete = follower is None or follower.has_ended
    with _pause_garbage_collector():
        snapshot, sub_runs, lines = await asyncio.gather(
            site.read_snapshot(run.run_id, PARTS, index),
            site.client.list_runs(None, _MAX_SUB_RUNS, parent_run_id=run.run_id),
            run_in_threadpool(read_run_log_lines, run.run_id),
        )
    items = snapshot.items or ()
    if index >= len(items):
        return None
    item, follower = items[index], site.followers.find_follower(run.run_id)
    if not run.is_finished and follower is not None and (error := follower.get_item_errors().get(index)) is not None:
        # Servers don't report any item's error until the whole run has ended.
        item = replace(item, status=ExecutionStatus.FAILED, error=error)
    report = await build_masked_report(site, replace(snapshot, items=[item]), is_timed=len(items) <= MAX_DRAWN_ITEMS)
    report = replace(report, times=[time for time in report.times if time.item_index == index])
    decoder, oldest_first = site.snapshots.get_run_decoder(run.run_id), list(reversed(sub_runs.runs))
    item_report = ItemReport(report, decoder, len(items), oldest_first, lines)
    if is_complete and run.is_finished and item.status.is_finished:
        site.last_item = item_report
    return item_report


@contextmanager
def _pause_garbage_collector() -> Iterator[None]:
    """A large output stays alive, so there's no point in having the collector go through it again and again."""
    with pause_garbage_collector():
        yield
        if gc.get_count()[0] > _MANY_OBJECTS:
            # Move all objects to the oldest generation.
            gc.freeze()
            gc.unfreeze()


async def build_masked_report(site: Site, snapshot: RunSnapshot, *, is_timed: bool = True) -> RunReport:
    """Return a run's report for display, with secrets masked."""
    times = []
    if is_timed and snapshot.steps and (await site.client.server_info()).capabilities.get("events"):
        times = await (await site.followers.get_or_create_follower(snapshot.run_id)).read_step_times_from_events()
    return RunReport(mask_snapshot(snapshot), times)


def draw_run_timeline(
    report: RunReport, urls: ItemUrls | None = None, shown: Sequence[str] | None = None, selected: str | None = None
) -> str:
    """Draw a report's timeline as SVG. Returns an empty string if no steps have times.

    Args:
        report: The report.
        urls: Link targets for the bars, plus the time span to show. Defaults to the whole timeline, without links.
        shown: The steps to show, in order. Defaults to all steps, or to a batch's slowest items.
        selected: The step whose bar is marked as the current link, if any.
    """
    is_live = not report.run.is_finished
    bars = build_timeline_bars(report, until=datetime.now(UTC) if is_live else None)
    if shown is not None:
        by_step = {bar.label: bar for bar in bars}
        bars = [by_step[step_id] for step_id in shown if step_id in by_step]
    if not bars:
        return ""
    # Leave room for running bars, which grow in the browser.
    right_edge = max(bar.end for bar in bars) * 1.25 if is_live else None
    # `draw_timeline` escapes its values.
    if urls is None:
        return Markup(draw_timeline(bars, right_edge=right_edge))  # noqa: S704
    span = parse_timeline_span(urls.span)
    began: dict[str, str] = {}
    if is_live and span is None:
        began = {time.step_id: time.attempts[0].isoformat() for time in report.times if time.attempts and not time.end}
    bars = [
        bar._replace(href=urls.step(bar.label), is_selected=bar.label == selected, since=began.get(bar.label, ""))
        for bar in bars
    ]

    def build_zoom_url(begin: float, end: float) -> str:
        return urls.build_view_url(selected, span=f"{begin:.6g}-{end:.6g}") + "#timeline"

    return Markup(draw_timeline(bars, right_edge=right_edge, span=span, zoom=build_zoom_url))  # noqa: S704


def parse_timeline_span(text: str) -> tuple[float, float] | None:
    """Parse a timeline span in seconds, such as `0.2-0.4`. Returns None if it's invalid."""
    begin, _, end = text.partition("-")
    try:
        span = float(begin), float(end)
    except ValueError:
        return None
    return span if 0 <= span[0] < span[1] < math.inf else None


@dataclass(frozen=True)
class GraphPicture:
    """A drawing of a flow's graph."""

    svg: str
    """The SVG. Empty if the graph can't be drawn."""
    hidden: int = 0
    """The number of steps that don't have their own box."""
    selected: str = ""
    """The ID of the selected step's box."""


def draw_item_graph(report: RunReport, urls: ItemUrls, selected: str | None) -> GraphPicture:
    """Draw an item's graph, linking each box to its step.

    Unless `urls` requests all steps, equivalent steps share a box and nested flows in large flows are collapsed.
    """
    if not report.flow.get("steps"):
        return GraphPicture("")
    folded, layout = _get_cached_layout(report.flow, is_whole=urls.shows_all)
    states = find_worst_step_states(report)
    boxes = folded.find_worst_box_states(states)
    links = {}
    for node in folded.graph.nodes:
        if node.kind == "step":
            # Link to the first step with the status the box shows. A step in a nested flow belongs to a sub-run, so in
            # that case link to the step that runs the nested flow.
            members = folded.nodes_by_box[node.id]
            first = next((member for member in members if states.get(member) == boxes.get(node.id)), members[0])
            links[node.id] = urls.step(first.partition("\x00")[0])
        elif node.kind in ("input", "output") and not node.group:
            links[node.id] = urls.item_panel
    account = next(iter(report.accounts.values()), None)
    failed = {step.step_id: len(step.failed_children) for step in (account.steps if account else ())}
    box = folded.find_box(selected) if selected else ""
    children = {name: count for name, count in failed.items() if count}
    look = Look(boxes, style=False, urls_by_node_id=links, failed_children=children, current_node_id=box)
    return GraphPicture(_draw_graph_svg(folded, layout, look), folded.hidden_count, box)


def draw_run_graph(report: RunReport) -> str:
    """Draw a report's graph as SVG, colored by status. Returns an empty string if it can't be drawn."""
    return draw_flow_graph(report.flow, find_worst_step_states(report))


def draw_flow_graph(flow: Mapping[str, Any], statuses: Mapping[str, str] | None = None) -> str:
    """Draw a flow's graph as SVG, colored by step status. Returns an empty string if it can't be drawn."""
    if not flow.get("steps"):
        return ""
    folded, layout = _get_cached_layout(flow, is_whole=False)
    return _draw_graph_svg(folded, layout, Look(folded.find_worst_box_states(statuses or {}), style=False))


_layouts: BoundedDict[tuple[str, bool], tuple[FoldedGraph, Layout | None]] = BoundedDict(32)


def _get_cached_layout(flow: Mapping[str, Any], *, is_whole: bool) -> tuple[FoldedGraph, Layout | None]:
    """Return a flow's graph and layout. They're cached, since they don't depend on statuses.

    The layout is None if the graph can't be drawn. Thread-safe.
    """
    key = (repr(flow), is_whole)
    drawing = _layouts.pop(key, None)
    if drawing is None:
        folded = fold_graph(build_graph(flow), is_whole=is_whole)
        try:
            drawing = folded, lay_out(folded.graph)
        except StepflowClientError:
            # E.g. the drawing packages aren't installed.
            return folded, None
    _layouts.put_newest(key, drawing)
    return drawing


def _draw_graph_svg(folded: FoldedGraph, layout: Layout | None, look: Look) -> str:
    # `svg` escapes its values.
    return Markup(draw_svg(folded.graph, look, layout)) if layout is not None else ""  # noqa: S704


def format_flow_yaml_lines(flow: Mapping[str, Any]) -> list[str]:
    """Sorts the keys, because servers return them in a different order each time."""
    return write_yaml(sort_flow_keys(flow)).splitlines()
