"""The parts of an expression, each with its actual type and the type that is wanted there. Pure.

The type of the input of a flow without an input schema follows from the types wanted where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..expressions import Path, keyword_of, portable_path
from ..source import Node
from .expressions import Scope, branches_of, type_of
from .flow import FlowTypes
from .model import NULL, UNKNOWN, Field, ListOf, ObjectOf, Type, is_unknown, may_be_null, union

__all__ = ["Slot", "Use", "input_of_uses", "slots_of", "uses_of"]

_DEEPEST = 60


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
    if at.depth > _DEEPEST:
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


class Use(NamedTuple):
    """A place where the flow's input or a part of it is used."""

    slot: Slot
    user: str
    parts: Path


@dataclass
class _Part:
    """A part of the flow's input."""

    wanted: Type = UNKNOWN
    is_required: bool = False
    fields: dict[str, _Part] = field(default_factory=dict)
    items: _Part | None = None


def uses_of(types: FlowTypes) -> Iterator[Use]:
    """Yield the places where the flow's own input is used."""
    users = [(f"step {name!r}", step.step.node.get("input"), step.wanted) for name, step in types.steps.items()]
    users.append(("the output", types.model.root.get("output"), types.declared_output or UNKNOWN))
    for user, node, wanted in users:
        for slot in slots_of(node, wanted, types.scope):
            if keyword_of(slot.node.items) == "$input" and not slot.is_missing:
                parts = portable_path(slot.node.items["$input"].value)
                if parts is not None:
                    yield Use(slot, user, parts)


def input_of_uses(types: FlowTypes) -> Type:
    """Return the type of a flow's input, inferred from its uses."""
    root = _Part()
    for use in uses_of(types):
        part = root
        for each in use.parts:
            part = _below(part, each)
            part.is_required = part.is_required or use.slot.is_certain
        if is_unknown(part.wanted):
            part.wanted = use.slot.wanted
    return _type(root)


def _below(part: _Part, name: str | int) -> _Part:
    if isinstance(name, int):
        part.items = part.items or _Part()
        return part.items
    return part.fields.setdefault(name, _Part())


def _type(part: _Part) -> Type:
    if part.fields and part.items is None:
        own = next((each for each in part.wanted.members if isinstance(each, ObjectOf)), None)
        fields = dict(own.fields) if own is not None else {}
        for name, each in part.fields.items():
            known = fields.get(name)
            type = _type(each)
            fields[name] = Field(known.type if known is not None and is_unknown(type) else type,
                                 each.is_required or (known is not None and known.is_required))  # fmt: skip
        extra = UNKNOWN if own is None or own.extra is None else own.extra
        return Type((ObjectOf(fields, extra),), part.wanted.is_secret)
    if part.items is not None and not part.fields:
        return Type((ListOf(_type(part.items)),), part.wanted.is_secret)
    return part.wanted
