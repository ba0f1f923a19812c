"""Reads the inputs of a batch one at a time from JSON Lines, CSV, Parquet or a file that contains a list."""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from io import TextIOBase, TextIOWrapper
from typing import IO, Any, Literal, Self

from .._base.suggestions import install_command
from .._data.arguments import argument_error, check_choice
from .._data.flow_declarations import get_declared_schema, get_fields
from .._data.json_encoding import encode_scalar, is_non_json_scalar
from .._data.syntax_faults import explain_json_error
from .._data.wire import reject_json_constant
from ..errors import FlowFileError
from ..flows import reading
from ..flows.reading import FlowSource

InputFormat = Literal["jsonl", "csv", "json", "yaml", "parquet"]

ROW_FORMATS: dict[str, InputFormat] = {"jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv", "parquet": "parquet"}
# Extensions of files that contain a single value (for inputs, a list).
_SINGLE_VALUE_EXTENSIONS = (".yaml", ".yml", ".json")
# Maximum number of Parquet rows to decode at once, so that only part of a row group is in memory.
_MAX_BATCH_ROWS = 1000
SKIP_HINT = "to skip such lines, set on_bad_line='fail'"
"""The hint shown when a line stops the batch."""


class _BadLine(ValueError):
    """A line that can't be read, with a hint."""

    def __init__(self, reason: str, hint: str | None) -> None:
        super().__init__(reason)
        self.hint = hint


class _BadHeader(_BadLine):
    """An invalid CSV header, which makes every line unreadable."""


class InputStream(Iterator[Any]):
    """A file's inputs, read one at a time. Use it in a `with` block, which closes the file on exit.

    Attributes:
        total: The number of inputs, or None if the format doesn't store it.
        read: The number of inputs read so far.
    """

    def __init__(self, source: Any, name: str, form: InputFormat, schema: Mapping[str, Any], stops: bool) -> None:
        """Open the file. See `read_inputs` for the arguments."""
        self.total: int | None = None
        self.read = 0
        self._file: IO[str] | None = None
        self._resources = ExitStack()
        self._size: int | None = None
        self._name, self._stops = name, stops
        self._unit = "row" if form == "parquet" else "line"
        self._values = self._open_numbered_values(source, form, schema)

    @property
    def expected(self) -> int | None:
        """The number of inputs, or an estimate based on how much of the file has been read. None if it's unknown."""
        if self.total is not None or self._file is None or self._size is None or not self.read:
            return self.total
        try:
            position = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        except (OSError, ValueError):
            return None
        return round(self.read * self._size / position) if position else None

    def __next__(self) -> Any:
        """Return the next input. If it can't be read, return a ValueError in its place."""
        try:
            number, value = next(self._values)
        except StopIteration:
            self.close()
            raise
        self.read += 1
        if not isinstance(value, ValueError):
            return value
        hint = getattr(value, "hint", None)
        if self._stops or isinstance(value, _BadHeader):
            self.close()
            message = f"{self._name}, {self._unit} {number}, cannot be read: {value}"
            if not isinstance(value, _BadHeader):
                hint = "; ".join(filter(None, (hint, SKIP_HINT)))
            raise FlowFileError(message, path=self._name, line=number, hint=hint)
        return ValueError(f"{self._unit} {number} cannot be read: {value}{f' ({hint})' if hint else ''}")

    def close(self) -> None:
        """Close the file and stop reading."""
        self._values.close()
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open_numbered_values(self, source: Any, form: InputFormat, schema: Mapping[str, Any]) -> Any:
        """Open the file and return a generator of (line or row number, value) pairs."""
        if form in ("json", "yaml"):
            values = _read_all_inputs(source, self._name, form)
            self.total = len(values)
            return (numbered for numbered in enumerate(values, 1))
        if form == "parquet":
            self.total, rows = open_parquet_rows(source, self._name)
            return _enumerate_parquet_rows(rows, schema)
        lines = self._iter_bounded_lines(self._open_text(source))
        return _enumerate_json_lines(lines) if form == "jsonl" else _enumerate_csv_rows(lines, schema)

    def _iter_bounded_lines(self, file: IO[str]) -> Iterator[str]:
        """Yield a file's lines. Raise an error if a single line exceeds the maximum file size."""
        while line := file.readline(reading.MAX_FILE_BYTES):
            if len(line) == reading.MAX_FILE_BYTES and not line.endswith("\n"):
                raise FlowFileError(reading.format_file_too_large(self._name), path=self._name)
            yield line

    def _open_text(self, source: Any) -> IO[str]:
        options: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
        if isinstance(source, str):
            try:
                file: IO[str] = self._resources.enter_context(open(source, **options))  # noqa: SIM115 - closed by `close`
            except FileNotFoundError:
                raise reading.make_missing_file_error(source) from None
            except OSError as error:
                raise FlowFileError(f"{source} cannot be read: {error.strerror}", path=source) from None
        elif hasattr(source, "encoding"):
            file = source
        else:
            file = wrapper = TextIOWrapper(source, **options)
            # Detach the wrapper, which would otherwise close the caller's file.
            self._resources.enter_context(suppress(ValueError))
            self._resources.callback(wrapper.detach)
        self._file = file
        with suppress(OSError, ValueError):
            status = os.fstat(file.fileno())
            self._size = status.st_size if stat.S_ISREG(status.st_mode) else None
        return file


def read_inputs(
    source: str | os.PathLike[str] | IO[bytes] | IO[str],
    *,
    flow: FlowSource | None = None,
    format: InputFormat | None = None,
    on_bad_line: Literal["fail", "stop"] = "fail",
) -> InputStream:
    """Read a batch's inputs from a file, as `stepflow batch FLOW INPUTS` does.

    JSON Lines, CSV and Parquet are read lazily, one input at a time, so even a huge file needs little memory. Each CSV
    or Parquet row becomes an object with the column names as keys.

    Example:
        ```python
        with read_inputs("rows.csv", flow="ticket.yaml") as inputs, write_outcomes("outcomes.jsonl") as file:
            with client.map("ticket.yaml", inputs) as outcomes:
                for outcome in outcomes:
                    file.write(outcome)
        ```

    Args:
        source: A path, or an open file, which won't be closed. Parquet requires a file opened in binary mode, and the
            `stepflow-client[parquet]` extra.
        flow: The flow whose input schema determines the types of CSV fields. A field with any type other than string is
            parsed as JSON. A field without a type is a string. An empty field becomes null if its type allows null.
            Empty CSV fields and Parquet nulls are omitted if the schema neither requires them nor allows null. Without
            a flow, all CSV fields are strings.
        format: `jsonl`, `csv`, `json`, `yaml` or `parquet`. Defaults to the format implied by the extension (`.ndjson`
            means `jsonl`), or to `jsonl` for an open file. `json` and `yaml` files contain a list, which is read all at
            once. A file with any other extension is read as a list if it starts with `[` or `-`, and as JSON Lines
            otherwise.
        on_bad_line: What to do with a line that can't be read. `fail` treats it as a failed input, for which `map`
            yields a failed outcome. `stop` stops the batch with a FlowFileError. Defaults to `fail`. An invalid CSV
            header always raises a FlowFileError.

    Raises:
        FlowFileError: If the file can't be read. This can also happen later, while iterating.
        InvalidArgumentError: If an argument is invalid.
    """
    check_choice(on_bad_line, "on_bad_line", ("fail", "stop"))
    if format is not None:
        check_choice(format, "format", ("jsonl", "csv", "json", "yaml", "parquet"))
    if isinstance(source, (str, os.PathLike)):
        source = name = os.fsdecode(source)
        form = format or ROW_FORMATS.get(name.lower().rpartition(".")[2], "yaml")
    elif hasattr(source, "read"):
        name, form = _get_file_name(source), format or "jsonl"
    else:
        raise argument_error("source", "a path or an open file", source)
    schema = None if flow is None else get_declared_schema(reading.load_flow(flow), "input")
    return InputStream(source, name, form, schema if isinstance(schema, Mapping) else {}, on_bad_line == "stop")


def _get_file_name(file: Any) -> str:
    with suppress(AttributeError, OSError, ValueError):
        if file.fileno() == 0:
            return "standard input"
    return str(getattr(file, "name", "the file"))


def _read_all_inputs(source: Any, name: str, form: InputFormat) -> list[Any]:
    """Return the elements of the list in a YAML or JSON file, or the values in a JSON Lines file.

    In JSON Lines, blank lines are skipped.
    """
    if not isinstance(source, str):
        content = source.read() if hasattr(source, "encoding") else reading.read_stream(source.read, name)
        text = content if isinstance(content, str) else reading.decode_text(content, name)
        value = reading.parse_yaml(text, name) if form == "yaml" else _parse_json_lines(text, name)
    elif source.lower().endswith(_SINGLE_VALUE_EXTENSIONS):
        try:
            value = reading.load_file(source)
        except FlowFileError:
            if not source.lower().endswith(".json"):
                raise
            value = None
            with suppress(FlowFileError):
                value = _parse_json_lines(reading.decode_text(reading.read_file_bytes(source), source), source)
            if value is None:
                raise
    else:
        # A file with any other extension usually contains JSON Lines.
        text = reading.decode_text(reading.read_file_bytes(source), name)
        value = reading.parse_yaml(text, name) if text.lstrip()[:1] in ("[", "-") else _parse_json_lines(text, name)
    if not isinstance(value, list):
        hint = "for lines of JSON, use the extension .jsonl"
        raise FlowFileError(f"{name} is not a list of inputs", path=name, hint=hint)
    return value


def _parse_json_lines(text: str, name: str) -> list[Any]:
    values = []
    # Split only on line feeds, because JSON text can contain other line separators.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values.append(reading.parse_json(line, f"{name}, line {number},"))
            except FlowFileError as error:
                # The parser only sees this line, so it always reports line 1.
                message = error.message.replace("(line 1, column", "(column")
                raise FlowFileError(message, path=name, line=number, hint=error.hint) from None
    return values


def _enumerate_json_lines(file: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                line.encode()
                yield number, json.loads(line, parse_constant=reject_json_constant)
            except UnicodeEncodeError:
                yield number, ValueError("it is not UTF-8 text")
            except json.JSONDecodeError as error:
                fault = explain_json_error(error)
                is_open = fault.reason in ("this { is not closed", "this [ is not closed")
                hint = "each line must contain a whole value; put a list in a .json file" if is_open else fault.hint
                yield number, _BadLine(f"{fault.reason} (column {fault.column})", hint)
            except ValueError as error:
                yield number, error
            except RecursionError:
                yield number, ValueError("it is nested too deeply")


def _enumerate_csv_rows(file: Iterable[str], schema: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    lines = csv.reader(file, strict=True)
    fields: list[str] | None = None
    types, optional = _find_types_and_optional_fields(schema)
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            is_open = str(error) == "unexpected end of data"
            hint = 'a quote in a quoted field is written as ""'
            yield lines.line_num, _BadLine("a quote is not closed" if is_open else str(error), hint)
            continue
        if not cells:
            continue
        if fields is None:
            fields = cells
            if (wrong := _find_header_problem(cells)) is not None:
                yield lines.line_num, wrong
                return
        elif len(cells) != len(fields):
            reason = f"it has {len(cells)} fields, but the header has {len(fields)}"
            yield lines.line_num, _BadLine(reason, "put fields that contain a comma in double quotes")
        else:
            given = [(name, text) for name, text in zip(fields, cells, strict=True) if text or name not in optional]
            try:
                yield lines.line_num, {name: _parse_cell(name, text, types.get(name)) for name, text in given}
            except ValueError as error:
                yield lines.line_num, error


def _find_header_problem(cells: list[str]) -> _BadHeader | None:
    """Return an error that explains why a line can't be a CSV header, or None if it can."""
    try:
        cells[0].encode()
    except UnicodeEncodeError:
        return _BadHeader("it is not UTF-8 text", "save the file as UTF-8")
    twice = next((name for place, name in enumerate(cells) if name in cells[:place]), None)
    if twice is not None:
        return _BadHeader(f"it has two columns named {twice!r}", "rename or remove one of them")
    sign = next((name for separator, name in ((";", "semicolons"), ("\t", "tabs")) if separator in cells[0]), None)
    if sign is None or len(cells) > 1:
        return None
    return _BadHeader(f"its fields are separated by {sign}", "separate them by commas")


def _find_types_and_optional_fields(schema: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the fields' types, and the names of fields that are neither required nor nullable."""
    from ..flows.json_schema import find_mismatches, get_defs

    fields, required = get_fields(schema)
    definitions = get_defs(schema)
    types = {name: field.get("type") for name, field in fields.items() if isinstance(field, Mapping)}
    unlisted = {name: field for name, field in fields.items() if name not in required}
    optional = (name for name, field in unlisted.items() if find_mismatches(None, field, definitions))
    return types, frozenset(optional)


def _enumerate_parquet_rows(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    """Yield rows as JSON values, omitting optional nulls. Parse strings as JSON if the schema has a different type."""
    types, optional = _find_types_and_optional_fields(schema)
    for number, row in enumerate(rows, start=1):
        try:
            given = {name: cell for name, cell in row.items() if cell is not None or name not in optional}
            value = _convert_to_json(given)
            for name in types.keys() & value.keys():
                # Parquet values already have a type, so leave strings alone unless the schema specifies a type.
                if isinstance(value[name], str) and types[name] is not None:
                    value[name] = _parse_cell(name, value[name], types[name])
            yield number, value
        except ValueError as error:
            yield number, error


def import_pyarrow() -> Any:
    """Import `pyarrow` along with `pyarrow.parquet`.

    Raises:
        FlowFileError: If pyarrow isn't installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise FlowFileError("Parquet needs pyarrow", hint=install_command("stepflow-client", "parquet")) from None
    return pyarrow


@contextmanager
def _converting_parquet_errors(name: str) -> Iterator[None]:
    arrow = import_pyarrow()
    try:
        yield
    except (OSError, arrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "the file is damaged, or not a Parquet file"
        raise FlowFileError(f"{name} cannot be read: {reason}", path=name, hint=hint) from None


def open_parquet_rows(source: Any, name: str) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return the number of rows in a file, and an iterator that reads them lazily.

    Args:
        source: A path, or a file opened in binary mode. If the file isn't seekable, all of it is read first.
        name: The file name to show in error messages.

    Raises:
        FlowFileError: If the file can't be read, or if pyarrow is missing.
        InvalidArgumentError: If the file is open in text mode.
    """
    arrow = import_pyarrow()
    if isinstance(source, TextIOBase):
        raise argument_error("source", "a path, or a file opened in binary mode", source)
    with _converting_parquet_errors(name):
        if not isinstance(source, str) and not source.seekable():
            source = arrow.BufferReader(source.read())
        # Don't pre-buffer, which would load all row groups into memory.
        file = arrow.parquet.ParquetFile(source, pre_buffer=False)
    names = file.schema_arrow.names
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise FlowFileError(f"{name} cannot be read: it has two columns named {twice!r}", path=name)
    return file.metadata.num_rows, _iter_parquet_file_rows(name, file)


def _iter_parquet_file_rows(name: str, file: Any) -> Iterator[dict[str, Any]]:
    with file:
        batches = file.iter_batches(batch_size=_MAX_BATCH_ROWS)
        while True:
            with _converting_parquet_errors(name):
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            if batch is None:
                return
            yield from rows


def _convert_to_json(value: Any) -> Any:
    """Convert a row's value to JSON. Times become ISO 8601 strings. Decimals and UTF-8 bytes also become strings.

    Raises:
        ValueError: If the value contains bytes that aren't UTF-8 text.
    """
    if isinstance(value, dict):
        return {name: _convert_to_json(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_convert_to_json(part) for part in value]
    if is_non_json_scalar(value):
        return encode_scalar(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError("it has bytes that are not UTF-8 text") from None
    return value


def _parse_cell(name: str, text: str, kind: Any) -> Any:
    """Return a cell's text, or parse it as JSON if its type isn't string. An empty nullable cell becomes null."""
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
        return json.loads(text, parse_constant=reject_json_constant)
    except ValueError:
        expected = " or ".join(sorted(map(str, kinds)))
        hint = f"correct it, or change the type of {name} in the flow's input schema"
        raise _BadLine(f"field {name} is not of type {expected}: {text!r}", hint) from None
