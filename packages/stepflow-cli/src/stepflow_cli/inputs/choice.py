"""Which of a file's inputs a batch runs. Pure functions."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

__all__ = ["chosen_again", "part_of", "sample_of"]

Placed = tuple[int, Any]
"""An input with its zero-based position in the file before it."""


def part_of(inputs: Iterable[Placed], skip: int, limit: int | None) -> Iterator[Placed]:
    """Return the inputs after the first `skip`, with a maximum of `limit`; None for no maximum."""
    return islice(inputs, skip, None if limit is None else skip + limit)


def sample_of(inputs: Iterable[Placed], size: int, seed: int) -> Iterator[Placed]:
    """Yield `size` of the inputs, chosen at random, in their order. The same inputs and seed give the same sample.

    All inputs are read before the first is yielded, but only the sample is kept in memory.
    """
    choose = random.Random(seed)
    held: list[Placed] = []
    for seen, each in enumerate(inputs):
        if seen < size:
            held.append(each)
        elif (place := choose.randint(0, seen)) < size:
            held[place] = each
    yield from sorted(held, key=lambda each: each[0])


def chosen_again(inputs: Iterable[Placed], wanted: Mapping[int, Any]) -> Iterator[Placed]:
    """Yield the inputs at the wanted positions; reading stops after the last of them.

    Raises:
        LookupError: If there are fewer inputs.
    """
    left = set(wanted)
    for position, value in inputs:
        if position in left:
            yield position, value
            left.discard(position)
            if not left:
                return
    if left:
        raise LookupError(f"there is no input {min(left)}")
