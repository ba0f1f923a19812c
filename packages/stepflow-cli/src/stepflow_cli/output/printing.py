"""Writes a command's output: records (in the requested format), documents and generated files."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Problem, current_session, usage
from ..inputs.file_io import converting_write_errors, write_bytes
from ..output.colors_and_escaping import escape
from ..stdio import converting_output_errors
from . import colors_and_escaping as colors
from .colors_and_escaping import escape_json_for_terminal
from .messages import note
from .record_views import View, select_record_fields

FORMATS = ("table", "json", "jsonl", "yaml", "name")

Record = Mapping[str, Any]
"""A record with JSON values. Times are RFC 3339 strings."""


class Output(NamedTuple):
    """How and where a command prints its data."""

    format: str | None = None
    """One of `FORMATS`, or None if the user didn't specify one."""
    fields: Sequence[str] = ()
    """The dotted names of the fields to print. If there are none, all fields are printed."""
    value_format: str | None = None
    """The format to use if `format` is None (except in `print_record`). If None, each method uses its own default."""
    path: str | None = None
    """The file to write to. None or `-` means stdout."""
    wide: bool = False
    """Whether tables may be wider than the terminal. Otherwise, they are truncated to fit."""

    def check_file_writable(self) -> None:
        """Check that the file can be written. Call this before doing any work.

        Raises:
            Problem: If the file can't be written.
        """
        if self.path in (None, "-"):
            return
        from stepflow_client._stores.atomic_file_writes import check_writable

        path = str(self.path)
        folder = os.path.dirname(os.path.abspath(path))
        if os.path.isdir(path):
            raise usage(f"{path} is a folder, not a file", "name a file in it")
        if not os.path.isdir(folder):
            hint = "create the folder, or name a different file"
            raise usage(f"{path} cannot be written: folder {folder} does not exist", hint)
        with converting_write_errors(path):
            check_writable(path)

    @property
    def document_format(self) -> str:
        """The format for documents such as flows.

        Defaults to JSON if the file's name ends in `.json` and to YAML otherwise.
        """
        return self.value_format or ("json" if (self.path or "").lower().endswith(".json") else "yaml")

    def print_record(self, record: Record, view: View, default: str = "table") -> None:
        """Print a record either as an object or as a table with one field per line.

        Args:
            record: The record.
            view: The record's fields and columns.
            default: The format to use if none was specified.
        """
        match self.format or default:
            case "table":
                self.write(self.format_table([record], view, vertical=True))
            case "json":
                self.write(format_safe_json(self._select_fields(record, view), indent=2) + "\n")
            case form:
                self.write(self._format_record_line(form, record, view))

    def print_records(
        self, records: Iterable[Record], view: View, default: str = "table", *, flush: bool = False
    ) -> None:
        """Print records as a JSON array, JSON lines, a table or in another format.

        Args:
            records: The records. With `jsonl` and `name`, each one is printed before the next is requested.
            view: The records' fields and columns.
            default: The format to use if none was specified.
            flush: Whether to flush after each line. Use this for records that arrive over time.
        """
        form = self.format or self.value_format or default
        if form in ("jsonl", "name"):
            self.write_texts((self._format_record_line(form, record, view) for record in records), flush)
            return
        everything = list(records)
        if form == "table":
            self.write(self.format_table(everything, view))
            return
        selected = list(select_record_fields(everything, self.fields, view)) if self.fields else everything
        self.write(format_safe_json(selected, indent=2) + "\n" if form == "json" else _format_yaml(selected))

    def format_table(self, records: Sequence[Record], view: View, *, vertical: bool = False) -> str:
        """Format records as a table of the selected fields.

        If `vertical`, show only the first record, one field per line.
        """
        from . import tables

        if self.fields:
            list(select_record_fields(records, self.fields, view))  # raises on unknown fields
            view = view.with_selected_columns(self.fields)
        on_terminal = self.path in (None, "-") and colors.is_terminal(sys.stdout)
        color = current_session().color
        if on_terminal or color == "always":
            has_color = colors.uses_color(sys.stdout, color)
            return tables.format_terminal_table(records, view, vertical=vertical, color=has_color, wide=self.wide)
        return tables.format_aligned_text_table(records, view, vertical=vertical)

    def print_value(self, value: Any) -> None:
        """Print a JSON value in the requested format. JSON is indented, except that `jsonl` prints a single line."""
        form = self.format or self.value_format
        if form == "yaml":
            self.write(_format_yaml(value))
        else:
            self.write(format_safe_json(value, indent=None if form == "jsonl" else 2) + "\n")

    def write(self, text: str) -> None:
        """Write text to the output."""
        self.write_texts([text])

    def write_texts(self, texts: Iterable[str], flush: bool = False) -> None:
        """Write several strings to the output. If the output is a file, write them all at once.

        Args:
            texts: The strings to write.
            flush: Whether to flush stdout after each one.
        """
        if self.path not in (None, "-"):
            write_bytes(str(self.path), "".join(texts).encode("utf-8", "backslashreplace"))
            return
        for text in texts:
            print(text, end="", flush=flush)
        # Flush now, because stderr may go to the same pipe or file, and later messages should come after this output.
        sys.stdout.flush()

    def _select_fields(self, record: Record, view: View) -> Record:
        return next(select_record_fields([record], self.fields, view)) if self.fields else record

    def _format_record_line(self, form: str, record: Record, view: View) -> str:
        """Format a record in a format that prints records one after another."""
        selected = self._select_fields(record, view)
        if form == "jsonl":
            return format_safe_json(selected) + "\n"
        if form == "yaml":
            return _format_yaml(selected)
        names = _list_leaf_values(selected) if self.fields else [record.get(view.name)]
        return "\t".join(escape(str(name)) for name in names) + "\n"


def _list_leaf_values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _list_leaf_values(inner)]
    return ["" if value is None else format_safe_json(value) if isinstance(value, (list, bool)) else value]


def format_safe_json(value: Any, *, indent: int | None = None) -> str:
    """Format a value as JSON, escaping anything that a terminal would interpret or that stdout can't encode."""
    text = escape_json_for_terminal(json.dumps(value, ensure_ascii=False, indent=indent))
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def _format_yaml(value: Any) -> str:
    # Import PyYAML only when it's needed, because importing it is slow.
    from stepflow_client._command import write_yaml

    return write_yaml(value)


def write_document_bytes(content: bytes, path: str | None) -> None:
    """Write a document to a file, or to stdout if the path is None or `-`.

    Raises:
        Problem: If the file can't be written, or a binary image would be printed to a terminal.
    """
    if path in (None, "-"):
        if path is None and sys.stdout.isatty() and b"\x00" in content:
            raise usage("not printing a PNG picture to a terminal", "to save it, use --output FILE")
        sys.stdout.flush()
        with converting_output_errors():
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        return
    write_bytes(str(path), content)


def open_file_in_browser(path: str) -> None:
    """Open a file in the user's browser.

    Raises:
        Problem: If no browser could be started.
    """
    import webbrowser

    if not webbrowser.open(Path(path).resolve().as_uri()):
        hint = f"open {path} yourself"
        raise Problem("could not start a browser", kind="no_browser", hint=hint)


class GeneratedFile:
    """A generated text file. Generating it again produces the same text.

    Args:
        output: The file. None or `-` means stdout.
        check: Whether to compare the existing file with the generated text instead of writing it.

    Raises:
        Problem: If the path is a folder or can't be written.
    """

    def __init__(self, output: str | None, *, check: bool) -> None:
        self.path = None if output == "-" else output
        self._is_compared = check
        if check and Path(str(self.path)).is_dir():
            raise usage(f"{self.path} is a folder, not a file")
        if not check:
            Output(path=output).check_file_writable()

    def write_or_compare(self, text: str, again: str) -> None:
        """Write the generated text to the file or, with `check`, compare it with the file.

        Args:
            text: The generated text.
            again: How to update the file if it is out of date, such as `run stepflow ...`.

        Raises:
            Problem: If the file is out of date or can't be written.
        """
        content = text.encode()
        if not self._is_compared:
            write_document_bytes(content, self.path)
            return
        file = Path(str(self.path))
        if file.is_file() and file.read_bytes() == content:
            note(f"{file} is up to date")
            return
        difference = "is out of date" if file.exists() else "does not exist"
        raise Problem(f"{file} {difference}", kind="outdated", hint=f"to update it, {again}")
