"""Components: their names, their inputs, the paths into their outputs, and the flows inside their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._base.text import did_you_mean, near, nearest
from .._data.flow_declarations import fields_of
from ..flows.components import Catalogue, Components
from ..flows.expressions import keyword_of, portable_path, references
from ..flows.findings import Findings
from ..flows.graph import inner_flow
from ..flows.json_schema import definitions_of, mismatches
from ..flows.source import Node
from .declared_rules import level_of
from .flow_model import FlowModel, Step, node_of_inner

if TYPE_CHECKING:
    from ..flows import json_types as types
    from ..flows import schema_types
else:
    # Most flows are checked without types.
    types = lazy_module("stepflow_client.flows.json_types")
    schema_types = lazy_module("stepflow_client.flows.schema_types")


_OF_STEP = {"onerror": "onError", "mustexecute": "mustExecute"}
"""Keys of a step that components rarely have."""


def check_component(step: Step, catalogue: Catalogue, found: Findings) -> None:
    """Find an unknown component, and an input that the component rejects."""
    known = catalogue.known
    if step.component is None:
        return
    node = step.node.items["component"]
    if catalogue.is_denied(step.component):
        found.add("unknown-component", "error", node, f"the routes of the server do not lead to {node.value!r}",
                  "its configuration denies it, or does not allow it")  # fmt: skip
    elif "://" in step.component:
        found.add("component-slash", "error", node, f"component {node.value!r} is a URL: it has no route",
                  "write /PREFIX/NAME, with the prefix of a route of the server")  # fmt: skip
    elif step.component != _tidy(step.component):
        found.add("component-slash", "error", node, f"component {node.value!r} has no route: names have no blanks "
                  "at their ends and no empty parts", f"write {_tidy(step.component)}")  # fmt: skip
    elif not step.component.startswith("/"):
        dotted = "/" + step.component.replace(".", "/")
        found.add("component-slash", "error", node, f"component {node.value!r} does not begin with /: it has no "
                  "route", did_you_mean(dotted) if dotted in known else
                  near(node.value, [each for each in known if each.endswith(f"/{node.value}")] or
                       [*known, "/" + node.value]))  # fmt: skip
    elif known_schemas := catalogue.schemas(step.component):
        _check_input(step, known_schemas[0], found)
    else:
        _unknown(node, known, catalogue.is_whole, found)
        _misplaced_keys(step, {}, found)


def check_output_paths(model: FlowModel, catalogue: Catalogue, found: Findings) -> None:
    """Find paths that do not exist in the outputs of steps."""
    right = set[tuple[str | None, str | None, str]]()
    """The paths without a problem, by the step with a schema of its own, or by the component."""
    declared = model.schema("steps", "properties") or Node(None)
    for read in model.reads:
        step = model.by_id.get(read.step) if read.step is not None else None
        path = read.reference.path
        if step is None or not isinstance(path, str):
            continue
        own = declared.get(step.id)
        key = (step.id, None, path) if own is not None else (None, step.component, path)
        # The default of a failed step may have any structure.
        if key in right or step.uses_default:
            continue
        if own is not None:
            type = schema_types.type_of_schema(own.value, model.defs, is_source=True)
            whose = f"the schema of step {step.id!r}"
        elif known := catalogue.types(step.component or ""):
            type, whose = known[1], f"the output of {step.component}"
        else:
            continue
        wrong = types.behind(type, portable_path(path) or (), keeps_null=True)
        if wrong.problem:
            found.add("unknown-output-path", level_of(read, wrong.level), read.node.items["path"],
                      f"{wrong.problem} ({whose})", wrong.hint)  # fmt: skip
        else:
            right.add(key)


def _tidy(component: str) -> str:
    """Return a component without blanks around its parts and without empty parts."""
    parts = [each.strip() for each in component.split("/")]
    return "/" * component.strip().startswith("/") + "/".join(filter(None, parts)) or component


def _unknown(node: Node, known: Components, is_whole: bool, found: Findings) -> None:
    plugin = node.value.split("/")[1]
    hint = _nearest(node.value, known)
    if plugin == "builtin" or is_whole:
        # Routes may rename a component, so without them this is not certain.
        is_sure = plugin == "builtin" or all(name.startswith("/") for name in known)
        found.add("unknown-component", "error" if is_sure else "warning", node, f"there is no component {node.value!r}",
                  hint)  # fmt: skip
    elif nearest(plugin, ["builtin"], 0.75):
        found.add("unknown-component", "warning", node, f"{node.value!r} looks misspelt", hint)


def _nearest(component: str, known: Components) -> str:
    """Return a hint with the most similar component. A name without a path is suggested with the same prefix."""
    prefix, _, name = component.rpartition("/")
    given = component.strip("/").split("/", 1)[0]
    same = {each.removeprefix(f"{prefix}/") for each in known if each.startswith(f"{prefix}/")}
    # The names alone, as any two with the same prefix are similar.
    found = nearest(name, same) if same else nearest(component, known)
    if found is not None:
        return did_you_mean(f"{prefix}/{found}" if same else found)
    behind = nearest(name, {each for each in known if not each.startswith("/")})
    if behind is not None:
        return did_you_mean(f"{prefix}/{behind}")
    listed = [each for each in known if each.startswith(f"/{given}/")] or known
    return f"components are: {', '.join([*listed][:12])}{', ...' if len(listed) > 12 else ''}"


def _check_input(step: Step, schema: Any, found: Findings) -> None:
    component = step.node.items["component"]
    given = step.node.get("input") or Node(None, component.line, component.column).put(step.node, "input")
    schema = schema if isinstance(schema, Mapping) else {}
    misplaced = _misplaced_keys(step, schema, found)
    for wrong in mismatches(given.value, schema, definitions_of(schema), evaluated=True):
        if not wrong.parts and wrong.key in misplaced:
            continue
        if wrong.key is not None:
            # Components ignore unknown fields, so this is only an error if it is a misspelt name.
            level, what = "error" if (wrong.hint or "").startswith("did") else "warning", "ignores this"
        else:
            level, what = "warning" if step.uses_default else "error", "refuses this input"
        if isinstance(wrong.value, str) and wrong.value.isdecimal() and "wants integer" in wrong.message:
            wrong = wrong._replace(hint=f"write {wrong.value} without quotes")
        found.add_mismatch("component-input", level, given, wrong, f"{step.component} {what}: ")


def _misplaced_keys(step: Step, schema: Mapping[str, Any], found: Findings) -> list[str]:
    """Return the keys of the step that are indented into its input, where they are data; they are faults."""
    given, fields = step.node.get("input"), fields_of(schema)[0]
    if given is None or keyword_of(given.items) is not None:
        return []
    keys = {key: key.replace("_", "").lower() for key in given.items if key not in fields}
    misplaced = {key: _OF_STEP[plain] for key, plain in keys.items() if plain in _OF_STEP}
    for key, meant in misplaced.items():
        found.add("misplaced-key", "warning", given, f"{key!r} in the input is passed to the component as data",
                  f"{meant} belongs to the step: write it beside input, not inside of it", key=key)  # fmt: skip
    return [*misplaced]


def subflow_of(step: Step, found: Findings) -> tuple[Node, bool] | None:
    """Return the flow in the input of map, iterate or put_blob, and whether servers check it; None if there is none.

    A flow without `$literal` around it is a fault if its expressions would be evaluated in the outer flow.
    """
    inner = inner_flow(step.value)
    node = node_of_inner(step.node, inner) if inner is not None else None
    if inner is None or node is None:
        return None
    if step.component == "/builtin/iterate":
        _check_turn(node, found)
    if inner.is_as_written:
        return node, step.component == "/builtin/put_blob"
    # Only outside of $literal, a flow can be given variables: its own runs have none.
    if any(each.kind != "variable" for each in references(inner.flow)):
        found.add("unescaped-subflow", "warning", node, "the expressions of this flow are read in the outer flow, "
                  "not in its own runs", "write it below $literal:")  # fmt: skip
    return None


def _check_turn(flow: Node, found: Findings) -> None:
    """Find a flow for iterate whose output has neither `result` nor `next`, always or where a branch is taken."""
    if not isinstance(flow.value, dict) or keyword_of(flow.items) is not None:
        return
    output = flow.get("output")
    ways = [(flow, False)] if output is None else list(_ways(output))
    is_certain = not any(is_turn for _, is_turn in ways)
    for wrong in [node for node, is_turn in ways if not is_turn]:
        message = "iterate needs 'result' or 'next' in the output of its flow"
        found.add("iterate-output", "error" if is_certain else "warning", wrong,
                  message if is_certain else f"{message}, and fails with this branch",
                  near(next(iter(wrong.items), ""), ("result", "next"), "write one of"))  # fmt: skip


def _ways(output: Node) -> Iterator[tuple[Node, bool]]:
    """Yield the parts that may be the value of an expression, and whether each may have `result` or `next`."""
    match keyword_of(output.items):
        case "$if":
            for key in ("then", "else"):
                if key in output.items:
                    yield from _ways(output.items[key])
            if "else" not in output.items and output.items["$if"].value is not True:
                yield Node(None, output.line, output.column).put(output, "else"), False
        case "$coalesce":
            for each in output.items["$coalesce"].elements:
                if each.value is not None:
                    yield from _ways(each)
        case "$literal":
            yield output, _is_turn(output.items["$literal"])
        case None:
            yield output, _is_turn(output)
        case _:
            yield output, True


def _is_turn(node: Node) -> bool:
    return isinstance(node.value, dict) and not node.items.keys().isdisjoint(("result", "next"))
