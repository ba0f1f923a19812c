"""The query that runs are searched with: `flow:order status:failed customer=42 since:2026-11-24 "not found"`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

QUERY_FIELDS = ("flow", "status", "since", "until", "include")
_WORD = re.compile(r'(?:(\w+):)?"([^"]*)"(?=\s|$)|(\S+)')


class RunQuery(NamedTuple):
    """A query: a run matches all of its words and fields."""

    words: tuple[str, ...] = ()
    """Texts, and labels such as `customer=42`."""
    fields: Mapping[str, str] = {}
    """The values of `flow:`, `status:`, `since:`, `until:` and `include:`."""

    def __str__(self) -> str:
        return " ".join([*(f"{name}:{quote(value)}" for name, value in self.fields.items()), *map(quote, self.words)])


def quote(text: str) -> str:
    """Return a text as one word of a query."""
    return f'"{text}"' if read_query(text) != RunQuery((text,)) else text


def read_query(text: str) -> RunQuery:
    """Return the query that a person has written. Anything but a field is a word, and quotes keep words together."""
    words: list[str] = []
    fields: dict[str, str] = {}
    for name, phrase, plain in _WORD.findall(text):
        if plain:
            name, colon, value = plain.partition(":")
            if not (colon and name in QUERY_FIELDS):
                words.append(plain)
                continue
        else:
            value = phrase
        if name in QUERY_FIELDS:
            fields |= {name: value} if value else {}
        elif value:
            words.append(f"{name}:{value}" if name else value)
    return RunQuery(tuple(words), fields)
