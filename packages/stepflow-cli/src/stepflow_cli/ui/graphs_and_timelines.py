"""Draw the graphs of flows and runs and the timelines of runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from stepflow_client import StepflowClientError
from stepflow_client._command import BoundedDict
from stepflow_client.drawing import RunReport
from stepflow_client.drawing.charts import draw_timeline
from stepflow_client.drawing.drawn_graph import FoldedGraph, build_graph, fold_graph
from stepflow_client.drawing.layout import Layout, lay_out
from stepflow_client.drawing.report_page import build_timeline_bars, find_worst_step_states
from stepflow_client.drawing.svg import DrawOptions, draw_svg

from .links import ItemUrls


def draw_run_timeline(
    report: RunReport, urls: ItemUrls | None = None, shown: Sequence[str] | None = None, selected: str | None = None
) -> str:
    """Draw a report's timeline as SVG, or return an empty string if no start times are known.

    Args:
        report: The report.
        urls: Where the bars link to and which time span to show. By default, the whole timeline is shown without links.
        shown: The steps to show, in order. By default, all steps are shown or, for a batch, the slowest items.
        selected: The step whose bar is marked as the current one, if any.
    """
    is_live = not report.run.is_finished
    bars = build_timeline_bars(report, until=datetime.now(UTC) if is_live else None)
    if shown is not None:
        by_step = {bar.label: bar for bar in bars}
        bars = [by_step[step_id] for step_id in shown if step_id in by_step]
    if not bars:
        return ""
    # Leave room for the bars of running steps, because they keep growing in the browser.
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
        return urls.build_changed_view_url(selected, span=f"{begin:.6g}-{end:.6g}") + "#timeline"

    return Markup(draw_timeline(bars, right_edge=right_edge, span=span, zoom=build_zoom_url))  # noqa: S704


def parse_timeline_span(text: str) -> tuple[float, float] | None:
    """Parse a timeline span in seconds, such as `0.2-0.4`. Return None if it's invalid."""
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
    """The SVG, or an empty string if the graph can't be drawn."""
    hidden: int = 0
    """The number of steps that don't have their own box."""
    selected: str = ""
    """The ID of the box for the selected step."""


def draw_item_graph(report: RunReport, urls: ItemUrls, selected: str | None) -> GraphPicture:
    """Draw an item's graph, with each box linking to its step.

    Unless `urls` asks for all steps, equivalent steps share a box, and nested flows are collapsed if the flow is large.
    """
    if not report.flow.get("steps"):
        return GraphPicture("")
    folded, layout = _get_cached_layout(report.flow, is_whole=urls.shows_all)
    states = find_worst_step_states(report)
    boxes = folded.find_worst_box_states(states)
    links = {}
    for node in folded.graph.nodes:
        if node.kind == "step":
            # Link to the first step with the same status as the box. A step in a nested flow belongs to a sub-run, so
            # link to the step that runs the nested flow instead.
            members = folded.nodes_by_box[node.id]
            first = next((member for member in members if states.get(member) == boxes.get(node.id)), members[0])
            links[node.id] = urls.step(first.partition("\x00")[0])
        elif node.kind in ("input", "output") and not node.group:
            links[node.id] = urls.page_without_step
    account = next(iter(report.accounts.values()), None)
    failed = {step.step_id: len(step.failed_children) for step in (account.steps if account else ())}
    box = folded.find_box(selected) if selected else ""
    children = {name: count for name, count in failed.items() if count}
    options = DrawOptions(boxes, style=False, urls_by_node_id=links, failed_children=children, current_node_id=box)
    return GraphPicture(_draw_graph_svg(folded, layout, options), folded.hidden_count, box)


def draw_run_graph(report: RunReport) -> str:
    """Draw a report's graph as SVG, colored by status. Return an empty string if the graph can't be drawn."""
    return draw_flow_graph(report.flow, find_worst_step_states(report))


def draw_flow_graph(flow: Mapping[str, Any], statuses: Mapping[str, str] | None = None) -> str:
    """Draw a flow's graph as SVG, colored by step status. Return an empty string if the graph can't be drawn."""
    if not flow.get("steps"):
        return ""
    folded, layout = _get_cached_layout(flow, is_whole=False)
    return _draw_graph_svg(folded, layout, DrawOptions(folded.find_worst_box_states(statuses or {}), style=False))


_layouts: BoundedDict[tuple[str, bool], tuple[FoldedGraph, Layout | None]] = BoundedDict(32)


def _get_cached_layout(flow: Mapping[str, Any], *, is_whole: bool) -> tuple[FoldedGraph, Layout | None]:
    """Return a flow's graph and layout. Both can be cached because they don't depend on any statuses.

    The layout is None if the graph can't be drawn. This function is thread-safe.
    """
    key = (repr(flow), is_whole)
    drawing = _layouts.pop(key, None)
    if drawing is None:
        folded = fold_graph(build_graph(flow), is_whole=is_whole)
        try:
            drawing = folded, lay_out(folded.graph)
        except StepflowClientError:
            # For example, the drawing packages might not be installed.
            return folded, None
    _layouts.put_newest(key, drawing)
    return drawing


def _draw_graph_svg(folded: FoldedGraph, layout: Layout | None, options: DrawOptions) -> str:
    # `svg` escapes its values.
    return Markup(draw_svg(folded.graph, options, layout)) if layout is not None else ""  # noqa: S704
