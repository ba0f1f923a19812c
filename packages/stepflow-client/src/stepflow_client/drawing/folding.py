"""Graphs of large flows made readable: equal steps are one box, a nested flow a mark of its step. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .drawn_graph import FlowGraph, GraphNode

MIN_FOLDED = 5
"""Number of equal steps from which on they are one box."""
# Number of boxes up to which the flows inside of steps are drawn.
_MAX_UNFOLDED = 40
# States of a step or a run, from the one that any other replaces.
_WORST = (
    "not_needed", "not_started", "completed", "cancelled", "not_run", "paused", "running", "recovery_failed", "failed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FoldedGraph:
    """A graph in which boxes may stand for several nodes."""

    graph: FlowGraph
    members: Mapping[str, list[str]]
    """The ids of the nodes that each box of the graph stands for, by the id of the box."""

    @property
    def hidden(self) -> int:
        """Number of nodes without a box of their own."""
        return sum(len(member) - 1 for member in self.members.values())

    def find_box(self, node_id: str) -> str:
        """Return the box that stands for a node; the node's own id if none does."""
        return next((box for box, members in self.members.items() if node_id in members), node_id)

    def states(self, states: Mapping[str, str]) -> dict[str, str]:
        """Return the worst state of the steps of each box, from the states of the steps."""
        shown = {box: worst_state(states.get(node, "") for node in nodes) for box, nodes in self.members.items()}
        return {box: state for box, state in shown.items() if state}


def compact(graph: FlowGraph, *, is_whole: bool = False) -> FoldedGraph:
    """Return a graph as it is drawn: equal steps are one box, and in large flows, so is a flow inside of a step.

    If `is_whole`, each step has its own box.
    """
    nested = not is_whole and len(graph.nodes) > _MAX_UNFOLDED
    return fold(graph, nested=nested, least=None if is_whole else MIN_FOLDED)


def fold(graph: FlowGraph, *, nested: bool = True, least: int | None = MIN_FOLDED) -> FoldedGraph:
    """Return a graph with fewer boxes.

    Steps are equal if they have the same component and error handling and are connected in the same way to steps that
    are equal: the steps of a fan-out, also if each of its branches has several.

    Args:
        graph: The graph.
        nested: Whether to leave out the flows inside of steps.
        least: Number of equal steps from which on they are one box; None never.
    """
    members: dict[str, list[str]] = {node.id: [node.id] for node in graph.nodes}
    if nested and graph.sub_flows:
        members = {node.id: [node.id] for node in graph.nodes if not node.group}
        inside: dict[str, int] = defaultdict(int)
        for node in graph.nodes:
            if node.group:
                outer = node.id.partition("\x00")[0]
                members[outer].append(node.id)
                inside[outer] += node.kind == "step"
        nodes = [replace(node, inside=inside.get(node.id, 0)) for node in graph.nodes if not node.group]
        edges = [edge for edge in graph.edges if edge.source in members and edge.target in members]
        graph = FlowGraph(graph.name, nodes, edges)
    return FoldedGraph(graph, members) if least is None else _merge_equal_steps(graph, members, least)


def _merge_equal_steps(graph: FlowGraph, members: Mapping[str, list[str]], least: int) -> FoldedGraph:
    groups: dict[int, list[GraphNode]] = defaultdict(list)
    kinds = _classify_nodes(graph)
    for node in graph.nodes:
        groups[kinds[node.id]].append(node)
    box_of = {node.id: node.id for node in graph.nodes}
    nodes: list[GraphNode] = []
    merged: dict[str, list[str]] = {}
    for group in groups.values():
        if len(group) < least or group[0].kind != "step":
            nodes += group
            merged |= {node.id: members[node.id] for node in group}
            continue
        first = group[0]
        label = f"{first.label} … {group[-1].label}"
        nodes.append(replace(first, label=label, count=len(group)))
        box_of |= {node.id: first.id for node in group}
        merged[first.id] = [member for node in group for member in members[node.id]]
    places = {node.id: place for place, node in enumerate(graph.nodes)}
    nodes.sort(key=lambda node: places[node.id])
    moved = [replace(edge, source=box_of[edge.source], target=box_of[edge.target]) for edge in graph.edges]
    # One edge for all that lead from box to box; the paths of the first are its tooltip.
    edges = {(edge.source, edge.target, edge.kind): edge for edge in reversed(moved)}
    sub_flows = [sub for sub in graph.sub_flows if box_of[sub.step] == sub.step]
    return FoldedGraph(FlowGraph(graph.name, nodes, list(reversed(edges.values())), sub_flows), merged)


def _classify_nodes(graph: FlowGraph) -> dict[str, int]:
    """Return a number for each node. Nodes with the same number are equal, and so are the nodes around them."""
    holders = {sub.step for sub in graph.sub_flows}
    looks: dict[str, object] = {
        # A step whose flow is drawn, and the steps of such a flow, stay on their own.
        node.id: node.id
        if node.id in holders or node.group or node.kind != "step"
        else (node.component, node.on_error, node.retries, repr(node.default), node.must_execute, node.is_needed)
        for node in graph.nodes
    }
    kinds = _number_looks(looks)
    while True:
        around: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for edge in graph.edges:
            around[edge.target].append(("from", edge.kind, kinds[edge.source]))
            around[edge.source].append(("to", edge.kind, kinds[edge.target]))
        refined = _number_looks({node: (kind, *sorted(around[node])) for node, kind in kinds.items()})
        if len(set(refined.values())) == len(set(kinds.values())):
            return refined
        kinds = refined


def _number_looks(looks: Mapping[str, object]) -> dict[str, int]:
    numbers: dict[object, int] = {}
    return {node: numbers.setdefault(look, len(numbers)) for node, look in looks.items()}


def worst_state(states: Iterable[str]) -> str:
    """Return the state to show for several steps or items; empty if none is known."""
    valid = [state for state in states if state in _WORST]
    return max(valid, key=_WORST.index) if valid else ""
