"""The parts of reports: sections, tables, facts and texts."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from html import escape

from .._base.text import cut, visible, visible_lines
from .theme import STATUSES

NUMBER = re.compile("(<a [^>]*>)?[+x-]?[0-9]")
"""The beginning of cells that are right-aligned."""

REPORT_STYLE = """
.brand{display:flex;gap:var(--space-2);align-items:center}.brand svg{flex:none;width:28px;height:28px}
h1{margin:0;line-height:1.3}h2{margin:0 0 var(--space-3)}
section{background:var(--surface);border:1px solid var(--line);border-radius:var(--radius-2);
padding:var(--space-4) var(--space-5);margin:var(--space-4) 0;min-width:0}section>:last-child{margin-bottom:0}
.facts{display:flex;flex-wrap:wrap;gap:var(--space-3) var(--space-6);margin:0}.facts div{min-width:0}
.facts dt{color:var(--soft);font-size:var(--text-1)}.facts dd{margin:0;overflow-wrap:anywhere}
.problem{color:var(--bad);white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 var(--space-2)}.soft{color:var(--soft)}
.sf,.ch{background:none}code{font-family:var(--mono)}
table{border-collapse:collapse;font-size:var(--text-2);max-width:100%;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:6px var(--space-4) 6px 0;text-align:left;vertical-align:top;
overflow-wrap:break-word}tbody tr:last-child>*{border-bottom:0}td:last-child,td>div{overflow-wrap:anywhere}
th{color:var(--soft);font-weight:500;font-size:var(--text-1);white-space:nowrap}
td:not(.n){min-width:6em}td>div{min-width:12em;white-space:pre-wrap}
.n{text-align:right;white-space:nowrap}.runs>*{min-width:0}
@media (min-width:1800px){body:has(.two){max-width:none}.two{display:grid;gap:0 var(--space-4);
grid-template-columns:1fr 1fr}}
@media (max-width:640px){body{padding:var(--space-3)}section{padding:var(--space-3)}
.stack thead{position:absolute;clip-path:inset(50%)}.stack,.stack tbody{display:block}
.stack tr{display:flex;flex-wrap:wrap;gap:2px var(--space-3);padding:8px 0;border-bottom:1px solid var(--line)}
.stack td{display:block;border:0;padding:0;min-width:0}.stack td:has(>div),.stack td:last-child{flex:1 1 100%}}
details.page{margin:6px 0}summary{cursor:pointer;padding:3px 0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--panel);padding:8px}
@media print{body{max-width:none;padding:0;background:#fff;color:#000}tr,svg,section{break-inside:avoid}
section{border:0;padding:0}svg{max-width:100%;height:auto}.two{display:block}}
"""
"""The style of reports, in addition to those of pages, statuses, trees and charts."""


def section(title: str, content: str) -> str:
    """Return a section of a report."""
    return f"<section><h2>{title}</h2>{content}</section>"


def scroll(content: str, label: str) -> str:
    """Return content that scrolls sideways where it is too wide."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{label}">{content}</div>'


def to_html(value: object) -> str:
    """Return a value as text on one line."""
    return escape(visible(str(value)))


def message(text: str) -> str:
    """Return a text of several lines. None of them begins a line of the document."""
    return escape(visible_lines(text)).replace("\n", "&#10;")


def capitalize(name: str) -> str:
    """Return a heading with its first letter in upper case."""
    return name[:1].upper() + name[1:]


def local_time(time: datetime) -> str:
    """Return a time in the zone of the machine that writes it."""
    return f'<time datetime="{time.isoformat()}">{escape(f"{time.astimezone():%Y-%m-%d %H:%M:%S %Z}")}</time>'


def table(heads: Sequence[str], rows: Iterable[str], *, stacks: bool = False, numbers: Container[int] = ()) -> str:
    """Return a table; its heads and cells are HTML.

    Args:
        heads: The headings of the columns.
        rows: The rows.
        stacks: Whether narrow screens show each row as lines.
        numbers: The places of the columns of numbers, whose headings are right-aligned like them.
    """
    head = "".join(f"<th{' class=n' if place in numbers else ''}>{name}</th>" for place, name in enumerate(heads))
    kind = ' class="stack"' if stacks else ""
    content = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return scroll(content, f"table: {heads[0]}, {heads[-1]}")


def facts_list(facts: Sequence[tuple[str, str]]) -> str:
    """Return facts, as pairs of a name and HTML."""
    pairs = "".join(f"<div><dt>{capitalize(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{pairs}</dl>'


def row(*cells: str) -> str:
    """Return a row of a table. Cells that begin with a number are right-aligned."""
    return "<tr>" + "".join(f"<td{' class=n' if NUMBER.match(cell) else ''}>{cell}</td>" for cell in cells) + "</tr>"


def status_mark(status: str, text: str = "") -> str:
    """Return a status as shape, word and colour; `text` replaces the word."""
    kind = f"status {status}" if status in STATUSES else "status"
    return f'<b class="{kind}">{to_html(text or status.replace("_", " "))}</b>'


def fold_text(text: str) -> str:
    """Return a text; a long one shows its beginning until it is opened."""
    shown = message(text)
    return f"<details><summary>{message(cut(text, 121))}</summary>{shown}</details>" if len(text) > 160 else shown
