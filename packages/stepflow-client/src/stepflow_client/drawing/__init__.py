"""Drawings of flows and reports of runs.

`to_text`, `to_dot` and `to_mermaid` need no other packages; SVG, HTML and PNG need the extra `stepflow-client[draw]`.

Example:
    drawing = draw("workflow.yaml")
    Path("workflow.svg").write_text(drawing.svg())
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from .._base.text import visible
from .._data.arguments import check_flag, check_flags, check_integer, check_mapping
from .._data.secrets import hide_flow_secrets
from .._data.values import check_json
from .._runs.refusals import ResolvedInput
from ..flows.reading import FlowSource, load_flow
from . import graph_text
from .charts import StepTime
from .drawn_graph import FlowGraph, build_graph, compact
from .html import PAGE_STYLE, page
from .layout import DrawingUnavailableError
from .report_data import RunReport, gather
from .report_page import report_page
from .svg import STYLE, Look, svg

__all__ = [
    "Drawing", "DrawingUnavailableError", "ResolvedInput", "RunReport", "StepTime", "draw", "gather", "report_page",
    "to_dot", "to_mermaid", "to_text",
]  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A drawing of a flow. Notebooks display it."""

    _graph: FlowGraph
    statuses: Mapping[str, str] = field(default_factory=dict)
    """The status of nodes, by node id."""
    include_servers: bool = True
    """Whether plugins have colours and a legend. Default True."""
    include_details: bool = True
    """Whether steps show their component and marks. Default True."""
    include_all_steps: bool = False
    """Whether each step has a box, although others are equal. Default False."""

    def __post_init__(self) -> None:
        """Check the flags."""
        check_flags(
            include_servers=self.include_servers,
            include_details=self.include_details,
            include_all_steps=self.include_all_steps,
        )

    def _svg(self, *, style: bool) -> str:
        folded = compact(self._graph, is_whole=self.include_all_steps)
        return svg(folded.graph, Look(folded.states(self.statuses), self.include_servers, self.include_details, style))

    def svg(self) -> str:
        """Return the drawing as SVG text.

        Raises:
            DrawingUnavailableError: If the extra `stepflow-client[draw]` is not installed.
        """
        return self._svg(style=True)

    def html(self) -> str:
        """Return a page with the drawing: a single file that loads no other files.

        Raises:
            DrawingUnavailableError: If the extra `stepflow-client[draw]` is not installed.
        """
        name = self._graph.name or "flow"
        body = f'<h1>{escape(visible(name))}</h1><div class="scroll">{self._svg(style=False)}</div>'
        return page(name, body, PAGE_STYLE + STYLE)

    def png(self, *, scale: int = 2) -> bytes:
        """Return the drawing as PNG, in the colours of the light theme.

        Args:
            scale: Pixels for each pixel of the SVG, up to 16. Default 2.

        Raises:
            DrawingUnavailableError: If the extra `stepflow-client[draw]` is not installed.
        """
        from .svg import png

        check_integer(scale, "scale", least=1, most=16)
        return png(self.svg(), scale)

    def __repr__(self) -> str:
        nodes, edges = len(self._graph.nodes), len(self._graph.edges)
        return f"<Drawing of {self._graph.name or 'a flow'}: {nodes} nodes, {edges} edges>"

    def _repr_html_(self) -> str | None:
        try:
            return self.svg()
        except DrawingUnavailableError:
            return f"<pre>{escape(graph_text.write_mermaid(self._graph))}</pre>"


def draw(
    flow: FlowSource,
    *,
    statuses: Mapping[str, str] | None = None,
    include_servers: bool = True,
    include_details: bool = True,
    include_all_steps: bool = False,
) -> Drawing:
    """Return a drawing of a flow. Values of secret variables in the flow are replaced by `***`.

    Five or more equal steps, such as those of a fan-out, are one box. In flows of more than 40 boxes, a flow inside of
    a step is a mark of the step.

    Args:
        flow: The path of a file, or the flow itself.
        statuses: The status of steps, by step id: `completed`, `failed`, `running`, `cancelled`,
            `not_run` (drawn dashed and grey) or `not_needed` (pale).
        include_servers: Whether plugins have colours and a legend. Default True.
        include_details: Whether steps show their component and marks. Default True.
        include_all_steps: Whether each step has a box, and flows inside of steps are drawn. Default False.

    Raises:
        FlowFileError: If the file cannot be read.
        InvalidArgumentError: If `flow` is not a flow.
    """
    shown = {} if statuses is None else check_mapping(statuses, "statuses")
    return Drawing(_graph(flow), shown, include_servers, include_details, include_all_steps)


def to_dot(flow: FlowSource, *, include_details: bool = True) -> str:
    """Return a flow's graph in DOT, the language of Graphviz; see `draw`."""
    check_flag(include_details, "include_details")
    return graph_text.write_dot(_graph(flow), details=include_details)


def to_mermaid(flow: FlowSource, *, include_details: bool = True) -> str:
    """Return a flow's graph as a Mermaid flowchart; see `draw`."""
    check_flag(include_details, "include_details")
    return graph_text.write_mermaid(_graph(flow), details=include_details)


def to_text(flow: FlowSource, *, include_details: bool = True) -> str:
    """Return a flow as indented lines, for people: each step, what it reads and the flow that it runs; see `draw`."""
    check_flag(include_details, "include_details")
    return graph_text.write_outline(_graph(flow), details=include_details)


def _graph(flow: FlowSource) -> FlowGraph:
    return build_graph(hide_flow_secrets(check_json(load_flow(flow), "the flow")))
