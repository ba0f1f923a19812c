"""Pictures of flows, and reports of runs.

`to_dot` and `to_mermaid` need nothing; SVG, HTML and PNG need the extra `stepflow-client[draw]`.

Example:
    drawing = draw("workflow.yaml")
    Path("workflow.svg").write_text(drawing.svg())
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from .._codec.secrets import hidden_flow
from ..flows.file import FlowSource, load_flow
from ..flows.graph import FlowGraph, flow_graph
from . import text
from .html import PAGE_STYLE, page
from .labels import visible
from .layout import DrawingUnavailableError
from .report import RunReport, gather
from .report_page import report_page
from .svg import STYLE, svg

__all__ = ["Drawing", "DrawingUnavailableError", "RunReport", "draw", "gather", "report_page", "to_dot", "to_mermaid"]


@dataclass(frozen=True)
class Drawing:
    """A flow as a picture; a notebook shows it."""

    graph: FlowGraph
    statuses: Mapping[str, str] = field(default_factory=dict)
    """What became of nodes, by node id."""
    servers: bool = True
    """Whether plugins have colours and a legend."""
    details: bool = True
    """Whether steps show their component and marks."""

    def _svg(self, *, style: bool) -> str:
        return svg(self.graph, statuses=self.statuses, servers=self.servers, details=self.details, style=style)

    def svg(self) -> str:
        """Return the picture as SVG text.

        Raises:
            DrawingUnavailableError: If the extra `stepflow-client[draw]` is not installed.
        """
        return self._svg(style=True)

    def html(self) -> str:
        """Return a page with the picture: one file that loads nothing.

        Raises:
            DrawingUnavailableError: As for `svg`.
        """
        name = self.graph.name or "flow"
        body = f'<h1>{escape(visible(name))}</h1><div class="scroll">{self._svg(style=False)}</div>'
        return page(name, body, PAGE_STYLE + STYLE)

    def png(self, *, scale: int = 2) -> bytes:
        """Return the picture as PNG, in the colours for light surroundings.

        Args:
            scale: Pixels for each pixel of the SVG.

        Raises:
            DrawingUnavailableError: As for `svg`.
        """
        from .png import png

        return png(self.svg(), scale)

    def __repr__(self) -> str:
        nodes, edges = len(self.graph.nodes), len(self.graph.edges)
        return f"<Drawing of {self.graph.name or 'a flow'}: {nodes} nodes, {edges} edges>"

    def _repr_html_(self) -> str | None:
        try:
            return self.svg()
        except DrawingUnavailableError:
            return f"<pre>{escape(text.mermaid(self.graph))}</pre>"


def draw(
    flow: FlowSource,
    *,
    statuses: Mapping[str, str] | None = None,
    servers: bool = True,
    details: bool = True,
) -> Drawing:
    """Return a flow's picture. Values of secret variables that the flow holds are `***`.

    Args:
        flow: A file or the flow itself.
        statuses: What became of steps, by their id: `completed`, `failed`, `running`, `cancelled`.
        servers: Whether plugins have colours and a legend.
        details: Whether steps show their component and marks.

    Raises:
        FlowFileError: If the file cannot be read.
        InvalidArgumentError: If `flow` is no flow.
    """
    return Drawing(_graph(flow), statuses or {}, servers, details)


def to_dot(flow: FlowSource, *, details: bool = True) -> str:
    """Return a flow's graph in the language of Graphviz; see `draw`."""
    return text.dot(_graph(flow), details=details)


def to_mermaid(flow: FlowSource, *, details: bool = True) -> str:
    """Return a flow's graph as a Mermaid flowchart; see `draw`."""
    return text.mermaid(_graph(flow), details=details)


def _graph(flow: FlowSource) -> FlowGraph:
    content: dict[str, Any] = load_flow(flow)
    return flow_graph(hidden_flow(content))
