"""A flow as the checks see it: its steps and references, each with its position in the file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._data.expressions import Reference, write_path
from . import graph
from .source import Node

__all__ = ["FlowModel", "Read", "Step"]


@dataclass(frozen=True, slots=True)
class Read:
    """A `$step`, `$input` or `$variable` reference and its position."""

    reference: Reference
    node: Node
    """The expression: a mapping with the keyword."""
    path: str

    @property
    def kind(self) -> str:
        """`step`, `input` or `variable`."""
        return self.reference.kind

    @property
    def step(self) -> str | None:
        """The id of the step; None if it is no string, or for another kind."""
        return self.reference.step

    @property
    def target(self) -> Node:
        """The value of the keyword."""
        return self.node.items[f"${self.kind}"]


@dataclass(slots=True)
class Step:
    """A step and the references in its input."""

    index: int
    id: str
    node: Node
    path: str
    reads: list[Read]

    @property
    def component(self) -> str | None:
        """The path of its component; None if it is no string."""
        node = self.node.get("component")
        return node.value if node is not None and isinstance(node.value, str) else None


class FlowModel:
    """The steps and the output of a flow, with their references.

    Args:
        root: The node of the flow.
        path: The path of the flow: `$`, or the path of a sub-flow.
    """

    def __init__(self, root: Node, path: str = "$") -> None:
        """Collect the steps. Invalid steps are skipped."""
        self.root, self.path = root, path
        self.graph = graph.FlowSteps(root.value if isinstance(root.value, Mapping) else {})
        self.steps: list[Step] = []
        self.by_id: dict[str, Step] = {}
        for each in self.graph.all:
            node = root.items["steps"].elements[each.index]
            where = f"{path}.steps[{each.index}]"
            reads = list(_located(each.reads, node.get("input"), f"{where}.input"))
            step = Step(each.index, each.id, node, where, reads)
            self.steps.append(step)
            self.by_id.setdefault(step.id, step)
        self.output_reads = list(_located(self.graph.output_reads, root.get("output"), f"{path}.output"))

    @property
    def reads(self) -> Iterator[Read]:
        """All references of the flow."""
        for step in self.steps:
            yield from step.reads
        yield from self.output_reads

    @property
    def defs(self) -> Mapping[str, Any]:
        """The shared schemas of the flow."""
        node = self.root.at("schemas", "$defs")
        return node.value if node is not None and isinstance(node.value, Mapping) else {}

    def schema(self, name: str) -> Node | None:
        """Return the schema of `input`, `output`, `variables` or `steps`, or None."""
        return self.root.at("schemas", "properties", name)

    def step_schema(self, step: str) -> Node | None:
        """Return the flow's own schema of the output of a step, or None."""
        return self.root.at("schemas", "properties", "steps", "properties", step)


def _located(reads: Iterable[Reference], node: Node | None, path: str) -> Iterator[Read]:
    for each in reads:
        at = node.at(*each.at) if node is not None else None
        if at is not None:
            yield Read(each, at, write_path(each.at, path))
