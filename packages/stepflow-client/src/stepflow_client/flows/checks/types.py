"""The rules about types: values of the wrong type, paths that do not exist, and outputs of unknown type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..._data.expressions import Path, keyword_of
from ..findings import Findings
from ..model import Read
from ..source import Node
from ..types.builtins import elements_of
from ..types.compare import Conflict, conflict
from ..types.expressions import Scope, read, type_of
from ..types.found import FlowTypes, StepTypes
from ..types.model import Type, is_unknown
from ..types.schemas import schema_of
from ..types.slots import Slot, slots_of
from ..types.text import type_text
from ..types.uses import Use, uses_of
from .schemas import check_result
from .type_messages import hint_for, message_for

__all__ = ["check_types"]

_PATHS = {"step": "unknown-output-path", "input": "unknown-input", "variable": "variable-path"}
_GIVEN = {"/builtin/map": "items", "/builtin/iterate": "initial_input", "/builtin/eval": "input"}
"""The field of a step's input from which the flow inside the step gets its own input, by component."""


def check_types(types: FlowTypes, found: Findings, *, strict: bool = False) -> None:
    """Find type mismatches in a flow and in the flows inside it.

    Args:
        types: The types of the flow.
        found: The findings to add to. Faults that other rules have found at the same place are not repeated.
        strict: Whether outputs of unknown type are errors.
    """
    _Check(found, strict).flow(types)


class _Check:
    """Adds type mismatches to the existing findings."""

    def __init__(self, found: Findings, strict: bool) -> None:
        self.found = found
        self.strict = strict
        told = [key for key in found.all if key[0] == "component-input"]
        self.literals = {path.partition(".$literal")[0] for *_, path in told if ".$literal" in path}
        """The paths of the literals in which another rule has found a wrong value."""
        self.around = {path.rpartition(".")[0] for *_, path in told}
        """The paths of the objects in which another rule has found a wrong field."""
        self.told = {(line, column) if line else path for _, line, column, path in told}
        """The places where another rule has already found a wrong value."""

    def flow(self, types: FlowTypes) -> None:
        """Check a flow."""
        read = {each.step for each in types.model.reads}
        for step in types.steps.values():
            self._step(types, step)
            if step.step.id in read:
                self._untyped(step)
            if step.inner is not None:
                self._items(types, step, step.inner)
                self.flow(step.inner)
        self._output(types)
        if types.declared_input is None and is_unknown(types.given_input):
            check_uses(types, self.found)

    def _step(self, types: FlowTypes, step: StepTypes) -> None:
        self._reads(step.step.reads, types.scope)
        given = step.step.node.get("input")
        if given is not None:
            name = step.component or "the component"
            self._slots(slots_of(given, step.wanted, f"{step.step.path}.input", types.scope), name)
        if step.source == "flow":
            self._schema(types, step)

    def _slots(self, met: Iterable[Slot], who: str) -> None:
        for slot in met:
            reason = conflict(slot.actual, slot.wanted)
            if reason is None or self._is_told(slot, reason):
                continue
            is_certain = reason.is_certain and not slot.is_missing
            rule, level = ("type-mismatch", "error") if is_certain else ("possible-mismatch", "warning")
            message = message_for(slot, reason, who)
            self.found.add(rule, level, slot.at, slot.path, message, hint_for(slot, reason))

    def _is_told(self, slot: Slot, reason: Conflict) -> bool:
        """Return whether another rule has found the fault, or the misspelt name of a missing field."""
        line, column = slot.at.line, slot.at.column
        if slot.path in self.literals or ((line, column) if line else slot.path) in self.told:
            return True
        return reason.missing is not None and slot.path in self.around

    def _reads(self, reads: list[Read], scope: Scope) -> None:
        for each in reads:
            behind = read(each.node, f"${each.kind}", scope)
            if behind.problem is None:
                continue
            at = each.node.items["path"] if each.kind == "step" else each.target
            path = f"{each.path}.path" if each.kind == "step" else each.path
            whose = {"step": f"the output of step {each.step!r}", "input": "the flow's input"}.get(each.kind)
            message = f"{behind.problem} ({whose})" if whose else behind.problem
            level = "error" if behind.is_certain else "warning"
            self.found.add(_PATHS[each.kind], level, at, path, message, behind.hint)

    def _schema(self, types: FlowTypes, step: StepTypes) -> None:
        """Find a schema of a step that contradicts the component's output."""
        held = types.model.root.at("schemas", "properties", "steps", "properties")
        reason = conflict(step.returned, step.output)
        if held is None or reason is None or not reason.is_certain:
            return
        path = f"{types.model.path}.schemas.properties.steps.properties.{step.step.id}"
        said, returned = type_text(step.output, 80), type_text(step.returned, 80)
        message = f"the schema of step {step.step.id!r} says {said}, but {step.component} returns {returned}"
        self.found.add("type-mismatch", "error", held.items[step.step.id], path, message,
                       "correct the schema, or remove it")  # fmt: skip

    def _untyped(self, step: StepTypes) -> None:
        """Find a step with an unknown output type, except for builtin components, whose output depends on the input."""
        if step.source != "unknown" or step.component is None or step.component.startswith("/builtin/"):
            return
        why = "has no output schema" if step.is_known else "is not known here"
        hint = "" if step.is_known else "name its server or --components, or "
        message = f"the output of step {step.step.id!r} has no type: {step.component} {why}"
        self.found.add("untyped-output", "error" if self.strict else "warning", step.step.node.items["component"],
                       f"{step.step.path}.component", message, f"{hint}write schemas: {{properties: {{steps: "
                       f"{{properties: {{{step.step.id}: ...}}}}}}}}")  # fmt: skip

    def _items(self, types: FlowTypes, step: StepTypes, inner: FlowTypes) -> None:
        """Find elements, or an initial input, that do not match the input schema of the inner flow."""
        key = _GIVEN.get(step.component or "", "")
        given, wanted = step.step.node.at("input", key), inner.declared_input
        if given is None or wanted is None:
            return
        path = f"{step.step.path}.input.{key}"
        met = slots_of(given, wanted, path, types.scope)
        if key == "items":
            met = _elements(given, wanted, path, types.scope)
        self._slots(met, "the input schema of the flow within")

    def _output(self, types: FlowTypes) -> None:
        self._reads(types.model.output_reads, types.scope)
        output = types.model.root.get("output")
        if types.declared_output is None:
            self._cases(types)
        elif output is not None:
            met = slots_of(output, types.declared_output, f"{types.model.path}.output", types.scope)
            self._slots(met, "the flow's output schema")

    def _cases(self, types: FlowTypes) -> None:
        """Find expected outputs that cannot occur, in a flow without an output schema."""
        schema = schema_of(types.output)
        cases = types.model.root.at("test", "cases")
        for index, case in enumerate(cases.elements if cases is not None else ()):
            result = case.at("output", "result")
            if result is not None:
                path = f"{types.model.path}.test.cases[{index}].output.result"
                check_result(result, schema, {}, path, self.found, by="by the types of its steps")


def _elements(given: Node, wanted: Type, path: str, scope: Scope) -> Iterator[Slot]:
    if keyword_of(given.items) is not None:
        yield Slot(given, given, path, elements_of(type_of(given, scope)), wanted, True, "each item")
    for index, each in enumerate(given.elements):
        yield from slots_of(each, wanted, f"{path}[{index}]", scope)


def check_uses(types: FlowTypes, found: Findings) -> None:
    """Find parts of the input for which no value is valid, because two steps require different types."""
    first: dict[Path, Use] = {}
    for use in uses_of(types):
        if is_unknown(use.slot.wanted):
            continue
        other = first.setdefault(use.parts, use)
        if not _agree(other.slot.wanted, use.slot.wanted):
            wanted, before = type_text(use.slot.wanted, 60), type_text(other.slot.wanted, 60)
            message = f"{use.user} wants {wanted} of an input of which {other.user} wants {before}: no value fits both"
            found.add("input-conflict", "warning", use.slot.at, use.slot.path, message, "read another field, or "
                      f"convert it in a step before (the other use is in line {other.slot.at.line})")  # fmt: skip


def _agree(first: Type, second: Type) -> bool:
    reasons = conflict(first, second), conflict(second, first)
    return not any(each is not None and each.is_certain for each in reasons)
