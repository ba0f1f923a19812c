"""The rules about types: values of the wrong type, paths that do not exist, and outputs of unknown type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._base.text import near
from .._editing.text_edits import one_line
from ..flows.components import Catalogue
from ..flows.expressions import Path, keyword_of, write_path
from ..flows.findings import Findings
from ..flows.json_types import UNKNOWN, ListOf, ObjectOf, Plain, Type, is_unknown, may_be_null, paths_in, without_null
from ..flows.schema_types import schema_of
from ..flows.source import Node
from .declared_rules import level_of
from .expression_types import Scope, Slot, read, slots_of, type_of
from .flow_model import Read
from .flow_types import FlowTypes, StepTypes, Use, elements_of, type_flow, uses_of
from .schema_rules import check_result
from .type_mismatches import Conflict, conflict, fits
from .type_text import type_noun, type_text

_PATHS = {"step": "unknown-output-path", "input": "unknown-input", "variable": "variable-path"}
_GIVEN = {"/builtin/map": "items", "/builtin/iterate": "initial_input", "/builtin/eval": "input"}
"""The field of a step's input from which the flow inside the step gets its own input, by component."""
_READS = ("$step", "$input", "$variable")


def check_types(root: Node, catalogue: Catalogue, found: Findings, *, strict: bool = False) -> None:
    """Find type mismatches in a flow and in the flows inside it; with `strict`, outputs of unknown type are errors.

    Faults that other rules have found at the same place are not repeated.
    """
    _Check(found, strict).flow(type_flow(root, UNKNOWN, catalogue))


class _Check:
    """Adds type mismatches to the existing findings."""

    def __init__(self, found: Findings, strict: bool) -> None:
        self.found = found
        self.strict = strict
        told = [each for each in found.all.values() if each.rule == "component-input"]
        self.told = {(each.line, each.column) if each.line else each.path for each in told}
        """The places where another rule has already found a wrong value."""
        self.around = {id(each.at) for each in told}
        """The objects in which another rule has found a wrong field, and the literals with a wrong value."""
        for each in told:
            while each.at is not None and "$literal" in each.path and each.at.parent is not None:
                each = each._replace(at=each.at.parent)
                self.around.add(id(each.at))

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
        met = slots_of(step.step.node.get("input"), step.wanted, types.scope)
        self._slots(met, step.step.component or "the component")
        reason = conflict(step.returned, step.output) if step.source == "flow" else None
        declared = types.model.step_schema(step.step.id)
        if declared is not None and reason is not None and reason.is_certain:
            said, returned = type_text(step.output, 80), type_text(step.returned, 80)
            self.found.add("type-mismatch", "error", declared, f"the schema of step {step.step.id!r} says {said}, but "
                           f"{step.step.component} returns {returned}", "correct the schema, or remove it")  # fmt: skip

    def _slots(self, met: Iterable[Slot], who: str) -> None:
        for slot in met:
            reason = conflict(slot.actual, slot.wanted)
            if reason is None or self._is_told(slot, reason):
                continue
            is_certain = reason.is_certain and not slot.is_missing
            rule, level = ("type-mismatch", "error") if is_certain else ("possible-mismatch", "warning")
            self.found.add(rule, level, slot.node, message_for(slot, reason, who), hint_for(slot, reason),
                           key="$if" if slot.is_missing else None)  # fmt: skip

    def _is_told(self, slot: Slot, reason: Conflict) -> bool:
        """Return whether another rule has found the fault, or the misspelt name of a missing field."""
        node = slot.node
        if ((node.line, node.column) if node.line else node.path) in self.told:
            return True
        return (reason.missing is not None or "$literal" in node.items) and id(node) in self.around

    def _reads(self, reads: list[Read], scope: Scope) -> None:
        for each in reads:
            behind = read(each.node, f"${each.kind}", scope)
            if behind.problem is None:
                continue
            at = each.node.items["path"] if each.kind == "step" else each.target
            whose = {"step": f"the output of step {each.step!r}", "input": "the flow's input"}.get(each.kind)
            message = f"{behind.problem} ({whose})" if whose else behind.problem
            self.found.add(_PATHS[each.kind], level_of(each, behind.level), at, message, behind.hint)

    def _untyped(self, step: StepTypes) -> None:
        """Find a step with an unknown output type, except for builtin components, whose output depends on the input."""
        component = step.step.component
        if step.source != "unknown" or component is None or component.startswith("/builtin/"):
            return
        why = "has no output schema" if step.is_known else "is not known here"
        hint = "" if step.is_known else "name its server or --components, or "
        self.found.add("untyped-output", "error" if self.strict else "warning", step.step.node.items["component"],
                       f"the output of step {step.step.id!r} has no type: {component} {why}", f"{hint}write schemas: "
                       f"{{properties: {{steps: {{properties: {{{step.step.id}: ...}}}}}}}}")  # fmt: skip

    def _items(self, types: FlowTypes, step: StepTypes, inner: FlowTypes) -> None:
        """Find elements, or an initial input, that do not match the input schema of the inner flow."""
        key = _GIVEN.get(step.step.component or "", "")
        given, wanted = step.step.node.at("input", key), inner.declared_input
        if given is not None and wanted is not None:
            slots = _elements if key == "items" else slots_of
            self._slots(slots(given, wanted, types.scope), "the input schema of the flow within")

    def _output(self, types: FlowTypes) -> None:
        self._reads(types.model.output_reads, types.scope)
        if types.declared_output is not None:
            met = slots_of(types.model.root.get("output"), types.declared_output, types.scope)
            self._slots(met, "the flow's output schema")
            return
        # Expected outputs that cannot occur, in a flow without an output schema.
        for case in types.model.cases:
            check_result(case, schema_of(types.output), {}, self.found, by="by the types of its steps")


def _elements(given: Node, wanted: Type, scope: Scope) -> Iterator[Slot]:
    if keyword_of(given.items) is not None:
        yield Slot(given, elements_of(type_of(given, scope)), wanted, True, "each item")
    for each in given.elements:
        yield from slots_of(each, wanted, scope)


def check_uses(types: FlowTypes, found: Findings) -> None:
    """Find parts of the input for which no value is valid, because two steps require different types."""
    first: dict[Path, Use] = {}
    for use in uses_of(types):
        if is_unknown(use.slot.wanted):
            continue
        other = first.setdefault(use.parts, use)
        both = (other.slot.wanted, use.slot.wanted)
        reasons = conflict(*both), conflict(*both[::-1])
        if any(each is not None and each.is_certain for each in reasons):
            wanted, before = type_text(use.slot.wanted, 60), type_text(other.slot.wanted, 60)
            found.add("input-conflict", "warning", use.slot.node, f"{use.user} wants {wanted} of an input of which "
                      f"{other.user} wants {before}: no value fits both", "read another field, or convert it in a step "
                      f"before (the other use is in line {other.slot.node.line})")  # fmt: skip


def message_for(slot: Slot, reason: Conflict, who: str) -> str:
    """Return one sentence that describes a mismatch; `who` is the component or schema that requires another type."""
    where = write_path(reason.path, slot.where).removeprefix(".")
    here = f" for {where}" if where else ""
    if slot.is_missing:
        return f"{who} wants {_wanted(slot.wanted)}{here}, but without 'else' this is null where the condition is false"
    if reason.missing is not None:
        field = f"{where}.{reason.missing}" if where else reason.missing
        if keyword_of(slot.node.items) is None:
            return f"{who} needs {field!r}, which is missing"
        lacks = "does not have" if reason.is_certain else "has not by its schema"
        return f"{who} needs {field!r}, which {_giver(slot)} {lacks}"
    gives = "gives" if reason.is_certain else "may give"
    return f"{who} wants {_wanted(reason.wanted)}{here}, but {_giver(slot)} {gives} {type_noun(reason.actual)}"


def _wanted(type: Type) -> str:
    """Return the wanted type as a noun. Null is not mentioned next to other types."""
    return type_noun(without_null(type) if len(type.members) > 1 else type)


def _giver(slot: Slot) -> str:
    node = slot.node
    match keyword_of(node.items):
        case "$step":
            path = node.get("path")
            part = f" at {path.value}" if path is not None and path.value not in (None, "", "$") else ""
            return f"step {node.items['$step'].value!r}{part}"
        case "$input":
            value = node.items["$input"].value
            return "the flow's input" + (f" at {value}" if value not in (None, "", "$") else "")
        case "$variable":
            return f"variable {node.items['$variable'].value!r}"
    return "this"


def hint_for(slot: Slot, reason: Conflict) -> str:
    """Return a hint on how to fix a mismatch at a place in a flow."""
    if slot.is_missing:
        return f"add else: with {_wanted(slot.wanted)}"
    word = keyword_of(slot.node.items)
    if reason.missing is not None:
        return _missing(slot, reason.missing, word)
    if may_be_null(slot.actual) and not is_unknown(slot.actual) and fits(without_null(slot.actual), slot.wanted):
        return f"write {{$coalesce: [{_written(slot, word)}, a value in place of null]}}"
    if word in _READS:
        return _instead(slot, reason, str(word))
    values = [str(one) for each in reason.wanted.members if isinstance(each, Plain) for one in each.values or ()]
    if word is None and values:
        return near(str(slot.node.value), values, "one of")
    return f"write {_wanted(reason.wanted)}" if reason.path == () else f"write {type_text(slot.wanted, 60)}"


def _missing(slot: Slot, name: str, word: str | None) -> str:
    if word not in _READS:
        return f"add {name}: ..."
    fields = [each for member in slot.actual.members if isinstance(member, ObjectOf) for each in member.fields]
    wanted = [member.fields[name].type for member in slot.wanted.members
              if isinstance(member, ObjectOf) and name in member.fields]  # fmt: skip
    if wanted and not is_unknown(wanted[0]):
        part = next((path for path, each in paths_in(slot.actual) if not is_unknown(each) and fits(each, wanted[0])),
                    None)  # fmt: skip
        if part is not None:
            return f"write an object: {{{name}: {_with_path(slot, str(word), part)}}}"
    given = f"; this has {', '.join(fields[:8])}" if fields else ""
    return f"write an object with {name} in place of {word}{given}"


def _instead(slot: Slot, reason: Conflict, word: str) -> str:
    """Return a hint on what to read instead: a part that matches, or a list that contains the value."""
    if not reason.path:
        part = next((path for path, each in paths_in(slot.actual) if fits(each, slot.wanted)), None)
        if part is not None:
            or_each = ", or handle each element with /builtin/map" if part.startswith("$[") else ""
            return f"write {_with_path(slot, word, part)}{or_each}"
        items = [each.items for each in slot.wanted.members if isinstance(each, ListOf)]
        if items and fits(slot.actual, items[0]):
            return f"put it in a list: [{_written(slot, word)}]"
    return "no expression converts values: read another one, or correct the schema that is wrong"


def _written(slot: Slot, word: str | None) -> str:
    """Return an expression as written in the file."""
    return _with_path(slot, str(word), "$") if word in ("$step", "$input") else "this"


def _with_path(slot: Slot, word: str, path: str) -> str:
    value = slot.node.items[word].value
    below = path.removeprefix("$")
    if word == "$step":
        given = slot.node.get("path")
        before = str(given.value) if given is not None and given.value else "$"
        whole = _whole(before) + below
        return one_line({"$step": value} if whole == "$" else {"$step": value, "path": whole})
    return one_line({word: _whole(str(value or "$")) + below})


def _whole(path: str) -> str:
    return path if path.startswith("$") else f"$.{path}"
