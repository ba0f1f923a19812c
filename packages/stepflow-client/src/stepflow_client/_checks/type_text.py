"""Types as readable text: `{name: string, tags?: [string]} | null`. Pure."""

from __future__ import annotations

import json
import re

from .._base.text import cut
from ..flows.json_types import ListOf, Member, ObjectOf, Plain, Type, is_unknown, union, widened

_MAX_DEPTH = 8
_SHOWN_FIELDS = 12
_SHOWN_VALUES = 5
_MAX_LENGTH = 1_000
"""Maximum number of characters of a part."""


def type_text(type: Type, longest: int = 200) -> str:
    """Return a type as one line of text, which is cut to a length; unknown parts are `unknown`."""
    return cut(_Writer().text(type, 0), longest)


def type_noun(type: Type) -> str:
    """Return a type as a noun for a sentence: `a string or null`; as in `type_text` if there is no such noun."""
    names = [_noun(each) for each in type.members]
    return " or ".join(names) if 0 < len(names) <= 3 and all(names) else type_text(type, 80)


def _noun(member: Member) -> str:
    match member:
        case Plain("null"):
            return "null"
        case Plain(kind, values, is_literal) if values is None or is_literal:
            return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        case ListOf(items) if is_unknown(items) or not items.members:
            return "a list"
        case ObjectOf(fields, extra) if not fields and extra is not None:
            return "an object"
    return ""


class _Writer:
    """Writes a type as text. The text of parts that occur more than once is computed once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], str] = {}

    def text(self, type: Type, depth: int) -> str:
        """Return a type as one line of text."""
        mark = " [secret]" if type.is_secret else ""
        if is_unknown(type):
            return f"unknown{mark}"
        if not type.members:
            return "nothing"
        key = (id(type), depth)
        if key not in self._known:
            members = union([widened(type)]).members
            text = " | ".join(dict.fromkeys(self._member(each, depth) for each in members))
            self._known[key] = cut(text, _MAX_LENGTH) + mark
        return self._known[key]

    def _member(self, member: Member, depth: int) -> str:
        match member:
            case Plain(kind, values):
                return kind if values is None else _values(member)
            case ListOf(items):
                if is_unknown(items) or not items.members or depth >= _MAX_DEPTH:
                    return "array"
                return f"[{self.text(items, depth + 1)}]"
            case ObjectOf():
                return self._object(member, depth)
            case _:
                return "unknown"

    def _object(self, member: ObjectOf, depth: int) -> str:
        if not member.fields or depth >= _MAX_DEPTH:
            return "object" if member.fields or member.extra is not None else "{}"
        fields = [
            f"{_name(name)}{'' if each.is_required else '?'}: {self.text(each.type, depth + 1)}"
            for name, each in [*member.fields.items()][:_SHOWN_FIELDS]
        ]
        return f"{{{', '.join(fields)}{', …' if len(member.fields) > _SHOWN_FIELDS else ''}}}"


def _values(member: Plain) -> str:
    values = member.values or ()
    shown = " | ".join(json.dumps(each, ensure_ascii=False) for each in values[:_SHOWN_VALUES])
    return f"{shown} | …" if len(values) > _SHOWN_VALUES else shown


def _name(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else json.dumps(name, ensure_ascii=False)
