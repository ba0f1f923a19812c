"""The graph of a flow as it is drawn: its steps, what they read, and the flows inside it. Pure.

A flow that servers refuse also has a graph, as far as it can be read: invalid steps are left out, and a reference to a
step that does not exist is an edge to a separate node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
