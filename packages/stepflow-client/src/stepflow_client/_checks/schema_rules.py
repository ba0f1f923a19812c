"""The flow's own schemas: whether they are valid, and whether paths, variables, cases and defaults match them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._base.text import near
from ..flows.expressions import portable_path, write_path
from ..flows.findings import Findings
from ..flows.json_schema import JSON_TYPES, definitions_of, mismatches, referred_name, resolved
from ..flows.patterns import linear_pattern
from ..flows.source import Node
from .flow_model import FlowModel, Read

if TYPE_CHECKING:
    from ..flows import json_types as types
    from ..flows import schema_types
else:
    # Most flows are checked without types.
    types = lazy_module("stepflow_client.flows.json_types")
    schema_types = lazy_module("stepflow_client.flows.schema_types")

_NESTED = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "patternProperties", "dependentSchemas")


def check_schemas(model: FlowModel, found: Findings) -> None:
    """Find faults in the schemas, and in the parts of the flow that they describe."""
    defs = model.defs
    shared = model.root.at("schemas", "$defs")
    for node in shared.items.values() if shared else ():
        _check_schema(node, defs, found)
    for name in ("input", "output", "variables"):
        schema = model.schema(name)
        if schema is not None and schema.value is not None:
            _check_schema(schema, defs, found)
    _check_step_schemas(model, defs, found)
    examples = model.root.get("examples")
    _check_cases("test case", model.cases, model, found)
    _check_cases("example", examples.elements if examples else (), model, found)
    given = model.schema("input")
    if given is not None:
        type = schema_types.type_of_schema(given.value, defs, is_source=True)
        for read in model.reads:
            if read.kind == "input":
                wrong = types.behind(type, portable_path(read.reference.path) or ())
                if wrong.problem:
                    message = f"{wrong.problem} (the flow's input schema)"
                    found.add("unknown-input", wrong.level, read.target, message, wrong.hint)
                _check_alternative(read, type, found)
    _check_variables(model, defs, found)


def _check_schema(node: Node, defs: Mapping[str, Any], found: Findings) -> None:
    if isinstance(node.value, bool):
        return
    if not isinstance(node.value, dict):
        found.add("not-a-schema", "error", node, "a schema is a mapping", "write {type: string} or the like")
        return
    defs = definitions_of(node.value, defs)
    kind = node.get("type")
    for each in (kind.elements or [kind]) if kind is not None else []:
        if each.value not in JSON_TYPES:
            found.add("not-a-schema", "error", each, f"there is no type {each.value!r}",
                      near(str(each.value), JSON_TYPES, "types are"))  # fmt: skip
    reference = node.get("$ref")
    name = referred_name(reference.value) if reference is not None else None
    if reference is not None and name is not None and not {name, name.split("/")[0]} & defs.keys():
        found.add("dangling-ref", "error", reference, f"$ref leads nowhere: {reference.value}",
                  near(name, defs, "schemas.$defs has"))  # fmt: skip
    _check_required(node, found)
    _check_patterns(node, found)
    for child in _inner_schemas(node):
        _check_schema(child, defs, found)
    if "default" in node.items:
        default = node.items["default"]
        for wrong in mismatches(default.value, node.value, defs):
            found.add_mismatch("default-type", "warning", default, wrong, "the default does not fit: ")


def _check_patterns(node: Node, found: Findings) -> None:
    pattern, named = node.get("pattern"), node.get("patternProperties")
    places: list[tuple[Node, Any, str | None]] = [] if pattern is None else [(pattern, pattern.value, None)]
    places += [(named, key, key) for key in named.items] if named is not None else []
    for at, text, key in places:
        if isinstance(text, str) and linear_pattern(text) is None:
            found.add("unchecked-pattern", "warning", at, "values are not checked against this pattern", "patterns are "
                      "checked if they have no lookaround, back-references or large repetitions", key=key)  # fmt: skip


def _inner_schemas(node: Node) -> Iterator[Node]:
    for key in _MAPS:
        if key in node.items:
            yield from node.items[key].items.values()
    for key in _NESTED:
        if key in node.items and not (key == "items" and isinstance(node.items[key].value, list)):
            yield node.items[key]
    for key in (*_LISTS, "items"):
        if key in node.items:
            yield from node.items[key].elements


def _check_required(node: Node, found: Findings) -> None:
    required, properties = node.get("required"), node.get("properties")
    if required is None:
        return
    if not isinstance(required.value, list) or not all(isinstance(each, str) for each in required.value):
        found.add("not-a-schema", "error", required, "required is a list of names",
                  "write required: [a, b] beside properties")  # fmt: skip
        return
    for each in required.elements:
        if properties is not None and isinstance(properties.value, dict) and each.value not in properties.items:
            found.add("required-undeclared", "warning", each, f"{each.value!r} is required but not declared",
                      near(each.value, properties.items, "properties are"))  # fmt: skip


def _check_step_schemas(model: FlowModel, defs: Mapping[str, Any], found: Findings) -> None:
    held = model.schema("steps")
    if held is None or not isinstance(held.value, dict):
        return
    if held.value and "properties" not in held.items:
        found.add("misplaced-schema", "warning", held, "schemas of steps without 'properties' are dropped",
                  "write steps: {properties: {id: ...}}")  # fmt: skip
    inner = held.get("properties")
    for name, node in inner.items.items() if inner else ():
        if name not in model.by_id:
            found.add("schema-of-unknown-step", "warning", inner or node, f"there is no step {name!r}",
                      near(name, model.by_id, "steps are"), key=name)  # fmt: skip
        _check_schema(node, defs, found)


def _check_cases(what: str, cases: Iterable[Node], model: FlowModel, found: Findings) -> None:
    given, wanted, names = model.schema("input"), model.schema("output"), set[str]()
    for case in cases:
        name = case.get("name")
        if name is not None and isinstance(name.value, str):
            if name.value in names:
                found.add("duplicate-case", "warning", name, f"two {what}s are called {name.value!r}",
                          "rename one of them")  # fmt: skip
            names.add(name.value)
        value = case.get("input")
        if value is not None and given is not None:
            for wrong in mismatches(value.value, given.value, model.defs):
                found.add_mismatch(
                    "case-input", "error", value, wrong, f"the {what}'s input does not fit the flow's schema: "
                )
        if wanted is not None:
            check_result(case, wanted.value, model.defs, found)


def check_result(
    case: Node, schema: Any, defs: Mapping[str, Any], found: Findings, by: str = "by the flow's schema"
) -> None:
    """Find places where the expected output of a test case does not match a schema; `by` says whose schema it is."""
    result = case.at("output", "result")
    if result is None:
        return
    from ..flows.matching import MATCHERS

    for wrong in mismatches(result.value, schema, defs):
        # Expected objects may be incomplete, and a matcher can match many values.
        part = wrong.key or next(reversed(wrong.parts), None)
        is_matched = part in MATCHERS or (not wrong.key and _holds_matcher(wrong.value))
        if "is missing" not in wrong.message and not is_matched:
            # Servers do not check outputs, so the schema may be what is wrong.
            found.add_mismatch("case-output", "warning", result, wrong, f"this output cannot occur, {by}: ")


def _holds_matcher(value: Any) -> bool:
    from ..flows.matching import is_matcher

    if isinstance(value, Mapping):
        return is_matcher(value) or any(map(_holds_matcher, value.values()))
    return isinstance(value, list) and any(map(_holds_matcher, value))


def _check_alternative(read: Read, type: types.Type, found: Findings) -> None:
    """Find an alternative of a `$coalesce` that reads what may be absent: this is no null, but fails."""
    branches, parts = read.reference.branches, portable_path(read.reference.path) or ()
    guards = [each.condition for each in branches if each.kind == "then"]
    is_alternative = any(each.kind == "coalesce" for each in branches) and not read.reference.in_condition
    if not is_alternative or read.reference.expression in guards:
        return
    for index, part in enumerate(parts):
        fields = [each.fields.get(str(part)) for each in types.behind(type, parts[:index]).type.members
                  if isinstance(each, types.ObjectOf)]  # fmt: skip
        if any(each is not None and not each.is_required for each in fields):
            shown = write_path(parts[: index + 1])
            found.add("optional-input", "warning", read.target, f"without {shown} in the input, this fails: $coalesce "
                      f"goes on only behind null", f"write {{$if: {{$input: {shown}}}, then: "
                      f"{{$input: {shown}}}, else: ...}}: a condition that fails is false")  # fmt: skip
            return


def _check_variables(model: FlowModel, defs: Mapping[str, Any], found: Findings) -> None:
    schema = model.schema("variables")
    if schema is None or not isinstance(schema.value, dict):
        return
    held = schema.get("properties")
    declared = held.value if held is not None and isinstance(held.value, dict) else {}
    others = types.behind(schema_types.type_of_schema(schema.value, defs, is_source=True), ())
    required = schema.value.get("required")
    reads = [read for read in model.reads if read.kind == "variable"]
    for read in reads:
        parts = portable_path(read.reference.path)
        if not parts:
            continue
        name = str(parts[0])
        if name not in declared:
            if _is_undeclared(schema.value, others.type, name):
                # Servers pass variables on that a flow does not declare; this client refuses them.
                level = "warning" if "default" in read.reference.expression else "error"
                found.add("undeclared-variable", level, read.target, f"variable {name!r} is not declared",
                          near(name, declared, "declared are"))  # fmt: skip
            continue
        wrong = types.behind(schema_types.type_of_schema(declared[name], defs, is_source=True), parts[1:])
        if wrong.problem:
            found.add("variable-path", wrong.level, read.target, wrong.problem, wrong.hint)
        if "default" in read.reference.expression and len(parts) == 1:
            is_required = isinstance(required, list) and name in required
            _check_dead_default(read, resolved(declared[name], defs), is_required, found)
    used = {read.reference.variable for read in reads}
    if held is None or any(read.reference.path in ("", "$") for read in reads):
        return
    for name in declared:
        if name not in used:
            found.add("unused-variable", "warning", held, f"variable {name!r} is never read", "remove it", key=name)


def _is_undeclared(schema: Mapping[str, Any], type: types.Type, name: str) -> bool:
    """Return whether a schema of variables has no place for a name, in the schemas that it refers to either."""
    if schema.get("patternProperties") or isinstance(schema.get("additionalProperties"), Mapping):
        return False
    fields = [member for member in type.members if isinstance(member, types.ObjectOf)]
    if not fields:
        return schema.keys().isdisjoint(("$ref", "allOf", "anyOf", "oneOf"))
    return not any(name in each.fields or (each.is_open and each.fields) for each in fields)


def _check_dead_default(read: Read, schema: Any, is_required: bool, found: Findings) -> None:
    if not isinstance(schema, Mapping):
        return
    kind = schema.get("type")
    if "default" in schema:
        why = "the schema's default is used first"
    elif not is_required and (
        kind in ("string", "number", "integer", "boolean") or (isinstance(kind, list) and "null" in kind)
    ):
        why = f"a variable of type {kind} that is not required gets an empty value instead"
    else:
        return
    found.add("dead-default", "warning", read.node, f"this default is never used: {why}",
              "write the default into the schema of the variable", key="default")  # fmt: skip
