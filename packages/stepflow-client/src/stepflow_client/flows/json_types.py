"""Types of JSON values, and of the values at paths in them. Pure.

A type is a union of members; `UNKNOWN` is the type that includes all values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.text import near

if TYPE_CHECKING:
    from .source import Node

_MAX_PATH_DEPTH = 3
_MAX_PATHS = 200
_MISMATCH = "mismatch"
_MAX_VALUES = 20
# Maximum number of different objects, and of different lists, in a union.
_MAX_MEMBERS = 8


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
TEXT = Type((Plain("string"),))


def list_of(items: Type) -> Type:
    """Return the type of lists with elements of a type."""
    return Type((ListOf(items),))


def make_object(fields: Mapping[str, Type], optional: Mapping[str, Type] | None = None) -> Type:
    """Return the type of objects with these fields and no others."""
    known = {name: Field(field) for name, field in fields.items()}
    known |= {name: Field(value, is_required=False) for name, value in (optional or {}).items()}
    return Type((ObjectOf(known, None),))


def is_unknown(type: Type) -> bool:
    """Return whether a value of the type may be any value."""
    return any(isinstance(member, Anything) for member in type.members)


def may_be_null(type: Type) -> bool:
    """Return whether a value of the type may be null."""
    return any(
        isinstance(member, Anything) or (isinstance(member, Plain) and member.kind == "null") for member in type.members
    )


def may_be_false(type: Type) -> bool:
    """Return whether a condition of the type may be false. Null and false count as false, all other values as true."""
    return may_be_null(type) or any(
        isinstance(member, Plain) and member.kind == "boolean" and (member.values is None or False in member.values)
        for member in type.members
    )


def without_null(type: Type) -> Type:
    """Return a type without null."""
    kept = tuple(member for member in type.members if not (isinstance(member, Plain) and member.kind == "null"))
    return type._replace(members=kept)


def widen(type: Type) -> Type:
    """Return a type with literals of the flow, and values of secrets, replaced by their kinds."""
    return type._replace(members=tuple(
        Plain(member.kind) if isinstance(member, Plain) and (member.is_literal or type.is_secret) else member
        for member in type.members
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
            case Plain(kind):
                known = plains.setdefault(kind, member)
                if known != member:
                    plains[kind] = _merge_plain(known, member)
            case ObjectOf():
                objects.append(member) if member not in objects else None
            case ListOf():
                lists.append(member) if member not in lists else None
    if "number" in plains and plains["number"].values is None:
        plains.pop("integer", None)
    # Null comes last.
    null = [plains.pop("null")] if "null" in plains else []
    few_objects = objects if len(objects) <= _MAX_MEMBERS else [ObjectOf({}, UNKNOWN)]
    few_lists = lists if len(lists) <= _MAX_MEMBERS else [ListOf(UNKNOWN)]
    return Type((*plains.values(), *few_objects, *few_lists, *null), is_secret)


def _merge_plain(first: Plain, second: Plain) -> Plain:
    if first.values is None or second.values is None:
        return Plain(first.kind)
    values = (*first.values, *(value for value in second.values if value not in first.values))
    is_literal = first.is_literal and second.is_literal
    return Plain(first.kind, values, is_literal) if len(values) <= _MAX_VALUES else Plain(first.kind)


class Lookup(NamedTuple):
    """The type of the value at a path, or the reason why there is none."""

    type: Type
    problem: str | None = None
    """Why there is no value at the path; None if there is one."""
    hint: str | None = None
    is_certain: bool = False
    """Whether it is certain that no value of the type has this path."""
    may_be_missing: bool = False
    """Whether a member of the union has no such path. Optional fields count as there."""

    @property
    def level(self) -> str:
        """The level of a finding of the problem."""
        return "error" if self.is_certain else "warning"


def type_at_path(type: Type, parts: Sequence[str | int], *, keeps_null: bool = False) -> Lookup:
    """Return the type of the value at a path.

    In a union, members without the path are ignored: for these, the path fails at run time, and flows may rely on that.
    With `keeps_null`, any path into null results in null, as for the whole output of a step.
    """
    is_secret = type.is_secret
    null = [NULL] if keeps_null and parts and may_be_null(type) and not is_unknown(type) else []
    is_missing = False
    for part in parts:
        lookups = [_look_up_part(member, part) for member in type.members]
        is_missing = is_missing or any(lookup.problem is not None for lookup in lookups)
        types = [lookup.type for lookup in lookups if lookup.problem is None]
        if not types and lookups:
            is_certain = all(lookup.is_certain for lookup in lookups) and not null
            reason = next((lookup for lookup in lookups if lookup.problem != _MISMATCH), None)
            if reason is not None:
                return Lookup(UNKNOWN, reason.problem, reason.hint, is_certain)
            read = f"[{part}] reads an element" if isinstance(part, int) else f"{part!r} reads a field"
            kinds = {each.kind if isinstance(each, Plain) else "array" if isinstance(each, ListOf) else "object": None
                     for each in type.members}  # fmt: skip
            return Lookup(UNKNOWN, f"{read} of what is {' or '.join(kinds)}", None, is_certain)
        type = types[0] if len(types) == 1 else union(types) if types else UNKNOWN
        is_secret = is_secret or type.is_secret
    type = union([type, *null]) if null else type
    # Each part of a secret is secret.
    return Lookup(type._replace(is_secret=True) if is_secret else type, may_be_missing=is_missing)


def _look_up_part(member: Member, part: str | int) -> Lookup:
    match member:
        case Anything():
            return Lookup(UNKNOWN)
        case ListOf(items, elements, first) if isinstance(part, int):
            known = first if elements is None else elements
            if part < len(known):
                return Lookup(known[part])
            if elements is None:
                return Lookup(items)
            problem = f"[{part}] is past the end of a list of {len(elements)}"
            return Lookup(UNKNOWN, problem, "elements count from 0", True)
        case ObjectOf(fields, extra, is_open) if isinstance(part, str):
            if part in fields:
                return Lookup(fields[part].type)
            if extra is not None and (is_open or not fields or not is_unknown(extra)):
                return Lookup(extra)
            problem = f"the schema has no field {part!r}"
            return Lookup(UNKNOWN, problem, near(part, fields, "fields are"), extra is None)
    return Lookup(UNKNOWN, _MISMATCH, None, True)


def iter_parts(type: Type) -> Iterator[tuple[str | int, Type]]:
    """Yield the key and type of each field, and of the first element, across all members of a union."""
    for member in type.members:
        match member:
            case ObjectOf(fields):
                yield from ((name, field.type) for name, field in fields.items())
            case ListOf(items):
                yield 0, items


def iter_paths(type: Type) -> Iterator[tuple[str, Type]]:
    """Yield paths into a type with the types at these paths, shortest first. Only null can make such a path fail."""
    waiting, number = [("$", type, 0)], 0
    for path, outer, depth in waiting:
        members = without_null(outer).members
        inner: list[tuple[str, Type]] = []
        match members[0] if len(members) == 1 and depth < _MAX_PATH_DEPTH else None:
            case ObjectOf(fields):
                for name, field in fields.items():
                    if name.isidentifier() and field.is_required and not is_unknown(field.type):
                        inner.append((f"{path}.{name}", field.type))
            case ListOf(items) if items.members:
                inner.append((f"{path}[0]", items))
        for each in inner:
            number += 1
            if number > _MAX_PATHS:
                return
            yield each
            waiting.append((*each, depth + 1))
