"""The graph of a flow: its steps, what they read, and the flows inside it. Pure.

A flow that servers refuse also has a graph, as far as it can be read: invalid steps are left out, and a reference to a
step that does not exist is an edge to a separate node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["EdgeKind", "FlowGraph", "GraphEdge", "GraphNode", "SubFlow", "flow_graph"]

EdgeKind: TypeAlias = Literal["plain", "condition", "then", "else", "coalesce", "default", "subflow"]
"""What an edge represents: a value, the condition of an `$if`, one of its branches, an alternative of a `$coalesce`,
the default of a variable (which does not make a step run), or the flow that a step runs."""

_SUBFLOW_INPUTS = {"/builtin/map": "workflow", "/builtin/iterate": "flow", "/builtin/put_blob": "data"}
_LONGEST_CONDITION = 60
_DEEPEST = 20


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


def flow_graph(flow: Mapping[str, Any]) -> FlowGraph:
    """Return the graph of a flow.

    Args:
        flow: The flow, as read from a file or from a server. Flows nested up to 20 deep are drawn.
    """
    graph = FlowGraph(name=str(flow.get("name") or ""))
    _Reader(graph, flow, "", 0).read()
    return graph


@dataclass(frozen=True, slots=True)
class _Read:
    """A reference in an expression."""

    kind: EdgeKind
    source: Literal["step", "input", "variable"]
    name: str
    label: str = ""
    path: str = ""


def _reads(value: Any, kind: EdgeKind = "plain", label: str = "", place: str = "") -> Iterator[_Read]:
    """Yield the references in an expression. The first keyword takes precedence, as on servers."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _reads(each, kind, label, f"{place}[{index}]")
        return
    if not isinstance(value, Mapping) or "$literal" in value:
        return
    if "$if" in value:
        condition = _expression_text(value["$if"])
        yield from _reads(value["$if"], "condition", "if", place)
        yield from _reads(value.get("then"), "then", condition, place)
        yield from _reads(value.get("else"), "else", f"not {condition}", place)
    elif "$coalesce" in value:
        alternatives = value["$coalesce"]
        for index, each in enumerate(alternatives if isinstance(alternatives, list) else [], start=1):
            within = f"{label}: {index}" if label else str(index)
            yield from _reads(each, "coalesce" if kind == "plain" else kind, within, place)
    elif "$step" in value:
        yield _Read(kind, "step", str(value["$step"]), label, _route(value.get("path"), place))
    elif "$input" in value:
        yield _Read(kind, "input", "", label, _route(value["$input"], place))
    elif "$variable" in value:
        yield _Read(kind, "variable", "", label, _route(value["$variable"], place))
        yield from _reads(value.get("default"), "default", "default", place)
    else:
        for key, each in value.items():
            yield from _reads(each, kind, label, f"{place}.{key}" if place else str(key))


def _route(path: Any, place: str) -> str:
    source = "$" if path in (None, "") else str(path)
    return f"{source} → {place}" if place else source


def _expression_text(value: Any) -> str:
    """Return a short text for an expression, for labels."""
    if isinstance(value, Mapping):
        for key in ("$step", "$input", "$variable"):
            if key in value:
                name = "input" if key == "$input" else str(value[key])
                path = str(value.get("path") or "") if key == "$step" else str(value[key] if key == "$input" else "")
                path = path.removeprefix("$").lstrip(".")
                return (f"{name}.{path}" if path else name)[:_LONGEST_CONDITION]
        if "$if" in value:
            return f"if {_expression_text(value['$if'])}"[:_LONGEST_CONDITION]
    return str(value)[:_LONGEST_CONDITION]


class _Reader:
    """Adds a flow, and the flows inside it, to a graph."""

    def __init__(self, graph: FlowGraph, flow: Mapping[str, Any], group: str, depth: int) -> None:
        self._graph = graph
        self._flow = flow
        self._group = group
        self._depth = depth
        steps = flow.get("steps")
        listed = [step for step in (steps if isinstance(steps, list) else []) if isinstance(step, Mapping)]
        # Servers reject a second step with the same id; the graph shows the first.
        self._steps = {str(step["id"]): step for step in reversed(listed) if "id" in step}
        self._steps = {str(step["id"]): self._steps[str(step["id"])] for step in listed if "id" in step}
        self._ids = {name: self._id(name) for name in self._steps}
        self._others: dict[str, GraphNode] = {}

    def _id(self, name: str) -> str:
        return f"{self._group}\x00{name}" if self._group else name

    def read(self) -> None:
        needed = self._needed()
        nodes = [self._node(name, step, name in needed) for name, step in self._steps.items()]
        edges: list[GraphEdge] = []
        for name, step in self._steps.items():
            edges += self._edges(self._ids[name], step.get("input"))
        if self._flow.get("output") is not None:
            output = self._other("output", "output")
            edges += self._edges(output, self._flow["output"])
        self._graph.nodes += [*nodes, *self._others.values()]
        self._graph.edges += dict.fromkeys(edges)
        for name, step in self._steps.items():
            self._sub_flow(self._ids[name], step)

    def _needed(self) -> set[str]:
        waiting = [read.name for read in _reads(self._flow.get("output")) if _makes_run(read)]
        waiting += [name for name, step in self._steps.items() if step.get("mustExecute") is True]
        needed: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in self._steps and name not in needed:
                needed.add(name)
                waiting += [read.name for read in _reads(self._steps[name].get("input")) if _makes_run(read)]
        return needed

    def _node(self, name: str, step: Mapping[str, Any], is_needed: bool) -> GraphNode:
        component = str(step.get("component") or "")
        found = step.get("onError")
        rule: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
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

    def _other(self, kind: Literal["input", "output", "variables", "missing"], label: str) -> str:
        # No step has this id by accident, because it would have to begin with this mark.
        key = f"\x00{kind}:{label}"
        if key not in self._others:
            self._others[key] = GraphNode(id=self._id(key), kind=kind, label=label, group=self._group)
        return self._others[key].id

    def _edges(self, target: str, value: Any) -> Iterator[GraphEdge]:
        for read in _reads(value):
            if read.source == "input":
                source = self._other("input", "input")
            elif read.source == "variable":
                source = self._other("variables", "variables")
            else:
                source = self._ids.get(read.name) or self._other("missing", read.name)
            yield GraphEdge(source, target, read.kind, read.label, read.path)

    def _sub_flow(self, node: str, step: Mapping[str, Any]) -> None:
        key = _SUBFLOW_INPUTS.get(str(step.get("component")))
        given = step.get("input")
        inner = given.get(key) if key and isinstance(given, Mapping) else None
        if isinstance(inner, Mapping) and isinstance(inner.get("$literal"), Mapping):
            inner = inner["$literal"]
        if not isinstance(inner, Mapping) or not isinstance(inner.get("steps"), list) or self._depth >= _DEEPEST:
            return
        self._graph.sub_flows.append(SubFlow(node, str(inner.get("name") or step.get("id")), node, self._group))
        before = len(self._graph.nodes)
        _Reader(self._graph, inner, node, self._depth + 1).read()
        if len(self._graph.nodes) > before:
            self._graph.edges.append(GraphEdge(node, self._graph.nodes[before].id, "subflow", "runs"))


def _makes_run(read: _Read) -> bool:
    return read.source == "step" and read.kind != "default"
