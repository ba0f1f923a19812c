"""Writes flows as in flow files: step ids, expressions and sub-flows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lazy import expressions
from ._places import Place
from ._scopes import Scope, Step
from ._values import Coalesce, Condition, Literal, Read

if TYPE_CHECKING:
    from ..flows.expressions import Path


def name_steps(scope: Scope) -> None:
    """Set the id of each step: the explicit id, the name that it is assigned to, or the name of its component.

    Ids of an earlier kind do not change if steps with ids of a later kind are added.
    """
    # Servers reject ids that differ only in case.
    taken = {each.casefold() for each in scope.given_ids}
    waiting: list[Step] = []
    for step in scope.steps:
        if step.given_id is not None:
            step.step_id = step.given_id
        elif step.place.name is not None:
            step.step_id = _make_unique(step.place.name, taken)
        else:
            waiting.append(step)
    for step in waiting:
        step.step_id = _make_unique(step.name, taken)


def _make_unique(name: str, taken: set[str]) -> str:
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free.casefold())
    return free


def render_steps(scope: Scope) -> list[dict[str, Any]]:
    """Return the steps of a flow as in a flow file; `name_steps` must have set their ids."""
    steps = []
    for step in scope.steps:
        input = {} if step.input is None else {"input": render(step.input.expression)}
        steps.append({"id": step.step_id, "component": step.component, **input, **step.options})
    return steps


def render(value: Any) -> Any:
    """Return a result of `Scope.frozen` as in a flow file."""
    match value:
        case Read(source=Step() as step, path=path):
            return {"$step": step.step_id, **({"path": expressions.write_path(path)} if path else {})}
        case Read(source=None, path=path):
            return {"$input": expressions.write_path(path)}
        case Read(source=name, path=path, default=default):
            variable = {"$variable": expressions.write_path((str(name), *path)) if path else str(name)}
            return variable if default is None else {**variable, "default": render(default.expression)}
        case Condition(condition, then, otherwise):
            choice = {"$if": render(condition), "then": render(then)}
            return choice if otherwise is None else {**choice, "else": render(otherwise.expression)}
        case Coalesce(alternatives):
            return {"$coalesce": [render(alternative) for alternative in alternatives]}
        case Literal(inner):
            return {"$literal": inner}
        case SubFlow():
            return value.definition()
        case dict():
            return {key: render(part) for key, part in value.items()}
        case list():
            return [render(each) for each in value]
    return value


class SubFlow:
    """The flow in the input of a step, which runs for each element or turn."""

    def __init__(self, scope: Scope, output: Any) -> None:
        self.scope, self.output = scope, output

    def definition(self) -> dict[str, Any]:
        """Return it as in the input of the step.

        Values of the outer flow become defaults of variables, outside of `$literal`, so that they are evaluated there.
        """
        name_steps(self.scope)
        parts = {"steps": render_steps(self.scope), "output": render(self.output)}
        parts = {key: part for key, part in parts.items() if key == "output" or part}
        if not self.scope.captured:
            return {"$literal": parts}
        # Servers evaluate the input of the step, but the content of $literal only in the sub-flow.
        variables = {name: {"default": render(value)} for name, value in self.scope.captured.items()}
        schemas = {"properties": {"variables": {"type": "object", "properties": variables}}}
        return {"schemas": schemas, **{key: {"$literal": part} for key, part in parts.items()}}

    def path_of(self, key: str | int, *below: str | int) -> Path:
        """Return the path of a part of the sub-flow in what `definition` returns."""
        return (key, "$literal", *below) if self.scope.captured else ("$literal", key, *below)


def collect_places(scope: Scope, path: Path = ()) -> dict[Path, Place]:
    """Return the positions in Python of the steps of a flow and of its sub-flows, by their paths in the flow."""
    places: dict[Path, Place] = {}
    for index, step in enumerate(scope.steps):
        here = (*path, "steps", index)
        places[here] = step.place
        fields = step.input.expression if step.input is not None else None
        for key, each in fields.items() if isinstance(fields, dict) else ():
            if isinstance(each, SubFlow):
                inner = collect_places(each.scope)
                places |= {(*here, "input", key, *each.path_of(*below)): place for below, place in inner.items()}
    return places
