"""The pictures of flows and runs."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from stepflow_client import StepflowClientError
from stepflow_client._command import write_yaml
from stepflow_client.drawing import RunReport
from stepflow_client.drawing.charts import draw_timeline
from stepflow_client.drawing.drawn_graph import FoldedGraph, build_graph, compact
from stepflow_client.drawing.layout import Layout, lay_out
from stepflow_client.drawing.report_page import build_bars, collect_statuses
from stepflow_client.drawing.svg import Look, svg

from ..inputs.flow import sort_flow_keys
from .item_urls import ItemUrls


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
