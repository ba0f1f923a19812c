"""The inputs of a batch: reading them, and choosing which of them run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from stepflow_client import FlowFileError

from ..errors import usage
from ..output.messages import note

if TYPE_CHECKING:
    from stepflow_client import InputStream


def read_inputs(
    path: str, form: str | None, flow: Mapping[str, Any] | None = None, *, stops: bool = True
) -> InputStream:
    """Open a file of inputs.

    Args:
        path: The file; `-` is standard input.
        form: jsonl, csv, json, yaml or parquet; None: by the extension.
        flow: The flow, whose schema gives the types of CSV fields.
        stops: Whether an unreadable line ends the batch. Otherwise a `ValueError` is yielded in its place.
    """
    from stepflow_client import read_inputs as opened

    source, format = sys.stdin.buffer if path == "-" else path, cast("Any", form)
    return opened(source, flow=flow, format=format, on_bad_line="stop" if stops else "fail")


def read_all_inputs(path: str, form: str | None, flow: Mapping[str, Any] | None) -> list[Any]:
    """Return all inputs in a file, or on standard input, in a format; None chooses it by the extension.

    Raises:
        Problem, FlowFileError: If it cannot be read; an error in a line gives its number.
    """
    try:
        with read_inputs(path, form, flow) as inputs:
            values = list(inputs)
    except FlowFileError as error:
        raise usage(error.message, adapt_hint(error.hint)) from None
    if not values:
        # Nothing runs, and without this, nothing says so.
        note(f"no inputs in {'standard input' if path == '-' else path}")
    return values


def adapt_hint(hint: str | None, instead: str | None = None) -> str | None:
    """Return a hint of `read_inputs` without its argument, or with an option instead of it."""
    from stepflow_client._command import GOES_ON

    parts = [instead if part == GOES_ON else part for part in (hint or "").split("; ")]
    return "; ".join(filter(None, parts)) or None


IndexedInput = tuple[int, Any]
"""An input with its zero-based position in the file before it."""


def take_range(inputs: Iterable[IndexedInput], skip: int, limit: int | None) -> Iterator[IndexedInput]:
    """Return the inputs after the first `skip`, with a maximum of `limit`; None for no maximum."""
    return islice(inputs, skip, None if limit is None else skip + limit)


def choose_sample(inputs: Iterable[IndexedInput], size: int, seed: int) -> Iterator[IndexedInput]:
    """Yield `size` of the inputs, chosen at random, in their order. The same inputs and seed give the same sample.

    All inputs are read before the first is yielded, but only the sample is kept in memory.
    """
    import random

    choose = random.Random(seed)
    held: list[IndexedInput] = []
    for seen, each in enumerate(inputs):
        if seen < size:
            held.append(each)
        elif (place := choose.randint(0, seen)) < size:
            held[place] = each
    yield from sorted(held, key=lambda entry: entry[0])


def select_positions(inputs: Iterable[IndexedInput], wanted: Mapping[int, Any]) -> Iterator[IndexedInput]:
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
