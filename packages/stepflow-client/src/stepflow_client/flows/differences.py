"""Differences between two JSON values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ..errors import InvalidArgumentError
from .matching import below, equal
from .paths import PathError, parse_path

__all__ = ["ABSENT", "Change", "Place", "changes", "is_ignored", "parse_patterns", "path_text"]

Place = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

ABSENT: Any = object()
"""A placeholder for a value that exists only on the other side."""


@dataclass(frozen=True)
class Change:
    """A place where two values differ."""

    place: Place
    a: Any
    b: Any


def changes(a: Any, b: Any, place: Place = ()) -> Iterator[Change]:
    """Yield the innermost places where two JSON values differ.

    Objects are compared key by key, regardless of the order of keys, and lists element by element. `3` equals `3.0`.

    Args:
        a: One value.
        b: The other value.
        place: The place of both values.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            yield from changes(a.get(key, ABSENT), b.get(key, ABSENT), (*place, key))
    elif isinstance(a, list) and isinstance(b, list):
        for index, (one, other) in enumerate(zip_longest(a, b, fillvalue=ABSENT)):
            yield from changes(one, other, (*place, index))
    elif a is ABSENT or b is ABSENT or not equal(a, b):
        yield Change(place, a, b)


def path_text(place: Place) -> str:
    """Return a place as a path: `$.steps.draft.output.items[2]`."""
    path = "$"
    for part in place:
        path = f"{path}[{part}]" if isinstance(part, int) else below(path, part)
    return path


def parse_patterns(patterns: str | Iterable[str]) -> list[Place]:
    """Return the paths to ignore as places. `*` in a path matches any key or index.

    Raises:
        InvalidArgumentError: If one of them is not a path, or would ignore the whole comparison.
    """
    return [_parsed(each) for each in ([patterns] if isinstance(patterns, str) else patterns)]


def _parsed(pattern: str) -> Place:
    text = pattern.strip().replace("[*]", ".*")
    text = text if text.startswith("$") else f"$.{text}"
    try:
        place = tuple(parse_path(text))
    except PathError as error:
        problem = str(error)
    else:
        if place:
            return place
        problem = "it is the whole comparison"
    hint = "write it as differences have it, with * for any key: $.steps.*.output.time"
    raise InvalidArgumentError(f"cannot ignore {pattern!r}: {problem}", hint=hint)


def is_ignored(place: Place, patterns: Sequence[Place]) -> bool:
    """Return whether a place, or a place around it, matches a pattern."""
    return any(
        len(pattern) <= len(place) and all(part in ("*", found) for part, found in zip(pattern, place, strict=False))
        for pattern in patterns
    )
