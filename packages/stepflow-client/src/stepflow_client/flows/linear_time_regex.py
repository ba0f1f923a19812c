"""Linear-time matching of the regular expressions in schemas, using pydantic-core's engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from .._base.lazy import lazy_module

pydantic_core: Any = lazy_module("pydantic_core")

# Maximum cost of compiling a pattern, in units of 10 microseconds.
_MAX_COST = 2_500
# Maximum pattern length (with repetitions expanded) times text length. A match this size takes up to about 40 ms.
_MAX_WORK = 1_000_000
_TOKEN = re.compile(
    r"\\[pP]\{[^}]*\}|\\[bB]\{|\\.|\[\^?\]?(?:\\.|[^\\\]])*\]|\{(?P<least>\d{1,9})(?:,(?P<most>\d{0,9}))?\}|.",
    re.DOTALL,
)
# Tokens that mean something else in other engines, e.g. set operations in character classes.
_AMBIGUOUS_TOKEN = re.compile(r"\\[bB]\{|\\[<>]|\[(?:\\.|[^\\])*?(?:\[|&&|--|~~)", re.DOTALL)
_CLASS_COSTS = {"d": 8, "D": 8, "w": 38, "W": 38, "p": 38, "P": 38}
# Character classes that can be large, which makes them more expensive to compile when case is ignored.
_LARGE_CLASS = re.compile(r"\[.*(?:\\[DPSWpuUx]|[^\x00-\x7f])|\\[pP]", re.DOTALL)
_LARGE_CLASS_COST = 1_200


class LinearPattern(NamedTuple):
    """A regular expression that can be matched in time proportional to the length of the text."""

    matches: Callable[[str], bool]
    length: int

    def is_found_in(self, text: str) -> bool:
        """Return whether the pattern matches anywhere in a string.

        Text that is too long to search, or isn't valid Unicode, counts as a match.
        """
        if self.length * len(text) > _MAX_WORK or self.matches(text):
            return True
        return any("\ud800" <= char <= "\udfff" for char in text)


@lru_cache(maxsize=256)
def compile_linear(pattern: str) -> LinearPattern | None:
    """Compile a schema's pattern, or return None if it's invalid, too large, or can't be matched in linear time.

    Patterns with lookaround or back-references can't be matched in linear time.
    """
    if len(pattern) > _MAX_COST or any(_AMBIGUOUS_TOKEN.match(token[0]) for token in _TOKEN.finditer(pattern)):
        return None
    ignores_case = re.search(r"\(\?[a-zA-Z]*i", pattern) is not None

    def cost(part: str) -> int:
        """Return the cost of compiling a single character or class."""
        if ignores_case and _LARGE_CLASS.match(part):
            return _LARGE_CLASS_COST
        return max((_CLASS_COSTS.get(kind, 1) for kind in re.findall(r"\\(.)", part)), default=1)

    if _measure_pattern_length(pattern, cost) > _MAX_COST:
        return None
    try:
        validator = pydantic_core.SchemaValidator({"type": "str", "pattern": pattern})
    except pydantic_core.SchemaError:
        return None
    return LinearPattern(validator.isinstance_python, _measure_pattern_length(pattern, lambda _: 1))


def _measure_pattern_length(pattern: str, length_of: Callable[[str], int]) -> int:
    """Return the total length of a pattern's characters and classes, with repetitions expanded."""
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
            last *= max(int(token["most"] or token["least"]), 1)
        elif part in "*+?":
            last += 1
        else:
            before[-1] += last
            last = length_of(part)
    return sum(before) + last
