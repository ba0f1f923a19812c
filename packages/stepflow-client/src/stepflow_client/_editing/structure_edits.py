"""Edits of the structure of a flow's text: keys and elements that are added, removed, moved or wrapped. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..flows.findings import Fix
from ..flows.source import Node
from .text_edits import Edit, addition, apply, edited_json, newline_of, one_line


def fix_of(text: str, edits: Sequence[Edit]) -> Fix | None:
    """Return edits as one fix, which replaces everything between the first and the last of them; None without edits."""
    if not edits or any(start < 0 for start, _, _ in edits):
        return None
    start, end = min(each[0] for each in edits), max(each[1] for each in edits)
    moved = [(first - start, last - start, new) for first, last, new in edits]
    return Fix(start, end, text[start:end], apply(text[start:end], moved))


def written(text: str, value: Any) -> str:
    """Return a value in one line, in the language of a text."""
    return edited_json(value) if text.lstrip()[:1] == "{" else one_line(value)


def added(text: str, mapping: Node, key: str, value: Any) -> list[Edit]:
    """Return the edits that add a key at the end of a mapping; none if that is not possible."""
    entry = f"{written(text, key)}: {written(text, value)}"
    if mapping.original is not None or mapping.start < 0 or not isinstance(mapping.value, dict):
        return []
    if not mapping.items:
        return [(mapping.start, mapping.end, f"{{{entry}}}")]
    if not mapping.written:
        return []
    if mapping.is_flow and "\n" not in text[mapping.start : mapping.last]:
        return [(mapping.last, mapping.last, f", {entry}")]
    return [addition(text, mapping, {key: value}, lambda _values, indent, _newline: " " * indent + entry)]


def removed_key(text: str, mapping: Node, key: str) -> list[Edit]:
    """Return the edits that remove a key and its value."""
    where = mapping.keys.get(key)
    if where is None or where.start < 0:
        return []
    keys = mapping.written
    return _removed(text, mapping, [each.start for each in keys], keys.index(where))


def removed_element(text: str, holder: Node, index: int) -> list[Edit]:
    """Return the edits that remove an element of a list."""
    starts = [each.start if holder.is_flow else text.rfind("-", 0, each.start) for each in holder.elements]
    return _removed(text, holder, starts, index)


def _removed(text: str, holder: Node, starts: Sequence[int], index: int) -> list[Edit]:
    if holder.original is not None or -1 in starts:
        return []
    if len(starts) == 1:
        empty = "[]" if holder.elements else "{}"
        end = holder.end if holder.is_flow else holder.last
        if holder.is_flow or "\n" not in text[: starts[0]] or holder.parent is None:
            return [(holder.start, end, empty)]
        # A block collection begins below its key.
        begin = len(text[: starts[0]].rstrip())
        return [(begin, end, f" {empty}")] if text[begin - 1] == ":" else [(starts[0], end, empty)]
    if index + 1 < len(starts):
        return [(starts[index], starts[index + 1], "")]
    before = text[: starts[index]].rstrip()
    if holder.is_flow:
        return [(len(before.removesuffix(",")), holder.last, "")]
    return [(len(before), max(holder.last, starts[index]), "")]


def wrapped(text: str, node: Node, key: str) -> list[Edit]:
    """Return the edits that put a value below a key, in its own place."""
    if node.original is not None or node.start < 0:
        return []
    if node.is_flow:
        return [(node.start, node.start, f"{{{written(text, key)}: "), (node.end, node.end, "}")]
    newline, end = newline_of(text), node.last
    body = re.sub(r"(\n)(?=[^\r\n])", r"\1  ", text[node.start : end])
    return [(node.start, end, f"{key}:{newline}{' ' * (node.column + 1)}{body}")]


def moved_before(text: str, holder: Node, index: int, before: int) -> list[Edit]:
    """Return the edits that move an element of a list before an earlier one; the separators stay where they are."""
    parts = holder.elements[before : index + 1]
    if holder.original is not None or any(each.start < 0 or each.original is not None for each in parts):
        return []
    ends = [each.end if each.is_flow else each.last for each in parts]
    texts = [text[each.start : end] for each, end in zip(parts, ends, strict=True)]
    between = [text[end : each.start] for each, end in zip(parts[1:], ends, strict=False)]
    order = [texts[-1], *texts[:-1]]
    return [(parts[0].start, ends[-1], "".join(a + b for a, b in zip(order, [*between, ""], strict=True)))]
