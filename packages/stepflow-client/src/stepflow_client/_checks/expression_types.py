"""The types of expressions, inferred from the values that they read, and the types expected in their parts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .._base.not_given import NOT_GIVEN
from .._data.flow_declarations import get_unset_value
from ..flows.expressions import get_keyword, is_expression, portable_path
from ..flows.json_types import (
    NEVER,
    NULL,
    UNKNOWN,
    Field,
    ListOf,
    Lookup,
    ObjectOf,
    Plain,
    Type,
    is_unknown,
    may_be_false,
    may_be_null,
    type_at_path,
    union,
    without_null,
)
from ..flows.schema_types import schema_to_type, value_to_type
from ..flows.source import Node

_MAX_DEPTH = 60
_MAX_ELEMENTS = 200


@dataclass
class Scope:
    """The types that the expressions of a flow can read."""

    input: Type = UNKNOWN
    steps: dict[str, Type] = field(default_factory=dict)
    """The output types of the steps, as far as they are known."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """The schemas of the variables that the flow declares."""
    required: Collection[str] = ()
    """The variables that each run must set."""
    defs: Mapping[str, Any] = field(default_factory=dict)
    true_conditions: tuple[Any, ...] = ()
    """The conditions of the branches around, which are neither null nor false in these branches."""

    def assuming(self, condition: Node) -> Scope:
        """Return the scope of a branch that is evaluated only if a condition is true."""
        return replace(self, true_conditions=(*self.true_conditions, condition.value))


class Slot(NamedTuple):
    """A part of an expression."""

    node: Node
    actual: Type
    """The type of its value."""
    expected: Type
    is_certain: bool
    """Whether it is evaluated in each run; False if it is in a branch."""
    where: str = ""
    """The field in the whole value: `to.zip`, `skus[1]`; empty for the whole value."""
    is_missing: bool = False
    """Whether it is a missing `else`."""


def infer_type(
    node: Node | None,
    scope: Scope,
    expected: Type = UNKNOWN,
    slots: list[Slot] | None = None,
    where: str = "",
    is_certain: bool = True,
    depth: int = 0,
) -> Type:
    """Return the type of an expression, or null if there is no expression.

    Its parts, down to references and plain values, are added to `slots` with the types expected there.
    """
    if node is None:
        return NULL
    if depth > _MAX_DEPTH:
        return UNKNOWN
    slots = [] if slots is None else slots

    def infer_part(part: Node | None, expected: Type, where: str, is_certain: bool, inner: Scope = scope) -> Type:
        return infer_type(part, inner, expected, slots, where, is_certain, depth + 1)

    keyword = get_keyword(node.items)
    match keyword:
        case "$if":
            condition = infer_part(node.items["$if"], UNKNOWN, where, is_certain)
            branches = _find_possible_branches(node, condition, scope)
            types = []
            for name, branch in branches:
                if branch is None:
                    slots.append(Slot(node, NULL, expected, False, where, is_missing=True))
                inner = scope.assuming(node.items["$if"]) if name == "then" else scope
                types.append(infer_part(branch, expected, where, is_certain and len(branches) == 1, inner))
            return union(types)
        case "$coalesce" if isinstance(node.items["$coalesce"].value, (list, tuple)):
            alternatives = node.items["$coalesce"].elements
            types = [NEVER]
            for index, alternative in enumerate(alternatives):
                accepted = expected if index == len(alternatives) - 1 else union([expected, NULL])
                type = infer_part(alternative, accepted, where, is_certain and not index)
                types.append(without_null(type))
                if not may_be_null(type):
                    return union(types)
            return union([*types, NULL])
        case None if isinstance(node.value, dict):
            objects = [member for member in expected.members if isinstance(member, ObjectOf)]
            known = objects[0] if len(objects) == 1 else ObjectOf({}, UNKNOWN)
            if len(objects) < 2 and not is_unknown(expected):
                # The fields have slots of their own.
                shallow = Type((ObjectOf({name: Field(UNKNOWN) for name in node.items}, None),))
                slots.append(Slot(node, shallow, expected, is_certain, where))
            fields = {}
            for name, item in node.items.items():
                part = known.fields.get(name, Field(known.extra or UNKNOWN))
                fields[name] = Field(infer_part(item, part.type, f"{where}.{name}" if where else name, is_certain))
            type = Type((ObjectOf(fields, None),))
            if len(objects) > 1:
                slots.append(Slot(node, type, expected, is_certain, where))
            return type
        case None if isinstance(node.value, (list, tuple)):
            lists = [member for member in expected.members if isinstance(member, ListOf)]
            items = lists[0].items if len(lists) == 1 else UNKNOWN
            if not is_unknown(expected):
                slots.append(Slot(node, Type((ListOf(UNKNOWN),)), expected, is_certain, where))
            elements = tuple(
                infer_part(element, items, f"{where}[{index}]", is_certain)
                for index, element in enumerate(node.elements)
            )
            return Type((ListOf(union(elements), elements) if len(elements) <= _MAX_ELEMENTS else ListOf(UNKNOWN),))
        case "$step" | "$input" | "$variable":
            has_default = keyword == "$variable" and "default" in node.items
            default = infer_part(node.items["default"], UNKNOWN, where, False) if has_default else UNKNOWN
            type = look_up_reference(node, keyword, scope, default).type
            type = _remove_false(type) if node.value in scope.true_conditions else type
        case "$literal" | None:
            type = value_to_type(node.value if keyword is None else node.items[keyword].value)
        case _:
            type = UNKNOWN
    slots.append(Slot(node, type, expected, is_certain, where))
    return type


def collect_slots(node: Node | None, expected: Type, scope: Scope) -> list[Slot]:
    """Return the parts of an expression with the types expected there, given the expected type of the whole."""
    slots = list[Slot]()
    infer_type(node, scope, expected, slots)
    return slots


def _find_possible_branches(node: Node, condition: Type, scope: Scope) -> list[tuple[str, Node | None]]:
    """Return the branches of an `$if` that may be taken; None for a missing `else`.

    A condition whose path may not exist can be false, but one whose step may fail cannot.
    """
    keyword = get_keyword(node.items["$if"].items)
    is_reference = keyword in ("$step", "$input", "$variable")
    may_fail = is_reference and look_up_reference(node.items["$if"], str(keyword), scope, UNKNOWN).may_be_missing
    is_false = bool(condition.members) and all(
        isinstance(member, Plain)
        and (member.kind == "null" or (member.kind == "boolean" and member.values == (False,)))
        for member in condition.members
    )
    branches = [] if is_false or "then" not in node.items else [("then", node.items.get("then"))]
    if is_false or may_fail or may_be_false(condition):
        branches.append(("else", node.get("else")))
    return branches


def _remove_false(type: Type) -> Type:
    """Return the type of a value that is neither null nor false."""
    members = [Plain("boolean", (True,)) if isinstance(member, Plain) and member.kind == "boolean" else member
               for member in without_null(type).members]  # fmt: skip
    return type._replace(members=tuple(members)) if members else type


def look_up_reference(node: Node, keyword: str, scope: Scope, default: Type | None = None) -> Lookup:
    """Return the type of a `$step`, `$input` or `$variable` reference, and the problem with its path, if any.

    `default` is the type of the default of a `$variable`; None if it has not been inferred yet.
    """
    target = node.items[keyword].value
    if keyword == "$step":
        whole = scope.steps.get(target, UNKNOWN) if isinstance(target, str) else UNKNOWN
        path = node.get("path")
        parts = portable_path(path.value if path is not None else None)
        return Lookup(UNKNOWN) if parts is None else type_at_path(whole, parts, keeps_null=True)
    parts = portable_path(target)
    if parts is None:
        return Lookup(UNKNOWN)
    if keyword == "$input":
        return type_at_path(scope.input, parts)
    if not parts or not isinstance(parts[0], str) or parts[0] not in scope.variables:
        return Lookup(UNKNOWN)
    schema, is_required = scope.variables[parts[0]], parts[0] in scope.required
    lookup = type_at_path(infer_variable_type(schema, scope.defs, is_required=is_required), parts[1:])
    has_value = get_unset_value(schema, is_required=is_required) is not NOT_GIVEN
    if "default" not in node.items:
        return lookup if has_value or is_required else lookup._replace(may_be_missing=True)
    # Servers use the default only if a part is missing, or if the variable has no value.
    if has_value and len(parts) == 1:
        return lookup
    return Lookup(union([lookup.type, infer_type(node.items["default"], scope) if default is None else default]))


def infer_variable_type(schema: Any, defs: Mapping[str, Any], *, is_required: bool = True) -> Type:
    """Return the type of a variable from its schema, including the type of its value in runs that do not set it."""
    type, value = schema_to_type(schema, defs, is_source=True), get_unset_value(schema, is_required=is_required)
    # The value of an expression belongs to the outer flow.
    return type if value is NOT_GIVEN or is_expression(value) else union([type, value_to_type(value, is_literal=False)])
