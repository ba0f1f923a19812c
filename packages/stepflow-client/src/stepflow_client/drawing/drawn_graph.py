"""Builds the graph to draw for a flow.

In large flows, equivalent steps share a box and nested flows are collapsed into the step that runs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias
from unicodedata import category, east_asian_width

from .._base.text_formatting import cut, short_json, visible
from ..flows.expressions import Reference, format_path
from ..flows.graph import FlowSteps, Step, find_inner_flow

EdgeKind: TypeAlias = Literal["plain", "condition", "then", "else", "coalesce", "default", "subflow"]
"""The meaning of an edge: a value, the condition or a branch of an `$if`, an alternative in a `$coalesce`, a
variable's default (which doesn't cause a step to run), or the flow that a step runs."""

_MAX_NAME_LENGTH = 28
_MAX_EDGE_LABEL_LENGTH = 20
_MAX_CONDITION_LENGTH = 60
_MAX_DEPTH = 20


def measure_text_columns(text: str) -> int:
    """Return the text's width in monospaced columns. Wide characters count as two."""
    return sum(2 if east_asian_width(letter) in "WF" else 0 if category(letter) == "Mn" else 1 for letter in text)


def cut_label(text: str, longest: int = _MAX_NAME_LENGTH) -> str:
    """Truncate text to a maximum number of columns, appending `…` if anything was cut. Escapes invisible characters."""
    return cut(visible(text), longest, measure_text_columns)


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node in the graph: a step, or the flow's input, output or variables."""

    id: str
    """Unique within the whole graph. For a step of the top-level flow, this is the step ID. In sub-flows, it's prefixed
    with the IDs of the enclosing steps, joined by NUL. For nodes that aren't steps, the last part starts with NUL."""
    kind: Literal["step", "input", "output", "variables", "missing"]
    label: str
    """The step ID, or `input`, `output` or `variables`."""
    component: str = ""
    plugin: str = ""
    """The first part of the component's path. Empty for nodes other than steps."""
    on_error: Literal["", "default", "retry"] = ""
    retries: int = 0
    """The number of retries if `on_error` is `retry`. Defaults to 3 if the flow doesn't specify it."""
    default: Any = None
    """The fallback output if `on_error` is `default`."""
    must_execute: bool = False
    is_needed: bool = True
    """Whether the output or a `mustExecute` step needs this step. If not, it never runs."""
    group: str = ""
    """The sub-flow the node belongs to. Empty for the top-level flow."""
    count: int = 1
    """The number of equivalent steps that the node represents."""
    inside: int = 0
    """The number of nested-flow steps that are collapsed into this node."""

    def get_lines(self, details: bool) -> list[str]:
        """Return the lines of text in the node's box: its name, component and properties."""
        if self.kind == "missing":
            return [cut_label(self.label), "no such step"]
        if self.kind != "step" or not details:
            return [cut_label(self.label)]
        marks = ", ".join(self.iter_property_labels())
        return [cut_label(self.label), cut_label(self.component), *([cut_label(marks)] if marks else [])]

    def iter_property_labels(self) -> Iterator[str]:
        """Yield a label for each of a step's special properties, e.g. `must run`."""
        if self.count > 1:
            yield f"{self.count} equal steps"
        if self.inside:
            yield f"runs a flow of {self.inside} step{'s' if self.inside > 1 else ''}"
        if self.on_error == "default":
            yield "on error: default"
        if self.on_error == "retry":
            yield f"retries: {self.retries}"
        if self.must_execute:
            yield "must run"
        if not self.is_needed:
            yield "never runs"

    def get_tooltip_lines(self, shown: Sequence[str]) -> list[str]:
        """Return the lines of the node's tooltip. The component is included only if the box doesn't show all of it."""
        lines = [self.label]
        if self.component and self.component not in shown:
            lines.append(f"component: {self.component}")
        lines += self.iter_property_labels()
        if self.on_error == "default":
            lines.append(f"default: {short_json(self.default)}")
        return lines


class GraphEdge(NamedTuple):
    """An edge from a node to another node that reads its output."""

    source: str
    target: str
    kind: EdgeKind = "plain"
    label: str = ""
    """A branch's condition or an alternative's position (starting at 1). Empty for other edges."""
    path: str = ""
    """The part of the source that is read and the field it's used in, for tooltips."""

    @property
    def short_label(self) -> str:
        """The label as drawn, truncated if it's too long."""
        return cut_label(self.label, _MAX_EDGE_LABEL_LENGTH)


class SubFlow(NamedTuple):
    """A nested flow, either run by `/builtin/map` or `/builtin/iterate`, or stored by `put_blob`."""

    step: str
    """The node ID of the step that contains the flow. The flow's own nodes have this ID as their `group`."""
    label: str
    parent: str = ""
    """The step's own group. Empty at the top level."""


@dataclass(slots=True)
class FlowGraph:
    """A flow's nodes and edges, in flow order."""

    name: str = ""
    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)
    sub_flows: list[SubFlow] = field(default_factory=list)

    @property
    def plugins(self) -> list[str]:
        """The plugins used by the flow, sorted."""
        return sorted({node.plugin for node in self.nodes if node.plugin})


def build_graph(flow: Mapping[str, Any]) -> FlowGraph:
    """Build the graph of a flow read from a file or a server. Nested flows are included up to 20 levels deep."""
    graph = FlowGraph(name=str(flow.get("name") or ""))
    _add_flow(graph, flow, "", 0)
    return graph


def _get_edge_kind_and_label(read: Reference) -> tuple[EdgeKind, str]:
    """Return an edge's kind and label, based on the innermost branch."""
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
    """Abbreviate an expression for use in a label."""
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


def _add_flow(graph: FlowGraph, flow: Mapping[str, Any], group: str, depth: int) -> None:
    """Add a flow to a graph, including nested flows. `group` is the node ID of the step that contains it."""
    prefix = f"{group}\x00" if group else ""
    steps = FlowSteps(flow)
    needed = steps.find_steps_to_run()
    nodes = [_build_step_node(step, prefix, group, step.id in needed) for step in steps.by_id.values()]
    others: dict[str, GraphNode] = {}
    edges: list[GraphEdge] = []

    def get_or_add_node(kind: Literal["input", "output", "variables", "missing"], label: str) -> str:
        # The NUL keeps this ID from colliding with a step ID.
        node_id = f"{prefix}\x00{kind}:{label}"
        others.setdefault(node_id, GraphNode(id=node_id, kind=kind, label=label, group=group))
        return node_id

    def add_edges(target: str, reads: Iterable[Reference]) -> None:
        for read in reads:
            if read.kind == "input":
                source = get_or_add_node("input", "input")
            elif read.kind == "variable":
                source = get_or_add_node("variables", "variables")
            else:
                name = str(read.expression["$step"])
                source = prefix + name if name in steps.by_id else get_or_add_node("missing", name)
            path = "$" if read.path in (None, "") else str(read.path)
            to = format_path(read.field, "").removeprefix(".")
            edges.append(GraphEdge(source, target, *_get_edge_kind_and_label(read), f"{path} → {to}" if to else path))

    for name, step in steps.by_id.items():
        add_edges(prefix + name, step.reads)
    if flow.get("output") is not None:
        add_edges(get_or_add_node("output", "output"), steps.output_reads)
    graph.nodes += [*nodes, *others.values()]
    graph.edges += dict.fromkeys(edges)
    for name, step in steps.by_id.items():
        inner = find_inner_flow(step.value)
        nested = inner.flow if inner is not None else None
        if not isinstance(nested, Mapping) or not isinstance(nested.get("steps"), list) or depth >= _MAX_DEPTH:
            continue
        if not name:
            # Skip this flow, because its nodes would have an empty step ID as their group and so end up in the outer
            # flow. (The checks report empty step IDs.)
            continue
        graph.sub_flows.append(SubFlow(prefix + name, str(nested.get("name") or name), group))
        first = len(graph.nodes)
        _add_flow(graph, nested, prefix + name, depth + 1)
        if len(graph.nodes) > first:
            graph.edges.append(GraphEdge(prefix + name, graph.nodes[first].id, "subflow", "runs"))


def _build_step_node(step: Step, prefix: str, group: str, is_needed: bool) -> GraphNode:
    component = str(step.value.get("component") or "")
    on_error = step.value.get("onError")
    rule: Mapping[str, Any] = on_error if isinstance(on_error, Mapping) else {}
    action = rule.get("action")
    retries = rule.get("maxRetries")
    return GraphNode(
        id=prefix + step.id,
        kind="step",
        label=step.id,
        component=component,
        plugin=component.strip("/").partition("/")[0],
        on_error="default" if action == "useDefault" else "retry" if action == "retry" else "",
        retries=(int(retries) if isinstance(retries, (int, float)) else 3) if action == "retry" else 0,
        default=rule.get("defaultValue") if action == "useDefault" else None,
        must_execute=step.must_execute,
        is_needed=is_needed,
        group=group,
    )


# Minimum number of equivalent steps that share a box.
_MIN_FOLDED_STEPS = 5
# If a graph has more nodes than this, nested flows are collapsed.
_MAX_UNFOLDED_NODES = 40
# States of a step or run, in increasing order of precedence.
_STATES_BY_SEVERITY = (
    "not_needed", "not_started", "completed", "cancelled", "not_run", "paused", "running", "recovery_failed", "failed",
)  # fmt: skip


class FoldedGraph(NamedTuple):
    """A graph whose boxes can each represent several nodes."""

    graph: FlowGraph
    nodes_by_box: Mapping[str, list[str]]

    @property
    def hidden_count(self) -> int:
        """The number of nodes without a box of their own."""
        return sum(len(member) - 1 for member in self.nodes_by_box.values())

    def find_box(self, node_id: str) -> str:
        """Return the ID of the box that represents a node, or the node's own ID if there is none."""
        return next((box for box, members in self.nodes_by_box.items() if node_id in members), node_id)

    def find_worst_box_states(self, states: Mapping[str, str]) -> dict[str, str]:
        """Return the worst state within each box, given the states of the steps."""
        shown = {box: get_worst_state(states.get(node, "") for node in ids) for box, ids in self.nodes_by_box.items()}
        return {box: state for box, state in shown.items() if state}


def fold_graph(graph: FlowGraph, *, is_whole: bool = False) -> FoldedGraph:
    """Reduce the number of boxes in a graph by letting equivalent steps share a box and, in large flows, by collapsing
    nested flows.

    Two steps are equivalent if they have the same component and error handling, and the same kinds of edges to
    equivalent steps. This also folds fan-outs whose branches consist of several steps.

    If `is_whole` is True, every step keeps its own box.
    """
    members: dict[str, list[str]] = {node.id: [node.id] for node in graph.nodes}
    if is_whole:
        return FoldedGraph(graph, members)
    if len(graph.nodes) > _MAX_UNFOLDED_NODES and graph.sub_flows:
        members = {node.id: [node.id] for node in graph.nodes if not node.group}
        inside: dict[str, int] = defaultdict(int)
        for node in graph.nodes:
            if node.group:
                outer = node.id.partition("\x00")[0]
                members[outer].append(node.id)
                inside[outer] += node.kind == "step"
        outer_nodes = [replace(node, inside=inside.get(node.id, 0)) for node in graph.nodes if not node.group]
        outer_edges = [edge for edge in graph.edges if edge.source in members and edge.target in members]
        graph = FlowGraph(graph.name, outer_nodes, outer_edges)
    groups: dict[int, list[GraphNode]] = defaultdict(list)
    kinds = _number_equivalent_nodes(graph)
    for node in graph.nodes:
        groups[kinds[node.id]].append(node)
    box_of = {node.id: node.id for node in graph.nodes}
    boxes = {node.id: node for node in graph.nodes}
    for group in groups.values():
        if len(group) >= _MIN_FOLDED_STEPS and group[0].kind == "step":
            first = group[0]
            boxes[first.id] = replace(first, label=f"{first.label} … {group[-1].label}", count=len(group))
            box_of |= {node.id: first.id for node in group}
            for node in group[1:]:
                del boxes[node.id]
                members[first.id] += members.pop(node.id)
    moved = [edge._replace(source=box_of[edge.source], target=box_of[edge.target]) for edge in graph.edges]
    # Merge edges between the same two boxes. The first edge's paths become the tooltip.
    edges = {(edge.source, edge.target, edge.kind): edge for edge in reversed(moved)}
    sub_flows = [sub for sub in graph.sub_flows if box_of[sub.step] == sub.step]
    return FoldedGraph(FlowGraph(graph.name, [*boxes.values()], list(reversed(edges.values())), sub_flows), members)


def _number_equivalent_nodes(graph: FlowGraph) -> dict[str, int]:
    """Number the nodes so that equivalent nodes share a number if their neighbors are also equivalent."""
    holders = {sub.step for sub in graph.sub_flows}
    looks: dict[str, object] = {}
    for node in graph.nodes:
        behavior = node.component, node.on_error, node.retries, repr(node.default), node.must_execute, node.is_needed
        # If a nested flow is drawn, don't fold its steps or the step that runs it.
        is_unique = node.id in holders or node.group or node.kind != "step"
        looks[node.id] = node.id if is_unique else behavior
    kinds = _number_distinct_values(looks)
    while True:
        around: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        for edge in graph.edges:
            around[edge.target].append(("from", edge.kind, kinds[edge.source]))
            around[edge.source].append(("to", edge.kind, kinds[edge.target]))
        refined = _number_distinct_values({node: (kind, *sorted(around[node])) for node, kind in kinds.items()})
        if len(set(refined.values())) == len(set(kinds.values())):
            return refined
        kinds = refined


def _number_distinct_values(looks: Mapping[str, object]) -> dict[str, int]:
    numbers: dict[object, int] = {}
    return {node: numbers.setdefault(look, len(numbers)) for node, look in looks.items()}


def get_worst_state(states: Iterable[str]) -> str:
    """Return the state to show for several steps or items, or an empty string if none of their states is known."""
    valid = [state for state in states if state in _STATES_BY_SEVERITY]
    return max(valid, key=_STATES_BY_SEVERITY.index) if valid else ""
