"""Infers a flow's types: the types of its input and output, its expressions, and its steps' inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .._base.not_given import NOT_GIVEN
from .._data.flow_declarations import get_unset_value
from ..flows import type_system
from ..flows.components import ComponentCatalog
from ..flows.expressions import REFERENCE_KEYWORDS, Path, get_keyword, is_expression, parse_unambiguous_path
from ..flows.syntax_tree import Node
from ..flows.type_system import NULL, UNKNOWN, Field, ListOf, Lookup, ObjectOf, Scalar, Type, is_unknown, make_union
from .steps_and_references import FlowAnalysis, Step

_MAX_EXPRESSION_DEPTH = 60
_MAX_ELEMENTS = 200


class TypedPart(NamedTuple):
    """One part of an expression."""

    node: Node
    actual: Type
    """The type of the part's value."""
    expected: Type
    is_certain: bool
    """Whether every run evaluates the part. False if the part is in a branch."""
    where: str = ""
    """The part's path within the whole value, e.g. `to.zip` or `skus[1]`. Empty for the value itself."""
    is_missing: bool = False
    """Whether the part stands for a missing `else`."""


def infer_type(
    node: Node | None,
    types: FlowTypes,
    expected: Type = UNKNOWN,
    typed_parts: list[TypedPart] | None = None,
    where: str = "",
    is_certain: bool = True,
    depth: int = 0,
    true_conditions: tuple[Any, ...] = (),
) -> Type:
    """Infer an expression's type. If there is no expression, the type is null.

    Appends the expression's parts, down to references and plain values, to `typed_parts` along with their expected
    types. In the `then` branches of `true_conditions`, the conditions can't be null or false.
    """
    if node is None:
        return NULL
    if depth > _MAX_EXPRESSION_DEPTH:
        return UNKNOWN
    typed_parts = [] if typed_parts is None else typed_parts

    def infer_part(
        part: Node | None, expected: Type, where: str, is_certain: bool, conditions: tuple[Any, ...] = true_conditions
    ) -> Type:
        return infer_type(part, types, expected, typed_parts, where, is_certain, depth + 1, conditions)

    keyword = get_keyword(node.items)
    match keyword:
        case "$if":
            condition = infer_part(node.items["$if"], UNKNOWN, where, is_certain)
            branches = _find_possible_if_branches(node, condition, types)
            results = []
            for name, branch in branches:
                if branch is None:
                    typed_parts.append(TypedPart(node, NULL, expected, False, where, is_missing=True))
                known = (*true_conditions, node.items["$if"].value) if name == "then" else true_conditions
                results.append(infer_part(branch, expected, where, is_certain and len(branches) == 1, known))
            return make_union(results)
        case "$coalesce" if isinstance(node.items["$coalesce"].value, (list, tuple)):
            alternatives = node.items["$coalesce"].elements
            results = [type_system.NEVER]
            for index, alternative in enumerate(alternatives):
                accepted = expected if index == len(alternatives) - 1 else make_union([expected, NULL])
                type = infer_part(alternative, accepted, where, is_certain and not index)
                results.append(type_system.remove_null(type))
                if not type_system.may_be_null(type):
                    return make_union(results)
            return make_union([*results, NULL])
        case None if isinstance(node.value, dict):
            objects = [member for member in expected.members if isinstance(member, ObjectOf)]
            wanted = objects[0] if len(objects) == 1 else ObjectOf({}, UNKNOWN)
            if len(objects) < 2 and not is_unknown(expected):
                # Only compare the names of the fields. Their types are checked separately.
                shallow = Type((ObjectOf({name: Field(UNKNOWN) for name in node.items}, None),))
                typed_parts.append(TypedPart(node, shallow, expected, is_certain, where))
            fields = {}
            for name, item in node.items.items():
                part = wanted.fields.get(name, Field(wanted.extra or UNKNOWN))
                fields[name] = Field(infer_part(item, part.type, f"{where}.{name}" if where else name, is_certain))
            type = Type((ObjectOf(fields, None),))
            if len(objects) > 1:
                typed_parts.append(TypedPart(node, type, expected, is_certain, where))
            return type
        case None if isinstance(node.value, (list, tuple)):
            lists = [member for member in expected.members if isinstance(member, ListOf)]
            items = lists[0].items if len(lists) == 1 else UNKNOWN
            if not is_unknown(expected):
                typed_parts.append(TypedPart(node, Type((ListOf(UNKNOWN),)), expected, is_certain, where))
            elements = tuple(
                infer_part(element, items, f"{where}[{index}]", is_certain)
                for index, element in enumerate(node.elements)
            )
            is_short = len(elements) <= _MAX_ELEMENTS
            return Type((ListOf(make_union(elements), elements) if is_short else ListOf(UNKNOWN),))
        case "$step" | "$input" | "$variable":
            has_default = keyword == "$variable" and "default" in node.items
            default = infer_part(node.items["default"], UNKNOWN, where, False) if has_default else UNKNOWN
            type = look_up_reference(node, keyword, types, default).type
            type = _narrow_type_to_truthy(type) if node.value in true_conditions else type
        case "$literal" | None:
            type = type_system.value_to_type(node.value if keyword is None else node.items[keyword].value)
        case _:
            type = UNKNOWN
    typed_parts.append(TypedPart(node, type, expected, is_certain, where))
    return type


def split_into_typed_parts(node: Node | None, expected: Type, types: FlowTypes) -> list[TypedPart]:
    """Split an expression into parts, deriving each part's expected type from the whole expression's."""
    parts = list[TypedPart]()
    infer_type(node, types, expected, parts)
    return parts


def _find_possible_if_branches(node: Node, condition: Type, types: FlowTypes) -> list[tuple[str, Node | None]]:
    """Return the branches that an `$if` can take. None stands for a missing `else`.

    A condition can be false if its path might not exist. (Reading a step that might fail doesn't count.)
    """
    keyword = get_keyword(node.items["$if"].items)
    is_reference = keyword in REFERENCE_KEYWORDS
    may_fail = is_reference and look_up_reference(node.items["$if"], str(keyword), types, UNKNOWN).may_be_missing
    kinds = [(member.kind, member.values) if isinstance(member, Scalar) else None for member in condition.members]
    is_false = bool(kinds) and all(kind in (("null", None), ("boolean", (False,))) for kind in kinds)
    branches = [] if is_false or "then" not in node.items else [("then", node.items.get("then"))]
    if is_false or may_fail or type_system.may_be_falsy(condition):
        branches.append(("else", node.get("else")))
    return branches


def _narrow_type_to_truthy(type: Type) -> Type:
    """Narrow a type to exclude null and false."""
    members = [Scalar("boolean", (True,)) if isinstance(member, Scalar) and member.kind == "boolean" else member
               for member in type_system.remove_null(type).members]  # fmt: skip
    return type._replace(members=tuple(members)) if members else type


def look_up_reference(node: Node, keyword: str, types: FlowTypes, default: Type | None = None) -> Lookup:
    """Look up the type of a `$step`, `$input` or `$variable` reference, or explain what's wrong with its path.

    `default` is the type of a `$variable` default, or None if it hasn't been inferred yet.
    """
    target = node.items[keyword].value
    if keyword == "$step":
        step, path = types.steps.get(target) if isinstance(target, str) else None, node.get("path")
        parts = parse_unambiguous_path(path.value if path is not None else None)
        if parts is None or step is None:
            return Lookup(UNKNOWN)
        return type_system.look_up_path(step.output, parts, keeps_null=True)
    parts = parse_unambiguous_path(target)
    if parts is None:
        return Lookup(UNKNOWN)
    if keyword == "$input":
        return type_system.look_up_path(types.input, parts)
    declared, required = types.model.variables
    if not parts or not isinstance(parts[0], str) or parts[0] not in declared:
        return Lookup(UNKNOWN)
    schema, is_required = declared[parts[0]], parts[0] in required
    lookup = type_system.look_up_path(infer_variable_type(schema, types.model.defs, is_required=is_required), parts[1:])
    has_value = get_unset_value(schema, is_required=is_required) is not NOT_GIVEN
    if "default" not in node.items:
        return lookup if has_value or is_required else lookup._replace(may_be_missing=True)
    # Servers only use the default if part of the path is missing or the variable has no value.
    if has_value and len(parts) == 1:
        return lookup
    default = infer_type(node.items["default"], types) if default is None else default
    return Lookup(make_union([lookup.type, default]))


def infer_variable_type(schema: Any, defs: Mapping[str, Any], *, is_required: bool = True) -> Type:
    """Return a variable's type according to its schema, including the value it has in runs that don't set it."""
    type = type_system.schema_to_type(schema, defs, is_source=True)
    value = get_unset_value(schema, is_required=is_required)
    # Ignore expressions, because they're evaluated in the outer flow.
    if value is NOT_GIVEN or is_expression(value):
        return type
    return make_union([type, type_system.value_to_type(value, is_literal=False)])


_MAX_DEPTH = 20
# Maximum number of inference passes over an iterate step's flow before we treat its input as unknown.
_MAX_ITERATIONS = 3
# Nesting depth at which we treat an iterate step's input as unknown.
_MAX_ITERATION_DEPTH = 3


@dataclass
class StepTypes:
    """A step's types."""

    step: Step
    input: Type
    """The type of the input expression."""
    expected_input: Type
    """The input type that the component requires."""
    returned: Type
    """The output type that the component returns."""
    output: Type
    """The output type that other steps see. It comes from the flow's own schema for the step. If there isn't one, it's
    the component's output type combined with the default for errors."""
    source: Literal["flow", "component", "unknown"]
    """Where the output type comes from."""
    is_known: bool = True
    """Whether we know the component."""
    inner: FlowTypes | None = None
    """The types of the inner flow that the step runs or stores."""


@dataclass
class FlowTypes:
    """A flow's types."""

    model: FlowAnalysis
    input: Type
    """The type of the input as declared or, if that's unknown, as passed in."""
    given_input: Type
    """The type of the input that the enclosing flow passes in."""
    declared_input: Type | None = None
    declared_output: Type | None = None
    steps: dict[str, StepTypes] = field(default_factory=dict)
    """The types of the steps, by step ID, in file order."""
    output: Type = UNKNOWN
    """The type of the output expression."""


def infer_flow_types(root: Node, given: Type, known: ComponentCatalog, depth: int = 0) -> FlowTypes:
    """Infer a flow's types for an input of the given type. `depth` is the flow's nesting depth."""
    model = FlowAnalysis(root)

    def declared_type(name: str, *, is_source: bool) -> Type | None:
        schema = model.find_flow_schema(name)
        if schema is None or schema.value is None:
            return None
        return type_system.schema_to_type(schema.value, model.defs, is_source=is_source)

    declared = declared_type("input", is_source=True)
    types = FlowTypes(model, given if declared is None or is_unknown(declared) else declared, given, declared)
    if depth > _MAX_DEPTH:
        return types
    for step in model.steps:
        if step.id not in types.steps:
            types.steps[step.id] = _infer_types_of_step(step, types, known, depth)
    types.output = infer_type(root.get("output"), types)
    types.declared_output = declared_type("output", is_source=False)
    return types


def _infer_types_of_step(step: Step, types: FlowTypes, known: ComponentCatalog, depth: int) -> StepTypes:
    component_types = known.find_input_and_output_types(step.component) if step.component is not None else None
    expected_input, returned = component_types or (UNKNOWN, UNKNOWN)
    returned, inner = _infer_builtin_output(step, types, known, depth) or (returned, None)
    own = types.model.find_flow_schema("steps", "properties", step.id)
    source: Literal["flow", "component", "unknown"] = "unknown" if is_unknown(returned) else "component"
    output = type_system.schema_to_type(own.value, types.model.defs, is_source=True) if own is not None else UNKNOWN
    if not is_unknown(output):
        source = "flow"
    elif step.uses_default:
        default = step.node.at("onError", "defaultValue")
        output = make_union([returned, NULL if default is None else type_system.value_to_type(default.value)])
    else:
        output = returned
    input, is_known = infer_type(step.node.get("input"), types), component_types is not None
    return StepTypes(step, input, expected_input, returned, output, source, is_known, inner)


def _infer_builtin_output(
    step: Step, types: FlowTypes, known: ComponentCatalog, depth: int
) -> tuple[Type, FlowTypes | None] | None:
    """Infer a builtin component's output type, along with the types of the flow inside the step.

    Return None if the output type can only be determined from the component's schema.
    """

    def type_at(*path: str) -> Type:
        node = step.node.at("input", *path)
        return UNKNOWN if node is None else infer_type(node, types)

    flow, inner = step.subflow, None
    match step.component:
        case "/builtin/map":
            if flow is not None:
                item = type_system.widen_type(get_element_type(type_at("items")))
                inner = infer_flow_types(flow, item if item.members else UNKNOWN, known, depth + 1)
            results = Type((ListOf(_build_outcome_type(inner)),))
            fields = {"results": results, "successful": type_system.INTEGER, "failed": type_system.INTEGER}
        case "/builtin/iterate":
            result = UNKNOWN
            if flow is not None:
                inner = _infer_iteration_types(flow, type_system.widen_type(type_at("initial_input")), known, depth)
                result, following = _get_result_and_next_types(inner.output)
                # Without a result, the iteration only ends when it reaches the limit.
                result = result if result.members else following if following.members else UNKNOWN
            fields = {"result": result, "iterations": type_system.INTEGER, "terminated": type_system.BOOLEAN}
        case "/builtin/eval":
            blob = _get_blob_from_id_type(type_at("flow_id"))
            if blob is not None and blob.flow is not None:
                inner = infer_flow_types(blob.flow, type_at("input"), known, depth + 1)
            fields = {"result": _build_outcome_type(inner), "run_id": type_system.TEXT}
        case "/builtin/put_blob":
            kind = step.node.at("input", "blob_type")
            if flow is not None:
                inner = infer_flow_types(flow, UNKNOWN, known, depth + 1)
            content = type_system.widen_type(type_at("data")) if kind is not None and kind.value == "data" else UNKNOWN
            fields = {"blob_id": Type((Scalar("string", blob=type_system.KnownBlob(content, flow)),))}
        case "/builtin/get_blob" if blob := _get_blob_from_id_type(type_at("blob_id")):
            fields = {"data": blob.content}
        case "/builtin/noop":
            return type_system.widen_type(infer_type(step.node.get("input"), types)), None
        case "/builtin/sleep":
            passed = {"passthrough": type_system.widen_type(type_at("passthrough"))}
            return type_system.make_object_type({"duration_ms": type_system.INTEGER}, passed), None
        case _:
            return None
    return type_system.make_object_type(fields), inner


def get_element_type(type: Type) -> Type:
    """Return the type of a list type's elements."""
    if is_unknown(type):
        return UNKNOWN
    return make_union(member.items for member in type.members if isinstance(member, ListOf))


def _build_outcome_type(inner: FlowTypes | None) -> Type:
    output = UNKNOWN if inner is None else inner.output
    done = {"outcome": type_system.value_to_type("success", is_literal=False), "result": output}
    fields = {"code": Field(UNKNOWN), "message": Field(type_system.TEXT), "data": Field(UNKNOWN, is_required=False)}
    error = Type((ObjectOf(fields, UNKNOWN),))
    failed = {"outcome": type_system.value_to_type("failed", is_literal=False), "error": error}
    return make_union([type_system.make_object_type(done), type_system.make_object_type(failed)])


def _infer_iteration_types(flow: Node, given: Type, known: ComponentCatalog, depth: int) -> FlowTypes:
    """Infer the types of a flow whose input is either the initial input or the `next` of an earlier iteration."""
    for _ in range(_MAX_ITERATIONS if depth < _MAX_ITERATION_DEPTH else 0):
        types = infer_flow_types(flow, given, known, depth + 1)
        wider = type_system.widen_type(make_union([given, _get_result_and_next_types(types.output)[1]]))
        if wider == given:
            return types
        given = wider
    return infer_flow_types(flow, UNKNOWN, known, depth + 1)


def _get_result_and_next_types(output: Type) -> tuple[Type, Type]:
    """Return the types that an iteration's `result` and `next` can have."""
    if is_unknown(output):
        return UNKNOWN, UNKNOWN
    results, following = [type_system.NEVER], [type_system.NEVER]
    for member in output.members:
        if not isinstance(member, ObjectOf):
            continue
        result, other = member.fields.get("result"), member.fields.get("next")
        if result is not None:
            results.append(result.type)
        if other is not None and (result is None or not result.is_required):
            following.append(other.type)
        if member.extra is not None and result is None and other is None:
            return UNKNOWN, UNKNOWN
    return make_union(results), make_union(following)


def _get_blob_from_id_type(type: Type) -> type_system.KnownBlob | None:
    member = type.members[0] if len(type.members) == 1 else None
    return member.blob if isinstance(member, Scalar) else None


def find_input_uses(types: FlowTypes) -> Iterator[tuple[Path, TypedPart, str]]:
    """Yield every use of the flow's own input: the path into the input, the part of an expression that reads it, and a
    description of what uses it."""
    steps = [step for step in types.steps.values() if any(read.kind == "input" for read in step.step.reads)]
    users = [(f"step {step.step.id!r}", step.step.node.get("input"), step.expected_input) for step in steps]
    users.append(("the output", types.model.root.get("output"), types.declared_output or UNKNOWN))
    for user, node, expected in users:
        for part in split_into_typed_parts(node, expected, types):
            if get_keyword(part.node.items) == "$input" and not part.is_missing:
                path = parse_unambiguous_path(part.node.items["$input"].value)
                if path is not None:
                    yield path, part, user


def infer_input_from_uses(types: FlowTypes) -> Type:
    """Infer the type of a flow's input from the way it's used."""
    return _infer_type_from_uses([(path, part) for path, part, _ in find_input_uses(types)])


def _infer_type_from_uses(uses: list[tuple[Path, TypedPart]]) -> Type:
    """Infer a type from the paths at which its values are read and the expressions that read them."""
    own, by_key = UNKNOWN, dict[str | int, list[tuple[Path, TypedPart]]]()
    for path, part in uses:
        if path:
            # All elements of a list have the same type.
            key = 0 if isinstance(path[0], int) else path[0]
            by_key.setdefault(key, []).append((path[1:], part))
        elif is_unknown(own):
            own = part.expected
    if by_key.keys() == {0}:
        return Type((ListOf(_infer_type_from_uses(by_key[0])),), own.is_secret)
    if 0 in by_key or not by_key:
        return own
    known = next((member for member in own.members if isinstance(member, ObjectOf)), ObjectOf({}, UNKNOWN))
    fields = dict(known.fields)
    for name, uses_of_field in by_key.items():
        type = _infer_type_from_uses(uses_of_field)
        field = fields.get(str(name), Field(type, is_required=False))
        is_required = field.is_required or any(part.is_certain for _, part in uses_of_field)
        fields[str(name)] = Field(field.type if is_unknown(type) else type, is_required)
    return Type((ObjectOf(fields, UNKNOWN if known.extra is None else known.extra),), own.is_secret)
