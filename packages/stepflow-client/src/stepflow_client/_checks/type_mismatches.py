"""Checks whether the values of one type match another type. Pure.

A conflict is certain if no value matches. Types are wider than the schemas they come from, so a certain conflict of
types is also a conflict of the schemas. If it is unknown whether the types match, there is no conflict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..flows.json_schema import is_json_type, key_of
from ..flows.json_types import Anything, ListOf, Member, ObjectOf, Plain, Type, is_unknown

_MAX_DEPTH = 20


class Conflict(NamedTuple):
    """The reason why values of one type do not match another type."""

    wanted: Type
    actual: Type
    path: tuple[str | int, ...] = ()
    """The place in the value."""
    missing: str | None = None
    """The name of the missing field, if that is the reason."""
    is_certain: bool = True
    """Whether no value matches; if False, some values may match."""


def fits(actual: Type, wanted: Type) -> bool:
    """Return whether there is no known conflict between a type and the wanted type."""
    return conflict(actual, wanted) is None


def conflict(actual: Type, wanted: Type) -> Conflict | None:
    """Return why values of a type do not match the wanted type; None if they match or if that is unknown."""
    return _Comparison().types(actual, wanted, 0)


class _Comparison:
    """Compares two types. Parts that occur more than once are compared once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Conflict | None] = {}

    def types(self, actual: Type, wanted: Type, depth: int) -> Conflict | None:
        """Return the conflict between two types, or None."""
        if depth > _MAX_DEPTH or is_unknown(actual) or is_unknown(wanted):
            return None
        key = (id(actual), id(wanted))
        if key not in self._known:
            self._known[key] = self._unions(actual, wanted, depth)
        return self._known[key]

    def _unions(self, actual: Type, wanted: Type, depth: int) -> Conflict | None:
        found = [(each, self._best(each, wanted, depth)) for each in actual.members]
        wrong = [(each, reason) for each, reason in found if reason is not None]
        if not wrong:
            return None
        is_certain = len(wrong) == len(found) and all(reason.is_certain for _, reason in wrong)
        if len(wrong) == 1:
            return wrong[0][1]._replace(is_certain=is_certain)
        return Conflict(wanted, Type(tuple(each for each, _ in wrong)), is_certain=is_certain)

    def _best(self, member: Member, wanted: Type, depth: int) -> Conflict | None:
        """Return the conflict between a member and the most similar member of the wanted type; None if one matches."""
        reasons = list[Conflict]()
        for each in wanted.members:
            if type(each) is type(member):
                reason = next(self._members(member, each, depth), None)
                if reason is None:
                    return None
                reasons.append(reason)
        whole = Conflict(wanted, Type((member,)))
        near = [each for each in reasons if each.path or each.missing or not each.is_certain]
        if len(near) == 1:
            # No other member of the wanted type is more similar.
            return near[0] if len(reasons) == 1 or not near[0].is_certain else whole
        return whole._replace(is_certain=all(each.is_certain for each in reasons))

    def _members(self, actual: Any, wanted: Any, depth: int) -> Iterator[Conflict]:
        match actual:
            case Anything():
                return
            case Plain():
                yield from _plain(actual, wanted)
            case ListOf():
                yield from self._lists(actual, wanted, depth)
            case ObjectOf():
                yield from self._objects(actual, wanted, depth)

    def _lists(self, actual: ListOf, wanted: ListOf, depth: int) -> Iterator[Conflict]:
        found = list[Conflict]()
        for index, each in enumerate(actual.first if actual.elements is None else actual.elements):
            reason = self.types(each, wanted.first[index] if index < len(wanted.first) else wanted.items, depth + 1)
            if reason is not None:
                # A schema of the second element says nothing of lists with one.
                is_certain = reason.is_certain and (not index or actual.elements is not None)
                found.append(reason._replace(path=(index, *reason.path), is_certain=is_certain))
        yield from _certain_first(found)
        if actual.elements is None and not actual.first:
            reason = self.types(actual.items, wanted.items, depth + 1)
            if reason is not None:
                yield reason._replace(path=(0, *reason.path))

    def _objects(self, actual: ObjectOf, wanted: ObjectOf, depth: int) -> Iterator[Conflict]:
        found = list[Conflict]()
        for name, field in wanted.fields.items():
            given = actual.fields.get(name)
            if given is None:
                # Most schemas with fields list all of them.
                is_lacking = actual.extra is None or (bool(actual.fields) and is_unknown(actual.extra))
                if field.is_required and is_lacking:
                    is_certain = actual.extra is None
                    found.append(Conflict(Type((wanted,)), Type((actual,)), missing=name, is_certain=is_certain))
                continue
            reason = self.types(given.type, field.type, depth + 1)
            if reason is not None:
                is_certain = reason.is_certain and given.is_required
                found.append(reason._replace(path=(name, *reason.path), is_certain=is_certain))
        yield from _certain_first(found)


def _certain_first(found: list[Conflict]) -> list[Conflict]:
    return sorted(found, key=lambda each: not each.is_certain)


def _plain(actual: Plain, wanted: Plain) -> Iterator[Conflict]:
    numbers = ("integer", "number")
    if actual.kind != wanted.kind and not (actual.kind in numbers and wanted.kind in numbers):
        yield Conflict(Type((wanted,)), Type((actual,)))
        return
    if actual.values is None:
        if actual.kind == "number" and wanted.kind == "integer":
            yield Conflict(Type((wanted,)), Type((actual,)), is_certain=False)
        return
    if wanted.values is None:
        wrong = [each for each in actual.values if not is_json_type(each, wanted.kind)]
    else:
        known = set(map(key_of, wanted.values))
        wrong = [each for each in actual.values if key_of(each) not in known]
    if wrong:
        left = actual._replace(values=tuple(wrong), is_literal=False)
        yield Conflict(Type((wanted,)), Type((left,)), is_certain=len(wrong) == len(actual.values))
