"""Regular expressions of schemas, matched in linear time by the engine of pydantic-core. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from .._base.lazy import lazy_module

pydantic_core: Any = lazy_module("pydantic_core")

# Maximum cost of compiling a pattern, in units of 10 microseconds.
_MAX_COST = 2_500
# Maximum of pattern length (with repetitions) times text length. Such a match takes up to about 40 ms.
_MAX_WORK = 1_000_000
_TOKEN = re.compile(
    r"\\[pP]\{[^}]*\}|\\[bB]\{|\\.|\[\^?\]?(?:\\.|[^\\\]])*\]|\{(?P<least>\d{1,9})(?:,(?P<most>\d{0,9}))?\}|.",
    re.DOTALL,
)
# Tokens with another meaning in other engines, such as operations on sets of characters.
_AMBIGUOUS = re.compile(r"\\[bB]\{|\\[<>]|\[(?:\\.|[^\\])*?(?:\[|&&|--|~~)", re.DOTALL)
_CLASS_COSTS = {"d": 8, "D": 8, "w": 38, "W": 38, "p": 38, "P": 38}
# Classes that may be large, which cost more if case is ignored.
_FOLDED = re.compile(r"\[.*(?:\\[DPSWpuUx]|[^\x00-\x7f])|\\[pP]", re.DOTALL)
_FOLDED_COST = 1_200


class LinearPattern(NamedTuple):
    """A regular expression that is matched in time proportional to the length of the text."""

    matches: Callable[[str], bool]
    length: int

    def is_found_in(self, text: str) -> bool:
        """Return whether it matches anywhere in a text; true if the text is too long or not valid Unicode."""
        if self.length * len(text) > _MAX_WORK or self.matches(text):
            return True
        return any("\ud800" <= char <= "\udfff" for char in text)


@lru_cache(maxsize=256)
def compile_linear(pattern: str) -> LinearPattern | None:
    """Return a pattern of a schema; None if it cannot be matched in linear time, is too large, or is not valid.

    Lookaround and back-references cannot be matched in linear time.
    """
    if len(pattern) > _MAX_COST or any(_AMBIGUOUS.match(token[0]) for token in _TOKEN.finditer(pattern)):
        return None
    ignores_case = re.search(r"\(\?[a-zA-Z]*i", pattern) is not None

    def cost(part: str) -> int:
        """Return the cost of compiling a character or a class."""
        if ignores_case and _FOLDED.match(part):
            return _FOLDED_COST
        return max((_CLASS_COSTS.get(kind, 1) for kind in re.findall(r"\\(.)", part)), default=1)

    if _measure_length(pattern, cost) > _MAX_COST:
        return None
    try:
        validator = pydantic_core.SchemaValidator({"type": "str", "pattern": pattern})
    except pydantic_core.SchemaError:
        return None
    return LinearPattern(validator.isinstance_python, _measure_length(pattern, lambda _: 1))


def _measure_length(pattern: str, length_of: Callable[[str], int]) -> int:
    """Return the sum of the lengths of the characters and classes in a pattern, with repetitions expanded."""
    before, last = [0], 0
    for token in _TOKEN.finditer(pattern):
        part = token[0]
        if part == "(":
            before[-1] += last
            before.append(0)
            last = 0
        elif part == ")" and len(before) > 1:
            last += before.pop()
        elif token["least"]:
            last *= max(int(token["least"]), int(token["most"] or 0), 1)
        elif part in "*+?":
            last += 1
        else:
            before[-1] += last
            last = length_of(part)
    return sum(before) + last
