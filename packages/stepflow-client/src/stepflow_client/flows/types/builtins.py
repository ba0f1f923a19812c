"""The output types of builtin components, from their input types. Flows inside flows are typed as well. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..._data.expressions import write_path
from ..graph import inner_flow
from ..source import Node
from .expressions import Scope, type_of
from .found import FlowTypes
from .model import (
    BOOLEAN,
    INTEGER,
    NEVER,
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
from .schemas import type_of_value

__all__ = ["Call", "builtin_output", "elements_of"]

_TURNS = 3
"""How often the flow of an iterate step is typed before its input counts as unknown."""
_DEEPEST_TURNS = 3

TypeFlow = Callable[[Node, str, Type], FlowTypes]


class Call:
    """A step with a builtin component.

    Args:
        node: The step.
        path: The path of the step in the file.
        scope: The types that the step's input can read.
        type_flow: A function that returns the types of a flow inside the step, from its node, its path and the type of
            its input.
        depth: The nesting depth of the flow that contains the step.
    """

    def __init__(self, node: Node, path: str, scope: Scope, type_flow: TypeFlow, depth: int) -> None:
        """Store the arguments."""
        self.node, self.path, self.scope, self.type_flow, self.depth = node, path, scope, type_flow, depth
        self.inner: FlowTypes | None = None
        """The types of the flow inside the step, once it is typed."""

    def given(self, *keys: str) -> Node | None:
        """Return the node of a part of the step's input; None if the flow does not contain it."""
        return self.node.at("input", *keys)

    def flow(self) -> tuple[Node, str] | None:
        """Return the flow in the step's input, and its path; None if it comes from elsewhere."""
        found = inner_flow(self.node.value)
        node = self.node.at(*found.at) if found is not None else None
        # Without $literal, expressions inside it are evaluated in the outer flow.
        if found is None or node is None or not isinstance(found.flow, Mapping):
            return None
        return (node, write_path(found.at, self.path)) if found.is_as_written else None

    def type(self, key: str) -> Type:
        """Return the type of a field of the step's input."""
        given = self.given(key)
        return UNKNOWN if given is None else type_of(given, self.scope)


def builtin_output(component: str, call: Call) -> Type | None:
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


def _map(call: Call) -> Type:
    found = call.flow()
    output = UNKNOWN
    if found is not None:
        item = widened(elements_of(call.type("items")))
        call.inner = call.type_flow(*found, item if item.members else UNKNOWN)
        output = call.inner.output
    return object_of({"results": list_of(_flow_result(output)), "successful": INTEGER, "failed": INTEGER})


def _iterate(call: Call) -> Type:
    found = call.flow()
    result = UNKNOWN
    if found is not None:
        call.inner = _turns(call, *found)
        result, following = _turn(call.inner.output)
        # Without a result, only the limit of iterations ends it.
        result = result if result.members else following if following.members else UNKNOWN
    return object_of({"result": result, "iterations": INTEGER, "terminated": BOOLEAN})


def _turns(call: Call, flow: Node, path: str) -> FlowTypes:
    """Return the types of a flow whose input is the initial input or the `next` of an earlier iteration."""
    given = widened(call.type("initial_input"))
    for _ in range(_TURNS if call.depth < _DEEPEST_TURNS else 0):
        typed = call.type_flow(flow, path, given)
        wider = widened(union([given, _turn(typed.output)[1]]))
        if wider == given:
            return typed
        given = wider
    return call.type_flow(flow, path, UNKNOWN)


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


def _put_blob(call: Call) -> Type:
    kind, flow = call.given("blob_type"), call.flow()
    if flow is not None:
        call.inner = call.type_flow(*flow, UNKNOWN)
    is_data = kind is not None and kind.value == "data"
    content = widened(call.type("data")) if is_data else UNKNOWN
    return object_of({"blob_id": Type((Plain("string", blob=Blob(content, flow)),))})


def _eval(call: Call) -> Type:
    blob = _blob(call.type("flow_id"))
    output = UNKNOWN
    if blob is not None and blob.flow is not None:
        call.inner = call.type_flow(*blob.flow, call.type("input"))
        output = call.inner.output
    return object_of({"result": _flow_result(output), "run_id": TEXT})


def _blob(type: Type) -> Blob | None:
    member = type.members[0] if len(type.members) == 1 else None
    return member.blob if isinstance(member, Plain) else None
