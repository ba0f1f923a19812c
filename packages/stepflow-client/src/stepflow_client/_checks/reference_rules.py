"""Reference rules: undeclared inputs and variables, missing or unused steps, and references that stall a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._base.not_given import NOT_GIVEN
from .._base.suggestions import suggest_or_list
from .._base.text_formatting import short_json
from .._data.flow_declarations import get_declared_schema, get_unset_value
from ..flows.expressions import format_path, parse_unambiguous_path
from ..flows.findings import Findings
from ..flows.syntax_tree import Node
from ..flows.type_system import Lookup, ObjectOf, Type, look_up_path, schema_to_type
from .steps_and_references import FlowAnalysis, LocatedReference, Step


def check_input_and_variable_reads(model: FlowAnalysis, findings: Findings) -> None:
    """Report references to inputs and variables that will or might fail, according to the flow's own schemas."""
    schema = model.find_flow_schema("input")
    if schema is not None:
        type = schema_to_type(schema.value, model.defs, is_source=True)
        _report_unused_input_defaults(schema, findings)
        for read in model.reads:
            if read.kind == "input":
                _check_input_read(read, type, findings)
    for read in model.reads:
        if read.kind == "variable":
            _check_variable_read(read, model, findings)
    # References inside the steps' inner flows count as well.
    reads = [read.reference for flow in model.all_flows for read in flow.reads if read.kind == "variable"]
    properties, used = model.find_flow_schema("variables", "properties"), {read.variable for read in reads}
    if properties is not None and not any(read.path in ("", "$") for read in reads):
        for name in model.variables[0]:
            if name not in used:
                findings.add("unused-variable", "warning", properties, f"variable {name!r} is never read", "remove it",
                             key=name)  # fmt: skip


_PATH_RULES = {"step": "unknown-output-path", "input": "unknown-input", "variable": "variable-path"}


def report_missing_path(read: LocatedReference, lookup: Lookup, source: str, findings: Findings) -> None:
    """Report a reference whose path doesn't exist. `source` says which type was searched."""
    if lookup.problem is not None:
        # If the path is in a condition, the condition is just false.
        level = "warning" if read.reference.is_in_condition else lookup.finding_level
        at = read.node.items["path"] if read.kind == "step" else read.argument
        findings.add(_PATH_RULES[read.kind], level, at, f"{lookup.problem}{source}", lookup.hint)


def _is_missing_value_harmless(read: LocatedReference) -> bool:
    """Return whether a missing value is harmless.

    It's harmless in a condition, and in a `then` branch whose condition is the same value.
    """
    guards = [branch.condition for branch in read.reference.branches if branch.kind == "then"]
    return read.reference.is_in_condition or read.reference.expression in guards


def _check_input_read(read: LocatedReference, type: Type, findings: Findings) -> None:
    parts = parse_unambiguous_path(read.reference.path) or ()
    report_missing_path(read, look_up_path(type, parts), " (the flow's input schema)", findings)
    if _is_missing_value_harmless(read):
        return
    for index, part in enumerate(parts):
        holder = look_up_path(type, parts[:index]).type
        fields = [member.fields.get(str(part)) for member in holder.members if isinstance(member, ObjectOf)]
        if any(field is not None and not field.is_required for field in fields):
            shown = format_path(parts[: index + 1])
            guarded = f"{{$if: {{$input: {shown}}}, then: {{$input: {shown}}}, else: ...}}"
            is_alternative = any(branch.kind == "coalesce" for branch in read.reference.branches)
            reason = ": $coalesce tries the next value only after null" if is_alternative else ""
            findings.add("optional-input", "warning", read.argument, f"without {shown} in the input, this fails"
                         f"{reason}", f"add {str(part)!r} to 'required', or write {guarded}: a condition that fails "
                         "is false")  # fmt: skip
            return


def _report_unused_input_defaults(schema: Node, findings: Findings) -> None:
    """Report defaults for input fields, since they have no effect."""
    for name, node in schema.items_at("properties").items():
        if "default" in node.items:
            findings.add("dead-default", "warning", node, f"this default is never used: servers do not add {name!r} to "
                         "an input without it", "pass the field with each input, or read it with $if and write the "
                         "default into 'else'", key="default")  # fmt: skip
        _report_unused_input_defaults(node, findings)


def _check_variable_read(read: LocatedReference, model: FlowAnalysis, findings: Findings) -> None:
    """Check a reference to a variable. A flow inside a step has only its own variables, not the outer flow's."""
    parts = parse_unambiguous_path(read.reference.path)
    if not parts:
        return
    name, has_default = str(parts[0]), "default" in read.reference.expression
    declared, required = model.variables
    schema = get_declared_schema(model.root.value, "variables")
    has_schema, is_required = isinstance(schema, Mapping), name in required
    if name in declared:
        type = schema_to_type(declared[name], model.defs, is_source=True)
        report_missing_path(read, look_up_path(type, parts[1:]), "", findings)
    elif has_schema and not model.is_subflow and _is_undeclared_variable(name, schema, model.defs):
        # Servers pass on undeclared variables, but this client rejects them.
        findings.add("undeclared-variable", "warning" if has_default else "error", read.argument,
                     f"variable {name!r} is not declared", suggest_or_list(name, declared, "declared are"))  # fmt: skip
        return
    value = get_unset_value(declared.get(name), is_required=is_required)
    if value is not NOT_GIVEN:
        if has_default and len(parts) == 1:
            used = "the default in its schema" if "default" in declared[name] else short_json(value)
            findings.add("dead-default", "warning", read.node, "this default is never used: in runs that do not set "
                         f"{name!r}, its value is {used}", "write the default into the schema of the variable",
                         key="default")  # fmt: skip
    elif has_default or _is_missing_value_harmless(read):
        return
    elif model.is_subflow:
        level = "error" if findings.is_unchecked_by_server and read.reference.is_certain else "warning"
        schemas = f"{{properties: {{variables: {{properties: {{{name}: {{default: {{$variable: {name}}}}}}}}}}}}}"
        findings.add("unset-variable", level, read.argument, "this fails: a flow inside a step does not get the run's "
                     f"variables, and {name!r} has no default here", f"add schemas: {schemas} to this flow, and put "
                     "$literal around its steps and its output instead of around the flow")  # fmt: skip
    elif has_schema and not is_required:
        findings.add("unset-variable", "warning", read.argument, f"this fails in runs that do not set {name!r}: "
                     "servers derive a value for it only from a plain 'type'", "add a default to its schema or next to "
                     "$variable, or add it to 'required'")  # fmt: skip


def _is_undeclared_variable(name: str, schema: Mapping[str, Any], defs: Mapping[str, Any]) -> bool:
    """Return whether a name isn't allowed by the variables' schema or by any schema that it refers to."""
    if schema.get("patternProperties") or isinstance(schema.get("additionalProperties"), Mapping):
        return False
    type = schema_to_type(schema, defs, is_source=True)
    objects = [member for member in type.members if isinstance(member, ObjectOf)]
    if not objects:
        return schema.keys().isdisjoint(("$ref", "allOf", "anyOf", "oneOf"))
    return not any(name in member.fields or (member.is_open and member.fields) for member in objects)


# Maximum number of steps to list in a message about a cycle.
_MAX_NAMED = 12
# If a reference violates one of these rules, the step that it was meant to read can look unused even though it isn't.
_HIDING_RULES = ("undefined-step", "unknown-keyword", "from-expression", "template")


def check_step_dependencies(model: FlowAnalysis, findings: Findings) -> None:
    """Report problems in the dependency graph of a flow (or of a flow inside a step)."""
    for step in model.steps:
        # Servers don't check inner flows up front, so any step ID is fine in them.
        if not step.id.strip() and not findings.is_unchecked_by_server:
            findings.add("empty-id", "fatal", step.node.items["id"], "a step's ID is empty", "give it a name")
        elif (first := model.by_id[step.id]) is not step:
            level, place = "warning" if findings.is_unchecked_by_server else "fatal", first.node.items["id"].place
            findings.add("duplicate-id", level, step.node.items["id"], f"two steps have the ID {step.id!r}; the first "
                         f"is {place}", "rename one of them")  # fmt: skip
    ids = [step.id for step in model.steps]
    for user in (*model.steps, None):
        for read in model.output_reads if user is None else user.reads:
            if read.step_id is not None and read.step_id not in model.by_id:
                known = ids if user is None else ids[: user.index]
                where = f"step {user.id!r}" if user is not None else "the output"
                none = "the flow has no steps" if user is None else "no step is defined before this one"
                hint = suggest_or_list(read.step_id, known, "steps are") if known else none
                findings.add("undefined-step", "fatal", read.argument, f"{where} refers to step {read.step_id!r}, "
                             "which does not exist", hint)  # fmt: skip
            elif read.step_id is not None and user is not None:
                _check_step_order(model, user, model.by_id[read.step_id], read, findings)
    # Another rule reports steps that are only read in a default.
    defaults = {read.step_id for read in model.reads if read.step_id and read.reference.is_in_default}
    needed, root = model.graph.find_steps_to_run() | model.graph.find_upstream_steps(defaults), model.root.path
    if not any(rule in _HIDING_RULES and path.startswith(root) for rule, _, _, path in findings.all):
        for step in model.steps:
            if step.id not in needed and step.id.strip():
                findings.add("unused-step", "warning", step.node.items["id"], f"step {step.id!r} never runs: neither "
                             "the output nor a step that runs needs it", "refer to it in the output, set mustExecute: "
                             "true, or remove it")  # fmt: skip
    certain = model.graph.find_steps_to_run(certainly=True)
    _report_stalling_reads(model, None, model.output_reads, certain, findings)
    for step in model.steps:
        _report_stalling_reads(model, step, step.reads, certain, findings)


def _check_step_order(model: FlowAnalysis, step: Step, other: Step, read: LocatedReference, findings: Findings) -> None:
    if other.index > step.index:
        cyclic = model.graph.cyclic_steps
        is_cycle = other.id in cyclic and step.id in cyclic and not read.reference.is_in_default
        if is_cycle and (path := model.graph.find_shortest_path(other.id, step.id)):
            shown = [step.id, *path] if len(path) < _MAX_NAMED else [step.id, *path[:5], "...", *path[-5:]]
            findings.add("cycle", "fatal", read.argument, f"steps wait for each other: {' -> '.join(shown)}",
                         "remove one of these references")  # fmt: skip
        elif not findings.is_unchecked_by_server:
            findings.add("later-step", "fatal", read.argument, f"step {step.id!r} refers to {other.id!r}, which is "
                         "defined later", f"move {other.id!r} before {step.id!r}")  # fmt: skip
    elif other is step:
        findings.add("self-reference", "fatal", read.argument, f"step {step.id!r} reads its own output")


def _report_stalling_reads(
    model: FlowAnalysis, step: Step | None, reads: list[LocatedReference], certain: set[str], findings: Findings
) -> None:
    own = {read.step_id for read in reads if read.reference.is_certain}
    plain = {read.step_id for read in reads if not read.reference.is_in_default}
    for read in reads:
        if read.step_id not in model.by_id or read.step_id in own:
            continue
        hint = f"also refer to {read.step_id!r} outside the default"
        if read.reference.is_in_default and step is not None:
            if read.step_id not in model.graph.find_upstream_steps(step_id for step_id in plain if step_id):
                findings.add("default-step", "warning", read.argument, f"step {step.id!r} does not wait for step "
                             f"{read.step_id!r} in the default of a variable: without a value for the variable, it may "
                             "fail with 'not completed'", hint)  # fmt: skip
        elif read.step_id in certain:
            continue
        elif read.reference.is_in_default:
            if read.step_id not in plain:
                findings.add("default-step", "warning", read.argument, f"the default of a variable does not make step "
                             f"{read.step_id!r} run: without a value for the variable, it fails with 'not completed'",
                             hint)  # fmt: skip
        elif (after := read.reference.after) and read.step_id not in after:
            effect = "hangs for 30 s or forever"
            if step is None:
                effect = "fails with 'not completed'"
            elif model.is_subflow:
                effect = "never ends"
            steps = " and ".join(f"step {step_id!r}" for step_id in sorted(after))
            branch = next((part for part in reversed(read.reference.branches) if part.kind in ("then", "else")), None)
            if branch is None:
                condition = f"if {steps} {'returns' if len(after) == 1 else 'return'} null"
            else:
                condition = f"if the condition on {steps} is {'true' if branch.kind == 'then' else 'false'}"
            findings.add("conditional-stall", "warning", read.argument, f"{condition}, the run {effect}, because "
                         f"nothing else makes step {read.step_id!r} run", f"set mustExecute: true on {read.step_id!r}, "
                         "or refer to it outside the condition")  # fmt: skip
