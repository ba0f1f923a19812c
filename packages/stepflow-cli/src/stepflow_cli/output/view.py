"""The output of a command: records in the requested format, documents, and generated files."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Problem, current_session, usage
from ..inputs.files import write_bytes, writing
from ..output.terminal import printable
from ..stdio import reporting_lost_output
from . import terminal as colors
from .columns import View, select_fields
from .messages import note
from .terminal import escape_json

FORMATS = ("table", "json", "jsonl", "yaml", "name")

Record = Mapping[str, Any]
"""One record: names and JSON values; times are RFC 3339 text."""


class Output(NamedTuple):
    """Where and in which format a command prints its data."""

    format: str | None = None
    """One of `FORMATS`; None if not given."""
    fields: Sequence[str] = ()
    """The dotted names of the fields to print; empty for all."""
    value_format: str | None = None
    """The format that `value` and `records` use if none was given; None leaves the choice to them."""
    path: str | None = None
    """The file to write to; None or `-` for standard output."""
    wide: bool = False
    """Whether a table on a terminal is as wide as its longest line, with nothing truncated."""

    def check(self) -> None:
        """Check that the file can be written, before any work is done.

        Raises:
            Problem: If it cannot.
        """
        if self.path in (None, "-"):
            return
        from stepflow_client._stores.user_files import check_writable

        path = str(self.path)
        folder = os.path.dirname(os.path.abspath(path))
        if os.path.isdir(path):
            raise usage(f"{path} is a folder, not a file", "name a file in it")
        if not os.path.isdir(folder):
            hint = "create the folder, or name another file"
            raise usage(f"{path} cannot be written: there is no folder {folder}", hint)
        with writing(path):
            check_writable(path)

    @property
    def document_format(self) -> str:
        """The format of a document, such as a flow, if none was given: by the file's extension, otherwise YAML."""
        return self.value_format or ("json" if (self.path or "").lower().endswith(".json") else "yaml")

    def record(self, record: Record, view: View, default: str = "table") -> None:
        """Print one record, as an object or as a table with one field per line.

        Args:
            record: The record.
            view: Its structure.
            default: The format if none was given.
        """
        match self.format or default:
            case "table":
                self.write(self.table([record], view, vertical=True))
            case "json":
                self.write(format_json(self._select(record, view), indent=2) + "\n")
            case form:
                self.write(self._format_line(form, record, view))

    def records(self, records: Iterable[Record], view: View, default: str = "table", *, flush: bool = False) -> None:
        """Print records: as an array, JSON lines, a table and so on.

        Args:
            records: The records; with jsonl and name, each is printed before the next is requested.
            view: Their structure.
            default: The format if none was given.
            flush: Whether to flush after each line, for records that arrive over time.
        """
        form = self.format or self.value_format or default
        if form in ("jsonl", "name"):
            self.write_all((self._format_line(form, record, view) for record in records), flush)
            return
        everything = list(records)
        if form == "table":
            self.write(self.table(everything, view))
            return
        selected = list(select_fields(everything, self.fields, view)) if self.fields else everything
        self.write(format_json(selected, indent=2) + "\n" if form == "json" else _format_yaml(selected))

    def table(self, records: Sequence[Record], view: View, *, vertical: bool = False) -> str:
        """Return records as a table, with the selected fields; vertical, the first record with a field per line."""
        from . import tables

        if self.fields:
            list(select_fields(records, self.fields, view))  # raises on unknown fields
            view = view.only(self.fields)
        on_terminal = self.path in (None, "-") and colors.is_terminal(sys.stdout)
        color = current_session().color
        if on_terminal or color == "always":
            has_color = colors.has_color(sys.stdout, color)
            return tables.format_terminal_table(records, view, vertical=vertical, color=has_color, wide=self.wide)
        return tables.format_plain_table(records, view, vertical=vertical)

    def value(self, value: Any) -> None:
        """Print a single JSON value: as indented JSON, or in the given format; on one line with jsonl."""
        form = self.format or self.value_format
        if form == "yaml":
            self.write(_format_yaml(value))
        else:
            self.write(format_json(value, indent=None if form == "jsonl" else 2) + "\n")

    def write(self, text: str) -> None:
        """Write text to the output."""
        self.write_all([text])

    def write_all(self, texts: Iterable[str], flush: bool = False) -> None:
        """Write texts to the output, one after the other; to a file, all at once.

        Args:
            texts: The texts.
            flush: Whether to flush standard output after each text.
        """
        if self.path not in (None, "-"):
            write_bytes(str(self.path), "".join(texts).encode("utf-8", "backslashreplace"))
            return
        for text in texts:
            sys.stdout.write(text)
            if flush:
                sys.stdout.flush()

    def _select(self, record: Record, view: View) -> Record:
        return next(select_fields([record], self.fields, view)) if self.fields else record

    def _format_line(self, form: str, record: Record, view: View) -> str:
        """Return a record in a format without an enclosing structure."""
        selected = self._select(record, view)
        if form == "jsonl":
            return format_json(selected) + "\n"
        if form == "yaml":
            return _format_yaml(selected)
        names = _list_leaves(selected) if self.fields else [record.get(view.name)]
        return "\t".join(printable(str(name)) for name in names) + "\n"


def _list_leaves(value: Any) -> list[Any]:
    """Return the values at the leaves of the selected fields."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _list_leaves(inner)]
    return ["" if value is None else format_json(value) if isinstance(value, (list, bool)) else value]


def format_json(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON, escaping what a terminal would interpret and what standard output cannot encode."""
    text = escape_json(json.dumps(value, ensure_ascii=False, indent=indent))
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def _format_yaml(value: Any) -> str:
    # Few calls need PyYAML, which takes time to import.
    from stepflow_client._command import write_yaml

    return write_yaml(value)


def write_document(content: bytes, path: str | None) -> None:
    """Write a document to a file, or to standard output if the path is None or `-`.

    Raises:
        Problem: If it is a binary picture and standard output is a terminal, or the file cannot be written.
    """
    if path in (None, "-"):
        if path is None and sys.stdout.isatty() and b"\x00" in content:
            raise usage("a PNG picture is not printed on a terminal", "--output FILE keeps it")
        sys.stdout.flush()
        with reporting_lost_output():
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        return
    write_bytes(str(path), content)


def open_in_browser(path: str) -> None:
    """Open a file in the browser.

    Raises:
        Problem: If there is no browser.
    """
    import webbrowser

    if not webbrowser.open(Path(path).resolve().as_uri()):
        hint = f"open {path} yourself"
        raise Problem("no browser could be started", kind="no_browser", hint=hint)


class GeneratedFile:
    """A text file that is the same whenever it is written from the same.

    Args:
        output: The file; None or `-` for standard output.
        check: Whether to compare instead of writing.

    Raises:
        Problem: If there is no file to compare, or it cannot be written.
    """

    def __init__(self, output: str | None, *, check: bool) -> None:
        self.path = None if output == "-" else output
        self._is_compared = check
        if check and Path(str(self.path)).is_dir():
            raise usage(f"{self.path} is a folder, not a file")
        if not check:
            Output(path=output).check()

    def write_or_compare(self, text: str, again: str) -> None:
        """Write the file, or compare it.

        Args:
            text: Its content.
            again: How to write it if it differs.

        Raises:
            Problem: If it differs, or cannot be written.
        """
        content = text.encode()
        if not self._is_compared:
            write_document(content, self.path)
            return
        file = Path(str(self.path))
        if file.is_file() and file.read_bytes() == content:
            note(f"{file} is up to date")
            return
        difference = "is out of date" if file.exists() else "does not exist"
        raise Problem(f"{file} {difference}", kind="outdated", hint=f"write it again: {again}")
