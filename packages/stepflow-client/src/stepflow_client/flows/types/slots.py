"""The parts of an expression, each with its actual type and the type that is wanted there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..._data.expressions import keyword_of
from ..source import Key, Node
from .expressions import Scope, branches_of, type_of
from .model import NULL, UNKNOWN, Field, ListOf, ObjectOf, Type, is_unknown, may_be_null, union

__all__ = ["Slot", "slots_of"]

_DEEPEST = 60


class Slot(NamedTuple):
    """A part of an expression."""

    node: Node
    at: Node | Key
    """The position in the file at which its faults are shown."""
    path: str
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

    path: str
    where: str
    is_certain: bool
    depth: int

    def below(self, part: str, *, field: str = "", is_certain: bool = True) -> _At:
        """Return the position of a part."""
        where = f"{self.where}{field}".removeprefix(".")
        return _At(f"{self.path}{part}", where, self.is_certain and is_certain, self.depth + 1)


def slots_of(node: Node, wanted: Type, path: str, scope: Scope) -> Iterator[Slot]:
    """Yield the parts of an expression, down to references and plain values.

    Args:
        node: The expression.
        wanted: The wanted type of its value.
        path: The path of the expression in the file.
        scope: The types that it can read.
    """
    return _slots(node, wanted, _At(path, "", True, 0), scope)


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
            yield Slot(node, node, at.path, type_of(node, scope), wanted, at.is_certain, at.where)
            if word == "$variable" and "default" in node.items:
                yield from _slots(node.items["default"], UNKNOWN, at.below(".default", is_certain=False), scope)


def _branches(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    yield from _slots(node.items["$if"], UNKNOWN, at.below(".$if"), scope)
    taken = list(branches_of(node, scope))
    for name, branch in taken:
        if branch is None:
            yield Slot(node, node.keys["$if"], at.path, NULL, wanted, False, at.where, is_missing=True)
        else:
            inner = scope.where(node.items["$if"]) if name == "then" else scope
            yield from _slots(branch, wanted, at.below(f".{name}", is_certain=len(taken) == 1), inner)


def _alternatives(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    elements = node.items["$coalesce"].elements
    nullable = union([wanted, NULL])
    for index, each in enumerate(elements):
        is_last = index == len(elements) - 1 or not may_be_null(type_of(each, scope))
        inner = at.below(f".$coalesce[{index}]", is_certain=not index)
        yield from _slots(each, wanted if is_last else nullable, inner, scope)
        if is_last:
            return


def _fields(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    objects = [each for each in wanted.members if isinstance(each, ObjectOf)]
    if len(objects) > 1:
        yield Slot(node, node, at.path, type_of(node, scope), wanted, at.is_certain, at.where)
        objects = []
    elif not is_unknown(wanted):
        shallow = Type((ObjectOf({name: Field(UNKNOWN) for name in node.items}, None),))
        yield Slot(node, node, at.path, shallow, wanted, at.is_certain, at.where)
    for name, each in node.items.items():
        inner = UNKNOWN
        if objects:
            field = objects[0].fields.get(name)
            inner = field.type if field is not None else objects[0].extra or UNKNOWN
        yield from _slots(each, inner, at.below(f".{name}", field=f".{name}"), scope)


def _elements(node: Node, wanted: Type, at: _At, scope: Scope) -> Iterator[Slot]:
    lists = [each for each in wanted.members if isinstance(each, ListOf)]
    if not is_unknown(wanted):
        yield Slot(node, node, at.path, Type((ListOf(UNKNOWN),)), wanted, at.is_certain, at.where)
    inner = lists[0].items if len(lists) == 1 else UNKNOWN
    for index, each in enumerate(node.elements):
        yield from _slots(each, inner, at.below(f"[{index}]", field=f"[{index}]"), scope)
