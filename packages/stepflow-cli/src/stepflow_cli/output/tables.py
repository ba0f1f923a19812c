"""Formats tables, using rich on a terminal and plain aligned columns otherwise."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .colors_and_escaping import escape, is_terminal
from .record_views import Column, View, get_nested_field

STATUS_STYLES = {
    "completed": "green",
    "healthy": "green",
    "ok": "green",
    "better": "green",
    "running": "cyan",
    "paused": "yellow",
    "cancelled": "yellow",
    "warning": "yellow",
    "failed": "red",
    "failed or not run": "red",
    "recovery_failed": "red",
    "error": "red",
    "worse": "red",
    "fatal": "red",
}
"""The terminal color for each status. The status itself is always shown too."""


def format_aligned_text_table(records: Sequence[Mapping[str, Any]], view: View, *, vertical: bool = False) -> str:
    """Format a table as aligned columns with one line per record. Nothing is truncated.

    Args:
        records: The rows.
        view: The columns.
        vertical: Whether to show just the first record, one field per line.
    """
    rows = [[_format_plain_cell(record, column) for column in view.columns] for record in records]
    headings = [column.heading for column in view.columns]
    if vertical:
        return _format_aligned_rows([[heading, cell] for heading, cell in zip(headings, rows[0], strict=True)], set())
    right = {place for place, column in enumerate(view.columns) if column.kind == "number"}
    return _format_aligned_rows([headings, *rows], right)


def _format_aligned_rows(rows: Sequence[Sequence[str]], right: set[int]) -> str:
    widths = [max(map(get_display_width, cells)) for cells in zip(*rows, strict=True)]
    text = ""
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - get_display_width(cell))
            cells.append(space + cell if place in right else cell + space)
        text += "  ".join(cells).rstrip() + "\n"
    return text


def format_terminal_table(
    records: Sequence[Mapping[str, Any]], view: View, *, vertical: bool = False, color: bool = True, wide: bool = False
) -> str:
    """Format a table with one line per record and colored statuses, fitting it into the terminal's width.

    Args:
        records: The rows.
        view: The columns.
        vertical: Whether to show just the first record, one field per line. Long values are wrapped.
        color: Whether to use colors.
        wide: Whether lines may be wider than the terminal. Otherwise, they are truncated to fit.
    """
    import shutil

    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=not vertical)
    width = shutil.get_terminal_size().columns
    if vertical:
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for column in view.columns:
            table.add_row(column.heading, Text(*_format_styled_cell(records[0], column)))
        return _render_table(table, color, width)
    if wide:
        columns = [(column, [_format_one_line_cell(record, column) for record in records]) for column in view.columns]
        width = max(width, _compute_table_width(columns, whole=True))
    else:
        columns = _get_fitting_columns(records, view, width)
    for column, texts in columns:
        # People copy IDs, so don't truncate them as long as there's room for the other columns.
        shrinks = column.kind == "text" or (column.kind == "id" and _compute_column_width(column, texts) > width - 24)
        folds = view.folds and not wide and column.kind in ("text", "time", "id")
        table.add_column(
            Text(column.heading),
            justify="right" if column.kind == "number" else "left",
            min_width=None if view.folds else get_display_width(column.heading),
            no_wrap=not (folds or shrinks) or wide,
            overflow="fold" if folds else "ellipsis",
        )
    overflow: Any = "fold" if view.folds else "ellipsis"
    for row in zip(*(texts for _, texts in columns), strict=True):
        table.add_row(*(Text(*cell, no_wrap=not view.folds, overflow=overflow) for cell in row))
    return _render_table(table, color, width)


_RUN_ID_PATTERN = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# The minimum width of a text column. Wider columns can be truncated to this width.
_MIN_TEXT_WIDTH = 12

_Cells = list[tuple[str, str]]


def _get_fitting_columns(records: Sequence[Mapping[str, Any]], view: View, width: int) -> list[tuple[Column, _Cells]]:
    """Return the columns that fit the terminal, along with the text and style of each cell.

    If the terminal is too narrow, first show times only as an age, then shorten run IDs, and finally drop optional
    columns.
    """
    cell = _format_styled_cell if view.folds else _format_one_line_cell
    fitting = [(column, [cell(record, column) for record in records]) for column in view.columns]
    if _compute_table_width(fitting) > width:
        for place, column in enumerate(view.columns):
            if column.kind == "time":
                fitting[place] = column, [cell(record, column, short=True) for record in records]
    for place, (column, texts) in enumerate(fitting):
        if column.kind == "id" and _compute_table_width(fitting) > width:
            short = map_run_ids_to_prefixes([text for text, _ in texts if re.fullmatch(_RUN_ID_PATTERN, text)])
            fitting[place] = column, [(short.get(text, text), style) for text, style in texts]
    for column in reversed(view.columns):
        if column.optional and _compute_table_width(fitting) > width:
            fitting = [entry for entry in fitting if entry[0] is not column]
    return fitting


def _format_one_line_cell(record: Mapping[str, Any], column: Column, *, short: bool = False) -> tuple[str, str]:
    text, style = _format_styled_cell(record, column, short=short)
    return text.replace("\n", "\\n").replace("\t", " "), style


def _compute_table_width(columns: Sequence[tuple[Column, _Cells]], *, whole: bool = False) -> int:
    total = 2 * (len(columns) - 1)
    for column, texts in columns:
        longest = _compute_column_width(column, texts)
        if column.kind == "text" and not whole:
            longest = min(longest, max(_MIN_TEXT_WIDTH, get_display_width(column.heading)))
        total += longest
    return total


def _compute_column_width(column: Column, texts: _Cells) -> int:
    return max(map(get_display_width, (column.heading, *(text for text, _ in texts))))


def _render_table(table: Any, color: bool, width: int) -> str:
    """Render a table to a string for the caller to write. (rich would exit the process on a broken pipe.)"""
    from io import StringIO

    from rich.console import Console

    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=True,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    # If colors are off, strip all escape sequences, including those for bold text.
    return text if color else re.sub("\x1b\\[[0-9;]*m", "", text)


def format_local_time(text: str, *, relative: bool = True) -> str:
    """Format an RFC 3339 time in the local timezone.

    Args:
        text: The time. If this isn't a valid time, it is returned unchanged.
        relative: Whether to add how long ago that was. If False, return an RFC 3339 time with the local UTC offset,
            which programs can parse.
    """
    try:
        time = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return text
    return f"{time:%Y-%m-%d %H:%M:%S} ({_format_ago(time)})" if relative else time.isoformat(timespec="seconds")


def format_log_line_time(text: str) -> str:
    """Format an RFC 3339 time in local time. Unless stdout is a terminal, keep the RFC 3339 format."""
    if is_terminal(sys.stdout):
        return format_local_time(text).partition(" (")[0]
    return format_local_time(text, relative=False)


def _format_age(text: str) -> str:
    try:
        return _format_ago(datetime.fromisoformat(text))
    except ValueError:
        return text


def _format_ago(time: datetime) -> str:
    ago = (datetime.now(UTC) - time.astimezone(UTC)).total_seconds()
    seconds, direction = abs(ago), "ago" if ago >= -1 else "ahead"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} {direction}"
    return f"{int(seconds)}s {direction}"


def _format_cell_value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and value and all(isinstance(flag, bool) for flag in value.values()):
        # The value is a set of flags, so list those that are enabled.
        return ", ".join(name for name, on in value.items() if on) or "-"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value) or "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _format_plain_cell(record: Mapping[str, Any], column: Column) -> str:
    value = get_nested_field(record, column.field)
    if column.kind == "time" and isinstance(value, str):
        return escape(format_local_time(value, relative=False))
    return escape(_format_cell_text(record, column, value)).replace("\t", " ")


def _format_cell_text(record: Mapping[str, Any], column: Column, value: Any) -> str:
    return column.row(record) if column.row is not None else (column.show or _format_cell_value)(value)


def _format_styled_cell(record: Mapping[str, Any], column: Column, *, short: bool = False) -> tuple[str, str]:
    value = get_nested_field(record, column.field)
    if column.kind == "time" and isinstance(value, str):
        return escape(_format_age(value) if short else format_local_time(value)), ""
    shown = escape(_format_cell_text(record, column, value))
    # Only color the text of a combined cell if it is exactly a status, not text such as "not run (a failed)".
    status = str(value) if column.row is None else shown
    return shown, STATUS_STYLES.get(status, "") if column.kind == "status" else ""


# Minimum length of a shortened ID.
_MIN_ID_LENGTH = 8


def get_display_width(text: str) -> int:
    """Return the text's width in terminal columns. Some characters take up two columns, others none."""
    # Characters below U+0300, such as the µ in durations, take up one column. Don't import rich just for them, because
    # that takes 3 ms.
    if text.isascii() or max(text) < "\u0300":
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def truncate_to_width(text: str, width: int) -> str:
    """Truncate text to a width in terminal columns, adding an ellipsis if necessary."""
    if get_display_width(text) <= width:
        return text
    from rich.cells import set_cell_size

    return f"{set_cell_size(text, max(width - 1, 0)).rstrip()}\N{HORIZONTAL ELLIPSIS}"


def map_run_ids_to_prefixes(ids: Sequence[str]) -> dict[str, str]:
    """Map each ID to a prefix that no other ID starts with. The prefixes are all equally long."""
    for length in range(_MIN_ID_LENGTH, max(map(len, ids), default=0)):
        short = {run_id: run_id[:length].rstrip("-") for run_id in ids}
        if len(set(short.values())) == len(set(ids)):
            return short
    return {run_id: run_id for run_id in ids}
