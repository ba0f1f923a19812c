"""Flows as they are in files: the ids of steps, expressions and their order. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import expressions
from ._places import Place
from ._scopes import Scope, Step
from ._values import Coalesce, Condition, Literal, Read

if TYPE_CHECKING:
    from ..flows.expressions import Path


def name_steps(scope: Scope) -> None:
    """Set the id of each step: the given one, the name that it is assigned to, or the name of its component.

    The ids of the first kinds do not change if steps of the later kinds are added.
    """
    # Servers refuse ids that differ in case only.
    taken = {each.casefold() for each in scope.given_ids}
    waiting: list[Step] = []
    for step in scope.steps:
        if step.given_id is not None:
            step.step_id = step.given_id
        elif step.place.name is not None:
            step.step_id = _free(step.place.name, taken)
        else:
            waiting.append(step)
    for step in waiting:
        step.step_id = _free(step.name, taken)


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free.casefold())
    return free


def steps_of(scope: Scope) -> list[dict[str, Any]]:
    """Return the steps of a flow whose steps have ids."""
    return [_step(each) for each in scope.steps]


def _step(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {"id": step.step_id, "component": step.component}
    if step.input is not None:
        found["input"] = rendered(step.input.expression)
    return found | step.options


def rendered(value: Any) -> Any:
    """Return what `Scope.frozen` returned as it is in a flow file."""
    match value:
        case Read():
            return _read(value)
        case Condition(condition, then, otherwise):
            found = {"$if": rendered(condition), "then": rendered(then)}
            return found if otherwise is None else {**found, "else": rendered(otherwise.expression)}
        case Coalesce(alternatives):
            return {"$coalesce": [rendered(each) for each in alternatives]}
        case Literal(inner):
            return {"$literal": inner}
        case SubFlow():
            return value.definition()
        case dict():
            return {key: rendered(each) for key, each in value.items()}
        case list():
            return [rendered(each) for each in value]
    return value


def _read(read: Read) -> dict[str, Any]:
    if isinstance(read.source, Step):
        found = {"$step": read.source.step_id}
        return found if not read.path else {**found, "path": expressions.write_path(read.path)}
    if read.source is None:
        return {"$input": expressions.write_path(read.path)}
    name = str(read.source)
    variable: dict[str, Any] = {"$variable": expressions.write_path((name, *read.path)) if read.path else name}
    return variable if read.default is None else {**variable, "default": rendered(read.default.expression)}


class SubFlow:
    """The flow in the input of a step, which runs for each element or turn."""

    def __init__(self, scope: Scope, output: Any) -> None:
        self.scope, self.output = scope, output

    def definition(self) -> dict[str, Any]:
        """Return it as it is in the input of the step.

        What it reads of the flow around it is evaluated there, outside of `$literal`: the defaults of its variables.
        """
        name_steps(self.scope)
        parts = {"steps": steps_of(self.scope), "output": rendered(self.output)}
        parts = {key: each for key, each in parts.items() if key == "output" or each}
        if not self.scope.captured:
            return {"$literal": parts}
        # Servers evaluate the input of the step, and what is below $literal only in the sub-flow.
        variables = {name: {"default": rendered(each)} for name, each in self.scope.captured.items()}
        schemas = {"properties": {"variables": {"type": "object", "properties": variables}}}
        return {"schemas": schemas, **{key: {"$literal": each} for key, each in parts.items()}}

    def path_of(self, key: str | int, *below: str | int) -> Path:
        """Return the path of a part of the sub-flow in what `definition` returns."""
        return (key, "$literal", *below) if self.scope.captured else ("$literal", key, *below)


def places_of(scope: Scope, path: Path = ()) -> dict[Path, Place]:
    """Return the positions in Python of the steps of a flow and of its sub-flows, by their paths in the flow."""
    found: dict[Path, Place] = {}
    for index, step in enumerate(scope.steps):
        here = (*path, "steps", index)
        found[here] = step.place
        fields = step.input.expression if step.input is not None else None
        for key, each in fields.items() if isinstance(fields, dict) else ():
            if isinstance(each, SubFlow):
                inner = places_of(each.scope)
                found |= {(*here, "input", key, *each.path_of(*below)): place for below, place in inner.items()}
    return found
