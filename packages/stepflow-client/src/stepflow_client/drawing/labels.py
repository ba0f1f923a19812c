"""The texts in a picture: labels that fit, and the lines of a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unicodedata import category, east_asian_width

from .._base import text as text_module
from .._base.text import short_json, visible
from .drawn_graph import GraphEdge, GraphNode

_MAX_NAME_LENGTH = 28
_MAX_EDGE_LENGTH = 20


def count_columns(text: str) -> int:
    """Return the width of a text in columns of a monospaced font. Wide characters count twice."""
    return sum(2 if east_asian_width(letter) in "WF" else 0 if category(letter) == "Mn" else 1 for letter in text)


def cut(text: str, longest: int = _MAX_NAME_LENGTH) -> str:
    """Return a visible text with a maximum number of columns. A longer text is cut and ends with `…`."""
    return text_module.cut(visible(text), longest, count_columns)


def format_px(number: float) -> str:
    """Return a coordinate in pixels as text, without needless digits: a picture has thousands."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def node_lines(node: GraphNode, details: bool) -> list[str]:
    """Return the lines in the box of a node: its name, its component and its marks."""
    if node.kind == "missing":
        return [cut(node.label), "no such step"]
    if node.kind != "step" or not details:
        return [cut(node.label)]
    lines = [cut(node.label), cut(node.component)]
    marks = list(node_marks(node))
    return [*lines, cut(", ".join(marks))] if marks else lines


def node_marks(node: GraphNode) -> Iterator[str]:
    """Yield what is special about a step, such as `must run`."""
    if node.count > 1:
        yield f"{node.count} equal steps"
    if node.inside:
        yield f"runs a flow of {node.inside} step{'s' if node.inside > 1 else ''}"
    if node.on_error == "default":
        yield "on error: default"
    if node.on_error == "retry":
        yield f"retries: {node.retries}"
    if node.must_execute:
        yield "must run"
    if not node.is_needed:
        yield "never runs"


def node_title(node: GraphNode, shown: Sequence[str] = ()) -> list[str]:
    """Return the lines of a node's tooltip, one for each fact; the component only if the lines of its box do not show
    all of it."""
    lines = [node.label]
    if node.component and node.component not in shown:
        lines.append(f"component: {node.component}")
    lines += node_marks(node)
    if node.on_error == "default":
        lines.append(f"default: {short_json(node.default)}")
    return lines


def edge_label(edge: GraphEdge) -> str:
    """Return the label of an edge."""
    return cut(edge.label, _MAX_EDGE_LENGTH)
