"""Infers the types of a flow: of its input, of the inputs and outputs of its steps, and of its output. Pure.

The output types of builtin components follow from their inputs; flows inside flows are typed as
well. The type of the input of a flow without an input schema follows from the types expected where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .._data.flow_declarations import declared_schema, fields_of
from ..flows.components import Catalogue
from ..flows.expressions import Path, get_keyword, portable_path
from ..flows.json_types import (
    BOOLEAN,
    INTEGER,
    NEVER,
    NULL,
    TEXT,
    UNKNOWN,
    Blob,
    Field,
    ListOf,
    ObjectOf,
    Plain,
    Type,
    is_unknown,
    make_object,
    union,
    widen,
)
from ..flows.schema_types import schema_to_type, value_to_type
from ..flows.source import Node
from .expression_types import Scope, Slot, collect_slots, infer_type
from .flow_model import FlowModel, Step, find_subflow

_MAX_DEPTH = 20
# How often the flow of an iterate step is typed before its input counts as unknown.
_MAX_ITERATIONS = 3
# Depth of nested flows from which the input of an iterate step counts as unknown.
_MAX_ITERATION_DEPTH = 3


@dataclass
class StepTypes:
    """The types of a step."""

    step: Step
    input: Type
    """The type of its input expression."""
    expected_input: Type
    """The input type of the component."""
    returned: Type
    """The output type of the component."""
    output: Type
    """The type that other steps read: from the flow's own schema of the step if it has one, otherwise the output type
    of the component, or of the default."""
    source: Literal["flow", "component", "unknown"]
    """The source of the output type."""
    is_known: bool = True
    """Whether anything is known about the component."""
    inner: FlowTypes | None = None
    """The types of the flow that the step runs for each element or iteration, or stores."""


@dataclass
class FlowTypes:
    """The types of a flow."""

    model: FlowModel
    scope: Scope
    steps: dict[str, StepTypes] = field(default_factory=dict)
    """The types of the steps by step id, in the order of the file."""
    output: Type = UNKNOWN
    """The type of the output expression."""
    declared_input: Type | None = None
    declared_output: Type | None = None
    given_input: Type = UNKNOWN
    """The type of the input that the enclosing flow passes to it."""


def infer_flow_types(root: Node, given: Type, known: Catalogue, depth: int = 0) -> FlowTypes:
    """Return the types of a flow to which an input of the given type is passed; `depth` is its nesting depth."""
    model = FlowModel(root)

    def declared_type(name: str, *, is_source: bool) -> Type | None:
        schema = model.schema(name)
        if schema is None or schema.value is None:
            return None
        return schema_to_type(schema.value, model.defs, is_source=is_source)

    declared = declared_type("input", is_source=True)
    variables = model.schema("variables", "properties")
    scope = Scope(
        input=given if declared is None or is_unknown(declared) else declared,
        variables=variables.value if variables is not None and isinstance(variables.value, dict) else {},
        required=fields_of(declared_schema(model.root.value, "variables"))[1],
        defs=model.defs,
    )
    types = FlowTypes(model, scope, declared_input=declared, given_input=given)
    if depth > _MAX_DEPTH:
        return types
    for step in model.steps:
        if step.id not in types.steps:
            types.steps[step.id] = typed = _infer_step_types(step, model, scope, known, depth)
            scope.steps[step.id] = typed.output
    types.output = infer_type(root.get("output"), scope)
    types.declared_output = declared_type("output", is_source=False)
    return types


def _infer_step_types(step: Step, model: FlowModel, scope: Scope, known: Catalogue, depth: int) -> StepTypes:
    types = known.types(step.component) if step.component is not None else None
    expected_input, returned = types or (UNKNOWN, UNKNOWN)
    returned, inner = _infer_builtin_output(step, scope, known, depth) or (returned, None)
    own = model.schema("steps", "properties", step.id)
    source: Literal["flow", "component", "unknown"] = "unknown" if is_unknown(returned) else "component"
    output = schema_to_type(own.value, model.defs, is_source=True) if own is not None else UNKNOWN
    if not is_unknown(output):
        source = "flow"
    elif step.uses_default:
        default = step.node.at("onError", "defaultValue")
        output = union([returned, NULL if default is None else value_to_type(default.value)])
    else:
        output = returned
    input = infer_type(step.node.get("input"), scope)
    return StepTypes(step, input, expected_input, returned, output, source, is_known=types is not None, inner=inner)


def _infer_builtin_output(
    step: Step, scope: Scope, known: Catalogue, depth: int
) -> tuple[Type, FlowTypes | None] | None:
    """Return the output type of a builtin component, and the types of the flow inside the step.

    None if only the schema of the component is known.
    """

    def type_at(*path: str) -> Type:
        node = step.node.at("input", *path)
        return UNKNOWN if node is None else infer_type(node, scope)

    flow, inner = find_subflow(step.node), None
    match step.component:
        case "/builtin/map":
            if flow is not None:
                item = widen(get_element_type(type_at("items")))
                inner = infer_flow_types(flow, item if item.members else UNKNOWN, known, depth + 1)
            results = Type((ListOf(_build_result_type(inner)),))
            return make_object({"results": results, "successful": INTEGER, "failed": INTEGER}), inner
        case "/builtin/iterate":
            result = UNKNOWN
            if flow is not None:
                inner = _infer_iteration_types(flow, widen(type_at("initial_input")), known, depth)
                result, following = _split_iteration_output(inner.output)
                # Without a result, only the limit of iterations ends it.
                result = result if result.members else following if following.members else UNKNOWN
            return make_object({"result": result, "iterations": INTEGER, "terminated": BOOLEAN}), inner
        case "/builtin/eval":
            blob = _find_blob(type_at("flow_id"))
            if blob is not None and blob.flow is not None:
                inner = infer_flow_types(blob.flow, type_at("input"), known, depth + 1)
            return make_object({"result": _build_result_type(inner), "run_id": TEXT}), inner
        case "/builtin/put_blob":
            kind = step.node.at("input", "blob_type")
            if flow is not None:
                inner = infer_flow_types(flow, UNKNOWN, known, depth + 1)
            content = widen(type_at("data")) if kind is not None and kind.value == "data" else UNKNOWN
            return make_object({"blob_id": Type((Plain("string", blob=Blob(content, flow)),))}), inner
        case "/builtin/get_blob":
            blob = _find_blob(type_at("blob_id"))
            return (make_object({"data": blob.content}), None) if blob else None
        case "/builtin/noop":
            return widen(infer_type(step.node.get("input"), scope)), None
        case "/builtin/sleep":
            return make_object({"duration_ms": INTEGER}, {"passthrough": widen(type_at("passthrough"))}), None
    return None


def get_element_type(type: Type) -> Type:
    """Return the type of the elements of a list."""
    if is_unknown(type):
        return UNKNOWN
    return union(member.items for member in type.members if isinstance(member, ListOf))


def _build_result_type(inner: FlowTypes | None) -> Type:
    output = UNKNOWN if inner is None else inner.output
    done = {"outcome": value_to_type("success", is_literal=False), "result": output}
    error = ObjectOf({"code": Field(UNKNOWN), "message": Field(TEXT), "data": Field(UNKNOWN, False)}, UNKNOWN)
    failed = {"outcome": value_to_type("failed", is_literal=False), "error": Type((error,))}
    return union([make_object(done), make_object(failed)])


def _infer_iteration_types(flow: Node, given: Type, known: Catalogue, depth: int) -> FlowTypes:
    """Return the types of a flow whose input is the initial input or the `next` of an earlier iteration."""
    for _ in range(_MAX_ITERATIONS if depth < _MAX_ITERATION_DEPTH else 0):
        types = infer_flow_types(flow, given, known, depth + 1)
        wider = widen(union([given, _split_iteration_output(types.output)[1]]))
        if wider == given:
            return types
        given = wider
    return infer_flow_types(flow, UNKNOWN, known, depth + 1)


def _split_iteration_output(output: Type) -> tuple[Type, Type]:
    """Return the types of `result` and of `next` that an iteration may return."""
    if is_unknown(output):
        return UNKNOWN, UNKNOWN
    results, following = [NEVER], [NEVER]
    for member in output.members:
        if not isinstance(member, ObjectOf):
            continue
        result, other = member.fields.get("result"), member.fields.get("next")
        if result is not None:
            results.append(result.type)
        if other is not None and (result is None or not result.is_required):
            following.append(other.type)
        if member.extra is not None and result is None and other is None:
            return UNKNOWN, UNKNOWN
    return union(results), union(following)


def _find_blob(type: Type) -> Blob | None:
    member = type.members[0] if len(type.members) == 1 else None
    return member.blob if isinstance(member, Plain) else None


class InputUse(NamedTuple):
    """A place where the flow's input or a part of it is used."""

    slot: Slot
    user: str
    parts: Path


@dataclass
class _Part:
    """A part of the flow's input."""

    expected: Type = UNKNOWN
    is_required: bool = False
    fields: dict[str, _Part] = field(default_factory=dict)
    items: _Part | None = None


def find_input_uses(types: FlowTypes) -> Iterator[InputUse]:
    """Yield the places where the flow's own input is used."""
    steps = [step for step in types.steps.values() if any(read.kind == "input" for read in step.step.reads)]
    users = [(f"step {step.step.id!r}", step.step.node.get("input"), step.expected_input) for step in steps]
    users.append(("the output", types.model.root.get("output"), types.declared_output or UNKNOWN))
    for user, node, expected in users:
        for slot in collect_slots(node, expected, types.scope):
            if get_keyword(slot.node.items) == "$input" and not slot.is_missing:
                parts = portable_path(slot.node.items["$input"].value)
                if parts is not None:
                    yield InputUse(slot, user, parts)


def infer_input_from_uses(types: FlowTypes) -> Type:
    """Return the type of a flow's input, inferred from its uses."""
    root = _Part()
    for use in find_input_uses(types):
        part = root
        for key in use.parts:
            if isinstance(key, int):
                part.items = part.items or _Part()
                part = part.items
            else:
                part = part.fields.setdefault(key, _Part())
            part.is_required = part.is_required or use.slot.is_certain
        if is_unknown(part.expected):
            part.expected = use.slot.expected
    return _build_part_type(root)


def _build_part_type(part: _Part) -> Type:
    if part.fields and part.items is None:
        own = next((member for member in part.expected.members if isinstance(member, ObjectOf)), ObjectOf({}, UNKNOWN))
        fields = dict(own.fields)
        for name, child in part.fields.items():
            type = _build_part_type(child)
            field = fields.get(name, Field(type, is_required=False))
            is_required = child.is_required or field.is_required
            fields[name] = Field(field.type if is_unknown(type) else type, is_required)
        return Type((ObjectOf(fields, UNKNOWN if own.extra is None else own.extra),), part.expected.is_secret)
    if part.items is not None and not part.fields:
        return Type((ListOf(_build_part_type(part.items)),), part.expected.is_secret)
    return part.expected
