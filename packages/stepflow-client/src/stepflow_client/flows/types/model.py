"""Types of JSON values. A type is a union of members; `UNKNOWN` is the type that includes all values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..source import Node

__all__ = [
    "BOOLEAN", "INTEGER", "NEVER", "NULL", "NUMBER", "TEXT", "UNKNOWN", "Anything", "Blob", "Field", "ListOf", "Member",
    "ObjectOf", "Plain", "Type", "is_unknown", "kind_name", "list_of", "may_be_false", "may_be_null", "object_of",
    "plain", "union", "widened", "without_null",
]  # fmt: skip

_MOST_VALUES = 20
_MOST_MEMBERS = 8
"""Maximum number of different objects, and of different lists, in a union."""


class Anything:
    """Any value."""

    __slots__ = ()


class Blob(NamedTuple):
    """The known type of the blob with a certain id."""

    content: Type
    flow: Node | None = None
    """The flow, if the blob is one."""


class Plain(NamedTuple):
    """A null, boolean, integer, number or string."""

    kind: str
    values: tuple[Any, ...] | None = None
    """The possible values; None for all values of the kind."""
    is_literal: bool = False
    """Whether the values are literals in the flow. An inferred schema then contains only their kind."""
    blob: Blob | None = None
    """The blob, if the string is the id of a blob."""


class ListOf(NamedTuple):
    """A list."""

    items: Type
    """The type of all elements."""
    elements: tuple[Type, ...] | None = None
    """The type of each element, if their number is known."""
    first: tuple[Type, ...] = ()
    """The types of the first elements, if they have types of their own."""


class Field(NamedTuple):
    """A field of an object."""

    type: Type
    is_required: bool = True


class ObjectOf(NamedTuple):
    """An object."""

    fields: Mapping[str, Field]
    extra: Type | None
    """The type of additional fields; None if there are none."""
    is_open: bool = False
    """Whether other fields are likely, because the schema mentions them or names no properties."""


Member = Anything | Plain | ListOf | ObjectOf


class Type(NamedTuple):
    """A union type: a value matches any of the members. Without members, there is no such value."""

    members: tuple[Member, ...] = ()
    is_secret: bool = False
    """Whether its values are secret (`is_secret` in a schema), with all their parts."""


UNKNOWN = Type((Anything(),))
NEVER = Type()
NULL = Type((Plain("null"),))
BOOLEAN = Type((Plain("boolean"),))
INTEGER = Type((Plain("integer"),))
NUMBER = Type((Plain("number"),))
TEXT = Type((Plain("string"),))


def plain(kind: str) -> Type:
    """Return the type of all values of a kind."""
    return Type((Plain(kind),))


def list_of(items: Type) -> Type:
    """Return the type of lists with elements of a type."""
    return Type((ListOf(items),))


def object_of(fields: Mapping[str, Type], optional: Mapping[str, Type] | None = None) -> Type:
    """Return the type of objects with these fields and no others."""
    known = {name: Field(each) for name, each in fields.items()}
    known |= {name: Field(each, is_required=False) for name, each in (optional or {}).items()}
    return Type((ObjectOf(known, None),))


def kind_name(member: Member) -> str:
    """Return the name that JSON Schema has for the kind of a member."""
    match member:
        case Plain(kind):
            return kind
        case ListOf():
            return "array"
        case ObjectOf():
            return "object"
    return "any value"


def is_unknown(type: Type) -> bool:
    """Return whether a value of the type may be any value."""
    return any(isinstance(each, Anything) for each in type.members)


def may_be_null(type: Type) -> bool:
    """Return whether a value of the type may be null."""
    return any(isinstance(each, Anything) or (isinstance(each, Plain) and each.kind == "null") for each in type.members)


def may_be_false(type: Type) -> bool:
    """Return whether a condition of the type may be false. Null and false count as false, all other values as true."""
    return may_be_null(type) or any(
        isinstance(each, Plain) and each.kind == "boolean" and (each.values is None or False in each.values)
        for each in type.members
    )


def without_null(type: Type) -> Type:
    """Return a type without null."""
    kept = tuple(each for each in type.members if not (isinstance(each, Plain) and each.kind == "null"))
    return type._replace(members=kept)


def widened(type: Type) -> Type:
    """Return a type with literals of the flow, and values of secrets, replaced by their kinds."""
    return type._replace(members=tuple(
        Plain(each.kind) if isinstance(each, Plain) and (each.is_literal or type.is_secret) else each
        for each in type.members
    ))  # fmt: skip


def union(types: Iterable[Type]) -> Type:
    """Return the union of types, which is secret if one of them is. A union that becomes too large is widened."""
    types = list(types)
    is_secret = any(each.is_secret for each in types)
    plains: dict[str, Plain] = {}
    objects, lists = list[ObjectOf](), list[ListOf]()
    for member in (each for type in types for each in type.members):
        match member:
            case Anything():
                return UNKNOWN._replace(is_secret=is_secret)
            case Plain():
                plains[member.kind] = _merged(plains.get(member.kind), member)
            case ObjectOf():
                objects.append(member) if member not in objects else None
            case ListOf():
                lists.append(member) if member not in lists else None
    if "number" in plains and plains["number"].values is None:
        plains.pop("integer", None)
    # Null comes last.
    null = [plains.pop("null")] if "null" in plains else []
    many: list[Member] = [*_fewer(objects, ObjectOf({}, UNKNOWN)), *_fewer(lists, ListOf(UNKNOWN))]
    return Type((*plains.values(), *many, *null), is_secret)


def _merged(first: Plain | None, second: Plain) -> Plain:
    if first is None or first == second:
        return second
    if first.values is None or second.values is None:
        return Plain(first.kind)
    values = (*first.values, *(each for each in second.values if each not in first.values))
    is_literal = first.is_literal and second.is_literal
    return Plain(first.kind, values, is_literal) if len(values) <= _MOST_VALUES else Plain(first.kind)


def _fewer(members: list[Any], wider: Member) -> list[Any]:
    return members if len(members) <= _MOST_MEMBERS else [wider]
