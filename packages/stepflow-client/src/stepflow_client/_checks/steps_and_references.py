"""A flow as the checks see it: its steps and references, with their positions in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from .._data.flow_declarations import get_declared_schema, get_fields
from ..flows import graph
from ..flows.expressions import Reference
from ..flows.syntax_tree import Node, NodeCopy


class LocatedReference(NamedTuple):
    """A `$step`, `$input` or `$variable` reference, and where it occurs."""

    reference: Reference
    holder: Node
    """The step or flow that contains the expression."""
    key: str
    """The expression's key in that step or flow."""

    @property
    def node(self) -> Node:
        """The mapping that contains the keyword."""
        node = self.holder.at(self.key, *self.reference.at)
        assert node is not None
        return node

    @property
    def kind(self) -> str:
        """`step`, `input` or `variable`."""
        return self.reference.kind

    @property
    def step_id(self) -> str | None:
        """The ID of the step that's read. None for other kinds of references, or if the ID isn't a string."""
        return self.reference.step

    @property
    def argument(self) -> Node:
        """The keyword's value."""
        return self.node.items["$" + self.reference.kind]


def get_subflow_node(step: Node, inner: graph.InnerFlow) -> Node | None:
    """Return the node of a flow that's inside a step's input, without any `$literal` around its steps and output."""
    node = step.at(*inner.at)
    if node is None or not inner.escaped:
        return node
    made = NodeCopy(node)
    made.value, made.parent, made.part = inner.flow, node.parent, node.part
    made.items = {**node.items, **{key: node.items[key].items["$literal"] for key in inner.escaped}}
    return made


class Step:
    """A step, along with the references in its input."""

    def __init__(self, step: graph.Step, node: Node) -> None:
        self.index, self.id, self.value, self.node = step.index, step.id, step.value, node
        self.reads = [LocatedReference(read, node, "input") for read in step.reads]
        component, handler = step.value.get("component"), step.value.get("onError")
        self.component = component if isinstance(component, str) else None
        """The path of the component, or None if it isn't a string."""
        self.uses_default = isinstance(handler, Mapping) and handler.get("action") == "useDefault"
        """Whether the step falls back to a default output when it fails."""

    @cached_property
    def subflow(self) -> Node | None:
        """The flow in the step's input. None if there isn't one, or if its expressions belong to the outer flow.

        Expressions in an inner flow are evaluated in the outer flow unless they're inside a $literal.
        """
        inner = graph.find_inner_flow(self.value)
        if inner is None or not isinstance(inner.flow, Mapping) or not inner.runs_as_written:
            return None
        return get_subflow_node(self.node, inner)


class FlowAnalysis:
    """The steps, output and references of a flow or inner flow."""

    def __init__(self, root: Node) -> None:
        """Collect the flow's steps, skipping any that are invalid."""
        self.root, self.is_subflow = root, root.parent is not None
        self.graph = graph.FlowSteps(root.value if isinstance(root.value, Mapping) else {})
        self.steps = [Step(step, root.items["steps"].elements[step.index]) for step in self.graph.all]
        # If several steps have the same ID, keep the first.
        self.by_id = {step.id: step for step in self.steps if step.index == self.graph.by_id[step.id].index}
        self.output_reads = [LocatedReference(output_read, root, "output") for output_read in self.graph.output_reads]
        self.reads = [*(read for step in self.steps for read in step.reads), *self.output_reads]
        """All references in the flow."""
        self.variables = get_fields(get_declared_schema(root.value, "variables"))
        """The schemas of the flow's variables, by name, plus the names of the required variables."""
        shared = root.at("schemas", "$defs")
        self.defs: Mapping[str, Any] = shared.value if shared is not None and isinstance(shared.value, Mapping) else {}
        """The flow's shared schemas."""
        self.cases = root.elements_at("test", "cases")
        """The flow's test cases."""

    @property
    def all_flows(self) -> Iterator[FlowAnalysis]:
        """The flow itself, plus all flows inside its steps at any depth."""
        yield self
        for step in self.steps:
            if step.subflow is not None:
                yield from FlowAnalysis(step.subflow).all_flows

    def find_flow_schema(self, *path: str) -> Node | None:
        """Return (part of) the flow's schema for `input`, `output`, `variables` or `steps`, or None if it has none."""
        return self.root.at("schemas", "properties", *path)
