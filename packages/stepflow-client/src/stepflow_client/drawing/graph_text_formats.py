"""Converts graphs to text: an outline for people to read, or DOT (Graphviz) or Mermaid for other tools."""

from __future__ import annotations

from collections.abc import Iterator

from .._base.text_formatting import visible
from .drawn_graph import FlowGraph, cut_label

_MAX_LABEL_LENGTH = 60
_DASHED_EDGE_KINDS = ("condition", "then", "else", "default", "subflow")


def write_dot(graph: FlowGraph, *, details: bool = True) -> str:
    """Write a graph as DOT. If `details` is True, include each step's component and properties."""
    names = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}

    def group_lines(group: str, indent: str) -> Iterator[str]:
        for node in graph.nodes:
            if node.group == group:
                label = "\\n".join(_escape_dot(line) for line in node.get_lines(details))
                shape = "" if node.kind == "step" else " shape=ellipse"
                style = " style=dashed" if not node.is_needed else " style=bold" if node.must_execute else ""
                yield f'{indent}{names[node.id]} [label="{label}"{shape}{style}];'
        for index, sub in enumerate(graph.sub_flows):
            if sub.parent == group:
                yield f"{indent}subgraph cluster_{index} {{"
                yield f'{indent}  label="{_escape_dot(sub.label)}";'
                yield from group_lines(sub.step, indent + "  ")
                yield f"{indent}}}"

    lines = [f'digraph "{_escape_dot(graph.name or "flow")}" {{', "  node [shape=box];", *group_lines("", "  ")]
    for edge in graph.edges:
        style = " style=dashed" if edge.kind in _DASHED_EDGE_KINDS else ""
        label = _escape_dot(cut_label(edge.label, _MAX_LABEL_LENGTH))
        lines.append(f'  {names[edge.source]} -> {names[edge.target]} [label="{label}"{style}];')
    return "\n".join([*lines, "}"]) + "\n"


def _escape_dot(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')


def write_mermaid(graph: FlowGraph, *, details: bool = True) -> str:
    """Write a graph as a Mermaid flowchart. If `details` is True, include each step's component and properties."""
    names = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}

    def group_lines(group: str, indent: str) -> Iterator[str]:
        for node in graph.nodes:
            if node.group == group:
                label = "<br>".join(_escape_mermaid(line) for line in node.get_lines(details))
                begin, end = ("[", "]") if node.kind == "step" else ("([", "])")
                yield f'{indent}{names[node.id]}{begin}"{label}"{end}'
        for index, sub in enumerate(graph.sub_flows):
            if sub.parent == group:
                yield f'{indent}subgraph s{index}["{_escape_mermaid(sub.label)}"]'
                yield from group_lines(sub.step, indent + "  ")
                yield f"{indent}end"

    lines = ["flowchart TD", *group_lines("", "  ")]
    for edge in graph.edges:
        arrow = "-.->" if edge.kind in _DASHED_EDGE_KINDS else "-->"
        label = f'|"{_escape_mermaid(cut_label(edge.label, _MAX_LABEL_LENGTH))}"|' if edge.label else ""
        lines.append(f"  {names[edge.source]} {arrow}{label} {names[edge.target]}")
    return "\n".join(lines) + "\n"


def _escape_mermaid(text: str) -> str:
    """Escape text for Mermaid and HTML. Everything but letters, digits and a few symbols becomes a numeric entity."""
    kept = " _-./:,=…→·"
    return "".join(letter if letter.isalnum() or letter in kept else f"#{ord(letter)};" for letter in visible(text))


def write_outline(graph: FlowGraph, *, details: bool = True) -> str:
    """Write a graph as an outline that lists each step, its references, and any flow it runs. If `details` is True,
    include each step's component and properties.
    """
    reads: dict[str, dict[str, None]] = {}
    labels = {node.id: visible(node.label) for node in graph.nodes}
    for edge in graph.edges:
        if edge.kind != "subflow":
            path = visible(edge.path.partition(" → ")[0].removeprefix("$"))
            source = f"{labels[edge.source]}{'' if path[:1] in ('', '.', '[') else '.'}{path}"
            source += f" ({cut_label(edge.label, _MAX_LABEL_LENGTH)})" if edge.label else ""
            reads.setdefault(edge.target, {})[source] = None

    def group_lines(group: str, indent: str) -> Iterator[str]:
        for node in graph.nodes:
            if node.group != group or node.kind not in ("step", "output"):
                continue
            more = [visible(node.component), *node.iter_property_labels()] if details and node.kind == "step" else []
            yield f"{indent}{labels[node.id]}{'  ' + ', '.join(more) if more else ''}"
            if node.id in reads:
                yield f"{indent}  reads {', '.join(reads[node.id])}"
            for sub in graph.sub_flows:
                if sub.step == node.id:
                    yield f"{indent}  runs {visible(sub.label)}"
                    yield from group_lines(sub.step, indent + "    ")

    return "\n".join([cut_label(graph.name or "flow", _MAX_LABEL_LENGTH), *group_lines("", "  ")]) + "\n"
