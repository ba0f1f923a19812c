"""The inputs of a batch, read one by one as they are needed: lines of JSON, CSV, or a list in a YAML or JSON file."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from ..errors import usage
from .batch import read_inputs
from .files import reading

__all__ = ["format_of", "read_records"]


def format_of(path: str, given: str | None) -> str:
    """Return the format of a file of inputs: the one that was given, else by the file's ending.

    Args:
        path: The file; `-` for standard input, which holds lines of JSON unless another format is given.
        given: jsonl, csv, json or yaml; None where nothing is said.
    """
    if given is not None:
        return given
    ending = path.lower().rpartition(".")[2]
    return {"jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv"}.get(ending, "jsonl" if path == "-" else "yaml")


def read_records(path: str, form: str, schema: Mapping[str, Any], *, stops: bool) -> Iterator[Any]:
    """Yield the inputs in a file. Of lines of JSON and CSV, one is read when it is asked for.

    Args:
        path: The file; `-` is standard input.
        form: jsonl, csv, json or yaml.
        schema: The schema of the flow's input: it says which type a field of CSV has; one without is text.
        stops: Whether a line that cannot be read ends the batch. Otherwise a `ValueError` stands in its place.

    Raises:
        Problem: If the file, or with `stops` a line, cannot be read.
    """
    if form in ("json", "yaml"):
        yield from read_inputs(path, form)
        return
    with _opened(path) as file:
        found = _json_lines(file) if form == "jsonl" else _csv_lines(file, schema)
        for number, value in found:
            if not isinstance(value, ValueError):
                yield value
                continue
            where = "standard input" if path == "-" else path
            if stops:
                raise usage(f"{where}, line {number}, cannot be read: {value}", "--on-bad-line fail goes on")
            yield ValueError(f"line {number} cannot be read: {value}")


@contextmanager
def _opened(path: str) -> Iterator[TextIO]:
    with reading(path):
        name = sys.stdin.fileno() if path == "-" else path
        file = open(name, encoding="utf-8-sig", errors="surrogateescape", newline="", closefd=path != "-")  # noqa: SIM115
    with file:
        yield file


def _json_lines(file: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                line.encode()
                yield number, json.loads(line, parse_constant=_refuse)
            except UnicodeEncodeError:
                yield number, ValueError("it is not UTF-8 text")
            except json.JSONDecodeError as error:
                yield number, ValueError(f"{error.msg} (column {error.colno})")
            except ValueError as error:
                yield number, error
            except RecursionError:
                yield number, ValueError("it is nested too deeply")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _csv_lines(file: Iterable[str], schema: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    lines = csv.reader(file, strict=True)
    fields: list[str] | None = None
    properties = schema.get("properties")
    types = {
        name: each.get("type")
        for name, each in (properties.items() if isinstance(properties, Mapping) else ())
        if isinstance(each, Mapping)
    }
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.line_num, ValueError(str(error))
            continue
        if not cells:
            continue
        if fields is None:
            fields = cells
        elif len(cells) != len(fields):
            yield lines.line_num, ValueError(f"it has {len(cells)} fields, the header {len(fields)}")
        else:
            try:
                yield (
                    lines.line_num,
                    {name: _typed(name, text, types.get(name)) for name, text in zip(fields, cells, strict=True)},
                )
            except ValueError as error:
                yield lines.line_num, error


def _typed(name: str, text: str, kind: Any) -> Any:
    """Return a cell as its schema wants it: text, or what is JSON; an empty one that may be null is null."""
    kinds = set(kind) if isinstance(kind, list) else {kind}
    if not text and "null" in kinds:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"field {name} is not UTF-8 text") from None
    if "string" in kinds or kinds == {None}:
        return text
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        raise ValueError(f"field {name} is no {' or '.join(sorted(map(str, kinds)))}: {text!r}") from None
