"""Types as readable text: `{name: string, tags?: [string]} | null`. Pure."""

from __future__ import annotations

import json
import re

from .._base.text import cut
from ..flows.json_types import ListOf, Member, ObjectOf, Plain, Type, is_unknown, union, widen

_MAX_DEPTH = 8
_SHOWN_FIELDS = 12
_SHOWN_VALUES = 5
# Maximum number of characters of a part.
_MAX_LENGTH = 1_000


def type_text(type: Type, longest: int = 200) -> str:
    """Return a type as one line of text, cut to a length; unknown parts are `unknown`."""
    return cut(_Writer().text(type, 0), longest)


def type_noun(type: Type) -> str:
    """Return a type as a noun for a sentence: `a string or null`; as in `type_text` if there is no such noun."""
    nouns = []
    for member in type.members:
        match member:
            case Plain("null"):
                nouns.append("null")
            case Plain(kind, values, is_literal) if values is None or is_literal:
                nouns.append(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")
            case ListOf(items) if is_unknown(items) or not items.members:
                nouns.append("a list")
            case ObjectOf(fields, extra) if not fields and extra is not None:
                nouns.append("an object")
            case _:
                return type_text(type, 80)
    return " or ".join(nouns) if 0 < len(nouns) <= 3 else type_text(type, 80)


class _Writer:
    """Writes a type as text. The text of parts that occur more than once is computed once."""

    def __init__(self) -> None:
        self._texts: dict[tuple[int, int], str] = {}

    def text(self, type: Type, depth: int) -> str:
        """Return a type as one line of text."""
        mark = " [secret]" if type.is_secret else ""
        if is_unknown(type):
            return f"unknown{mark}"
        if not type.members:
            return "nothing"
        key = (id(type), depth)
        if key not in self._texts:
            members = union([widen(type)]).members
            text = " | ".join(dict.fromkeys(self._member(member, depth) for member in members))
            self._texts[key] = cut(text, _MAX_LENGTH) + mark
        return self._texts[key]

    def _member(self, member: Member, depth: int) -> str:
        match member:
            case Plain(kind, None):
                return kind
            case Plain(_, values):
                shown = " | ".join(json.dumps(value, ensure_ascii=False) for value in (values or ())[:_SHOWN_VALUES])
                return f"{shown} | …" if len(values or ()) > _SHOWN_VALUES else shown
            case ListOf(items):
                if is_unknown(items) or not items.members or depth >= _MAX_DEPTH:
                    return "array"
                return f"[{self.text(items, depth + 1)}]"
            case ObjectOf(fields, extra):
                if not fields or depth >= _MAX_DEPTH:
                    return "object" if fields or extra is not None else "{}"
                texts = []
                for name, field in [*fields.items()][:_SHOWN_FIELDS]:
                    shown = name if re.fullmatch(r"[\w-]+", name) else json.dumps(name, ensure_ascii=False)
                    texts.append(f"{shown}{'' if field.is_required else '?'}: {self.text(field.type, depth + 1)}")
                return f"{{{', '.join(texts)}{', …' if len(fields) > _SHOWN_FIELDS else ''}}}"
        return "unknown"
