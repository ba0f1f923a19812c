"""Where in a flow a key or a value is: in which flow and step, what it can read, and what is wanted there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stepflow_client._command import FlowTypes, StepTypes, input_of_uses, node_of_inner, type_flow
from stepflow_client.flows.expressions import Path, keyword_of
from stepflow_client.flows.graph import inner_flow
from stepflow_client.flows.json_schema import definitions_of
from stepflow_client.flows.json_types import UNKNOWN, Type, behind, is_unknown
from stepflow_client.flows.source import Node

from .analysis import Analysis
from .schemas_in_place import schemas_at

Schemas = list[Mapping[str, Any]]


@dataclass
class Place:
    """A place in a flow.

    The tree may be that of a part of the text; what the flow has is taken from the analysis of all of it.
    """

    analysis: Analysis
    node: Node
    """The value; for a key, the mapping."""
    flow: Node
    """The innermost flow around it, in the same tree."""
    path: Path
    """Where it is in this flow."""
    types: FlowTypes | None
    """The types of this flow."""
    reads: FlowTypes | None
    """The types of the flow whose steps and input its expressions read."""
    first_step: int = 0

    @property
    def step(self) -> Node | None:
        """The step around it."""
        if self.path[:1] == ("steps",) and len(self.path) > 1:
            return self.flow.at(*self.path[:2])
        return None

    @property
    def component(self) -> str:
        """The component of the step; empty if it is unknown."""
        node = self.step.get("component") if self.step is not None else None
        return node.value if node is not None and isinstance(node.value, str) else ""

    @property
    def is_expression(self) -> bool:
        """Whether it is in what is evaluated: the input of a step, or the output."""
        begin = self.path[:1] == ("output",) or (self.path[:1] == ("steps",) and self.path[2:3] == ("input",))
        return begin and "$literal" not in self.path

    @cached_property
    def steps(self) -> list[StepTypes]:
        """The steps that it can read: those before its own."""
        if self.reads is None:
            return []
        found = list(self.reads.steps.values())
        if self.step is None:
            return found
        own = self.step.get("id")
        name = own.value if own is not None else None
        known = self.reads.steps.get(name) if isinstance(name, str) else None
        index = known.step.index if known is not None else self.first_step + int(self.path[1])
        return [each for each in found if each.step.index < index]

    @cached_property
    def input(self) -> Type:
        """The type of the flow's input: what its schema says, or what its steps want."""
        if self.reads is None:
            return UNKNOWN
        given = self.reads.scope.input
        return input_of_uses(self.reads) if is_unknown(given) else given

    @property
    def is_expected(self) -> bool:
        """Whether it is in the expected result or error of a test case, where matchers are."""
        return self.path[:2] == ("test", "cases") and self.path[3:4] == ("output",) and len(self.path) > 4

    @property
    def data(self) -> Type:
        """The type of a test case's input, mocked result or expected result at this place; unknown anywhere else."""
        path = self.path[3:] if self.path[:2] == ("test", "cases") else self.path[2:]
        if self.types is None or self.path[:1] not in (("test",), ("examples",)):
            return UNKNOWN
        type, at = UNKNOWN, path[1:]
        if path[:1] == ("input",):
            type = self.input
        elif path[:2] == ("output", "result"):
            type, at = self.types.output, path[2:]
        elif path[:1] == ("mocks",) and "result" in path[2:4]:
            step = self.types.steps.get(str(path[1]))
            type, at = step.output if step is not None else UNKNOWN, path[path.index("result", 2) + 1 :]
        return behind(type, at).type

    @cached_property
    def schemas(self) -> Schemas:
        """The schemas that apply to the value."""
        whole = self.analysis.schema
        found = schemas_at(whole, self.path, self.flow.value, whole.get("$defs", {}))
        return [*found, *self._of_component(), *self._of_input()]

    def _of_component(self) -> Schemas:
        """Return what the component wants at this place of its input."""
        if self.step is None or self.path[2:3] != ("input",):
            return []
        known = self.analysis.catalogue.schemas(self.component)
        field = self._field(self.step.at("input"), self.path[3:])
        if known is None or field is None:
            return []
        return schemas_at(known[0], field, {}, definitions_of(known[0]))

    def _of_input(self) -> Schemas:
        """Return what the flow's schema wants in the input of a test case or an example."""
        is_case, is_example = self.path[:2] == ("test", "cases"), self.path[:1] == ("examples",)
        path = self.path[3 if is_case else 2 :]
        declared = self.types.model.schema("input") if self.types is not None else None
        if not (is_case or is_example) or path[:1] != ("input",) or declared is None or self.types is None:
            return []
        return schemas_at(declared.value, path[1:], {}, definitions_of(declared.value, self.types.model.defs))

    @staticmethod
    def _field(node: Node | None, path: Sequence[str | int]) -> Path | None:
        """Return the field of the whole value that a path in an expression leads to; None inside of a reference."""
        found: list[str | int] = []
        is_alternative = False
        for part in path:
            word = keyword_of(node.items) if node is not None else None
            if is_alternative:
                is_alternative = False
            elif word == "$coalesce" and part == word:
                is_alternative = True
            elif word in ("$step", "$input", "$variable") or (word == "$if" and part == word):
                return None
            elif word is None:
                found.append(part)
            node = node.at(part) if node is not None else None
        return tuple(found)


def place_of(analysis: Analysis, node: Node, first_step: int = 0) -> Place:
    """Return the place of a value of the document, in the tree of the document or of a part of it.

    Args:
        analysis: The document.
        node: The value; for a key, its mapping.
        first_step: The number of steps that are left out of the tree.
    """
    chain = [node]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    chain.reverse()
    path: Path = tuple(each.part for each in chain[1:])
    types = analysis.types
    if types is None and analysis.kind == "flow" and not first_step and isinstance(chain[0].value, dict):
        types = type_flow(chain[0], UNKNOWN, analysis.catalogue)
    place = Place(analysis, node, chain[0], path, types, types, first_step)
    while (step := place.step) is not None and isinstance(step.value, Mapping):
        inner = inner_flow(step.value)
        if inner is None or place.path[2 : 2 + len(inner.at)] != inner.at:
            break
        flow = node_of_inner(step, inner)
        if flow is None:
            break
        rest = place.path[2 + len(inner.at) :]
        if rest and rest[0] in inner.escaped:
            # Without the $literal below the key.
            rest = (rest[0], *rest[2:])
        name = step.get("id")
        known = place.types.steps.get(str(name.value)) if place.types is not None and name is not None else None
        types = known.inner if known is not None else None
        reads = types if inner.is_as_written else place.reads
        place = Place(analysis, node, flow, rest, types, reads)
    return place
