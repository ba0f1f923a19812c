"""Components: their names, their inputs, the paths into their outputs, and the flows inside their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from ..builtins import BUILTINS
from ..findings import Findings, near
from ..model import FlowModel, Read, Step, reads_of
from ..nearest import did_you_mean, nearest
from ..paths import PathError, parse_path
from ..placed import Node
from ..schema_paths import mismatches, schema_at
from .schemas import defs_of

__all__ = ["Components", "check_components", "known_components", "schemas_of", "subflows"]


class Components(dict[str, tuple[Any, Any]]):
    """The input and output schemas by the path of the component; `{}` or None if a schema is unknown.

    If the server does not report route prefixes, the key is the name after the prefix instead of the path.
    """

    is_whole = True
    """Whether the list is complete: plugins that could not be queried may have more components."""


_SUBFLOWS = {"/builtin/map": "workflow", "/builtin/iterate": "flow", "/builtin/put_blob": "data"}


def check_components(model: FlowModel, components: Components | None, found: Findings) -> None:
    """Find unknown components, inputs that components reject, and paths that do not exist in their outputs.

    Args:
        model: The flow.
        components: The components of a server; None if only the builtin ones are known.
        found: The findings to add to.
    """
    known = known_components(components)
    is_whole = components is not None and components.is_whole
    for step in model.steps:
        node = step.node.get("component")
        if node is None or not isinstance(node.value, str):
            continue
        if not node.value.startswith("/"):
            found.add("component-slash", "error", node, f"{step.path}.component", f"component {node.value!r} does not "
                      "begin with /: it has no route", near(node.value, [*known, "/" + node.value]))  # fmt: skip
        elif schemas := schemas_of(node.value, known):
            _check_input(step, schemas[0], found)
        else:
            _unknown(step, node, known, is_whole, found)
    for read in [each for step in model.steps for each in step.reads] + model.output_reads:
        if read.kind == "$step" and read.name in model.by_id:
            _check_path(model, read, known, found)


def known_components(components: Components | None) -> Components:
    """Return the components that a flow may use, including the builtin ones that the server's release has."""
    if components is None:
        return Components(BUILTINS)
    listed = {name.rpartition("/")[2] for name in components if not name.startswith("/") or name in BUILTINS}
    names = [each.rpartition("/")[2] for each in BUILTINS]
    has_builtins = components.is_whole and "put_blob" in listed
    missing = {f"/builtin/{name}" for name in names if name not in listed} if has_builtins else set()
    # The schemas of builtin components in this package are more detailed than those that servers send.
    return Components(components | {name: each for name, each in BUILTINS.items() if name not in missing})


def schemas_of(component: str, known: Components) -> tuple[Any, Any] | None:
    """Return the schemas of a component by its path, or else by its name after the prefix of its route."""
    if component in known:
        return known[component]
    if component.startswith("/builtin/"):
        return None
    parts = component.strip("/").split("/")
    return next((known[name] for i in range(1, len(parts)) if (name := "/".join(parts[i:])) in known), None)


def _unknown(step: Step, node: Node, known: Components, is_whole: bool, found: Findings) -> None:
    plugin = node.value.split("/")[1]
    hint = _nearest(node.value, known)
    if plugin == "builtin" or is_whole:
        # Routes may rename a component, so without them this is not certain.
        is_sure = plugin == "builtin" or all(name.startswith("/") for name in known)
        level = "error" if is_sure else "warning"
        message = f"there is no component {node.value!r}"
        found.add("unknown-component", level, node, f"{step.path}.component", message, hint)
    elif SequenceMatcher(None, plugin.lower(), "builtin").ratio() >= 0.75:
        found.add("unknown-component", "warning", node, f"{step.path}.component", f"{node.value!r} looks misspelt",
                  hint)  # fmt: skip


def _nearest(component: str, known: Components) -> str:
    """Return a hint with the most similar component. A name without a path is suggested with the same prefix."""
    prefix, _, name = component.rpartition("/")
    given = component.strip("/").split("/", 1)[0]
    found = nearest(component, known)
    if found is not None:
        return did_you_mean(found)
    behind = nearest(name, {each for each in known if not each.startswith("/")})
    if behind is not None:
        return did_you_mean(f"{prefix}/{behind}")
    same = [each for each in known if each.startswith(f"/{given}/")]
    return near(component, same or known, "components are")


def _check_input(step: Step, schema: Any, found: Findings) -> None:
    given = step.node.get("input")
    defs = schema.get("$defs", {}) if isinstance(schema, Mapping) else {}
    path = f"{step.path}.input"
    node = given or Node(None, step.node.items["component"].line, step.node.items["component"].column)
    name = step.node.items["component"].value
    for wrong in mismatches(node, schema or {}, defs, path, evaluated=True):
        if wrong.is_extra:
            # Components ignore unknown fields, so this is only an error if it is a misspelt name.
            level = "error" if (wrong.hint or "").startswith("did") else "warning"
            message = f"{name} ignores this: {wrong.message}"
        else:
            level, message = "error", f"{name} refuses this input: {wrong.message}"
        found.add("component-input", level, wrong.node, wrong.path, message, wrong.hint)


def _check_path(model: FlowModel, read: Read, known: Components, found: Findings) -> None:
    path = read.node.get("path")
    if path is None or not isinstance(path.value, str):
        return
    try:
        parts = parse_path(path.value)
    except PathError:
        return
    if not path.value.strip().startswith("$") and any(each in path.value for each in ".["):
        return
    step = model.by_id[str(read.name)]
    handler = step.node.walk("onError", "action")
    own = model.root.walk("schemas", "properties", "steps", "properties", step.id)
    component = step.node.get("component")
    if own is not None:
        schema, defs, whose = own.value, defs_of(model), f"the schema of step {step.id!r}"
    elif component is not None and isinstance(component.value, str) and (schemas := schemas_of(component.value, known)):
        schema, whose = schemas[1], f"the output of {component.value}"
        defs = schema.get("$defs", {}) if isinstance(schema, Mapping) else {}
    else:
        return
    # The default of a failed step may have any structure.
    if handler is not None and handler.value == "useDefault":
        return
    _, wrong, hint, certain = schema_at(schema, parts, defs)
    if wrong:
        found.add("unknown-output-path", "error" if certain else "warning", path, f"{read.path}.path",
                  f"{wrong} ({whose})", hint)  # fmt: skip


def subflows(model: FlowModel, found: Findings) -> Iterator[tuple[Node, str]]:
    """Yield the flows in the inputs of map, iterate and put_blob, with their paths.

    A flow without `$literal` around it is a fault if its expressions would be evaluated in the outer flow.
    """
    for step in model.steps:
        component = step.node.get("component")
        key = _SUBFLOWS.get(component.value) if component and isinstance(component.value, str) else None
        inner = step.node.walk("input", key) if key else None
        if inner is None or not isinstance(inner.value, dict):
            continue
        kind = step.node.walk("input", "blob_type")
        if key == "data" and (kind is None or kind.value != "flow"):
            continue
        path = f"{step.path}.input.{key}"
        if key == "flow":
            _check_turn(inner.get("$literal") or inner, path, found)
        if "$literal" in inner.items:
            yield inner.items["$literal"], f"{path}.$literal"
        elif "steps" in inner.items or "output" in inner.items:
            if next(reads_of(inner, path), None) is not None:
                found.add("unescaped-subflow", "error", inner, path, "the expressions of this flow are read in the "
                          "outer flow, not in its own runs", "write it below $literal:")  # fmt: skip
            else:
                yield inner, path


def _check_turn(flow: Node, path: str, found: Findings) -> None:
    """Find a flow for iterate whose output has neither `result` nor `next`."""
    output = flow.get("output")
    if output is None or not isinstance(output.value, dict) or any(key.startswith("$") for key in output.items):
        return
    if "result" not in output.items and "next" not in output.items:
        found.add("iterate-output", "error", output, f"{path}.output", "iterate needs 'result' or 'next' in the output "
                  "of its flow", near(next(iter(output.items), ""), ("result", "next"), "write one of"))  # fmt: skip
