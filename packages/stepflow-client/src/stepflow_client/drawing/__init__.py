"""Flow drawings and run reports.

`to_text`, `to_dot` and `to_mermaid` have no dependencies. SVG, HTML and PNG require the `stepflow-client[draw]` extra.

Example:
    drawing = draw("workflow.yaml")
    Path("workflow.svg").write_text(drawing.svg())
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from .._data.arguments import check_flag, check_integer, check_mapping
from .._data.secrets import hide_flow_secrets
from .._data.wire import check_json
from .._rules.run_progress import StepTime
from .._runs.component_input_hints import ResolvedInput
from ..flows.reading import FlowSource, load_flow
from . import graph_text_formats
from .drawn_graph import FlowGraph, build_graph, fold_graph
from .layout import DrawingUnavailableError
from .page_frame import PAGE_STYLE, build_page, escape_html
from .report_data import RunReport, gather
from .report_page import report_page
from .svg import GRAPH_STYLE, DrawOptions, draw_svg, render_png

__all__ = [
    "Drawing", "DrawingUnavailableError", "ResolvedInput", "RunReport", "StepTime", "draw", "gather", "report_page",
    "to_dot", "to_mermaid", "to_text",
]  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A drawing of a flow. Notebooks display it directly."""

    _graph: FlowGraph
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Node statuses by node ID."""
    include_servers: bool = True
    """Whether to color plugins and show a legend. Defaults to True."""
    include_details: bool = True
    """Whether to show each step's component and properties. Defaults to True."""
    include_all_steps: bool = False
    """Whether to give every step its own box, even if several are equivalent. Defaults to False."""

    def __post_init__(self) -> None:
        """Check the flags."""
        for name in ("include_servers", "include_details", "include_all_steps"):
            check_flag(getattr(self, name), name)

    def _draw_svg(self, *, style: bool) -> str:
        folded = fold_graph(self._graph, is_whole=self.include_all_steps)
        states = folded.find_worst_box_states(self.statuses)
        return draw_svg(folded.graph, DrawOptions(states, self.include_servers, self.include_details, style))

    def svg(self) -> str:
        """Return the drawing as an SVG string.

        Raises:
            DrawingUnavailableError: If the `stepflow-client[draw]` extra isn't installed.
        """
        return self._draw_svg(style=True)

    def html(self) -> str:
        """Return the drawing as a self-contained HTML page.

        Raises:
            DrawingUnavailableError: If the `stepflow-client[draw]` extra isn't installed.
        """
        name = self._graph.name or "flow"
        body = f'<h1>{escape_html(name)}</h1><div class="scroll">{self._draw_svg(style=False)}</div>'
        return build_page(name, body, PAGE_STYLE + GRAPH_STYLE)

    def png(self, *, scale: int = 2) -> bytes:
        """Return the drawing as a PNG image, using the light theme.

        Args:
            scale: PNG pixels per SVG pixel, up to 16. Defaults to 2.

        Raises:
            DrawingUnavailableError: If the `stepflow-client[draw]` extra isn't installed.
        """
        check_integer(scale, "scale", least=1, most=16)
        return render_png(self.svg(), scale)

    def __repr__(self) -> str:
        nodes, edges = len(self._graph.nodes), len(self._graph.edges)
        return f"<Drawing of {self._graph.name or 'a flow'}: {nodes} nodes, {edges} edges>"

    def _repr_html_(self) -> str | None:
        try:
            return self.svg()
        except DrawingUnavailableError:
            return f"<pre>{escape(graph_text_formats.write_mermaid(self._graph))}</pre>"


def draw(
    flow: FlowSource,
    *,
    statuses: Mapping[str, str] | None = None,
    include_servers: bool = True,
    include_details: bool = True,
    include_all_steps: bool = False,
) -> Drawing:
    """Draw a flow. Values of secret variables are replaced with `***`.

    Five or more equivalent steps, e.g. in a fan-out, share a box. In flows with more than 40 boxes, nested flows are
    collapsed into the steps that run them.

    Args:
        flow: The path to a file, or the flow itself.
        statuses: Step statuses by step ID: `completed`, `failed`, `running`, `cancelled`,
            `not_run` (drawn dashed and gray) or `not_needed` (pale).
        include_servers: Whether to color plugins and show a legend. Defaults to True.
        include_details: Whether to show each step's component and properties. Defaults to True.
        include_all_steps: Whether to give every step its own box and draw nested flows. Defaults to False.

    Raises:
        FlowFileError: If the file can't be read.
        InvalidArgumentError: If `flow` isn't a flow.
    """
    shown = {} if statuses is None else check_mapping(statuses, "statuses")
    return Drawing(_build_masked_flow_graph(flow), shown, include_servers, include_details, include_all_steps)


def to_dot(flow: FlowSource, *, include_details: bool = True) -> str:
    """Return a flow's graph in DOT, the Graphviz language. See `draw`."""
    check_flag(include_details, "include_details")
    return graph_text_formats.write_dot(_build_masked_flow_graph(flow), details=include_details)


def to_mermaid(flow: FlowSource, *, include_details: bool = True) -> str:
    """Return a flow's graph as a Mermaid flowchart. See `draw`."""
    check_flag(include_details, "include_details")
    return graph_text_formats.write_mermaid(_build_masked_flow_graph(flow), details=include_details)


def to_text(flow: FlowSource, *, include_details: bool = True) -> str:
    """Return a flow as an indented outline of its steps, their references, and the flows they run. See `draw`."""
    check_flag(include_details, "include_details")
    return graph_text_formats.write_outline(_build_masked_flow_graph(flow), details=include_details)


def _build_masked_flow_graph(flow: FlowSource) -> FlowGraph:
    return build_graph(hide_flow_secrets(check_json(load_flow(flow), "the flow")))
