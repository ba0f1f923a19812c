"""The inputs of a batch, read one at a time as they are needed: JSON lines, CSV, Parquet, or a list in a file."""

from __future__ import annotations

import csv
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from ..errors import usage
from .batch import read_inputs
from .files import reading


class Extent:
    """The number of inputs in a file, as far as it is known while the file is read."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.total: int | None = None
        """The number of inputs, if the file gives it."""
        self.read = 0
        """The number of inputs read so far."""
        self._file: TextIO | None = None
        self._size = 0

    def follow(self, file: TextIO) -> None:
        """Estimate the total from how much of a file was read, if it is a regular file."""
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode):
            self._file, self._size = file, found.st_size

    @property
    def expected(self) -> int | None:
        """The known or estimated number of inputs; None if unknown."""
        if self.total is not None or self._file is None or not self.read:
            return self.total
        try:
            position = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        except (OSError, ValueError):
            return None
        return round(self.read * self._size / position) if position else None


def format_of(path: str, given: str | None) -> str:
    """Return the format of a file of inputs: the given one, otherwise by the file's extension.

    Args:
        path: The file; `-` for standard input, which holds JSON lines unless another format is given.
        given: jsonl, csv, json, yaml or parquet; None if not given.
    """
    if given is not None:
        return given
    ending = path.lower().rpartition(".")[2]
    endings = {"jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv", "parquet": "parquet"}
    return endings.get(ending, "jsonl" if path == "-" else "yaml")


def read_records(
    path: str, form: str, schema: Mapping[str, Any], *, stops: bool, extent: Extent | None = None
) -> Iterator[Any]:
    """Yield the inputs in a file. JSON lines, CSV and Parquet are read one input at a time, when it is requested.

    Args:
        path: The file; `-` is standard input.
        form: jsonl, csv, json, yaml or parquet.
        schema: The schema of the flow's input. It gives the types of CSV fields; a field without a type is text.
        stops: Whether an unreadable line ends the batch. Otherwise a `ValueError` is yielded in its place.
        extent: Updated with the number of inputs.

    Raises:
        Problem: If the file cannot be read, or, with `stops`, a line.
    """
    extent = extent or Extent()
    if form in ("json", "yaml"):
        values = read_inputs(path, form)
        extent.total = len(values)
        yield from values
        return
    unit = "row" if form == "parquet" else "line"
    for number, value in _numbered(path, form, schema, extent):
        extent.read += 1
        if not isinstance(value, ValueError):
            yield value
            continue
        where = "standard input" if path == "-" else path
        if stops:
            raise usage(f"{where}, {unit} {number}, cannot be read: {value}", "--on-bad-line fail goes on")
        yield ValueError(f"{unit} {number} cannot be read: {value}")


def _numbered(path: str, form: str, schema: Mapping[str, Any], extent: Extent) -> Iterator[tuple[int, Any]]:
    """Yield each value, or the `ValueError` in its place, with the number of its line or row before it."""
    if form == "parquet":
        from .parquet import rows_of

        extent.total, rows = rows_of(path)
        yield from _parquet_rows(rows, schema)
        return
    with _opened(path) as file:
        extent.follow(file)
        yield from _json_lines(file) if form == "jsonl" else _csv_lines(file, schema)


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
    types = _types(schema)
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


def _types(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    found = properties.items() if isinstance(properties, Mapping) else ()
    return {name: each.get("type") for name, each in found if isinstance(each, Mapping)}


def _parquet_rows(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    """Yield rows as JSON values. Text is parsed as JSON where the schema wants another type."""
    from .parquet import plain

    # Parquet files have types of their own: text is parsed only where the schema differs.
    types = {name: kind for name, kind in _types(schema).items() if kind is not None}
    for number, row in enumerate(rows, start=1):
        try:
            value = plain(dict(row))
            for name in types.keys() & value.keys():
                if isinstance(value[name], str):
                    value[name] = _typed(name, value[name], types[name])
            yield number, value
        except ValueError as error:
            yield number, error


def _typed(name: str, text: str, kind: Any) -> Any:
    """Return a cell in the type of its schema: text, or parsed as JSON; an empty cell that may be null is null."""
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
