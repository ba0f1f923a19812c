"""The types of expressions, from the types that they read, and the types that are wanted in their parts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from .._base.not_given import NOT_GIVEN
from .._data.flow_declarations import unset_value
from ..flows.expressions import Path, is_expression, keyword_of, portable_path
from ..flows.json_types import (
    NEVER,
    NULL,
    UNKNOWN,
    Behind,
    Field,
    ListOf,
    ObjectOf,
    Plain,
    Type,
    behind,
    is_unknown,
    may_be_false,
    may_be_null,
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
    variables: Mapping[str, Any] | None = None
    """The schemas of the variables; None if the flow declares none."""
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
        case None:
            return _plain(node, scope, depth)
        case "$literal":
            return type_of_value(node.items["$literal"].value)
        case "$if":
            return union(
                type_of(each, scope.where(node.items["$if"]) if name == "then" else scope, depth + 1)
                for name, each in branches_of(node, scope, depth)
            )
        case "$coalesce":
            return _coalesced(node.items["$coalesce"], scope, depth)
        case "$from":
            return UNKNOWN
        case word:
            type = read(node, word, scope, depth).type
            return _true(type) if node.value in scope.true else type


def _plain(node: Node, scope: Scope, depth: int) -> Type:
    if isinstance(node.value, dict):
        fields = {name: Field(type_of(each, scope, depth + 1)) for name, each in node.items.items()}
        return Type((ObjectOf(fields, None),))
    if isinstance(node.value, (list, tuple)):
        if len(node.elements) > _MAX_ELEMENTS:
            return Type((ListOf(UNKNOWN),))
        elements = tuple(type_of(each, scope, depth + 1) for each in node.elements)
        return Type((ListOf(union(elements), elements),))
    return type_of_value(node.value)


def branches_of(node: Node, scope: Scope, depth: int = 0) -> Iterator[tuple[str, Node | None]]:
    """Yield the branches of an `$if` that may be taken; None for a missing `else`.

    A condition that cannot be null or false counts as true. That its path may lead nowhere is considered, that its step
    may fail is not.
    """
    condition = type_of(node.items["$if"], scope, depth + 1)
    word = keyword_of(node.items["$if"].items)
    may_fail = word in ("$step", "$input", "$variable") and read(node.items["$if"], word, scope, depth).may_be_missing
    is_false = bool(condition.members) and not is_unknown(condition) and _is_false(condition)
    if "then" in node.items and not is_false:
        yield "then", node.items["then"]
    if is_false or may_fail or may_be_false(condition):
        yield "else", node.get("else")


def _true(type: Type) -> Type:
    """Return a type without null and false."""
    kept = [Plain("boolean", (True,)) if isinstance(each, Plain) and each.kind == "boolean" else each
            for each in without_null(type).members]  # fmt: skip
    return type._replace(members=tuple(kept)) if kept else type


def _is_false(condition: Type) -> bool:
    return all(
        isinstance(each, Plain) and (each.kind == "null" or (each.kind == "boolean" and each.values == (False,)))
        for each in condition.members
    )


def _coalesced(node: Node, scope: Scope, depth: int) -> Type:
    if not isinstance(node.value, (list, tuple)):
        return UNKNOWN
    found = [NEVER]
    for each in node.elements:
        type = type_of(each, scope, depth + 1)
        found.append(without_null(type))
        if not may_be_null(type):
            return union(found)
    return union([*found, NULL])


def read(node: Node, word: str, scope: Scope, depth: int = 0) -> Behind:
    """Return the type of a `$step`, `$input` or `$variable` reference, and the problem with its path, if any."""
    target = node.items[word].value
    if word == "$step":
        whole = scope.steps.get(target, UNKNOWN) if isinstance(target, str) else UNKNOWN
        path = node.get("path")
        parts = portable_path(path.value if path is not None else None)
        return Behind(UNKNOWN) if parts is None else behind(whole, parts, keeps_null=True)
    parts = portable_path(target)
    if parts is None:
        return Behind(UNKNOWN)
    if word == "$input":
        return behind(scope.input, parts)
    return _variable(node, parts, scope, depth)


def _variable(node: Node, parts: Path, scope: Scope, depth: int) -> Behind:
    if not parts or not isinstance(parts[0], str) or scope.variables is None or parts[0] not in scope.variables:
        return Behind(UNKNOWN)
    schema, is_required = scope.variables[parts[0]], parts[0] in scope.required
    found = behind(variable_type(schema, scope.defs, is_required=is_required), parts[1:])
    has_value = unset_value(schema, is_required=is_required) is not NOT_GIVEN
    if "default" not in node.items:
        return found if has_value or is_required else found._replace(may_be_missing=True)
    # Only a missing part, or a variable without a value, makes servers use the default.
    if has_value and len(parts) == 1:
        return found
    return Behind(union([found.type, type_of(node.items["default"], scope, depth + 1)]))


def variable_type(schema: Any, defs: Mapping[str, Any], *, is_required: bool = True) -> Type:
    """Return the type of a variable from its schema, including the type of its value in runs that do not set it."""
    type, value = type_of_schema(schema, defs, is_source=True), unset_value(schema, is_required=is_required)
    # An expression is the value that a flow around it has.
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


class _At(NamedTuple):
    """The current position in the expression."""

    where: str = ""
    is_certain: bool = True
    depth: int = 0

    def below(self, field: str = "", *, is_certain: bool = True) -> _At:
        """Return the position of a part."""
        return _At(f"{self.where}{field}".removeprefix("."), self.is_certain and is_certain, self.depth + 1)


def slots_of(node: Node | None, wanted: Type, scope: Scope) -> Iterator[Slot]:
    """Yield the parts of an expression, down to references and plain values, with the types wanted there."""
    return _slots(node, wanted, _At(), scope) if node is not None else iter(())


def _slots(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    if at.depth > _MAX_DEPTH:
        return
    match keyword_of(node.items):
        case "$if":
            yield from _branches(node, wanted, at, scope)
        case "$coalesce":
            yield from _alternatives(node, wanted, at, scope)
        case None if isinstance(node.value, dict):
            yield from _fields(node, wanted, at, scope)
        case None if isinstance(node.value, (list, tuple)):
            yield from _elements(node, wanted, at, scope)
        case word:
            yield Slot(node, type_of(node, scope), wanted, at.is_certain, at.where)
            if word == "$variable" and "default" in node.items:
                yield from _slots(node.items["default"], UNKNOWN, at.below(is_certain=False), scope)


def _branches(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    yield from _slots(node.items["$if"], UNKNOWN, at.below(), scope)
    taken = list(branches_of(node, scope))
    for name, branch in taken:
        if branch is None:
            yield Slot(node, NULL, wanted, False, at.where, is_missing=True)
        else:
            inner = scope.where(node.items["$if"]) if name == "then" else scope
            yield from _slots(branch, wanted, at.below(is_certain=len(taken) == 1), inner)


def _alternatives(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    elements = node.items["$coalesce"].elements
    nullable = union([wanted, NULL])
    for index, each in enumerate(elements):
        is_last = index == len(elements) - 1 or not may_be_null(type_of(each, scope))
        inner = at.below(is_certain=not index)
        yield from _slots(each, wanted if is_last else nullable, inner, scope)
        if is_last:
            return


def _fields(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    objects = [each for each in wanted.members if isinstance(each, ObjectOf)]
    if len(objects) > 1:
        yield Slot(node, type_of(node, scope), wanted, at.is_certain, at.where)
        objects = []
    elif not is_unknown(wanted):
        shallow = Type((ObjectOf({name: Field(UNKNOWN) for name in node.items}, None),))
        yield Slot(node, shallow, wanted, at.is_certain, at.where)
    for name, each in node.items.items():
        inner = UNKNOWN
        if objects:
            known = objects[0].fields.get(name)
            inner = known.type if known is not None else objects[0].extra or UNKNOWN
        yield from _slots(each, inner, at.below(f".{name}"), scope)


def _elements(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    lists = [each for each in wanted.members if isinstance(each, ListOf)]
    if not is_unknown(wanted):
        yield Slot(node, Type((ListOf(UNKNOWN),)), wanted, at.is_certain, at.where)
    inner = lists[0].items if len(lists) == 1 else UNKNOWN
    for index, each in enumerate(node.elements):
        yield from _slots(each, inner, at.below(f"[{index}]"), scope)
