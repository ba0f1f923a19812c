"""The records of a batch in a file: written one at a time as inputs end, and read again."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from ..errors import usage
from ..inputs.files import reading, writing

_ENDINGS = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "csv": "csv",
    "parquet": "parquet",
    "json": "json",
    "yaml": "yaml",
    "yml": "yaml",
}
_FIELDS = ("index", "key", "run_id", "status", "output")
_ERROR_FIELDS = ("code", "message", "step_id")
_GROUP = 2000
"""Number of records in a row group of Parquet."""

Record = Mapping[str, Any]


def output_format_of(path: str, given: str | None) -> str:
    """Return the format of a file of records: the given one, otherwise by the file's extension.

    Raises:
        Problem: If the extension is unknown, or Parquet would go to standard output.
    """
    form = given or ("jsonl" if path == "-" else _ENDINGS.get(path.lower().rpartition(".")[2]))
    if form is None:
        endings = ", ".join(f".{ending}" for ending in _ENDINGS)
        raise usage(f"the name of {path} ends in none of {endings}", "--output-format says what it is")
    if form == "parquet":
        from ..inputs.parquet import imported

        imported()
        if path == "-":
            raise usage("Parquet needs --output FILE")
    return form


class Writer:
    """Writes records into a text file."""

    def __init__(self, file: IO[str], form: str) -> None:
        """Start the file.

        Args:
            file: The file.
            form: jsonl, json, yaml or csv.
        """
        self._file, self._form = file, form
        self._count = 0
        if form == "csv":
            self._lines = csv.writer(file, lineterminator="\n")
            self._lines.writerow([*_FIELDS, *(f"error_{name}" for name in _ERROR_FIELDS)])

    def write(self, record: Record) -> None:
        """Write a record."""
        match self._form:
            case "csv":
                self._lines.writerow(_cells(record))
            case "yaml":
                from ..output.view import yaml_text

                self._file.write(yaml_text([record]))
            case "json":
                self._file.write(f"{',' if self._count else '['}\n{_json(record)}")
            case _:
                self._file.write(_json(record) + "\n")
        self._count += 1

    def end(self) -> None:
        """Complete the file."""
        if self._form == "json":
            self._file.write("\n]\n" if self._count else "[]\n")
        elif self._form == "yaml" and not self._count:
            self._file.write("[]\n")
        self._file.flush()


class _ParquetWriter:
    """Writes records into a Parquet file, one row group at a time; outputs, whose shape may vary, as JSON."""

    def __init__(self, path: str) -> None:
        from ..inputs.parquet import imported

        self._arrow = arrow = imported()
        text = arrow.string()
        error = arrow.struct([(name, text) for name in _ERROR_FIELDS])
        fields = {"index": arrow.int64(), **dict.fromkeys(_FIELDS[1:], text), "error": error}
        self._schema = arrow.schema(list(fields.items()))
        self._file = arrow.parquet.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, record: Record) -> None:
        row = dict(record)
        row["key"] = None if row["key"] is None else str(row["key"])
        row["output"] = _json(row["output"]) if "output" in row else None
        self._rows.append({name: row.get(name) for name in self._schema.names})
        if len(self._rows) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._file.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))

    def end(self) -> None:
        if self._rows:
            self._flush()

    def close(self) -> None:
        self._file.close()


@contextmanager
def opened(path: str, form: str) -> Iterator[Writer | _ParquetWriter]:
    """Create or overwrite a file of records, or open standard output, and yield its writer.

    Raises:
        Problem: If it cannot be written.
    """
    if form == "parquet":
        with writing(path):
            table = _ParquetWriter(path)
        try:
            yield table
        finally:
            with writing(path):
                table.close()
        return
    if path == "-":
        yield Writer(sys.stdout, form)
        return
    with writing(path):
        file = open(path, "w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: SIM115
    try:
        yield Writer(file, form)
    finally:
        with writing(path):
            file.close()


def read_written(path: str, form: str) -> Iterator[dict[str, Any]]:
    """Yield the records that were written to a file.

    Raises:
        Problem: If it cannot be read or contains something else.
    """
    number = 0
    try:
        for record in _records(path, form):
            # A file that does not hold the records of a batch must not be overwritten.
            if not {"index", "status", "run_id"} <= record.keys():
                raise ValueError("it is no record of a batch")
            yield record
            number += 1
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise usage(f"{path} cannot be read: record {number + 1}: {error}", "--resume writes it anew") from None


def _records(path: str, form: str) -> Iterator[dict[str, Any]]:
    if form == "parquet":
        from ..inputs.parquet import rows_of

        for row in rows_of(path)[1]:
            yield _record({name: row[name] for name in _FIELDS}, row["error"])
        return
    if form in ("json", "yaml"):
        from ..inputs.batch import read_inputs

        yield from read_inputs(path, form)
        return
    with reading(path):
        file = open(path, encoding="utf-8", newline="")  # noqa: SIM115
    with file:
        if form == "csv":
            for line in csv.DictReader(file, strict=True):
                cells = {name: line[name] or None for name in _FIELDS} | {"index": int(line["index"])}
                yield _record(cells, {name: line[f"error_{name}"] or None for name in _ERROR_FIELDS})
        else:
            yield from map(json.loads, file)


def _record(cells: dict[str, Any], error: dict[str, Any] | None) -> dict[str, Any]:
    if cells["output"] is not None:
        return cells | {"output": json.loads(cells["output"])}
    del cells["output"]
    return cells | {"error": error}


def _cells(record: Record) -> list[Any]:
    error = record.get("error") or {}
    cells = [record[name] for name in _FIELDS[:-1]]
    output = _json(record["output"]) if "output" in record else None
    return [*cells, output, *(error.get(name) for name in _ERROR_FIELDS)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
