"""The context of a key or value: its flow and step, the values it can read, and the schemas that apply to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stepflow_client._command import FlowTypes, StepTypes, get_subflow_node, infer_flow_types, infer_input_from_uses
from stepflow_client._data.flow_declarations import get_fields
from stepflow_client.flows.expressions import Path, get_keyword
from stepflow_client.flows.graph import find_inner_flow
from stepflow_client.flows.json_schema import find_mismatches, get_defs, get_list_element_schemas, resolve_ref
from stepflow_client.flows.syntax_tree import Node
from stepflow_client.flows.type_system import UNKNOWN, Type, is_unknown, look_up_path

from .document_analysis import Analysis

Schemas = list[Mapping[str, Any]]


@dataclass
class NodeContext:
    """The position of a key or value in a flow.

    The node's tree may cover only part of the text, but types and schemas come from an analysis of the whole text.
    """

    analysis: Analysis
    node: Node
    """The value or, for a key, the mapping that contains it."""
    flow: Node
    """The innermost flow containing the node, in the same tree."""
    path: Path
    """The node's path within the flow."""
    types: FlowTypes | None
    """The types inferred for `flow`."""
    reads: FlowTypes | None
    """The types of the flow whose steps and input can be used in expressions here."""
    first_step: int = 0

    @property
    def step(self) -> Node | None:
        """The step containing the node."""
        if self.path[:1] == ("steps",) and len(self.path) > 1:
            return self.flow.at(*self.path[:2])
        return None

    @property
    def allows_expressions(self) -> bool:
        """True if the value is evaluated, i.e. if it's part of a step's input or the flow's output."""
        is_evaluated = self.path[:1] == ("output",) or (self.path[:1] == ("steps",) and self.path[2:3] == ("input",))
        return is_evaluated and "$literal" not in self.path

    @cached_property
    def readable_steps(self) -> list[StepTypes]:
        """The steps readable from here: those before the node's own step, or all steps if the node isn't in one."""
        if self.reads is None:
            return []
        steps = list(self.reads.steps.values())
        if self.step is None:
            return steps
        step_id = self.step.get("id")
        own = self.reads.steps.get(step_id.value) if step_id is not None and isinstance(step_id.value, str) else None
        index = own.step.index if own is not None else self.first_step + int(self.path[1])
        return [step for step in steps if step.step.index < index]

    @cached_property
    def flow_input_type(self) -> Type:
        """The type of the flow's input, either declared by its schema or inferred from the steps that read it."""
        if self.reads is None:
            return UNKNOWN
        declared = self.reads.input
        return infer_input_from_uses(self.reads) if is_unknown(declared) else declared

    @property
    def is_expected_output(self) -> bool:
        """True if the node is part of a test case's expected result or error, where matchers are allowed."""
        return self.path[:2] == ("test", "cases") and self.path[3:4] == ("output",) and len(self.path) > 4

    @property
    def _path_in_case_or_example(self) -> Path:
        """The node's path within its test case or example. Empty if the node isn't in one."""
        if self.path[:2] == ("test", "cases"):
            return self.path[3:]
        return self.path[2:] if self.path[:1] == ("examples",) else ()

    @property
    def test_data_type(self) -> Type:
        """The type expected here in a test case's input, mocked result or expected result. Unknown anywhere else."""
        path = self._path_in_case_or_example
        if self.types is None:
            return UNKNOWN
        if path[:1] == ("input",):
            return look_up_path(self.flow_input_type, path[1:]).type
        if path[:2] == ("output", "result"):
            return look_up_path(self.types.output, path[2:]).type
        if path[:1] == ("mocks",) and "result" in path[2:4]:
            step = self.types.steps.get(str(path[1]))
            return look_up_path(step.output, path[path.index("result", 2) + 1 :]).type if step is not None else UNKNOWN
        return UNKNOWN

    @cached_property
    def applicable_schemas(self) -> Schemas:
        """The schemas that apply to the value: those of the flow file, the component and the flow's own input."""
        whole = self.analysis.schema
        schemas = find_schemas_at_path(whole, self.path, self.flow.value, whole.get("$defs", {}))
        if self.step is not None and self.path[2:3] == ("input",):
            component = self.step.get("component")
            name = component.value if component is not None and isinstance(component.value, str) else ""
            declared = self.analysis.catalog.known.find_schemas(name)
            field = _get_path_without_expressions(self.step.at("input"), self.path[3:])
            if declared is not None and field is not None:
                schemas += find_schemas_at_path(declared[0], field, {}, get_defs(declared[0]))
        if self._path_in_case_or_example[:1] == ("input",) and self.types is not None:
            model, input_path = self.types.model, self._path_in_case_or_example[1:]
            if (schema := model.find_flow_schema("input")) is not None:
                schemas += find_schemas_at_path(schema.value, input_path, {}, get_defs(schema.value, model.defs))
        return schemas


def _get_path_without_expressions(node: Node | None, path: Sequence[str | int]) -> Path | None:
    """Return the path of a value once expressions have been evaluated, or None inside a reference or condition."""
    result: list[str | int] = []
    is_alternative = False
    for part in path:
        word = get_keyword(node.items) if node is not None else None
        if is_alternative:
            is_alternative = False
        elif word == "$coalesce" and part == word:
            is_alternative = True
        elif word in ("$step", "$input", "$variable") or (word == "$if" and part == word):
            return None
        elif word is None:
            result.append(part)
        node = node.at(part) if node is not None else None
    return tuple(result)


def build_node_context(analysis: Analysis, node: Node, first_step: int = 0) -> NodeContext:
    """Return the context of a node in the tree of all or part of a document.

    Args:
        analysis: The document's analysis.
        node: The value or, for a key, the mapping that contains it.
        first_step: The number of steps missing from the start of the tree.
    """
    chain = [node]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    chain.reverse()
    path: Path = tuple(ancestor.part for ancestor in chain[1:])
    types = analysis.types
    if types is None and analysis.kind == "flow" and not first_step and isinstance(chain[0].value, dict):
        types = infer_flow_types(chain[0], UNKNOWN, analysis.catalog)
    place = NodeContext(analysis, node, chain[0], path, types, types, first_step)
    while (step := place.step) is not None and isinstance(step.value, Mapping):
        inner = find_inner_flow(step.value)
        if inner is None or place.path[2 : 2 + len(inner.at)] != inner.at:
            break
        flow = get_subflow_node(step, inner)
        if flow is None:
            break
        rest = place.path[2 + len(inner.at) :]
        if rest and rest[0] in inner.escaped:
            # Skip the $literal that escapes the value.
            rest = (rest[0], *rest[2:])
        step_id = step.get("id")
        outer = place.types.steps.get(str(step_id.value)) if place.types is not None and step_id is not None else None
        types = outer.inner if outer is not None else None
        place = NodeContext(analysis, node, flow, rest, types, types if inner.runs_as_written else place.reads)
    return place


def find_schemas_at_path(schema: Any, path: Iterable[str | int], value: Any, defs: Mapping[str, Any]) -> Schemas:
    """Return the schemas that apply at a path within a value, including any subschemas that apply there.

    The result includes every alternative but, for a condition, only the branch that applies to the value.
    """
    schemas = _collect_applicable_schemas([schema], value, defs)
    current: Any = value
    for part in path:
        try:
            current = current[part]
        except (LookupError, TypeError):
            current = None
        inner = [_get_property_or_element_schema(schema, part) for schema in schemas]
        schemas = _collect_applicable_schemas(inner, current, defs)
    return schemas


def _collect_applicable_schemas(schemas: list[Any], value: Any, defs: Mapping[str, Any]) -> Schemas:
    """Return the schemas plus any subschemas that apply to the same value, without duplicates."""
    result: dict[int, Mapping[str, Any]] = {}
    seen, waiting = set[int](), schemas[::-1]
    while waiting:
        unresolved = waiting.pop()
        schema = resolve_ref(unresolved, defs)
        if id(unresolved) in seen or not isinstance(schema, Mapping):
            continue
        seen.add(id(unresolved))
        result.setdefault(id(schema), schema)
        lists = (schema.get(key) for key in ("allOf", "anyOf", "oneOf"))
        inner = [part for parts in lists if isinstance(parts, list) for part in parts]
        if "if" in schema:
            inner.append(schema.get("else" if find_mismatches(value, schema["if"], defs) else "then"))
        waiting += inner[::-1]
    return list(result.values())


def _get_property_or_element_schema(schema: Mapping[str, Any], part: str | int) -> Any:
    if isinstance(part, str):
        return get_fields(schema)[0].get(part, schema.get("additionalProperties"))
    first, rest = get_list_element_schemas(schema)
    return first[part] if part < len(first) else rest
