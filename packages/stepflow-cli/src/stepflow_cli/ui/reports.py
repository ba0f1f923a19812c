"""What the pages read and draw of a run and its flow, without secret values."""

from __future__ import annotations

import asyncio
import gc
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from stepflow_client import ExecutionStatus, RunAccount, RunDetails, RunItem, StepflowClientError
from stepflow_client._command import PLAIN, OutputDecoder, collector_paused, write_yaml
from stepflow_client.drawing import RunReport
from stepflow_client.drawing.charts import StepTime, draw_timeline
from stepflow_client.drawing.drawn_graph import FoldedGraph, build_graph, compact
from stepflow_client.drawing.layout import Layout, lay_out
from stepflow_client.drawing.report_data import mask_arguments, mask_snapshot
from stepflow_client.drawing.report_page import build_bars, collect_statuses
from stepflow_client.drawing.svg import Look, svg
from stepflow_client.types.runs import RunSnapshot

from ..inputs.flow import sort_flow_keys
from ..server.logs import KeptLine, read_run_lines
from .links import ItemUrls
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


def draw_run_timeline(
    report: RunReport, urls: ItemUrls | None = None, shown: Sequence[str] | None = None, selected: str | None = None
) -> str:
    """Return the timeline of a report as SVG; empty if no step has times.

    Args:
        report: The report.
        urls: The links of the bars, and the part of the time to show. Default: no links, and all of it.
        shown: The steps to show, in this order. Default all; of a batch, its slowest items.
        selected: The step whose bar is the current link. Default none.
    """
    is_live = not report.run.is_finished
    bars = build_bars(report, until=datetime.now(UTC) if is_live else None)
    if shown is not None:
        by_step = {bar.label: bar for bar in bars}
        bars = [by_step[step_id] for step_id in shown if step_id in by_step]
    if not bars:
        return ""
    # Running bars grow in the browser, so they need room.
    right_edge = max(bar.end for bar in bars) * 1.25 if is_live else None
    # `draw_timeline` escapes its values.
    if urls is None:
        return Markup(draw_timeline(bars, right_edge=right_edge))  # noqa: S704
    span = parse_span(urls.span)
    began = {time.step_id: time.attempts[0].isoformat() for time in report.times if time.attempts and not time.end}
    bars = [
        replace(
            bar,
            href=urls.step(bar.label),
            is_selected=bar.label == selected,
            since=began.get(bar.label, "") if is_live and span is None else "",
        )
        for bar in bars
    ]

    def zoom(begin: float, end: float) -> str:
        return urls.view(selected, span=f"{begin:.6g}-{end:.6g}") + "#timeline"

    return Markup(draw_timeline(bars, right_edge=right_edge, span=span, zoom=zoom))  # noqa: S704


def parse_span(text: str) -> tuple[float, float] | None:
    """Return the part of a timeline that a URL names, such as `0.2-0.4`, in seconds; None if it names none."""
    begin, _, end = text.partition("-")
    try:
        span = float(begin), float(end)
    except ValueError:
        return None
    return span if 0 <= span[0] < span[1] < math.inf else None


@dataclass(frozen=True)
class Picture:
    """A graph of a run's flow."""

    svg: str
    """The picture; empty if it cannot be drawn."""
    hidden: int = 0
    """Number of steps that are not boxes of their own."""
    selected: str = ""
    """The box of the selected step."""


def draw_item_graph(report: RunReport, urls: ItemUrls, selected: str | None) -> Picture:
    """Return the graph of an item whose boxes are links to their steps.

    Equal steps are one box, and so is the flow inside a step of a large flow, unless the URLs are those of all steps.
    """
    if not report.flow.get("steps"):
        return Picture("")
    folded, layout = _lay_out(report.flow, is_whole=urls.shows_all)
    states = collect_statuses(report)
    boxes = folded.states(states)
    links = {}
    for node in folded.graph.nodes:
        if node.kind == "step":
            # The first step that gives the box its look. A step of a flow inside of a step belongs to a sub-run, so it
            # leads to the step that runs this flow.
            members = folded.members[node.id]
            first = next((member for member in members if states.get(member) == boxes.get(node.id)), members[0])
            links[node.id] = urls.step(first.partition("\x00")[0])
        elif node.kind in ("input", "output") and not node.group:
            links[node.id] = urls.run
    account = next(iter(report.accounts.values()), None)
    failed = {step.step_id: len(step.failed_children) for step in (account.steps if account else ())}
    box = folded.find_box(selected) if selected else ""
    children = {name: count for name, count in failed.items() if count}
    look = Look(boxes, style=False, links=links, failed_children=children, selected=box)
    return Picture(_draw(folded, layout, look), folded.hidden, box)


def draw_run_graph(report: RunReport) -> str:
    """Return the graph of a report as SVG, coloured by its statuses; empty if it cannot be drawn."""
    return draw_flow_graph(report.flow, collect_statuses(report))


def draw_flow_graph(flow: Mapping[str, Any], statuses: Mapping[str, str] | None = None) -> str:
    """Return the graph of a flow as SVG, coloured by the statuses of its steps; empty if it cannot be drawn."""
    if not flow.get("steps"):
        return ""
    folded, layout = _lay_out(flow, is_whole=False)
    return _draw(folded, layout, Look(folded.states(statuses or {}), style=False))


_layouts: OrderedDict[tuple[str, bool], tuple[FoldedGraph, Layout | None]] = OrderedDict()
_MAX_LAYOUTS = 32


def _lay_out(flow: Mapping[str, Any], *, is_whole: bool) -> tuple[FoldedGraph, Layout | None]:
    """Return the graph of a flow and its layout, which stay the same while statuses change.

    The layout is None if the graph cannot be drawn. Several threads may request it at the same time.
    """
    key = (repr(flow), is_whole)
    drawing = _layouts.pop(key, None)
    if drawing is None:
        folded = compact(build_graph(flow), is_whole=is_whole)
        try:
            drawing = folded, lay_out(folded.graph)
        except StepflowClientError:
            # Also if the packages for drawing are not installed.
            return folded, None
    _layouts[key] = drawing
    while len(_layouts) > _MAX_LAYOUTS:
        _layouts.popitem(last=False)
    return drawing


def _draw(folded: FoldedGraph, layout: Layout | None, look: Look) -> str:
    # `svg` escapes its values.
    return Markup(svg(folded.graph, look, layout)) if layout is not None else ""  # noqa: S704


def format_flow_lines(flow: Mapping[str, Any]) -> list[str]:
    """Return a flow as lines of YAML in a fixed order: servers change it each time."""
    return write_yaml(sort_flow_keys(flow)).splitlines()
