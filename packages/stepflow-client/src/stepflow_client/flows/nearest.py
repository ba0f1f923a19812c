"""Finds the known name that is most similar to a misspelt one, and writes hints with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["did_you_mean", "meant", "near", "nearest", "nearest_hint"]


def nearest(word: str, known: Iterable[str], similarity: float = 0.6) -> str | None:
    """Return the known name that is most similar to a word, ignoring case; None if none is similar."""
    from difflib import get_close_matches

    lowered = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), lowered, n=1, cutoff=similarity)
    return lowered[found[0]] if found else None


def did_you_mean(name: str) -> str:
    """Return the hint that suggests a name."""
    return f"did you mean {name!r}?"


def meant(hint: str | None) -> str | None:
    """Return the name that a hint suggests; None if it suggests no single one."""
    if hint is None or not hint.startswith(("did you mean ", "write ")):
        return None
    found = re.fullmatch(r"""(?:did you mean|write) (['"])(.+)\1\??""", hint)
    return found[2] if found else None


def nearest_hint(word: str, known: Iterable[str]) -> str | None:
    """Return the hint with the known name that is most similar to a word; None if none is similar."""
    found = nearest(word, known)
    return None if found is None else did_you_mean(found)


def near(word: str, known: Iterable[Any], what: str = "known") -> str:
    """Return a hint with the nearest known name, or with all of them."""
    names = [str(each) for each in known]
    if not names:
        return f"{what}: none"
    listed = f"{what}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
    return nearest_hint(word, names) or listed
