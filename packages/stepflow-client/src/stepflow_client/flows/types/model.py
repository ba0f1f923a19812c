"""Types of JSON values: a type is a union of members, and `UNKNOWN` where nothing is known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..placed import Node

__all__ = [
    "BOOLEAN",
    "INTEGER",
    "NEVER",
    "NULL",
    "NUMBER",
    "TEXT",
    "UNKNOWN",
    "Anything",
    "Blob",
    "Field",
    "ListOf",
    "Member",
    "ObjectOf",
    "Plain",
    "Type",
    "is_unknown",
    "list_of",
    "may_be_false",
    "may_be_null",
    "object_of",
    "plain",
    "union",
    "widened",
    "without_null",
]

_MOST_VALUES = 20
_MOST_MEMBERS = 8
"""How many objects, and how many lists, a union keeps apart."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of a blob by its id."""

    content: Type
    flow: tuple[Node, str] | None = field(default=None, compare=False)
    """The flow that it is, if it is one, and its path in the file."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A null, boolean, integer, number or string."""

    kind: str
    values: tuple[Any, ...] | None = None
    """The only values; None for all of the kind."""
    is_literal: bool = False
    """Whether the values stand in the flow: an inferred schema has their kind alone."""
    blob: Blob | None = None
    """The blob whose id it is."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    items: Type
    """What each element is."""
    elements: tuple[Type, ...] | None = None
    """What each of the elements is, if their number is known."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object."""

    type: Type
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object."""

    fields: Mapping[str, Field]
    extra: Type | None
    """What further fields are; None if there are none."""


Member = Anything | Plain | ListOf | ObjectOf


@dataclass(frozen=True, slots=True)
class Type:
    """What a value may be: any of these; without members no value at all."""

    members: tuple[Member, ...] = ()


UNKNOWN = Type((Anything(),))
NEVER = Type()
NULL = Type((Plain("null"),))
BOOLEAN = Type((Plain("boolean"),))
INTEGER = Type((Plain("integer"),))
NUMBER = Type((Plain("number"),))
TEXT = Type((Plain("string"),))


def plain(kind: str) -> Type:
    """Return all values of a kind."""
    return Type((Plain(kind),))


def list_of(items: Type) -> Type:
    """Return the lists of such elements."""
    return Type((ListOf(items),))


def object_of(fields: Mapping[str, Type], optional: Mapping[str, Type] | None = None) -> Type:
    """Return the objects with these fields and no others."""
    known = {name: Field(each) for name, each in fields.items()}
    known |= {name: Field(each, is_required=False) for name, each in (optional or {}).items()}
    return Type((ObjectOf(known, None),))


def is_unknown(type: Type) -> bool:
    """Return whether nothing is known of a value."""
    return any(isinstance(each, Anything) for each in type.members)


def may_be_null(type: Type) -> bool:
    """Return whether a value may be null."""
    return any(isinstance(each, Anything) or (isinstance(each, Plain) and each.kind == "null") for each in type.members)


def may_be_false(type: Type) -> bool:
    """Return whether a condition of this type may be false: null and false are, all else is true."""
    return may_be_null(type) or any(
        isinstance(each, Plain) and each.kind == "boolean" and (each.values is None or False in each.values)
        for each in type.members
    )


def without_null(type: Type) -> Type:
    """Return a type without null."""
    return Type(tuple(each for each in type.members if not (isinstance(each, Plain) and each.kind == "null")))


def widened(type: Type) -> Type:
    """Return a type without the values that stand in the flow: only their kinds remain."""
    return Type(tuple(Plain(each.kind) if isinstance(each, Plain) and each.is_literal else each
                      for each in type.members))  # fmt: skip


def union(types: Iterable[Type]) -> Type:
    """Return what is any of these; a union that grows too large becomes wider."""
    plains: dict[str, Plain] = {}
    objects, lists = list[ObjectOf](), list[ListOf]()
    for member in (each for type in types for each in type.members):
        match member:
            case Anything():
                return UNKNOWN
            case Plain():
                plains[member.kind] = _merged(plains.get(member.kind), member)
            case ObjectOf():
                objects.append(member) if member not in objects else None
            case ListOf():
                lists.append(member) if member not in lists else None
    if "number" in plains and plains["number"].values is None:
        plains.pop("integer", None)
    many: list[Member] = [*_fewer(objects, _any_object), *_fewer(lists, _any_list)]
    return Type((*(each for name, each in plains.items() if name != "null"), *many, *_of_null(plains)))


def _of_null(plains: Mapping[str, Plain]) -> tuple[Plain, ...]:
    return (plains["null"],) if "null" in plains else ()


def _merged(first: Plain | None, second: Plain) -> Plain:
    if first is None or first == second:
        return second
    if first.values is None or second.values is None:
        return Plain(first.kind)
    values = (*first.values, *(each for each in second.values if each not in first.values))
    is_literal = first.is_literal and second.is_literal
    return Plain(first.kind, values, is_literal) if len(values) <= _MOST_VALUES else Plain(first.kind)


def _fewer(members: list[Any], wider: Callable[[], Member]) -> list[Any]:
    return members if len(members) <= _MOST_MEMBERS else [wider()]


def _any_object() -> Member:
    return ObjectOf({}, UNKNOWN)


def _any_list() -> Member:
    return ListOf(UNKNOWN)
