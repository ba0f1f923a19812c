"""HTML pages for pictures and reports: a single file that loads no other files; JSON values as collapsible trees."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from typing import Any

from .._base.text import visible, visible_lines
from .theme import THEME_STYLE

__all__ = ["PAGE_STYLE", "TREE_STYLE", "json_tree", "page", "short_json"]

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


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(title: str, body: str, style: str, script: str = "") -> str:
    """Return a complete page. Its content security policy allows only this style and this script, and no requests.

    Args:
        title: The title of the page; any text.
        body: The HTML of the body; control characters and invisible characters in it are replaced.
        style: The CSS.
        script: The JavaScript; empty for none.
    """
    policy = f"default-src 'none'; style-src {_hashed(style)}; base-uri 'none'; form-action 'none'"
    policy += f"; script-src {_hashed(script)}" if script else ""
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
.js b{font-weight:600}
"""
_MOST_NODES = 300
_MOST_CHILDREN = 50
_LONGEST_TEXT = 2_000
_DEEPEST = 30


def short_json(value: Any, longest: int = 100) -> str:
    """Return a value as JSON on one line with a maximum length. A longer one is cut and ends with `…`."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def json_tree(value: Any, *, most: int = _MOST_NODES, longest: int = _LONGEST_TEXT) -> str:
    """Return a value as HTML with collapsible objects and lists, of which the two outer levels are open.

    Args:
        value: A JSON value.
        most: Maximum number of values to show. The number of hidden entries is shown instead of them.
        longest: Maximum number of characters to show of a scalar value.
    """
    left = [most]
    return f'<div class="js">{"".join(_tree(value, "", left, 0, longest))}</div>'


def _tree(value: Any, name: str, left: list[int], depth: int, longest: int) -> Iterator[str]:
    left[0] -= 1
    label = f"<b>{escape(name)}</b>: " if name else ""
    if not isinstance(value, (dict, list)) or not value or depth >= _DEEPEST:
        yield f"<div>{label}{escape(short_json(value, longest))}</div>"
        return
    entries = list(value.items()) if isinstance(value, dict) else [(str(i), each) for i, each in enumerate(value)]
    size = f"{{{len(entries)}}}" if isinstance(value, dict) else f"[{len(entries)}]"
    yield f"<details{' open' if depth < 2 else ''}><summary>{label}{size}</summary>"
    for place, (key, each) in enumerate(entries):
        if left[0] <= 0 or place >= _MOST_CHILDREN:
            yield f"<div>… {len(entries) - place} more</div>"
            break
        yield from _tree(each, short_json(str(key), 200)[1:-1] or '""', left, depth + 1, longest)
    yield "</details>"
