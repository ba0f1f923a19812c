"""Component rules: names, inputs, paths into outputs, and inner flows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._base.suggestions import find_nearest, format_did_you_mean, suggest_or_list
from .._data.flow_declarations import get_fields
from ..flows.components import ComponentCatalog, Components
from ..flows.expressions import find_references, get_keyword, parse_unambiguous_path
from ..flows.findings import Findings
from ..flows.graph import find_inner_flow
from ..flows.json_schema import find_mismatches, get_defs
from ..flows.syntax_tree import Node
from ..flows.type_system import look_up_path, schema_to_type
from .reference_rules import report_missing_path
from .steps_and_references import FlowAnalysis, Step, get_subflow_node

# Step keys that components rarely use as names of input fields.
_MISPLACED_STEP_KEYS = {"onerror": "onError", "mustexecute": "mustExecute"}
_FULL_NAME_HINT = "write /PREFIX/NAME, with the prefix of a route of the server"


def check_component_and_input(step: Step, catalog: ComponentCatalog, findings: Findings) -> None:
    """Report an unknown component, or an input that the component rejects."""
    if step.component is None:
        return
    known, node = catalog.known, step.node.items["component"]
    parts = [part.strip() for part in step.component.split("/")]
    tidy = "/" * step.component.strip().startswith("/") + "/".join(filter(None, parts))
    if catalog.is_denied_by_routes(step.component):
        findings.add("unknown-component", "error", node, f"the server has no route to {node.value!r}",
                     "its configuration denies it, or does not allow it")  # fmt: skip
    elif "://" in step.component:
        findings.add("component-slash", "error", node, f"component {node.value!r} is a URL: it has no route",
                     _FULL_NAME_HINT)  # fmt: skip
    elif step.component != tidy:
        hint = f"write {tidy}" if any(parts) else _FULL_NAME_HINT
        findings.add("component-slash", "error", node, f"component {node.value!r} has no route: a name cannot start or "
                     "end with a blank, or contain empty parts", hint)  # fmt: skip
    elif not step.component.startswith("/"):
        dotted = "/" + step.component.replace(".", "/")
        named = [name for name in known if name.endswith(f"/{node.value}")] or [*known, "/" + node.value]
        hint = format_did_you_mean(dotted) if dotted in known else suggest_or_list(node.value, named)
        findings.add("component-slash", "error", node, f"component {node.value!r} does not begin with /: it has no "
                     "route", hint)  # fmt: skip
    elif schemas := known.find_schemas(step.component):
        _check_component_input(step, schemas[0], findings)
    else:
        plugin, hint = parts[1], _suggest_component(node.value, known)
        if plugin == "builtin" or catalog.is_complete:
            # Without the routes, we can't rule out that the component exists, because routes can rename components.
            is_certain = plugin == "builtin" or all(name.startswith("/") for name in known)
            level = "error" if is_certain else "warning"
            findings.add("unknown-component", level, node, f"unknown component {node.value!r}", hint)
        elif find_nearest(plugin, ["builtin"], 0.75):
            findings.add("unknown-component", "warning", node, f"{node.value!r} looks misspelled", hint)
        _check_step_keys_inside_input(step, {}, findings)


def check_paths_into_step_outputs(model: FlowAnalysis, catalog: ComponentCatalog, findings: Findings) -> None:
    """Report paths that don't exist in a step's output."""
    declared = model.find_flow_schema("steps", "properties") or Node(None)
    for read in model.reads:
        # Don't use `or ""`, because a step ID can be empty.
        step = None if read.step_id is None else model.by_id.get(read.step_id)
        path = read.reference.path
        # Skip steps that have a default output, since it can have any structure.
        if step is None or not isinstance(path, str) or step.uses_default:
            continue
        if (own := declared.get(step.id)) is not None:
            type, source = schema_to_type(own.value, model.defs, is_source=True), f" (the schema of step {step.id!r})"
        elif component_types := catalog.find_input_and_output_types(step.component or ""):
            type, source = component_types[1], f" (the output of {step.component})"
        else:
            continue
        lookup = look_up_path(type, parse_unambiguous_path(path) or (), keeps_null=True)
        report_missing_path(read, lookup, source, findings)


def _suggest_component(component: str, known: Components) -> str:
    """Return a hint with the closest component. If the closest name has no path, it gets the same prefix."""
    prefix, _, name = component.rpartition("/")
    same = {path.removeprefix(f"{prefix}/") for path in known if path.startswith(f"{prefix}/")}
    # Compare only the names, since any two paths with the same prefix are similar.
    similar = find_nearest(name, same) if same else find_nearest(component, known)
    if similar is not None:
        return format_did_you_mean(f"{prefix}/{similar}" if same else similar)
    similar = find_nearest(name, {path for path in known if not path.startswith("/")})
    if similar is not None:
        return format_did_you_mean(f"{prefix}/{similar}")
    plugin = component.strip("/").split("/", 1)[0]
    paths = sorted(path for path in known if path.startswith("/")) or [*known]
    listed = [path for path in paths if path.startswith(f"/{plugin}/")] or paths
    return f"components are: {', '.join(listed[:12])}{', ...' if len(listed) > 12 else ''}"


def _check_component_input(step: Step, schema: Any, findings: Findings) -> None:
    component = step.node.items["component"]
    node = step.node.get("input") or Node(None, component.line, component.column).set_parent(step.node, "input")
    schema = schema if isinstance(schema, Mapping) else {}
    misplaced = _check_step_keys_inside_input(step, schema, findings)
    for mismatch in find_mismatches(node.value, schema, get_defs(schema), evaluated=True):
        if not mismatch.parts and mismatch.key in misplaced:
            continue
        if mismatch.key is not None:
            # Components ignore unknown fields, so it's only an error if the name looks misspelled.
            level, effect = "error" if (mismatch.hint or "").startswith("did") else "warning", "ignores this"
        else:
            level, effect = "warning" if step.uses_default else "error", "rejects this input"
        text = mismatch.value
        if isinstance(text, str) and text.isdecimal() and "expects integer" in mismatch.message:
            mismatch = mismatch._replace(hint=f"write {text} without quotes")
        findings.add_mismatch("component-input", level, node, mismatch, f"{step.component} {effect}: ")


def _check_step_keys_inside_input(step: Step, schema: Mapping[str, Any], findings: Findings) -> list[str]:
    """Report and return step keys that were indented so far that they're part of the input, where they're just data."""
    node, fields = step.node.get("input"), get_fields(schema)[0]
    if node is None or get_keyword(node.items) is not None:
        return []
    plain = {key: key.replace("_", "").lower() for key in node.items if key not in fields}
    misplaced = {key: _MISPLACED_STEP_KEYS[name] for key, name in plain.items() if name in _MISPLACED_STEP_KEYS}
    for key, name in misplaced.items():
        findings.add("misplaced-key", "warning", node, f"{key!r} in the input is passed to the component as data",
                     f"{name} belongs to the step: write it next to input, not inside it", key=key)  # fmt: skip
    return [*misplaced]


def check_and_find_subflow(step: Step, findings: Findings) -> tuple[Node, bool] | None:
    """Return a map, iterate or put_blob step's inner flow and whether servers check it, or None if there is none.

    Also reports any inner flow whose expressions would be evaluated in the outer flow because it isn't inside a
    `$literal`.
    """
    inner = find_inner_flow(step.value)
    node = get_subflow_node(step.node, inner) if inner is not None else None
    if inner is None or node is None:
        return None
    if step.component == "/builtin/iterate" and isinstance(node.value, dict) and get_keyword(node.items) is None:
        output = node.get("output")
        values = [(node, False)] if output is None else list(_iter_possible_outputs(output))
        is_certain = not any(is_turn for _, is_turn in values)
        message = "iterate needs 'result' or 'next' in the output of its flow"
        for value in [value for value, is_turn in values if not is_turn]:
            findings.add("iterate-output", "error" if is_certain else "warning", value,
                         message if is_certain else f"{message}, and fails with this branch",
                         suggest_or_list(next(iter(value.items), ""), ("result", "next"), "write one of"))  # fmt: skip
    if inner.runs_as_written:
        return node, step.component == "/builtin/put_blob"
    # Variables are fine. An inner flow's own runs don't have any, so they can only be read outside of $literal.
    if any(reference.kind != "variable" for reference in find_references(inner.flow)):
        findings.add("unescaped-subflow", "warning", node, "this flow's expressions are evaluated in the outer flow, "
                     "not in its own runs", "write it below $literal:")  # fmt: skip
    return None


def _iter_possible_outputs(output: Node) -> Iterator[tuple[Node, bool]]:
    """Yield each possible value of an expression, along with whether it might have a `result` or `next`."""
    match get_keyword(output.items):
        case "$if":
            for key in ("then", "else"):
                if key in output.items:
                    yield from _iter_possible_outputs(output.items[key])
            if "else" not in output.items and output.items["$if"].value is not True:
                yield Node(None, output.line, output.column).set_parent(output, "else"), False
        case "$coalesce":
            for element in output.items["$coalesce"].elements:
                if element.value is not None:
                    yield from _iter_possible_outputs(element)
        case None | "$literal" as keyword:
            value = output if keyword is None else output.items[keyword]
            yield output, isinstance(value.value, dict) and not value.items.keys().isdisjoint(("result", "next"))
        case _:
            yield output, True
