"""The inputs of a batch: reading them, and choosing which of them run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from ..errors import Problem, usage
from ..stdio import read_stdin
from .files import DATA_SUFFIXES, read_text


def read_inputs(path: str, stdin_format: str | None = None) -> list[Any]:
    """Return the inputs in a file: the elements of the list in a YAML or JSON file, otherwise JSON lines.

    Lines that are empty or contain only whitespace are skipped and not counted.

    Args:
        path: The file; `-` is standard input, which holds JSON lines unless `stdin_format` is yaml.
        stdin_format: json or yaml.

    Raises:
        Problem, FlowFileError: If it cannot be read; an error in a line gives its number.
    """
    from stepflow_client.flows.file import parse_yaml

    if path == "-":
        text = read_stdin()
        value = parse_yaml(text, "standard input") if stdin_format == "yaml" else _lines(text, "standard input")
    elif path.lower().endswith((".jsonl", ".ndjson")):
        value = _lines(read_text(path), path)
    elif path.lower().endswith(DATA_SUFFIXES):
        value = _list_or_lines(path)
    else:
        # Other extensions say nothing about the format; most such files are JSON lines.
        text = read_text(path)
        value = parse_yaml(text, path) if text.lstrip()[:1] in ("[", "-") else _lines(text, path)
    if not isinstance(value, list):
        raise usage(f"{path} is not a list of inputs", "a file of lines of JSON ends in .jsonl")
    return value


def _list_or_lines(path: str) -> Any:
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import load_file

    try:
        return load_file(path)
    except FlowFileError:
        if not path.lower().endswith(".json"):
            raise
        with suppress(Problem):
            return _lines(read_text(path), path)
        raise


def _lines(text: str, source: str) -> list[Any]:
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import parse_json

    values = []
    # Only a line feed ends a line: JSON text may contain other line separators.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values.append(parse_json(line, f"{source}, line {number},"))
            except FlowFileError as error:
                # The parser sees only this line, and so always reports line 1.
                raise usage(error.message.replace("(line 1, column", "(column")) from None
    return values


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
