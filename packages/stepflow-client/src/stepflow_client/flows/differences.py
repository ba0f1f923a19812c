"""Differences between two JSON values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from .._data.expressions import Path, PathError, parse_path
from ..errors import InvalidArgumentError
from .matching import equal

__all__ = ["ABSENT", "Change", "changes", "is_ignored", "parse_patterns"]

ABSENT: Any = object()
"""A placeholder for a value that exists only on the other side."""


@dataclass(frozen=True)
class Change:
    """A path where two values differ."""

    path: Path
    a: Any
    b: Any


def changes(a: Any, b: Any, path: Path = ()) -> Iterator[Change]:
    """Yield the innermost places where two JSON values differ.

    Objects are compared key by key, regardless of the order of keys, and lists element by element. `3` equals `3.0`.

    Args:
        a: One value.
        b: The other value.
        path: The path of both values.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            yield from changes(a.get(key, ABSENT), b.get(key, ABSENT), (*path, key))
    elif isinstance(a, list) and isinstance(b, list):
        for index, (one, other) in enumerate(zip_longest(a, b, fillvalue=ABSENT)):
            yield from changes(one, other, (*path, index))
    elif a is ABSENT or b is ABSENT or not equal(a, b):
        yield Change(path, a, b)


def parse_patterns(patterns: str | Iterable[str]) -> list[Path]:
    """Return the paths to ignore as places. `*` in a path matches any key or index.

    Raises:
        InvalidArgumentError: If one of them is not a path, or would ignore the whole comparison.
    """
    return [_parsed(each) for each in ([patterns] if isinstance(patterns, str) else patterns)]


def _parsed(pattern: str) -> Path:
    text = pattern.strip().replace("[*]", ".*")
    text = text if text.startswith("$") else f"$.{text}"
    try:
        path = parse_path(text)
    except PathError as error:
        problem = str(error)
    else:
        if path:
            return path
        problem = "it is the whole comparison"
    hint = "write it as differences have it, with * for any key: $.steps.*.output.time"
    raise InvalidArgumentError(f"cannot ignore {pattern!r}: {problem}", hint=hint)


def is_ignored(path: Path, patterns: Sequence[Path]) -> bool:
    """Return whether a path, or a path around it, matches a pattern."""
    return any(
        len(pattern) <= len(path) and all(part in ("*", found) for part, found in zip(pattern, path, strict=False))
        for pattern in patterns
    )
