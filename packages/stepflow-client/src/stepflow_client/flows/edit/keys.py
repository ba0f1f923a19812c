"""Corrects misspelt keys in a flow file."""

from __future__ import annotations

from collections.abc import Sequence

from ..findings import Finding
from .text import apply

__all__ = ["fixed"]


def fixed(text: str, found: Sequence[Finding]) -> tuple[str, int]:
    """Return a text with misspelt keys corrected, and the number of changes. The rest of the text is unchanged."""
    fixes = {each.fix for each in found if each.fix is not None}
    written = [(fix, text[fix.start : fix.end]) for fix in fixes]
    # A key with escapes is not replaced.
    edits = [
        (fix.start, fix.end, key.replace(fix.old, fix.text)) for fix, key in written if key.strip("'\"") == fix.old
    ]
    return apply(text, edits), len(edits)
