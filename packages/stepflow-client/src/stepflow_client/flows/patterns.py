"""Regular expressions of schemas, matched in linear time by the engine of pydantic-core. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from .._base.lazy import lazy_module

pydantic_core: Any = lazy_module("pydantic_core")

_MAX_SIZE = 4_000
"""Maximum size of a pattern, repetitions included. One of this size is compiled in about 25 ms."""
_MAX_WORK = 1_000_000
"""Maximum length of a pattern, repetitions included, times that of a text. Such a match takes up to about 40 ms."""
_TOKEN = re.compile(
    r"\\[pP]\{[^}]*\}|\\[bB]\{|\\.|\[\^?\]?(?:\\.|[^\\\]])*\]|\{(?P<least>\d{1,9})(?:,(?P<most>\d{0,9}))?\}|.",
    re.DOTALL,
)
_AMBIGUOUS = re.compile(r"\\[bB]\{|\\[<>]|\[(?:\\.|[^\\])*?(?:\[|&&|--|~~)", re.DOTALL)
"""Tokens with another meaning in other engines, such as operations on sets of characters."""
_CLASS_SIZES = {"d": 5, "w": 60, "p": 60}
"""Sizes of classes of characters, relative to one character."""


class LinearPattern(NamedTuple):
    """A regular expression that is matched in time proportional to the length of the text."""

    matches: Callable[[str], bool]
    length: int

    def is_found_in(self, text: str) -> bool:
        """Return whether it matches anywhere in a text; true if the text is too long or not valid Unicode."""
        if self.length * len(text) > _MAX_WORK or self.matches(text):
            return True
        return any("\ud800" <= each <= "\udfff" for each in text)


@lru_cache(maxsize=256)
def linear_pattern(pattern: str) -> LinearPattern | None:
    """Return a pattern of a schema; None if it cannot be matched in linear time, is too large, or is not valid.

    Lookaround and back-references cannot be matched in linear time.
    """
    if len(pattern) > _MAX_SIZE or _length(pattern, _CLASS_SIZES) > _MAX_SIZE:
        return None
    if any(map(_AMBIGUOUS.match, (each[0] for each in _TOKEN.finditer(pattern)))):
        return None
    try:
        found = pydantic_core.SchemaValidator({"type": "str", "pattern": pattern})
    except pydantic_core.SchemaError:
        return None
    return LinearPattern(found.isinstance_python, _length(pattern, {}))


def _length(pattern: str, sizes: Mapping[str, int]) -> int:
    """Return the number of characters that a pattern describes, with repetitions written out."""
    before, last = [0], 0
    for each in _TOKEN.finditer(pattern):
        part = each[0]
        if part == "(":
            before[-1] += last
            before.append(0)
            last = 0
        elif part == ")" and len(before) > 1:
            last += before.pop()
        elif each["least"]:
            last *= max(int(each["least"]), int(each["most"] or 0), 1)
        elif part in "*+?":
            last += 1
        else:
            before[-1] += last
            kinds = re.findall(r"\\(.)", part) if part[0] in "\\[" else ()
            last = max((sizes.get(kind.lower(), 1) for kind in kinds), default=1)
    return sum(before) + last
