"""Infers the input type of a flow without an input schema, from the types wanted where it is used. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..._data.expressions import Path, keyword_of, portable_path
from .found import FlowTypes
from .model import UNKNOWN, Field, ListOf, ObjectOf, Type, is_unknown
from .slots import Slot, slots_of

__all__ = ["input_of_uses", "uses_of"]


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
    for step in types.steps.values():
        given = step.step.node.get("input")
        if given is not None:
            yield from _uses(
                types, slots_of(given, step.wanted, f"{step.step.path}.input", types.scope), f"step {step.step.id!r}"
            )
    output = types.model.root.get("output")
    if output is not None:
        wanted = types.declared_output or UNKNOWN
        yield from _uses(types, slots_of(output, wanted, f"{types.model.path}.output", types.scope), "the output")


def _uses(types: FlowTypes, found: Iterator[Slot], user: str) -> Iterator[Use]:
    for slot in found:
        if keyword_of(slot.node.items) == "$input" and slot.at is slot.node:
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
        return Type((ObjectOf(fields, UNKNOWN if own is None or own.extra is None else own.extra),))
    if part.items is not None and not part.fields:
        return Type((ListOf(_type(part.items)),))
    return part.wanted
