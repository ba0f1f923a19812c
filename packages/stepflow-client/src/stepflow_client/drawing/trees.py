"""JSON values as collapsible HTML, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from .._base.text import short_json

__all__ = ["TREE_STYLE", "json_tree"]

TREE_STYLE = """
.js{font:12px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,monospace;overflow-wrap:anywhere}
.js details{margin-left:14px}.js summary{cursor:pointer;margin-left:-14px}.js div{margin-left:14px}
.js b{font-weight:600}
"""
_MOST_NODES = 300
_MOST_CHILDREN = 50
_LONGEST_TEXT = 2_000
_DEEPEST = 30


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
