"""Infers the types of a flow: of its input, of the inputs and outputs of its steps, and of its output. Pure."""

from __future__ import annotations

from typing import Any

from ..components import Components, known_components, schemas_of
from ..model import FlowModel, Step
from ..source import Node
from .builtins import Call, builtin_output
from .expressions import Scope, type_of
from .found import FlowTypes, StepTypes
from .model import NULL, UNKNOWN, Type, is_unknown, union
from .schemas import type_of_schema, type_of_value

__all__ = ["Catalogue", "type_flow"]

_DEEPEST = 20


class Catalogue:
    """The components that a flow may use, with their types. Each schema is read once.

    Args:
        components: The components of a server; None if only the builtin ones are known.
        release: The release of the server; None if it is not known.
    """

    def __init__(self, components: Components | None, release: tuple[int, int] | None = None) -> None:
        """Store the schemas."""
        self.known = known_components(components, release)
        self.listed: Components = components or Components()
        self.is_whole = components is not None and components.is_whole
        """Whether there are certainly no others."""
        self._types: dict[str, tuple[Type, Type] | None] = {}

    def schemas(self, component: str) -> tuple[Any, Any] | None:
        """Return the input and output schemas of a component; None if it is unknown."""
        return schemas_of(component, self.known)

    def is_denied(self, component: str) -> bool:
        """Return whether the routes of the server do not lead to a component that it has."""
        parts = component.strip("/").split("/")
        return component not in self.listed and any(
            "/".join(parts[i:]) in self.known.denied for i in range(1, len(parts))
        )

    def types(self, component: str) -> tuple[Type, Type] | None:
        """Return the input and output types of a component; None if it is unknown."""
        if component not in self._types:
            schemas = self.schemas(component)
            self._types[component] = schemas and (type_of_schema(schemas[0]), _output_type(schemas[1]))
        return self._types[component]


def type_flow(root: Node, path: str, given: Type, known: Catalogue, depth: int = 0) -> FlowTypes:
    """Return the types of a flow.

    Args:
        root: The flow.
        path: The path of the flow in the file: `$`, or the path of a flow inside a step.
        given: The type of the input that is passed to the flow.
        known: The components that the flow may use.
        depth: The nesting depth of the flow.
    """
    model = FlowModel(root, path)
    declared = _declared(model, "input", is_source=True)
    variables = model.root.at("schemas", "properties", "variables", "properties")
    scope = Scope(
        input=given if declared is None or is_unknown(declared) else declared,
        variables=variables.value if variables is not None and isinstance(variables.value, dict) else None,
        defs=model.defs,
    )
    types = FlowTypes(model, scope, declared_input=declared, given_input=given)
    if depth > _DEEPEST:
        return types
    for step in model.steps:
        if step.id not in types.steps:
            types.steps[step.id] = _step(step, model, scope, known, depth)
            scope.steps[step.id] = types.steps[step.id].output
    types.output = type_of(root.get("output"), scope)
    types.declared_output = _declared(model, "output", is_source=False)
    return types


def _declared(model: FlowModel, name: str, *, is_source: bool) -> Type | None:
    schema = model.schema(name)
    if schema is None or schema.value is None:
        return None
    return type_of_schema(schema.value, model.defs, is_source=is_source)


def _step(step: Step, model: FlowModel, scope: Scope, known: Catalogue, depth: int) -> StepTypes:
    component = step.component
    types = known.types(component) if component is not None else None
    wanted, whole = types or (UNKNOWN, UNKNOWN)
    call = Call(
        step.node, step.path, scope, lambda root, path, given: type_flow(root, path, given, known, depth + 1), depth
    )
    returned = builtin_output(component or "", call)
    returned = whole if returned is None else returned
    own = model.step_schema(step.id)
    declared = type_of_schema(own.value, model.defs, is_source=True) if own is not None else UNKNOWN
    is_declared = not is_unknown(declared)
    return StepTypes(
        step,
        component,
        given=type_of(step.node.get("input"), scope),
        wanted=wanted,
        returned=returned,
        output=declared if is_declared else _with_default(step.node, returned),
        source="flow" if is_declared else "unknown" if is_unknown(returned) else "component",
        is_known=types is not None,
        inner=call.inner,
    )


def _output_type(schema: Any) -> Type:
    return UNKNOWN if not schema else type_of_schema(schema, is_source=True)


def _with_default(node: Node, returned: Type) -> Type:
    action, default = node.at("onError", "action"), node.at("onError", "defaultValue")
    if action is None or action.value != "useDefault":
        return returned
    return union([returned, NULL if default is None else type_of_value(default.value)])
