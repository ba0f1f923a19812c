"""The graph of a flow as it is drawn.

In large flows, equal steps are one box, and a nested flow is a mark of its step. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from ..flows.expressions import Reference, write_path
from ..flows.graph import FlowSteps, inner_flow

EdgeKind: TypeAlias = Literal["plain", "condition", "then", "else", "coalesce", "default", "subflow"]
"""What an edge represents: a value, the condition of an `$if`, one of its branches, an alternative of a `$coalesce`,
the default of a variable (which does not make a step run), or the flow that a step runs."""

_MAX_CONDITION_LENGTH = 60
_MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node of the graph: a step, or the input, the output or the variables of a flow."""

    id: str
    """Unique in the whole graph. For a step of the flow itself it is the step's id. In sub-flows it begins with the
    ids of the enclosing steps, joined by NUL. In nodes that are not steps, the name begins with NUL."""
    kind: Literal["step", "input", "output", "variables", "missing"]
    label: str
    """The step's id, or `input`, `output` or `variables`."""
    component: str = ""
    plugin: str = ""
    """The first part of the component's path; empty if the node is not a step."""
    on_error: Literal["", "default", "retry"] = ""
    retries: int = 0
    """Number of retries of the step, with `on_error` retry; 3 if the flow does not set it."""
    default: Any = None
    """The value that replaces the output, with `on_error` default."""
    must_execute: bool = False
    is_needed: bool = True
    """False if neither the output nor a `mustExecute` step needs this step: it never runs."""
    group: str = ""
    """The sub-flow that the node belongs to; empty for the flow itself."""
    count: int = 1
    """Number of equal steps that the node stands for."""
    inside: int = 0
    """Number of steps of a flow inside of the step that are not drawn."""


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """One node reads another."""

    source: str
    target: str
    kind: EdgeKind = "plain"
    label: str = ""
    """The condition of a branch, the position of an alternative, from 1, or empty."""
    path: str = ""
    """Which part of the source is read, and where it goes, for tooltips."""


@dataclass(frozen=True, slots=True)
class SubFlow:
    """A flow inside a flow: one that `/builtin/map` or `/builtin/iterate` runs, or that `put_blob` stores."""

    id: str
    label: str
    step: str
    """The id of the node of the step that contains it."""
    parent: str = ""
    """The enclosing sub-flow; empty in the flow itself."""


@dataclass(slots=True)
class FlowGraph:
    """A flow as nodes and edges, in the order of the flow."""

    name: str = ""
    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)
    sub_flows: list[SubFlow] = field(default_factory=list)

    @property
    def plugins(self) -> list[str]:
        """The plugins of the flow's components, sorted."""
        return sorted({node.plugin for node in self.nodes if node.plugin})


def build_graph(flow: Mapping[str, Any]) -> FlowGraph:
    """Return the graph of a flow, as read from a file or from a server. Flows nested up to 20 deep are drawn."""
    graph = FlowGraph(name=str(flow.get("name") or ""))
    _GraphBuilder(graph, flow, "", 0).build()
    return graph


def _describe_branch(read: Reference) -> tuple[EdgeKind, str]:
    """Return the kind and the label of an edge: those of the innermost branch."""
    kind: EdgeKind = "plain"
    label = ""
    for branch in read.branches:
        match branch.kind:
            case "coalesce":
                label = f"{label}: {branch.number + 1}" if label else str(branch.number + 1)
                kind = "coalesce" if kind == "plain" else kind
            case "condition":
                kind, label = branch.kind, "if"
            case "default":
                kind, label = branch.kind, "default"
            case _:
                text = _format_expression(branch.condition)
                kind, label = branch.kind, text if branch.kind == "then" else f"not {text}"
    return kind, label


def _format_expression(value: Any) -> str:
    """Return a short text for an expression, for labels."""
    if isinstance(value, Mapping):
        for key in ("$step", "$input", "$variable"):
            if key in value:
                name = "input" if key == "$input" else str(value[key])
                path = str(value.get("path") or "") if key == "$step" else str(value[key] if key == "$input" else "")
                path = path.removeprefix("$").lstrip(".")
                return (f"{name}.{path}" if path else name)[:_MAX_CONDITION_LENGTH]
        if "$if" in value:
            return f"if {_format_expression(value['$if'])}"[:_MAX_CONDITION_LENGTH]
    return str(value)[:_MAX_CONDITION_LENGTH]


class _GraphBuilder:
    """Adds a flow, and the flows inside it, to a graph."""

    def __init__(self, graph: FlowGraph, flow: Mapping[str, Any], group: str, depth: int) -> None:
        self._graph = graph
        self._flow = flow
        self._group = group
        self._depth = depth
        self._steps = FlowSteps(flow)
        self._ids = {name: self._make_id(name) for name in self._steps.by_id}
        self._others: dict[str, GraphNode] = {}

    def _make_id(self, name: str) -> str:
        return f"{self._group}\x00{name}" if self._group else name

    def build(self) -> None:
        steps, needed = self._steps.by_id, self._steps.needed()
        nodes = [self._build_node(name, step.value, name in needed) for name, step in steps.items()]
        edges: list[GraphEdge] = []
        for name, step in steps.items():
            edges += self._build_edges(self._ids[name], step.reads)
        if self._flow.get("output") is not None:
            edges += self._build_edges(self._get_other_node("output", "output"), self._steps.output_reads)
        self._graph.nodes += [*nodes, *self._others.values()]
        self._graph.edges += dict.fromkeys(edges)
        for name, step in steps.items():
            self._add_sub_flow(self._ids[name], step.value)

    def _build_node(self, name: str, step: Mapping[str, Any], is_needed: bool) -> GraphNode:
        component = str(step.get("component") or "")
        on_error = step.get("onError")
        rule: Mapping[str, Any] = on_error if isinstance(on_error, Mapping) else {}
        action = rule.get("action")
        retries = rule.get("maxRetries")
        return GraphNode(
            id=self._ids[name],
            kind="step",
            label=name,
            component=component,
            plugin=component.strip("/").partition("/")[0],
            on_error="default" if action == "useDefault" else "retry" if action == "retry" else "",
            retries=(int(retries) if isinstance(retries, (int, float)) else 3) if action == "retry" else 0,
            default=rule.get("defaultValue") if action == "useDefault" else None,
            must_execute=step.get("mustExecute") is True,
            is_needed=is_needed,
            group=self._group,
        )

    def _get_other_node(self, kind: Literal["input", "output", "variables", "missing"], label: str) -> str:
        # No step has this id by accident, because it would have to begin with this mark.
        key = f"\x00{kind}:{label}"
        if key not in self._others:
            self._others[key] = GraphNode(id=self._make_id(key), kind=kind, label=label, group=self._group)
        return self._others[key].id

    def _build_edges(self, target: str, reads: Iterable[Reference]) -> Iterator[GraphEdge]:
        for read in reads:
            if read.kind == "input":
                source = self._get_other_node("input", "input")
            elif read.kind == "variable":
                source = self._get_other_node("variables", "variables")
            else:
                name = str(read.expression["$step"])
                source = self._ids.get(name) or self._get_other_node("missing", name)
            path = "$" if read.path in (None, "") else str(read.path)
            goal = write_path(read.field, "").removeprefix(".")
            yield GraphEdge(source, target, *_describe_branch(read), f"{path} → {goal}" if goal else path)

    def _add_sub_flow(self, node: str, step: Mapping[str, Any]) -> None:
        inner = inner_flow(step)
        flow = inner.flow if inner is not None else None
        if not isinstance(flow, Mapping) or not isinstance(flow.get("steps"), list) or self._depth >= _MAX_DEPTH:
            return
        self._graph.sub_flows.append(SubFlow(node, str(flow.get("name") or step.get("id")), node, self._group))
        before = len(self._graph.nodes)
        _GraphBuilder(self._graph, flow, node, self._depth + 1).build()
        if len(self._graph.nodes) > before:
            self._graph.edges.append(GraphEdge(node, self._graph.nodes[before].id, "subflow", "runs"))


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
