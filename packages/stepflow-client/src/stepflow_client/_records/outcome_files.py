"""Writes a batch's outcomes to a file one at a time, and reads them back."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Literal, Self

from .._data.arguments import argument_error, check_choice, check_mapping
from .._data.flow_declarations import get_declared_schema, get_fields
from .._data.yaml_format import write_yaml
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.reading import FlowSource, load_flow
from ..types.results import Outcome
from .inputs import ROW_FORMATS, import_pyarrow, open_parquet_rows, read_inputs

OutcomeFormat = Literal["jsonl", "csv", "parquet", "json", "yaml"]
Record = Mapping[str, Any]

FORMAT_BY_EXTENSION: dict[str, OutcomeFormat] = {**ROW_FORMATS, "json": "json", "yaml": "yaml", "yml": "yaml"}
_FIELDS = ("index", "key", "run_id", "status", "output")
# CSV and Parquet store `details` as JSON text.
_ERROR_FIELDS = ("code", "message", "step_id", "details")
# Python types of the values that get their own Parquet column, by JSON Schema type.
_SCALAR_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
# Number of records per Parquet row group.
_ROW_GROUP_SIZE = 2000


class OutcomeWriter:
    """Writes a batch's outcomes to a file. Use it in a `with` block, which completes the file on exit."""

    def __init__(self, file: Any, name: str, form: OutcomeFormat, is_own: bool, schema: Any = None) -> None:
        """Start the file. See `write_outcomes` for the arguments."""
        self._name, self._file, self._is_own = name, file, is_own
        with _converting_write_errors(name):
            self._lines = _ParquetWriter(file, schema) if form == "parquet" else _TextWriter(file, form)

    def write(self, outcome: Outcome[Any] | Record) -> None:
        """Write an outcome, or a record as returned by `Outcome.to_dict`.

        Raises:
            FlowFileError: If the file cannot be written.
            InvalidArgumentError: If the argument is neither an outcome nor a record. JSON and YAML files accept any
                mapping.
        """
        record = outcome.to_dict() if isinstance(outcome, Outcome) else check_mapping(outcome, "outcome")
        with _converting_write_errors(self._name):
            try:
                self._lines.write(record)
            except (KeyError, RecursionError, TypeError, ValueError):
                raise argument_error("outcome", "an Outcome, or a record of one", outcome) from None

    def close(self) -> None:
        """Complete the file, then close it (unless the caller opened it).

        Raises:
            FlowFileError: If the file cannot be written.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        with _converting_write_errors(self._name):
            try:
                self._lines.finish_file()
            finally:
                if self._is_own:
                    file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self.close()
        else:
            # Complete the file, but don't mask the original error.
            with suppress(FlowFileError, OSError):
                self.close()


def write_outcomes(
    target: str | os.PathLike[str] | IO[str], *, flow: FlowSource | None = None, format: OutcomeFormat | None = None
) -> OutcomeWriter:
    """Create a file for a batch's outcomes, as written by `stepflow batch FLOW INPUTS --output FILE`.

    Records look like the result of `Outcome.to_dict`, except that CSV and Parquet store outputs and error details as
    JSON text. A Parquet file also gets a typed column for each string, number and boolean in the flow's output schema,
    such as `output_total` for the field `total`. It's null if an output's value has a different type. For an example,
    see `read_inputs`.

    Args:
        target: A path, or a file opened in text mode, which won't be closed. If the path already exists, the file is
            overwritten. Records are written as they come in.
        flow: The flow whose output schema determines the typed Parquet columns. Without a flow, there are none.
        format: `jsonl`, `csv`, `json`, `yaml` or `parquet` (which requires a path and the `stepflow-client[parquet]`
            extra). Defaults to the format implied by the extension, or to `jsonl` for an open file.

    Raises:
        FlowFileError: If the file cannot be written, or if pyarrow is missing.
        InvalidArgumentError: If an argument is invalid.
    """
    if isinstance(target, (str, os.PathLike)):
        name = os.fsdecode(target)
        form = resolve_output_format(name, format)
        with _converting_write_errors(name):
            # Disable newline translation to preserve CSV line endings.
            options: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
            file: Any = open(name, "wb") if form == "parquet" else open(name, "w", **options)  # noqa: SIM115
        schema = None if flow is None else get_declared_schema(load_flow(flow), "output")
        return OutcomeWriter(file, name, form, True, schema)
    if not hasattr(target, "write"):
        raise argument_error("target", "a path or an open file", target)
    form = resolve_output_format("", format or "jsonl")
    return OutcomeWriter(target, str(getattr(target, "name", "the file")), form, False)


def resolve_output_format(path: str, given: str | None) -> OutcomeFormat:
    """Return the format to write records in. It defaults to the format implied by the file's extension.

    Raises:
        InvalidArgumentError: If the format is unknown, or if it's Parquet and the file is already open.
        FlowFileError: If the format is Parquet and pyarrow is missing.
    """
    form = FORMAT_BY_EXTENSION.get(path.lower().rpartition(".")[2]) if given is None else given
    if form is None:
        endings = ", ".join(f".{ending}" for ending in FORMAT_BY_EXTENSION)
        raise InvalidArgumentError(f"{path} has none of the extensions {endings}", hint="set format")
    known: OutcomeFormat = check_choice(form, "format", tuple(dict.fromkeys(FORMAT_BY_EXTENSION.values())))
    if known == "parquet":
        import_pyarrow()
        if not path:
            raise InvalidArgumentError("Parquet is written to a path, not to an open file")
    return known


@contextmanager
def _converting_write_errors(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # The pipe's reader has gone away, which isn't a file error.
        raise
    except OSError as error:
        raise FlowFileError(f"{name} cannot be written: {error.strerror or error}", path=name) from None


class _TextWriter:
    """Writes records to a text file."""

    def __init__(self, file: IO[str], form: OutcomeFormat) -> None:
        self._file, self._form = file, form
        self._count = 0
        if form == "csv":
            self._csv = csv.writer(file, lineterminator="\n")
            self._csv.writerow([*_FIELDS, *(f"error_{name}" for name in _ERROR_FIELDS), "attempts"])

    def write(self, record: Record) -> None:
        match self._form:
            case "csv":
                cells = [*(record[name] for name in _FIELDS[:-1]), _encode_output(record)]
                self._csv.writerow([*cells, *_encode_error(record).values(), record["attempts"]])
            case "yaml":
                self._file.write(write_yaml([record]))
            case "json":
                self._file.write(f"{',' if self._count else '['}\n{_encode_json(record)}")
            case _:
                self._file.write(_encode_json(record) + "\n")
        self._count += 1

    def finish_file(self) -> None:
        if self._form == "json":
            self._file.write("\n]\n" if self._count else "[]\n")
        elif self._form == "yaml" and not self._count:
            self._file.write("[]\n")
        self._file.flush()


class _ParquetWriter:
    """Writes records to a Parquet file, one row group at a time.

    Outputs are stored as JSON, because they can have different shapes.

    Args:
        file: The file.
        output: The schema of the outputs. Each string, number and boolean in it gets a typed column.
    """

    def __init__(self, file: Any, output: Any) -> None:
        self._arrow = arrow = import_pyarrow()
        text = arrow.string()
        error = arrow.struct([(name, text) for name in _ERROR_FIELDS])
        fields = {"index": arrow.int64(), **dict.fromkeys(_FIELDS[1:], text), "error": error, "attempts": arrow.int64()}
        types = {"string": text, "integer": arrow.int64(), "number": arrow.float64(), "boolean": arrow.bool_()}
        properties, _ = get_fields(output)
        self._columns = {name: kind for name, schema in properties.items() if (kind := _get_column_type_name(schema))}
        fields |= {f"output_{name}": types[kind] for name, kind in self._columns.items()}
        self._schema = arrow.schema(list(fields.items()))
        self._table = arrow.parquet.ParquetWriter(file, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, record: Record) -> None:
        row = {**record, "output": _encode_output(record)}
        row["key"] = None if row["key"] is None else str(row["key"])
        if record.get("error"):
            row["error"] = _encode_error(record)
        fields = record["output"] if isinstance(record["output"], Mapping) else {}
        row |= {f"output_{name}": _get_cell_if_of_type(fields.get(name), kind) for name, kind in self._columns.items()}
        self._rows.append({name: _escape_surrogates(row.get(name)) for name in self._schema.names})
        if len(self._rows) >= _ROW_GROUP_SIZE:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._table.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))

    def finish_file(self) -> None:
        try:
            if self._rows:
                self._flush()
        finally:
            self._table.close()


def _get_column_type_name(schema: Any) -> str | None:
    """Return a field's type if it can have a column. Return None for lists, objects and fields with several types."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    named = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds or []) if kind != "null"]
    return named[0] if len(named) == 1 and named[0] in _SCALAR_TYPES else None


def _get_cell_if_of_type(value: Any, kind: str) -> Any:
    """Return a value if it matches its column's type, otherwise None."""
    if isinstance(value, bool) is not (kind == "boolean") or not isinstance(value, _SCALAR_TYPES[kind]):
        return None
    return value if kind != "integer" or -(2**63) <= value < 2**63 else None


def iter_outcome_records(path: str, form: OutcomeFormat) -> Iterator[dict[str, Any]]:
    """Yield the records from a file.

    Raises:
        FlowFileError: If the file can't be read, or contains anything that isn't a record.
    """
    number = 0
    try:
        for record in _iter_records(path, form):
            # Make sure that the caller doesn't overwrite a file that contains something else.
            if not {"index", "status", "run_id"} <= record.keys():
                raise ValueError("it is not a record of a batch")
            yield record
            number += 1
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        if isinstance(error, FlowFileError):
            raise
        raise FlowFileError(f"{path} cannot be read: record {number + 1}: {error}", path=path) from None


def _iter_records(path: str, form: OutcomeFormat) -> Iterator[dict[str, Any]]:
    if form == "parquet":
        for row in open_parquet_rows(path, path)[1]:
            yield _decode_record_cells({name: row[name] for name in _FIELDS}, row["error"], row["attempts"])
        return
    if form in ("json", "yaml"):
        yield from read_inputs(path, format=form)
        return
    try:
        file = open(path, encoding="utf-8", newline="")  # noqa: SIM115
    except OSError as error:
        raise FlowFileError(f"{path} cannot be read: {error.strerror}", path=path) from None
    with file:
        if form == "csv":
            for line in csv.DictReader(file, strict=True):
                cells = {name: line[name] or None for name in _FIELDS} | {"index": int(line["index"])}
                fault = {name: line[f"error_{name}"] or None for name in _ERROR_FIELDS}
                yield _decode_record_cells(cells, fault if fault["message"] else None, int(line["attempts"]))
        else:
            yield from map(json.loads, file)


def _decode_record_cells(cells: dict[str, Any], error: dict[str, Any] | None, attempts: int) -> dict[str, Any]:
    output = cells["output"] and json.loads(cells["output"])
    error = error and error | {"details": error["details"] and json.loads(error["details"])}
    return cells | {"output": output, "error": error, "attempts": attempts}


def _encode_output(record: Record) -> str | None:
    return _encode_json(record["output"]) if record["status"] == "completed" else None


def _encode_error(record: Record) -> dict[str, Any]:
    error = record.get("error") or {}
    details = None if error.get("details") is None else _encode_json(error["details"])
    return {name: error.get(name) for name in _ERROR_FIELDS} | {"details": details}


def _escape_surrogates(value: Any) -> Any:
    """Escape lone surrogates in a cell's text, as in text files."""
    if isinstance(value, dict):
        return {name: _escape_surrogates(part) for name, part in value.items()}
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _encode_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
