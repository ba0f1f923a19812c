"""Steps that several variants of a flow share: they run once, and the variants are given what is read of them. Pure.

A step is shared if it certainly runs in every variant, and if neither it nor anything that it reads differs between
them. A flow of its own executes the shared steps. What a variant reads of them and of its input are then fields of
another input, which holds exactly the values that its expressions would have; so one run can have any number of
inputs, on every release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._data.declared import declared_schema, declared_variables
from .._data.expressions import PathError, keyword_of, parse_path, references
from .graph import FlowSteps, inner_flow, steps_behind, steps_by_id
from .interpreter import part_at
from .matching import equal
from .needs import certain_reads, variable_names
from .rerun import changed_steps

__all__ = ["RestOfVariant", "VariantFlow", "rest_of_variant", "shared_part", "shared_steps", "variables_of"]


class VariantFlow(NamedTuple):
    """The flow of a variant, with its overrides, and the values of its variables."""

    flow: Mapping[str, Any]
    variables: Mapping[str, Any]


def shared_steps(variants: Sequence[VariantFlow]) -> list[str]:
    """Return the steps that the variants share, in the order of the first variant; none of a single variant."""
    if len(variants) < 2:
        return []
    first, *others = variants
    changed: set[str] = set()
    for other in others:
        changed |= changed_steps(first.flow, other.flow) | changed_steps(other.flow, first.flow)
        changed |= _reading_others(first, other)
    behind = set().union(*(steps_behind(each.flow, changed) for each in variants))
    certain = [{read.step for read in certain_reads(each.flow)} for each in variants]
    return [name for name in steps_by_id(first.flow) if name not in behind and all(name in each for each in certain)]


def _reading_others(first: VariantFlow, other: VariantFlow) -> set[str]:
    """Return the steps that read a variable with another value in the other variant."""
    values = [_defaults(each.flow) | dict(each.variables) for each in (first, other)]
    names = values[0].keys() | values[1].keys()
    differing = {name for name in names if not equal([values[0].get(name)], [values[1].get(name)])}
    differing |= {name for name in names if (name in values[0]) != (name in values[1])}
    return {name for name, step in steps_by_id(first.flow).items() if _may_read(step, differing)}


def _defaults(flow: Mapping[str, Any]) -> dict[str, Any]:
    declared = declared_variables(flow)
    return {name: each["default"] for name, each in declared.items() if "default" in each["value_schema"]}


def _may_read(step: Mapping[str, Any], variables: set[str]) -> bool:
    read = [each.variable for each in references(step.get("input")) if each.kind == "variable"]
    inner = inner_flow(step)
    names = variable_names(FlowSteps(inner.flow)) if inner and isinstance(inner.flow, Mapping) else None
    return None in read or bool(variables & {*read, *(names or ())})


def shared_part(flow: Mapping[str, Any], shared: Sequence[str]) -> dict[str, Any]:
    """Return a flow that executes the shared steps; its output has theirs, by step id."""
    needed = FlowSteps(flow).upstream(shared)
    steps = [step for name, step in steps_by_id(flow).items() if name in needed]
    return _with_schemas(flow, ("input", "variables")) | {
        "steps": steps, "output": {name: {"$step": name} for name in shared},
    }  # fmt: skip


class RestOfVariant(NamedTuple):
    """The flow of a variant without the shared steps."""

    flow: dict[str, Any]
    reads: Mapping[str, tuple[str | None, Any]]
    """The fields of its input: the step that is read (None: the input of the variant), and the path."""

    def input_of(self, given: Any, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return its input. A field that does not exist is left out, so that reading it fails as it would have.

        Args:
            given: The input of the variant.
            outputs: The outputs of the shared steps, by step id.
        """
        found: dict[str, Any] = {}
        for name, (step_id, path) in self.reads.items():
            whole = given if step_id is None else outputs[step_id]
            try:
                # Any part of a step's output that is null is null.
                found[name] = None if whole is None and step_id is not None else part_at(whole, parse_path(path))
            except (LookupError, PathError):
                continue
        return found


def rest_of_variant(flow: Mapping[str, Any], shared: Sequence[str]) -> RestOfVariant:
    """Return the flow of a variant without the shared steps."""
    reads = _Reads(shared)
    steps = [
        {**step, "input": reads.rewritten(step["input"])} if "input" in step else step
        for name, step in steps_by_id(flow).items()
        if name not in shared
    ]
    output = {"output": reads.rewritten(flow["output"])} if "output" in flow else {}
    return RestOfVariant(_with_schemas(flow, ("variables",)) | {"steps": steps} | output, reads.found)


def variables_of(flow: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that a part of a flow has. Servers and clients refuse others."""
    names = variable_names(FlowSteps(flow))
    return {name: value for name, value in variables.items() if names is None or name in names}


class _Reads:
    """Rewrites expressions: what they read of the input and of shared steps becomes a field of another input."""

    def __init__(self, shared: Sequence[str]) -> None:
        self._shared = frozenset(shared)
        self.found: dict[str, tuple[str | None, Any]] = {}
        """The step that is read (None: the input) and the path, by the name of the field."""
        self._names: dict[tuple[str | None, str], str] = {}

    def rewritten(self, value: Any) -> Any:
        """Return an expression with the fields."""
        word = keyword_of(value)
        if isinstance(value, (list, tuple)):
            return [self.rewritten(each) for each in value]
        if not isinstance(value, Mapping) or word == "$literal":
            return value
        if word == "$input" or (word == "$step" and value["$step"] in self._shared):
            step = None if word == "$input" else value["$step"]
            return {"$input": self._field(step, value["$input"] if step is None else value.get("path"))}
        if word in ("$step", "$variable"):
            return {key: self.rewritten(each) if key == "default" else each for key, each in value.items()}
        return {key: self.rewritten(each) for key, each in value.items()}

    def _field(self, step: str | None, path: Any) -> str:
        key = (step, str(path))
        if key not in self._names:
            name = self._names[key] = f"read{len(self._names)}"
            self.found[name] = step, path
        return self._names[key]


def _with_schemas(flow: Mapping[str, Any], kept: Sequence[str]) -> dict[str, Any]:
    """Return what a flow has beside its steps and its output, with some of its schemas."""
    found = {key: value for key, value in flow.items() if key not in ("steps", "output")}
    if isinstance(properties := declared_schema(flow), Mapping):
        left = {name: schema for name, schema in properties.items() if name in kept}
        found["schemas"] = {**flow["schemas"], "properties": left}
    return found
