"""The types of expressions, from the types that they read, and the types that are wanted in their parts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .._base.not_given import NOT_GIVEN
from .._data.flow_declarations import unset_value
from ..flows.expressions import is_expression, keyword_of, portable_path
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
from ..flows.schema_types import type_of_schema, type_of_value
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
    true: tuple[Any, ...] = ()
    """The conditions of the branches around, which are neither null nor false in these branches."""

    def where(self, condition: Node) -> Scope:
        """Return the scope of a branch that is evaluated if a condition is true."""
        return replace(self, true=(*self.true, condition.value))


def type_of(node: Node | None, scope: Scope, depth: int = 0) -> Type:
    """Return the type of an expression; null if there is no expression."""
    if node is None:
        return NULL
    if depth > _MAX_DEPTH:
        return UNKNOWN
    match keyword_of(node.items):
        case "$literal":
            return type_of_value(node.items["$literal"].value)
        case "$if":
            return union(
                type_of(each, scope.where(node.items["$if"]) if name == "then" else scope, depth + 1)
                for name, each in branches_of(node, scope, depth)
            )
        case "$coalesce":
            alternatives = node.items["$coalesce"]
            if not isinstance(alternatives.value, (list, tuple)):
                return UNKNOWN
            types = [NEVER]
            for element in alternatives.elements:
                type = type_of(element, scope, depth + 1)
                types.append(without_null(type))
                if not may_be_null(type):
                    return union(types)
            return union([*types, NULL])
        case "$from":
            return UNKNOWN
        case "$step" | "$input" | "$variable" as keyword:
            type = read(node, keyword, scope, depth).type
            return _without_false(type) if node.value in scope.true else type
    if isinstance(node.value, dict):
        fields = {name: Field(type_of(item, scope, depth + 1)) for name, item in node.items.items()}
        return Type((ObjectOf(fields, None),))
    if isinstance(node.value, (list, tuple)):
        if len(node.elements) > _MAX_ELEMENTS:
            return Type((ListOf(UNKNOWN),))
        elements = tuple(type_of(element, scope, depth + 1) for element in node.elements)
        return Type((ListOf(union(elements), elements),))
    return type_of_value(node.value)


def branches_of(node: Node, scope: Scope, depth: int = 0) -> Iterator[tuple[str, Node | None]]:
    """Yield the branches of an `$if` that may be taken; None for a missing `else`.

    A condition whose path may not exist can be false, but one whose step may fail cannot.
    """
    condition = type_of(node.items["$if"], scope, depth + 1)
    keyword = keyword_of(node.items["$if"].items)
    is_read = keyword in ("$step", "$input", "$variable")
    may_fail = is_read and read(node.items["$if"], str(keyword), scope, depth).may_be_missing
    is_false = bool(condition.members) and all(
        isinstance(member, Plain)
        and (member.kind == "null" or (member.kind == "boolean" and member.values == (False,)))
        for member in condition.members
    )
    if "then" in node.items and not is_false:
        yield "then", node.items["then"]
    if is_false or may_fail or may_be_false(condition):
        yield "else", node.get("else")


def _without_false(type: Type) -> Type:
    """Return a type without null and false."""
    kept = [Plain("boolean", (True,)) if isinstance(member, Plain) and member.kind == "boolean" else member
            for member in without_null(type).members]  # fmt: skip
    return type._replace(members=tuple(kept)) if kept else type


def read(node: Node, keyword: str, scope: Scope, depth: int = 0) -> Lookup:
    """Return the type of a `$step`, `$input` or `$variable` reference, and the problem with its path, if any."""
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
    lookup = type_at_path(variable_type(schema, scope.defs, is_required=is_required), parts[1:])
    has_value = unset_value(schema, is_required=is_required) is not NOT_GIVEN
    if "default" not in node.items:
        return lookup if has_value or is_required else lookup._replace(may_be_missing=True)
    # Servers use the default only if a part is missing, or if the variable has no value.
    if has_value and len(parts) == 1:
        return lookup
    return Lookup(union([lookup.type, type_of(node.items["default"], scope, depth + 1)]))


def variable_type(schema: Any, defs: Mapping[str, Any], *, is_required: bool = True) -> Type:
    """Return the type of a variable from its schema, including the type of its value in runs that do not set it."""
    type, value = type_of_schema(schema, defs, is_source=True), unset_value(schema, is_required=is_required)
    # The value of an expression belongs to the outer flow.
    return type if value is NOT_GIVEN or is_expression(value) else union([type, type_of_value(value, is_literal=False)])


class Slot(NamedTuple):
    """A part of an expression."""

    node: Node
    actual: Type
    """The type of its value."""
    wanted: Type
    is_certain: bool
    """Whether it is evaluated in each run; False if it is in a branch."""
    where: str = ""
    """The field in the whole value: `to.zip`, `skus[1]`; empty for the whole value."""
    is_missing: bool = False
    """Whether it is a missing `else`."""


def typed_parts(
    node: Node | None, wanted: Type, scope: Scope, where: str = "", is_certain: bool = True, depth: int = 0
) -> Iterator[Slot]:
    """Yield the parts of an expression, down to references and plain values, with the types wanted there."""
    if node is None or depth > _MAX_DEPTH:
        return
    depth += 1
    match keyword_of(node.items):
        case "$if":
            yield from typed_parts(node.items["$if"], UNKNOWN, scope, where, is_certain, depth)
            branches = list(branches_of(node, scope))
            for name, branch in branches:
                if branch is None:
                    yield Slot(node, NULL, wanted, False, where, is_missing=True)
                else:
                    inner = scope.where(node.items["$if"]) if name == "then" else scope
                    yield from typed_parts(branch, wanted, inner, where, is_certain and len(branches) == 1, depth)
        case "$coalesce":
            elements = node.items["$coalesce"].elements
            for index, element in enumerate(elements):
                is_last = index == len(elements) - 1 or not may_be_null(type_of(element, scope))
                accepted = wanted if is_last else union([wanted, NULL])
                yield from typed_parts(element, accepted, scope, where, is_certain and not index, depth)
                if is_last:
                    return
        case None if isinstance(node.value, dict):
            objects = [member for member in wanted.members if isinstance(member, ObjectOf)]
            if len(objects) > 1:
                yield Slot(node, type_of(node, scope), wanted, is_certain, where)
                objects = []
            elif not is_unknown(wanted):
                shallow = Type((ObjectOf({name: Field(UNKNOWN) for name in node.items}, None),))
                yield Slot(node, shallow, wanted, is_certain, where)
            for name, item in node.items.items():
                known = objects[0].fields.get(name, Field(objects[0].extra or UNKNOWN)) if objects else Field(UNKNOWN)
                yield from typed_parts(item, known.type, scope, f"{where}.{name}" if where else name, is_certain, depth)
        case None if isinstance(node.value, (list, tuple)):
            lists = [member for member in wanted.members if isinstance(member, ListOf)]
            if not is_unknown(wanted):
                yield Slot(node, Type((ListOf(UNKNOWN),)), wanted, is_certain, where)
            items = lists[0].items if len(lists) == 1 else UNKNOWN
            for index, element in enumerate(node.elements):
                yield from typed_parts(element, items, scope, f"{where}[{index}]", is_certain, depth)
        case keyword:
            yield Slot(node, type_of(node, scope), wanted, is_certain, where)
            if keyword == "$variable" and "default" in node.items:
                yield from typed_parts(node.items["default"], UNKNOWN, scope, where, False, depth)
