"""HTML for notebooks, of at most 100 kB: results, runs and lists as tables, collapsible JSON, flows as graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from .html import TREE_STYLE, json_tree, short_json

if TYPE_CHECKING:
    from ..types import StoredFlow

__all__ = ["bundle", "fields_html", "flow_html", "records_html"]

_MOST_BYTES = 95_000
_MOST_ROWS = 50
_LONGEST_CELL = 300
_LONGEST_PLAIN = 10_000
_LEFT = "style='text-align:left;vertical-align:top'"


def bundle(value: Any, html: str) -> dict[str, str]:
    """Return a value in the formats that notebooks use: HTML, and up to 10,000 characters of its `repr` as text."""
    plain = repr(value)
    return {
        "text/html": html,
        "text/plain": plain if len(plain) <= _LONGEST_PLAIN else f"{plain[: _LONGEST_PLAIN - 1]}…",
    }


def fields_html(fields: Iterable[tuple[str, object]]) -> str:
    """Return fields as a table, with texts unchanged and JSON values as trees."""
    rows = "".join(f"<tr><th {_LEFT}>{escape(name)}</th><td {_LEFT}>{_cell(value)}</td></tr>" for name, value in fields)
    style = f"<style>{TREE_STYLE}</style>" if '<div class="js">' in rows else ""
    return f"<table>{rows}</table>{style}"


def _cell(value: object) -> str:
    if isinstance(value, (dict, list)):
        return json_tree(value, most=200, longest=_LONGEST_CELL)
    return escape(_word(value, 2_000))


def _word(value: object, longest: int) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else "" if value is None else short_json(value, longest)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def records_html(records: Sequence[Any], columns: Sequence[str], what: str) -> str:
    """Return a list as a table of its first 50 entries.

    Args:
        records: The entries of the list. Only those that are shown are accessed.
        columns: The attributes of an entry to show; may be dotted.
        what: The noun for the entries, for the line above the table.
    """
    count = len(records)
    shown = min(count, _MOST_ROWS)
    above = f"{count} {what}" + (f", the first {shown}:" if shown < count else "")
    heads = "".join(f"<th {_LEFT}>{escape(name.rpartition('.')[2])}</th>" for name in columns)
    size = min(_LONGEST_CELL, _MOST_BYTES // 12 // max(1, shown) // len(columns) * 2)
    rows = []
    for place in range(shown):
        cells = (escape(_word(_attribute(records[place], name), size)) for name in columns)
        rows.append("<tr>" + "".join(f"<td {_LEFT}>{cell}</td>" for cell in cells) + "</tr>")
    return f"<div>{escape(above)}</div><table><tr>{heads}</tr>{''.join(rows)}</table>"


def _attribute(record: Any, name: str) -> Any:
    for part in name.split("."):
        record = getattr(record, part, None)
    return record


def flow_html(stored: StoredFlow) -> str:
    """Return the graph of a stored flow, without the values of secret variables in the flow."""
    from . import draw

    drawing = draw(stored.flow)
    html = drawing._repr_html_() or ""
    if len(html.encode()) > _MOST_BYTES:
        html = f"<pre>{escape(repr(drawing))}; it is too large for a notebook: draw(flow).html() has it</pre>"
    return f"<div>flow {escape(stored.flow_id)}</div>{html}"
