"""The type of the value at a path. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..nearest import near
from .model import (
    NULL,
    UNKNOWN,
    Anything,
    Field,
    ListOf,
    Member,
    ObjectOf,
    Type,
    is_unknown,
    kind_name,
    may_be_null,
    union,
    without_null,
)

__all__ = ["Behind", "behind", "paths_in"]

_DEEPEST = 3
_MOST_PATHS = 200
_MISMATCH = "mismatch"


class Behind(NamedTuple):
    """The type of the value at a path, or the reason why there is none."""

    type: Type
    problem: str | None = None
    """Why there is no value at the path; None if there is one."""
    hint: str | None = None
    is_certain: bool = False
    """Whether it is certain that no value of the type has this path."""


def behind(type: Type, parts: Sequence[str | int], *, keeps_null: bool = False) -> Behind:
    """Return the type of the value at a path.

    In a union, members without the path are ignored: for these, the path fails at run time, and flows may rely on that.
    With `keeps_null`, any path into null results in null, as for the whole output of a step.
    """
    is_secret = type.is_secret
    null = [NULL] if keeps_null and parts and may_be_null(type) and not is_unknown(type) else []
    for part in parts:
        found = [_step(each, part) for each in type.members]
        types = [each.type for each in found if each.problem is None]
        if not types and found:
            told = next((each for each in found if each.problem != _MISMATCH), None)
            problem = _wrong_kind(type, part) if told is None else told.problem
            certain = all(each.is_certain for each in found) and not null
            return Behind(UNKNOWN, problem, told and told.hint, certain)
        type = types[0] if len(types) == 1 else union(types) if types else UNKNOWN
        is_secret = is_secret or type.is_secret
    type = union([type, *null]) if null else type
    # What is in a secret is secret.
    return Behind(type._replace(is_secret=True) if is_secret else type)


def _step(member: Member, part: str | int) -> Behind:
    match member:
        case Anything():
            return Behind(UNKNOWN)
        case ListOf() if isinstance(part, int):
            return _element(member, part)
        case ObjectOf() if isinstance(part, str):
            return _field(member, part)
        case _:
            return Behind(UNKNOWN, _MISMATCH, None, True)


def _wrong_kind(type: Type, part: str | int) -> str:
    read = f"[{part}] reads an element" if isinstance(part, int) else f"{part!r} reads a field"
    return f"{read} of what is {' or '.join(dict.fromkeys(map(kind_name, type.members)))}"


def _element(member: ListOf, index: int) -> Behind:
    if member.elements is None:
        return Behind(member.first[index] if index < len(member.first) else member.items)
    if index < len(member.elements):
        return Behind(member.elements[index])
    number = len(member.elements)
    return Behind(UNKNOWN, f"[{index}] is behind the end of a list of {number}", "elements count from 0", True)


def _field(member: ObjectOf, name: str) -> Behind:
    if name in member.fields:
        return Behind(member.fields[name].type)
    if member.extra is not None and (member.is_open or not member.fields or not is_unknown(member.extra)):
        return Behind(member.extra)
    return Behind(
        UNKNOWN, f"the schema has no field {name!r}", near(name, member.fields, "fields are"), member.extra is None
    )


def paths_in(type: Type) -> Iterator[tuple[str, Type]]:
    """Yield paths into a type with the types at these paths, shortest first. Only null can make such a path fail."""
    level: list[tuple[str, Type]] = [("$", type)]
    number = 0
    for _ in range(_DEEPEST):
        level = [(path, each) for before, inner in level for path, each in _below(before, inner)]
        for each in level:
            number += 1
            if number > _MOST_PATHS:
                return
            yield each


def _below(path: str, type: Type) -> Iterator[tuple[str, Type]]:
    type = without_null(type)
    if len(type.members) != 1:
        return
    match type.members[0]:
        case ObjectOf(fields):
            for name, each in fields.items():
                if name.isidentifier() and _is_there(each):
                    yield f"{path}.{name}", each.type
        case ListOf(items) if items.members:
            yield f"{path}[0]", items


def _is_there(field: Field) -> bool:
    return field.is_required and not is_unknown(field.type)
