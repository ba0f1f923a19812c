"""Self-contained HTML pages for drawings and reports, with light and dark themes."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from itertools import islice
from typing import Any, TypeAlias

from .._base.text import cut, short_json, visible, visible_lines
from .._data.values import OutputDecoder
from ..flows.expressions import Path

# Each color in the light and the dark theme. All text colors have a contrast of at least 4.5 on `bg`, `surface` and
# `panel`.
_COLORS = {
    "bg": ("#f5f6f8", "#0d1017"),
    "surface": ("#ffffff", "#151922"),
    "panel": ("#eef0f4", "#1e2430"),
    "line": ("#dfe3ea", "#2b3240"),
    "edge": ("#7b8698", "#6f7a8e"),
    "text": ("#161b26", "#e7eaf0"),
    "soft": ("#535d70", "#a6b0c1"),
    "link": ("#3a45c9", "#a5b0ff"),
    "on": ("#ffffff", "#11141c"),
    "good": ("#15693a", "#5fcf92"),
    "good-soft": ("#e3f4e9", "#12291d"),
    "bad": ("#b42318", "#ff9088"),
    "bad-soft": ("#fdeae8", "#351a1b"),
    "run": ("#1a5bc4", "#82b4ff"),
    "run-soft": ("#e4eefc", "#15263f"),
    "warn": ("#8a4b08", "#ecbb66"),
    "warn-soft": ("#fcf0db", "#302512"),
    "quiet-soft": ("#e9ecf1", "#262d3a"),
}
LIGHT = {name: light for name, (light, _) in _COLORS.items()}
DARK = {name: dark for name, (_, dark) in _COLORS.items()}


def escape_html(value: object) -> str:
    """Return a value as a single line of escaped text."""
    return escape(visible(str(value)))


def format_px(number: float) -> str:
    """Format a coordinate in pixels. Kept as short as possible, since an image contains thousands of them."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def format_css_properties(colors: Mapping[str, str], prefix: str = "") -> str:
    """Return the colors as CSS custom properties."""
    return "".join(f"--{prefix}{name}:{color};" for name, color in colors.items())


FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif'
MONO = 'ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace'

THEME_STYLE = f"""
:root{{color-scheme:light dark;{format_css_properties(LIGHT)}
--space-1:4px;--space-2:8px;--space-3:12px;--space-4:16px;--space-5:24px;--space-6:32px;--space-7:48px;
--text-1:12px;--text-2:13px;--text-3:14px;--text-4:16px;--text-5:20px;--text-6:24px;
--radius:6px;--radius-2:10px;--sans:{FONT};--mono:{MONO}}}
@media (prefers-color-scheme:dark){{:root{{{format_css_properties(DARK)}}}}}
"""
"""CSS custom properties for all pages."""

# Each status's color and outline. Any other status is shown as a ring.
_SHAPES = {
    "completed": ("good", "polygon(12% 50%,0 62%,36% 96%,100% 22%,87% 10%,35% 70%)"),
    "failed": (
        "bad",
        "polygon(14% 0,50% 36%,86% 0,100% 14%,64% 50%,100% 86%,86% 100%,50% 64%,14% 100%,0 86%,36% 50%,0 14%)",
    ),
    "running": ("run", "polygon(12% 0,100% 50%,12% 100%)"),
    "paused": ("warn", "polygon(8% 0,40% 0,40% 100%,8% 100%,8% 0,60% 0,92% 0,92% 100%,60% 100%,60% 0)"),
    "cancelled": ("soft", "inset(8%)"),
    "not_run": ("soft", "inset(40% 0)"),
}

STATUS_STYLE = (
    """
.status{display:inline-flex;align-items:baseline;gap:6px;padding:1px 8px 1px 7px;border-radius:99px;
font-size:var(--text-1);font-weight:600;line-height:18px;white-space:nowrap;color:var(--soft);background:var(--quiet-soft)}
.status::before{content:"";flex:none;width:9px;height:9px;background:currentColor;forced-color-adjust:none;
clip-path:path(evenodd,"M4.5 0a4.5 4.5 0 1 0 .01 0zM4.5 2a2.5 2.5 0 1 0 .01 0z")}
"""
    + "".join(
        f".status.{status}::before{{clip-path:{shape}}}"
        + (f".status.{status}{{color:var(--{color});background:var(--{color}-soft)}}" if color != "soft" else "")
        for status, (color, shape) in _SHAPES.items()
    )
    + ".status.recovery_failed{color:var(--bad);background:var(--bad-soft)}"
    ".status.not_needed,.status.not_started{background:none;padding-left:0}.status.wrap{white-space:normal}"
)
"""Shows a status as an icon, word and color: `<b class="status failed">failed</b>`."""

STATUSES = frozenset({*_SHAPES, "recovery_failed", "not_needed", "not_started"})
"""The statuses that `STATUS_STYLE` covers. Don't set a class for any others."""

MARK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#3a45c9"/>'
    '<path d="M6.5 17h3.2a2.6 2.6 0 0 0 2.6-2.6V9.6A2.6 2.6 0 0 1 14.9 7h2.6" fill="none" stroke="#fff" '
    'stroke-width="2"/><path d="M4 17a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0zM15 7a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z" '
    'fill="#fff"/></svg>'
)
"""The logo, a step up from one flow node to the next."""

HIDDEN_MARK = MARK.replace("<svg ", '<svg aria-hidden="true" ')
"""The logo for use next to the name. Hidden from screen readers."""


Link: TypeAlias = Callable[[Path, int], str]
"""Returns the URL for part of a value, given its path and the first entry to show."""

_BODY_STYLE = """
body{background:var(--bg);color:var(--text);font:var(--text-3)/1.5 var(--sans);margin:0 auto;
padding:var(--space-4) var(--space-5);max-width:1400px}
h1{font-size:var(--text-5);overflow-wrap:anywhere}h2{font-size:var(--text-4)}
.scroll{overflow:auto;max-width:100%}
"""
PAGE_STYLE = THEME_STYLE + _BODY_STYLE
"""The base style for all pages."""


def _make_policy_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def build_page(title: str, body: str, style: str, script: str = "") -> str:
    """Return a complete page. Its content security policy allows only this style and script, and no requests.

    Args:
        title: The page title as plain text.
        body: The HTML body. Control and invisible characters are replaced.
        style: The CSS.
        script: The JavaScript, if any.
    """
    policy = f"default-src 'none'; style-src {_make_policy_hash(style)}; base-uri 'none'; form-action 'none'"
    policy += f"; script-src {_make_policy_hash(script)}" if script else ""
    program = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape_html(title)}</title><style>{style}</style></head>\n<body><main>{visible_lines(body)}</main>{program}</body></html>\n"
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
# Longer text is collapsed.
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
    """Format a value as an HTML tree of collapsible objects and lists, with the two outer levels open.

    Outer levels take precedence: all entries of the value itself are included before any nested ones.

    Args:
        value: A JSON value.
        limit: Maximum number of values to show. The number of hidden entries follows.
        longest: Maximum number of characters to show per string.
        path: The path of the value, for links.
        start: The first entry of the value to show. Defaults to 0.
        link: Returns the URL for hidden entries (or the rest of a string), given the path and the first hidden entry.
            Without it, only their number is shown.
        decoder: Decodes a value that is still as the server sent it. Only the visible parts are decoded.
    """
    if decoder is not None and not isinstance(value, (dict, list)):
        value = decoder.restore_value(value)
    root = _TreeEntry("", value, path, start, decoder)
    # Choose the entries to show level by level.
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
    """Yield the entries of a value before `end`, each with its key or index and decoder."""
    if entry.decoder is not None:
        yield from entry.decoder.iter_entries(entry.value, entry.start, end)
        return
    pairs = entry.value.items() if isinstance(entry.value, dict) else enumerate(entry.value)
    for key, value in islice(pairs, entry.start, end):
        yield key, value, None


class _TreeWriter:
    """Writes a tree as HTML. All long strings together may be five times as long as a single one."""

    def __init__(self, longest: int, link: Link | None) -> None:
        self._longest = longest
        self._left = 5 * longest
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
        text = _abbreviate_scalar(value, self._longest)
        if not isinstance(value, str) or ("\n" not in value and len(text) <= _MAX_LINE_LENGTH):
            yield f"<div>{label}{escape(text)}</div>"
            return
        beginning = value[: min(self._longest, max(self._left, _MAX_LINE_LENGTH))]
        self._left -= len(beginning)
        rest = len(value) - len(beginning)
        # Encode line breaks, so that no line of the text becomes the start of a line in the document.
        content = escape(visible_lines(beginning)).replace("\n", "&#10;")
        summary = f"{label}{escape(_abbreviate_scalar(value, _MAX_LINE_LENGTH))}"
        yield f"<details><summary>{summary}</summary><pre>{content}</pre>"
        yield (f"<div>{self._more_link(entry, 0, f'{rest} more characters')}</div></details>" if rest else "</details>")

    def _more_link(self, entry: _TreeEntry, start: int, text: str) -> str:
        if self._link is None:
            return f"… {text}"
        return f'<a class="more" href="{escape(self._link(entry.path, start))}">… {text}</a>'


def _abbreviate_scalar(value: Any, longest: int) -> str:
    """Format a scalar as JSON, up to a maximum length. For a long string, only the beginning is encoded."""
    return short_json(value[: longest + 1] if isinstance(value, str) else value, longest)


def _format_preview(entry: _TreeEntry) -> str:
    """Summarize a closed object or list on one line, by its first entries."""
    entries = _iter_entries(replace(entry, start=0), _MAX_PEEKED)
    parts = []
    for key, value, _ in entries:
        text = "…" if isinstance(value, (dict, list)) else _abbreviate_scalar(value, 30)
        parts.append(f"{key}: {text}" if isinstance(entry.value, dict) else text)
    return cut(", ".join(parts) + (", …" if len(entry.value) > _MAX_PEEKED else ""), _MAX_PEEK_LENGTH)
