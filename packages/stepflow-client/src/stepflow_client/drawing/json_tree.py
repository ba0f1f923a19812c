"""JSON values as HTML trees of collapsible objects and lists."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from itertools import islice
from typing import Any, TypeAlias

from .._base.text_formatting import cut, short_json, visible_lines
from .._data.wire import OutputDecoder
from ..flows.expressions import Path

Link: TypeAlias = Callable[[Path, int], str]
"""A function that returns the URL for part of a value, given its path and the first entry to show."""

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
# Longer text is collapsed.
_MAX_LINE_LENGTH = 160
_MAX_DEPTH = 30
_MAX_PEEKED_ENTRIES = 4
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
    """Format a value as an HTML tree of collapsible objects and lists. The two outermost levels start open.

    Outer levels take precedence, so all entries of the value itself are included before any nested ones.

    Args:
        value: A JSON value.
        limit: Maximum number of values to show. They are followed by the number of hidden entries.
        longest: Maximum number of characters to show per string.
        path: The path of the value, for links.
        start: The first entry of the value to show. Defaults to 0.
        link: A function that returns the URL for hidden entries (or the rest of a string), given the path and the first
            hidden entry. If omitted, only the number of hidden entries or characters is shown.
        decoder: Decodes a value that is still in the server's encoding. Only the visible parts are decoded.
    """
    if decoder is not None and not isinstance(value, (dict, list)):
        value = decoder.restore_value(value)
    root = _TreeEntry("", value, path, start, decoder)
    # Go through the value level by level to choose which entries to show.
    waiting, left = deque([(root, 0)] if _has_entries(root) else []), limit
    while waiting and left > 0:
        entry, depth = waiting.popleft()
        entry.entries = [
            _TreeEntry(short_json(str(key), 200)[1:-1] or '""', value, (*entry.path, key), 0, inner)
            for key, value, inner in _iter_entries(entry, entry.start + min(left, _MAX_CHILDREN))
        ]
        left -= len(entry.entries)
        waiting += [(inner, depth + 1) for inner in entry.entries if _has_entries(inner) and depth + 1 < _MAX_DEPTH]
    return f'<div class="js">{"".join(_TreeWriter(longest, link).write(root, 0))}</div>'


@dataclass(slots=True)
class _TreeEntry:
    """A value to show, along with its visible entries."""

    name: str
    value: Any
    path: Path
    start: int
    decoder: OutputDecoder | None
    entries: list[_TreeEntry] = field(default_factory=list)


def _has_entries(entry: _TreeEntry) -> bool:
    """Return whether a value has nested entries to show."""
    return isinstance(entry.value, (dict, list)) and bool(entry.value)


def _iter_entries(entry: _TreeEntry, end: int) -> Iterator[tuple[str | int, Any, OutputDecoder | None]]:
    """Yield a value's entries up to `end`, each along with its key or index and its decoder."""
    if entry.decoder is not None:
        yield from entry.decoder.iter_decoded_children(entry.value, entry.start, end)
        return
    pairs = entry.value.items() if isinstance(entry.value, dict) else enumerate(entry.value)
    for key, value in islice(pairs, entry.start, end):
        yield key, value, None


class _TreeWriter:
    """Writes a tree as HTML. Its long strings share a budget of five times the limit for a single string."""

    def __init__(self, longest: int, link: Link | None) -> None:
        self._max_text_length = longest
        self._length_left = 5 * longest
        self._link = link

    def write(self, entry: _TreeEntry, depth: int) -> Iterator[str]:
        value = entry.value
        label = f"<b>{escape(entry.name)}</b>: " if entry.name else ""
        if depth < _MAX_DEPTH and _has_entries(entry):
            size = f"{{{len(value)}}}" if isinstance(value, dict) else f"[{len(value)}]"
            is_shown = depth < 2 and bool(entry.entries)
            peek = "" if is_shown else f' <span class="peek">{escape(_format_preview(entry))}</span>'
            yield f"<details{' open' if is_shown else ''}><summary>{label}{size}{peek}</summary>"
            for inner in entry.entries:
                yield from self.write(inner, depth + 1)
            shown = entry.start + len(entry.entries)
            if shown < len(value):
                yield f"<div>{self._more_link(entry, shown, f'{len(value) - shown} more')}</div>"
            yield "</details>"
            return
        text = _abbreviate_scalar(value, self._max_text_length)
        if not isinstance(value, str) or ("\n" not in value and len(text) <= _MAX_LINE_LENGTH):
            yield f"<div>{label}{escape(text)}</div>"
            return
        beginning = value[: min(self._max_text_length, max(self._length_left, _MAX_LINE_LENGTH))]
        self._length_left -= len(beginning)
        rest = len(value) - len(beginning)
        # Encode line breaks, so that no line of the text can begin a line of the document.
        content = escape(visible_lines(beginning)).replace("\n", "&#10;")
        summary = f"{label}{escape(_abbreviate_scalar(value, _MAX_LINE_LENGTH))}"
        yield f"<details><summary>{summary}</summary><pre>{content}</pre>"
        yield (f"<div>{self._more_link(entry, 0, f'{rest} more characters')}</div></details>" if rest else "</details>")

    def _more_link(self, entry: _TreeEntry, start: int, text: str) -> str:
        if self._link is None:
            return f"… {text}"
        return f'<a class="more" href="{escape(self._link(entry.path, start))}">… {text}</a>'


def _abbreviate_scalar(value: Any, longest: int) -> str:
    """Format a scalar as JSON, up to a maximum length. If a string is long, only its beginning is encoded."""
    return short_json(value[: longest + 1] if isinstance(value, str) else value, longest)


def _format_preview(entry: _TreeEntry) -> str:
    """Summarize a collapsed object or list on one line by showing its first few entries."""
    entries = _iter_entries(replace(entry, start=0), _MAX_PEEKED_ENTRIES)
    parts = []
    for key, value, _ in entries:
        text = "…" if isinstance(value, (dict, list)) else _abbreviate_scalar(value, 30)
        parts.append(f"{key}: {text}" if isinstance(entry.value, dict) else text)
    return cut(", ".join(parts) + (", …" if len(entry.value) > _MAX_PEEKED_ENTRIES else ""), _MAX_PEEK_LENGTH)
