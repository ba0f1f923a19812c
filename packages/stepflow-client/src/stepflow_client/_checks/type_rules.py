"""Type rules: values of the wrong type, paths that don't exist, and outputs of unknown type."""

from __future__ import annotations

from collections.abc import Iterable

from .._base.suggestions import suggest_or_list
from .._editing.yaml_and_json_edits import format_inline_yaml
from ..flows import type_system
from ..flows.components import ComponentCatalog
from ..flows.expressions import REFERENCE_KEYWORDS, Path, format_path, get_keyword
from ..flows.findings import Findings
from ..flows.syntax_tree import Node
from ..flows.type_system import UNKNOWN, ListOf, ObjectOf, Scalar, Type, is_unknown
from . import reference_rules, schema_and_case_rules, type_inference
from .type_comparison import Conflict, find_conflict, format_type, format_type_as_noun, is_compatible
from .type_inference import FlowTypes, StepTypes, TypedPart, split_into_typed_parts

# The field of the step's input that's passed to the inner flow, by component.
_SUBFLOW_INPUTS = {"/builtin/map": "items", "/builtin/iterate": "initial_input", "/builtin/eval": "input"}


def add_type_findings(root: Node, catalog: ComponentCatalog, findings: Findings, *, strict: bool = False) -> None:
    """Report type mismatches in a flow and its inner flows. If `strict` is set, outputs of unknown type are errors.

    Problems that other rules have already reported aren't repeated.
    """
    _TypeCheck(findings, strict).check_flow_types(type_inference.infer_flow_types(root, UNKNOWN, catalog))


class _TypeCheck:
    """Adds type mismatches to the existing findings."""

    def __init__(self, findings: Findings, strict: bool) -> None:
        self.findings, self.strict = findings, strict
        reported = [finding for finding in findings.all.values() if finding.rule == "component-input"]
        self.reported = {(finding.line, finding.column) if finding.line else finding.path for finding in reported}
        """The positions of invalid values that another rule has already reported."""
        self.holders = {id(finding.at) for finding in reported}
        """The `id()` of each node that another rule has reported: objects that have an invalid field, and literals
        whose value is invalid."""
        for finding in reported:
            while finding.at is not None and "$literal" in finding.path and finding.at.parent is not None:
                finding = finding._replace(at=finding.at.parent)
                self.holders.add(id(finding.at))

    def check_flow_types(self, types: FlowTypes) -> None:
        read_steps = {read.step_id for read in types.model.reads}
        for read in types.model.reads:
            lookup = type_inference.look_up_reference(read.node, f"${read.kind}", types, UNKNOWN)
            sources = {"step": f" (the output of step {read.step_id!r})", "input": " (the flow's input)"}
            reference_rules.report_missing_path(read, lookup, sources.get(read.kind, ""), self.findings)
        for typed in types.steps.values():
            step, component = typed.step, typed.step.component
            slots = split_into_typed_parts(step.node.get("input"), typed.expected_input, types)
            self._report_part_mismatches(slots, component or "the component")
            mismatch = find_conflict(typed.returned, typed.output) if typed.source == "flow" else None
            declared = types.model.find_flow_schema("steps", "properties", step.id)
            if declared is not None and mismatch is not None and mismatch.is_certain:
                schema, returned = format_type(typed.output, 80), format_type(typed.returned, 80)
                self.findings.add("type-mismatch", "error", declared, f"the schema of step {step.id!r} declares "
                                  f"{schema}, but {component} returns {returned}", "correct the schema, or remove "
                                  "it")  # fmt: skip
            # Skip builtin components, because their output depends on their input.
            is_builtin = component is None or component.startswith("/builtin/")
            if step.id in read_steps and typed.source == "unknown" and not is_builtin:
                reason = "has no output schema" if typed.is_known else "is unknown here"
                schemas = f"schemas: {{properties: {{steps: {{properties: {{{step.id}: ...}}}}}}}}"
                hint = ("" if typed.is_known else "name a server or --components FILE, or ") + f"write {schemas}"
                level, message = "error" if self.strict else "warning", f"the output of step {step.id!r} has no type"
                at = step.node.items["component"]
                self.findings.add("untyped-output", level, at, f"{message}: {component} {reason}", hint)
            if typed.inner is not None:
                self._check_subflow_input(types, typed, typed.inner)
                self.check_flow_types(typed.inner)
        if types.declared_output is not None:
            slots = split_into_typed_parts(types.model.root.get("output"), types.declared_output, types)
            self._report_part_mismatches(slots, "the flow's output schema")
        else:
            schema, by = type_system.type_to_schema(types.output), "according to the types of its steps"
            for case in types.model.cases:
                schema_and_case_rules.check_case_output(case, schema, {}, self.findings, by)
        if types.declared_input is None and is_unknown(types.given_input):
            _check_conflicting_input_uses(types, self.findings)

    def _report_part_mismatches(self, slots: Iterable[TypedPart], consumer: str) -> None:
        for slot in slots:
            node, mismatch = slot.node, find_conflict(slot.actual, slot.expected)
            if mismatch is None or ((node.line, node.column) if node.line else node.path) in self.reported:
                continue
            # Skip a missing field if the object has other findings, since one of them may report a misspelling of its
            # name.
            if id(node) in self.holders and (mismatch.missing is not None or "$literal" in node.items):
                continue
            is_certain = mismatch.is_certain and not slot.is_missing
            rule, level = ("type-mismatch", "error") if is_certain else ("possible-mismatch", "warning")
            message, hint = _describe_mismatch(slot, mismatch, consumer), _suggest_mismatch_fix(slot, mismatch)
            self.findings.add(rule, level, node, message, hint, key="$if" if slot.is_missing else None)

    def _check_subflow_input(self, types: FlowTypes, step: StepTypes, inner: FlowTypes) -> None:
        """Report elements (or the initial input) that don't match the inner flow's input schema."""
        key = _SUBFLOW_INPUTS.get(step.step.component or "", "")
        node, expected = step.step.node.at("input", key), inner.declared_input
        if node is None or expected is None:
            return
        consumer = "the input schema of the flow within"
        if key != "items":
            self._report_part_mismatches(split_into_typed_parts(node, expected, types), consumer)
            return
        if get_keyword(node.items) is not None:
            item = type_inference.get_element_type(type_inference.infer_type(node, types))
            self._report_part_mismatches([TypedPart(node, item, expected, True, "each item")], consumer)
        for element in node.elements:
            self._report_part_mismatches(split_into_typed_parts(element, expected, types), consumer)


def _check_conflicting_input_uses(types: FlowTypes, findings: Findings) -> None:
    """Report parts of the input that can never be valid because two steps expect different types."""
    first_uses: dict[Path, tuple[TypedPart, str]] = {}
    for path, part, user in type_inference.find_input_uses(types):
        if is_unknown(part.expected):
            continue
        first, first_user = first_uses.setdefault(path, (part, user))
        conflicts = find_conflict(first.expected, part.expected), find_conflict(part.expected, first.expected)
        if any(conflict is not None and conflict.is_certain for conflict in conflicts):
            earlier, later = format_type(first.expected, 60), format_type(part.expected, 60)
            message = f"{user} expects {later}, but {first_user} expects {earlier} for the same input"
            findings.add("input-conflict", "warning", part.node, f"{message}: no value matches both",
                         "read another field, or convert it in an earlier step (the other use is "
                         f"{first.node.place})")  # fmt: skip


def _describe_mismatch(slot: TypedPart, mismatch: Conflict, consumer: str) -> str:
    """Describe a mismatch with the type that `consumer` (a component or schema) requires, in one sentence."""
    where = format_path(mismatch.path, slot.where).removeprefix(".")
    here, keyword, node = f" for {where}" if where else "", get_keyword(slot.node.items), slot.node
    if slot.is_missing:
        expected = _describe_type(slot.expected)
        return f"{consumer} expects {expected}{here}, but without 'else' this is null if the condition is false"
    source = "this"
    if keyword in REFERENCE_KEYWORDS:
        target, path = node.items[str(keyword)].value, node.get("path" if keyword == "$step" else "$input")
        at = f" at {path.value}" if path is not None and path.value not in (None, "", "$") else ""
        sources = {"$step": f"step {target!r}{at}", "$input": f"the flow's input{at}"}
        source = sources.get(str(keyword), f"variable {target!r}")
    if mismatch.missing is not None:
        field = f"{where}.{mismatch.missing}" if where else mismatch.missing
        if keyword is None:
            return f"{consumer} needs {field!r}, which is missing"
        lacks = "does not have" if mismatch.is_certain else "does not declare"
        return f"{consumer} needs {field!r}, which {source} {lacks}"
    verb = "returns" if keyword == "$step" else "is"
    if not mismatch.is_certain:
        verb = "may return" if keyword == "$step" else "may be"
    expected, actual = _describe_type(mismatch.expected), format_type_as_noun(mismatch.actual)
    return f"{consumer} expects {expected}{here}, but {source} {verb} {actual}"


def _describe_type(expected: Type) -> str:
    """Describe an expected type as a noun phrase. Null is only mentioned if it's the only type."""
    return format_type_as_noun(type_system.remove_null(expected) if len(expected.members) > 1 else expected)


def _suggest_mismatch_fix(slot: TypedPart, mismatch: Conflict) -> str:
    """Suggest how to fix a mismatch, e.g. by adding a value or reading a different part."""
    keyword = get_keyword(slot.node.items)
    if slot.is_missing:
        return f"add else: with {_describe_type(slot.expected)}"
    if mismatch.missing is not None and keyword not in REFERENCE_KEYWORDS:
        return f"add {mismatch.missing}: ..."
    if mismatch.missing is not None:
        return _suggest_wrapping_in_object(slot, str(keyword), mismatch.missing)
    as_written = _format_extended_reference(slot, str(keyword), "$") if keyword in ("$step", "$input") else "this"
    if is_compatible(type_system.remove_null(slot.actual), slot.expected):
        return f"write {{$coalesce: [{as_written}, a value in place of null]}}"
    if keyword in REFERENCE_KEYWORDS:
        if not mismatch.path:
            paths = type_system.iter_typed_paths(slot.actual)
            part = next((path for path, type in paths if is_compatible(type, slot.expected)), None)
            if part is not None:
                or_map = ", or handle each element with /builtin/map" if part.startswith("$[") else ""
                return f"write {_format_extended_reference(slot, str(keyword), part)}{or_map}"
            items = [member.items for member in slot.expected.members if isinstance(member, ListOf)]
            if items and is_compatible(slot.actual, items[0]):
                return f"put it in a list: [{as_written}]"
        return "expressions cannot convert values: use a different value, or correct the schema"
    scalars = [member for member in mismatch.expected.members if isinstance(member, Scalar)]
    values = [str(value) for scalar in scalars for value in scalar.values or ()]
    if keyword is None and values:
        return suggest_or_list(str(slot.node.value), values, "one of")
    return f"write {_describe_type(mismatch.expected) if mismatch.path == () else format_type(slot.expected, 60)}"


def _suggest_wrapping_in_object(slot: TypedPart, keyword: str, name: str) -> str:
    """Suggest replacing a reference with an object that has the missing field."""
    expected = [member.fields[name].type for member in slot.expected.members
              if isinstance(member, ObjectOf) and name in member.fields]  # fmt: skip
    for path, type in type_system.iter_typed_paths(slot.actual) if expected and not is_unknown(expected[0]) else ():
        if not is_unknown(type) and is_compatible(type, expected[0]):
            return f"write an object: {{{name}: {_format_extended_reference(slot, keyword, path)}}}"
    fields = [field for member in slot.actual.members if isinstance(member, ObjectOf) for field in member.fields]
    available = f"; this has {', '.join(fields[:8])}" if fields else ""
    return f"write an object with {name} in place of {keyword}{available}"


def _format_extended_reference(slot: TypedPart, keyword: str, path: str) -> str:
    """Return a slot's reference as it's written in the file, with `path` appended."""
    target = slot.node.items[keyword].value
    node = slot.node.get("path") if keyword == "$step" else slot.node.items[keyword]
    start = str(node.value) if node is not None and node.value else "$"
    whole = (start if start.startswith("$") else f"$.{start}") + path.removeprefix("$")
    if keyword == "$step":
        return format_inline_yaml({"$step": target} if whole == "$" else {"$step": target, "path": whole})
    return format_inline_yaml({keyword: whole})
