"""What the types of a flow tell: values that do not fit, paths that lead nowhere, outputs of which nothing is known."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Findings
from ..model import Read
from ..placed import Key, Node
from .builtins import elements_of
from .compare import conflict
from .expressions import Scope, keyword_of, read, type_of
from .flow import FlowTypes, StepTypes
from .inputs import check_uses
from .messages import hint_for, message_for
from .model import is_unknown
from .places import Place, places
from .words import words_of

__all__ = ["check_types"]

_PATHS = {"$step": "unknown-output-path", "$input": "unknown-input", "$variable": "variable-path"}


def check_types(types: FlowTypes, found: Findings, *, strict: bool = False) -> None:
    """Find mismatches of types in a flow and in those within it.

    Args:
        types: The types of the flow.
        found: Where faults go; what other rules have found at the same place is not said again.
        strict: Whether an output of which nothing is known is an error.
    """
    for step in types.steps.values():
        _check_step(types, step, found, strict)
    _check_output(types, found)
    if types.declared_input is None and is_unknown(types.given_input):
        check_uses(types, found)


def _check_step(types: FlowTypes, step: StepTypes, found: Findings, strict: bool) -> None:
    node = step.step.node
    _check_reads(step.step.reads, types.scope, found)
    given = node.get("input")
    name = step.component or "the component"
    for place in places(given, step.wanted, f"{step.step.path}.input", types.scope) if given is not None else ():
        _check_place(place, name, found)
    _check_schema(types, step, found)
    _check_untyped(types, step, found, strict)
    if step.inner is not None:
        _check_items(types, step, step.inner, found)
        check_types(step.inner, found, strict=strict)


def _check_place(place: Place, who: str, found: Findings) -> None:
    reason = conflict(place.actual, place.wanted)
    if reason is None or _is_told(place, found):
        return
    is_certain = reason.is_certain and not place.is_missing
    _add(found, is_certain, place.at, place.path, message_for(place, reason, who), hint_for(place, reason))


def _is_told(place: Place, found: Findings) -> bool:
    line, column = place.at.line, place.at.column
    return any(
        rule == "component-input" and ((line, column) == (at, beside) if line else path == place.path)
        for rule, at, beside, path in found.all
    )


def _add(found: Findings, is_certain: bool, at: Node | Key, path: str, message: str, hint: str | None) -> None:
    rule, level = ("type-mismatch", "error") if is_certain else ("possible-mismatch", "warning")
    found.add(rule, level, at, path, message, hint)


def _check_reads(reads: list[Read], scope: Scope, found: Findings) -> None:
    for each in reads:
        behind = read(each.node, each.kind, scope)
        if behind.problem is None:
            continue
        at = each.node.items["path"] if each.kind == "$step" else each.target
        path = f"{each.path}.path" if each.kind == "$step" else each.path
        whose = {"$step": f"the output of step {each.name!r}", "$input": "the flow's input"}.get(each.kind)
        message = f"{behind.problem} ({whose})" if whose else behind.problem
        level = "error" if behind.is_certain else "warning"
        found.add(_PATHS[each.kind], level, at, path, message, behind.hint)


def _check_schema(types: FlowTypes, step: StepTypes, found: Findings) -> None:
    """Find a schema of the flow for a step that the component contradicts."""
    if step.source != "flow":
        return
    held = types.model.root.walk("schemas", "properties", "steps", "properties")
    reason = conflict(step.returned, step.output)
    if held is not None and reason is not None and reason.is_certain:
        path = f"{types.model.path}.schemas.properties.steps.properties.{step.step.id}"
        message = f"the schema of step {step.step.id!r} says {words_of(step.output, 80)}, but {step.component} returns "
        message += words_of(step.returned, 80)
        found.add("type-mismatch", "error", held.items[step.step.id], path, message, "correct the schema, or remove it")


def _check_untyped(types: FlowTypes, step: StepTypes, found: Findings, strict: bool) -> None:
    """Find a step of whose output nothing is known though it is read."""
    if step.source != "unknown" or step.component is None or not _is_read(types, step.step.id):
        return
    if step.component.startswith("/builtin/"):
        # What these return follows from their input.
        return
    why = "has no output schema" if step.is_known else "is not known here"
    hint = "" if step.is_known else "name its server or --components, or "
    found.add("untyped-output", "error" if strict else "warning", step.step.node.items["component"],
              f"{step.step.path}.component", f"the output of step {step.step.id!r} has no type: {step.component} {why}",
              f"{hint}write schemas: {{properties: {{steps: {{properties: {{{step.step.id}: ...}}}}}}}}")  # fmt: skip


def _is_read(types: FlowTypes, name: str) -> bool:
    return any(each.kind == "$step" and each.name == name for each in _reads(types))


def _reads(types: FlowTypes) -> Iterator[Read]:
    for step in types.model.steps:
        yield from step.reads
    yield from types.model.output_reads


def _check_items(types: FlowTypes, step: StepTypes, inner: FlowTypes, found: Findings) -> None:
    """Find elements, or an initial input, that the input schema of the flow within excludes."""
    key = {"/builtin/map": "items", "/builtin/iterate": "initial_input", "/builtin/eval": "input"}.get(
        step.component or ""
    )
    given = step.step.node.walk("input", key) if key else None
    if given is None or inner.declared_input is None:
        return
    path, wanted, who = f"{step.step.path}.input.{key}", inner.declared_input, "the input schema of the flow within"
    if key != "items":
        met = list(places(given, wanted, path, types.scope))
    elif keyword_of(given) is None:
        met = [place for index, each in enumerate(given.elements)
               for place in places(each, wanted, f"{path}[{index}]", types.scope)]  # fmt: skip
    else:
        met = [Place(given, given, path, elements_of(type_of(given, types.scope)), wanted, True, "each item")]
    for place in met:
        _check_place(place, who, found)


def _check_output(types: FlowTypes, found: Findings) -> None:
    _check_reads(types.model.output_reads, types.scope, found)
    output = types.model.root.get("output")
    if output is None or types.declared_output is None:
        return
    for place in places(output, types.declared_output, f"{types.model.path}.output", types.scope):
        _check_place(place, "the flow's output schema", found)
