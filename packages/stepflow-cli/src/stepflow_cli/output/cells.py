"""Text in table cells on a terminal: widths, truncation, short ids."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["cell_width", "cut", "shared_width", "short_ids"]

_SHORTEST = 8
"""Minimum number of an id's digits to show."""


def cell_width(text: str) -> int:
    """Return a text's width in terminal columns; some characters take two, and some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return a text truncated to a width in terminal columns; a truncated text ends with an ellipsis."""
    if cell_width(text) <= width:
        return text
    from rich.cells import set_cell_size

    return f"{set_cell_size(text, max(width - 1, 0)).rstrip()}\N{HORIZONTAL ELLIPSIS}"


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique beginnings of these ids, all of the same length, by id."""
    longest = max(map(len, ids), default=0)
    for length in range(_SHORTEST, longest):
        short = {each: each[:length].rstrip("-") for each in ids}
        if len(set(short.values())) == len(set(ids)):
            return short
    return {each: each for each in ids}


def shared_width(needed: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Distribute a width over columns: no column gets more than it needs, and those that need less are served first.

    Args:
        needed: The width that each column needs.
        least: The minimum width of each column.
        width: The total width.
    """
    widths = list(needed)
    left = width
    for taken, place in enumerate(sorted(range(len(needed)), key=lambda each: needed[each])):
        share = left // (len(needed) - taken)
        widths[place] = max(least[place], min(needed[place], share))
        left -= widths[place]
    return widths
