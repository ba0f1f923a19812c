"""HTML pages for pictures and reports: a single file that loads no other files; JSON values as collapsible trees."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from .._base.text import cut, short_json, visible, visible_lines
from ..flows.expressions import Path
from .theme import THEME_STYLE

if TYPE_CHECKING:
    from .._data.output_decoder import OutputDecoder

Link: TypeAlias = Callable[[Path, int], str]
"""Returns the URL of a part of a value, for its path and its first entry to show."""

PAGE_STYLE = (
    THEME_STYLE
    + """
body{background:var(--bg);color:var(--text);font:var(--text-3)/1.5 var(--sans);margin:0 auto;
padding:var(--space-4) var(--space-5);max-width:1400px}
h1{font-size:var(--text-5);overflow-wrap:anywhere}h2{font-size:var(--text-4)}
.scroll{overflow:auto;max-width:100%}
"""
)
"""The style of all pages."""


def _hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(title: str, body: str, style: str, script: str = "") -> str:
    """Return a complete page. Its content security policy allows only this style and this script, and no requests.

    Args:
        title: The title of the page; any text.
        body: The HTML of the body; control characters and invisible characters in it are replaced.
        style: The CSS.
        script: The JavaScript; empty for none.
    """
    policy = f"default-src 'none'; style-src {_hash_source(style)}; base-uri 'none'; form-action 'none'"
    policy += f"; script-src {_hash_source(script)}" if script else ""
    program = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(visible(title))}</title><style>{style}</style></head>\n<body><main>{visible_lines(body)}</main>{program}</body></html>\n"
    )


TREE_STYLE = """
.js{font:12px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,monospace;overflow-wrap:anywhere}
.js details{margin-left:14px}.js summary{cursor:pointer;margin-left:-14px}.js div{margin-left:14px}
.js b{font-weight:600}.js .peek{color:var(--soft)}.js details[open]>summary>.peek{display:none}
.js pre{margin:2px 0 6px;padding:6px 8px;background:var(--panel);white-space:pre-wrap;
overflow-wrap:anywhere;max-height:60vh;overflow:auto}
"""
_MAX_NODES = 300
_MAX_CHILDREN = 50
_MAX_TEXT_LENGTH = 20_000
# Maximum number of characters of a text that is not folded.
_MAX_LINE_LENGTH = 160
_MAX_DEPTH = 30
_MAX_PEEKED = 4
_MAX_PEEK_LENGTH = 70


def json_tree(
    value: Any,
    *,
    limit: int = _MAX_NODES,
    longest: int = _MAX_TEXT_LENGTH,
    path: Path = (),
    start: int = 0,
    link: Link | None = None,
    decoder: OutputDecoder | None = None,
) -> str:
    """Return a value as HTML with collapsible objects and lists, of which the two outer levels are open.

    Outer levels are shown before inner ones, so each entry of the value has its place before parts of an entry do.

    Args:
        value: A JSON value.
        limit: Maximum number of values to show. The number of hidden entries is shown instead of them.
        longest: Maximum number of characters to show of a text.
        path: Where the value is, for the links.
        start: The first entry of the value to show, from 0.
        link: Returns the URL at which hidden entries of a list or an object can be seen, or the rest of a text, for its
            path and the first hidden entry. Default none: their number is shown without a link.
        decoder: Decodes a value that is as the server sent it; only the shown parts are decoded. Default none.
    """
    if decoder is not None and not isinstance(value, (dict, list)):
        value = decoder.whole(value)
    root = _Entry("", value, path, start, decoder)
    # The entries to show are chosen level by level.
    waiting, left = deque([(root, 0)] if _has_entries(root) else []), limit
    while waiting and left > 0:
        entry, depth = waiting.popleft()
        entry.entries = [
            _Entry(short_json(str(key), 200)[1:-1] or '""', value, (*entry.path, key), 0, inner)
            for key, value, inner in _iterate_entries(entry, entry.start + min(left, _MAX_CHILDREN))
        ]
        left -= len(entry.entries)
        waiting += [(inner, depth + 1) for inner in entry.entries if _has_entries(inner) and depth + 1 < _MAX_DEPTH]
    return f'<div class="js">{"".join(_TreeWriter(longest, link).write(root, 0))}</div>'


@dataclass(slots=True)
class _Entry:
    """A value to show, and those of its entries that are shown."""

    name: str
    value: Any
    path: Path
    start: int
    decoder: OutputDecoder | None
    entries: list[_Entry] = field(default_factory=list)


def _has_entries(entry: _Entry) -> bool:
    """Return whether a value has entries of its own to show."""
    return isinstance(entry.value, (dict, list)) and bool(entry.value)


def _iterate_entries(entry: _Entry, end: int) -> Iterator[tuple[str | int, Any, OutputDecoder | None]]:
    """Yield the entries of a value before `end`, each with its key or index and its decoder."""
    if entry.decoder is not None:
        yield from entry.decoder.entries(entry.value, entry.start, end)
        return
    pairs = entry.value.items() if isinstance(entry.value, dict) else enumerate(entry.value)
    for key, value in islice(pairs, entry.start, end):
        yield key, value, None


class _TreeWriter:
    """Writes a tree as HTML. Long texts together have up to five times the maximum length of one."""

    def __init__(self, longest: int, link: Link | None) -> None:
        self._longest = longest
        self._left = 5 * longest
        self._link = link

    def write(self, entry: _Entry, depth: int) -> Iterator[str]:
        value = entry.value
        label = f"<b>{escape(entry.name)}</b>: " if entry.name else ""
        if depth < _MAX_DEPTH and _has_entries(entry):
            size = f"{{{len(value)}}}" if isinstance(value, dict) else f"[{len(value)}]"
            is_shown = depth < 2 and bool(entry.entries)
            peek = "" if is_shown else f' <span class="peek">{escape(_preview(entry))}</span>'
            yield f"<details{' open' if is_shown else ''}><summary>{label}{size}{peek}</summary>"
            for inner in entry.entries:
                yield from self.write(inner, depth + 1)
            shown = entry.start + len(entry.entries)
            if shown < len(value):
                yield f"<div>{self._more_link(entry, shown, f'{len(value) - shown} more')}</div>"
            yield "</details>"
            return
        text = _format_line(value, self._longest)
        if not isinstance(value, str) or ("\n" not in value and len(text) <= _MAX_LINE_LENGTH):
            yield f"<div>{label}{escape(text)}</div>"
            return
        beginning = value[: min(self._longest, max(self._left, _MAX_LINE_LENGTH))]
        self._left -= len(beginning)
        rest = len(value) - len(beginning)
        # No line of the text begins a line of the document.
        content = escape(visible_lines(beginning)).replace("\n", "&#10;")
        yield f"<details><summary>{label}{escape(_format_line(value, _MAX_LINE_LENGTH))}</summary><pre>{content}</pre>"
        yield f"<div>{self._more_link(entry, 0, f'{rest} more characters')}</div></details>" if rest else "</details>"

    def _more_link(self, entry: _Entry, start: int, text: str) -> str:
        if self._link is None:
            return f"… {text}"
        return f'<a class="more" href="{escape(self._link(entry.path, start))}">… {text}</a>'


def _format_line(value: Any, longest: int) -> str:
    """Return a plain value as JSON of a maximum length; of a long text, only the beginning is encoded."""
    return short_json(value[: longest + 1] if isinstance(value, str) else value, longest)


def _preview(entry: _Entry) -> str:
    """Return the first plain entries of a closed object or list on one line."""
    entries = _iterate_entries(replace(entry, start=0), _MAX_PEEKED)
    texts = ((key, "…" if isinstance(value, (dict, list)) else _format_line(value, 30)) for key, value, _ in entries)
    parts = [f"{key}: {text}" if isinstance(entry.value, dict) else text for key, text in texts]
    return cut(", ".join(parts) + (", …" if len(entry.value) > _MAX_PEEKED else ""), _MAX_PEEK_LENGTH)
