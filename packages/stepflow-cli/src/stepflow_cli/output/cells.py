"""What fits into the columns of a table on a terminal: widths, cut texts, short ids."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["cell_width", "cut", "shared_width", "short_ids"]

_SHORTEST = 8
"""How many digits of an id are shown at least."""


def cell_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: some characters take two, and some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return a text that takes so many columns at most; where it is cut, it ends in an ellipsis."""
    if cell_width(text) <= width:
        return text
    from rich.cells import set_cell_size

    return f"{set_cell_size(text, max(width - 1, 0)).rstrip()}\N{HORIZONTAL ELLIPSIS}"


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """Return the beginnings that tell these ids apart, all of one length, by id."""
    longest = max(map(len, ids), default=0)
    for length in range(_SHORTEST, longest):
        short = {each: each[:length].rstrip("-") for each in ids}
        if len(set(short.values())) == len(set(ids)):
            return short
    return {each: each for each in ids}


def shared_width(needed: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Return the widths of columns that share a width: none gets more than it needs, and those that need less, first.

    Args:
        needed: What each column would take.
        least: What each takes in any case.
        width: What they have together.
    """
    widths = list(needed)
    left = width
    for taken, place in enumerate(sorted(range(len(needed)), key=lambda each: needed[each])):
        share = left // (len(needed) - taken)
        widths[place] = max(least[place], min(needed[place], share))
        left -= widths[place]
    return widths
