"""Infers the types of a flow: of its input, of the inputs and outputs of its steps, and of its output. Pure.

The output types of builtin components follow from their inputs; flows inside flows are typed as
well. The type of the input of a flow without an input schema follows from the types wanted where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .._data.flow_declarations import declared_schema, fields_of
from ..flows.components import Catalogue
from ..flows.expressions import Path, keyword_of, portable_path
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
    list_of,
    object_of,
    union,
    widened,
)
from ..flows.schema_types import type_of_schema, type_of_value
from ..flows.source import Node
from .expression_types import Scope, Slot, slots_of, type_of
from .flow_model import FlowModel, Step, flow_within
from .typed_flow import FlowTypes, StepTypes

__all__ = ["FlowTypes", "StepTypes"]

_MAX_DEPTH = 20
_TURNS = 3
"""How often the flow of an iterate step is typed before its input counts as unknown."""
_MAX_TURNS = 3


def type_flow(root: Node, given: Type, known: Catalogue, depth: int = 0) -> FlowTypes:
    """Return the types of a flow to which an input of the given type is passed; `depth` is its nesting depth."""
    model = FlowModel(root)
    declared = _declared(model, "input", is_source=True)
    variables = model.schema("variables", "properties")
    scope = Scope(
        input=given if declared is None or is_unknown(declared) else declared,
        variables=variables.value if variables is not None and isinstance(variables.value, dict) else None,
        required=fields_of(declared_schema(model.root.value, "variables"))[1],
        defs=model.defs,
    )
    types = FlowTypes(model, scope, declared_input=declared, given_input=given)
    if depth > _MAX_DEPTH:
        return types
    for step in model.steps:
        if step.id not in types.steps:
            typed = _step(step, model, scope, known, depth)
            types.steps[step.id], scope.steps[step.id] = typed, typed.output
    types.output = type_of(root.get("output"), scope)
    types.declared_output = _declared(model, "output", is_source=False)
    return types


def _declared(model: FlowModel, name: str, *, is_source: bool) -> Type | None:
    schema = model.schema(name)
    if schema is None or schema.value is None:
        return None
    return type_of_schema(schema.value, model.defs, is_source=is_source)


def _step(step: Step, model: FlowModel, scope: Scope, known: Catalogue, depth: int) -> StepTypes:
    types = known.types(step.component) if step.component is not None else None
    wanted, whole = types or (UNKNOWN, UNKNOWN)
    call = _Call(step.node, scope, lambda root, given: type_flow(root, given, known, depth + 1), depth)
    returned = _builtin_output(step.component or "", call)
    returned = whole if returned is None else returned
    own = model.step_schema(step.id)
    declared = type_of_schema(own.value, model.defs, is_source=True) if own is not None else UNKNOWN
    is_declared = not is_unknown(declared)
    return StepTypes(
        step,
        given=type_of(step.node.get("input"), scope),
        wanted=wanted,
        returned=returned,
        output=declared if is_declared else _with_default(step, returned),
        source="flow" if is_declared else "unknown" if is_unknown(returned) else "component",
        is_known=types is not None,
        inner=call.inner,
    )


def _with_default(step: Step, returned: Type) -> Type:
    if not step.uses_default:
        return returned
    default = step.node.at("onError", "defaultValue")
    return union([returned, NULL if default is None else type_of_value(default.value)])


class _Call:
    """A step with a builtin component, and a function that returns the types of a flow inside it."""

    def __init__(self, node: Node, scope: Scope, type_flow: Callable[[Node, Type], FlowTypes], depth: int) -> None:
        self.node, self.scope, self.type_flow, self.depth = node, scope, type_flow, depth
        self.inner: FlowTypes | None = None
        """The types of the flow inside the step, once it is typed."""

    def flow(self) -> Node | None:
        """Return the flow in the step's input; None if it comes from elsewhere."""
        return flow_within(self.node)

    def type(self, key: str) -> Type:
        """Return the type of a field of the step's input."""
        given = self.node.at("input", key)
        return UNKNOWN if given is None else type_of(given, self.scope)


def _builtin_output(component: str, call: _Call) -> Type | None:
    """Return the output type of a builtin component; None if no more is known than its schema."""
    match component:
        case "/builtin/map":
            return _map(call)
        case "/builtin/iterate":
            return _iterate(call)
        case "/builtin/eval":
            return _eval(call)
        case "/builtin/put_blob":
            return _put_blob(call)
        case "/builtin/get_blob":
            blob = _blob(call.type("blob_id"))
            return object_of({"data": blob.content}) if blob else None
        case "/builtin/noop":
            return widened(type_of(call.node.get("input"), call.scope))
        case "/builtin/sleep":
            return object_of({"duration_ms": INTEGER}, {"passthrough": widened(call.type("passthrough"))})
    return None


def elements_of(type: Type) -> Type:
    """Return the type of the elements of a list."""
    if is_unknown(type):
        return UNKNOWN
    return union(each.items for each in type.members if isinstance(each, ListOf))


def _flow_result(output: Type) -> Type:
    done = {"outcome": type_of_value("success", is_literal=False), "result": output}
    error = ObjectOf({"code": Field(UNKNOWN), "message": Field(TEXT), "data": Field(UNKNOWN, False)}, UNKNOWN)
    failed = {"outcome": type_of_value("failed", is_literal=False), "error": Type((error,))}
    return union([object_of(done), object_of(failed)])


def _map(call: _Call) -> Type:
    found = call.flow()
    output = UNKNOWN
    if found is not None:
        item = widened(elements_of(call.type("items")))
        call.inner = call.type_flow(found, item if item.members else UNKNOWN)
        output = call.inner.output
    return object_of({"results": list_of(_flow_result(output)), "successful": INTEGER, "failed": INTEGER})


def _iterate(call: _Call) -> Type:
    found = call.flow()
    result = UNKNOWN
    if found is not None:
        call.inner = _turns(call, found)
        result, following = _turn(call.inner.output)
        # Without a result, only the limit of iterations ends it.
        result = result if result.members else following if following.members else UNKNOWN
    return object_of({"result": result, "iterations": INTEGER, "terminated": BOOLEAN})


def _turns(call: _Call, flow: Node) -> FlowTypes:
    """Return the types of a flow whose input is the initial input or the `next` of an earlier iteration."""
    given = widened(call.type("initial_input"))
    for _ in range(_TURNS if call.depth < _MAX_TURNS else 0):
        typed = call.type_flow(flow, given)
        wider = widened(union([given, _turn(typed.output)[1]]))
        if wider == given:
            return typed
        given = wider
    return call.type_flow(flow, UNKNOWN)


def _turn(output: Type) -> tuple[Type, Type]:
    """Return the types of `result` and of `next` that an iteration may return."""
    if is_unknown(output):
        return UNKNOWN, UNKNOWN
    results, following = [NEVER], [NEVER]
    for each in output.members:
        if not isinstance(each, ObjectOf):
            continue
        result, other = each.fields.get("result"), each.fields.get("next")
        if result is not None:
            results.append(result.type)
        if other is not None and (result is None or not result.is_required):
            following.append(other.type)
        if each.extra is not None and result is None and other is None:
            return UNKNOWN, UNKNOWN
    return union(results), union(following)


def _put_blob(call: _Call) -> Type:
    kind, flow = call.node.at("input", "blob_type"), call.flow()
    if flow is not None:
        call.inner = call.type_flow(flow, UNKNOWN)
    is_data = kind is not None and kind.value == "data"
    content = widened(call.type("data")) if is_data else UNKNOWN
    return object_of({"blob_id": Type((Plain("string", blob=Blob(content, flow)),))})


def _eval(call: _Call) -> Type:
    blob = _blob(call.type("flow_id"))
    output = UNKNOWN
    if blob is not None and blob.flow is not None:
        call.inner = call.type_flow(blob.flow, call.type("input"))
        output = call.inner.output
    return object_of({"result": _flow_result(output), "run_id": TEXT})


def _blob(type: Type) -> Blob | None:
    member = type.members[0] if len(type.members) == 1 else None
    return member.blob if isinstance(member, Plain) else None


class Use(NamedTuple):
    """A place where the flow's input or a part of it is used."""

    slot: Slot
    user: str
    parts: Path


@dataclass
class _Part:
    """A part of the flow's input."""

    wanted: Type = UNKNOWN
    is_required: bool = False
    fields: dict[str, _Part] = field(default_factory=dict)
    items: _Part | None = None


def uses_of(types: FlowTypes) -> Iterator[Use]:
    """Yield the places where the flow's own input is used."""
    steps = [each for each in types.steps.values() if any(read.kind == "input" for read in each.step.reads)]
    users = [(f"step {each.step.id!r}", each.step.node.get("input"), each.wanted) for each in steps]
    users.append(("the output", types.model.root.get("output"), types.declared_output or UNKNOWN))
    for user, node, wanted in users:
        for slot in slots_of(node, wanted, types.scope):
            if keyword_of(slot.node.items) == "$input" and not slot.is_missing:
                parts = portable_path(slot.node.items["$input"].value)
                if parts is not None:
                    yield Use(slot, user, parts)


def input_of_uses(types: FlowTypes) -> Type:
    """Return the type of a flow's input, inferred from its uses."""
    root = _Part()
    for use in uses_of(types):
        part = root
        for each in use.parts:
            part = _below(part, each)
            part.is_required = part.is_required or use.slot.is_certain
        if is_unknown(part.wanted):
            part.wanted = use.slot.wanted
    return _type(root)


def _below(part: _Part, name: str | int) -> _Part:
    if isinstance(name, int):
        part.items = part.items or _Part()
        return part.items
    return part.fields.setdefault(name, _Part())


def _type(part: _Part) -> Type:
    if part.fields and part.items is None:
        own = next((each for each in part.wanted.members if isinstance(each, ObjectOf)), None)
        fields = dict(own.fields) if own is not None else {}
        for name, each in part.fields.items():
            known = fields.get(name)
            type = _type(each)
            fields[name] = Field(known.type if known is not None and is_unknown(type) else type,
                                 each.is_required or (known is not None and known.is_required))  # fmt: skip
        extra = UNKNOWN if own is None or own.extra is None else own.extra
        return Type((ObjectOf(fields, extra),), part.wanted.is_secret)
    if part.items is not None and not part.fields:
        return Type((ListOf(_type(part.items)),), part.wanted.is_secret)
    return part.wanted
