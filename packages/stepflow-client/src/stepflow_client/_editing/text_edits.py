"""Minimal edits of a YAML or JSON text: keys and elements that are added, removed, moved or wrapped. Pure.

New keys and values are written in the style of the surrounding text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..errors import FlowFileError
from ..flows.findings import Fix
from ..flows.reading import decode_text
from ..flows.source import Key, Node, parse_tree

# Texts that need no quotes: no numbers or dates.
_PLAIN = re.compile(r"(?!0[xob][\da-f_]*$|[\d._-]+(?:e[+-]?\d+)?$)[$/\w][\w$/.-]*", re.IGNORECASE)
_RESERVED = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")

Edit = tuple[int, int, str]
"""A replacement in a text: start offset, end offset, new text."""
Write = Callable[[Mapping[str, Any], int, str], str]
"""A function that returns keys and their values in block style, for an indent and a line ending."""


def apply_edits(text: str, edits: list[Edit]) -> str:
    """Return a text with the edits applied."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


class NotEditableError(Exception):
    """A change cannot be made in the text."""


def edit_file(
    content: bytes, source: str, change: Callable[[str, Node], tuple[Iterable[Edit], Any]], problem: str
) -> bytes:
    """Return the content of a file with some edits.

    Args:
        content: The content of the file, YAML or JSON in UTF-8.
        source: The name of the file.
        change: Returns the edits of a text, from its tree, and the value that it then has.
        problem: What is wrong if the edits change anything else, or it is invalid: the message of a FlowFileError.
    """
    # Refuses what is not UTF-8; the byte order mark stays here.
    decode_text(content, source)
    text = content.decode("utf-8")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    edits, wanted = change(text, parse_tree(text, source))
    with suppress(NotEditableError, FlowFileError):
        changed = apply_edits(text, list(edits))
        if parse_tree(changed, source).value == wanted:
            return (mark + changed).encode()
    raise FlowFileError(f"{source}: {problem}", path=source)


def detect_newline(text: str) -> str:
    """Return the line ending of a text."""
    return "\r\n" if "\r\n" in text else "\n"


def make_addition(text: str, mapping: Node, values: Mapping[str, Any], write: Write | None = None) -> Edit:
    """Return the edit that adds keys after the last key of a mapping, which must not be empty.

    Each value is an object or a list. `write` writes them in block style, by default `write_block_keys`.
    """
    newline = detect_newline(text)
    first, last = mapping.written[0], mapping.written[-1]
    if mapping.is_flow:
        is_one_line = "\n" not in text[first.start : mapping.last]
        before = text[: last.start].rpartition("\n")[2]
        # Keep tabs in the indentation.
        between = ", " if is_one_line else "," + newline + (" " * len(before) if before.strip() else before)
        is_json = text.lstrip().startswith("{")
        added = ""
        for key, value in values.items():
            name = key if key.isidentifier() and key.isascii() and not is_json else write_json(key)
            added += f"{between}{name}: {write_flow_value(text, last, value, newline)}"
        return mapping.last, mapping.last, added
    end = find_line_end(text, mapping.last)
    return end, end, newline + (write or write_block_keys)(values, first.column - 1, newline)


def write_block_keys(values: Mapping[str, Any], indent: int, newline: str) -> str:
    """Return keys and their values in block style. Each value is an object or a list."""
    return newline.join(
        f"{' ' * indent}{write_block_key(key)}:{newline}{write_block(value, indent + 2, newline)}"
        for key, value in values.items()
    )


def write_block_key(key: str) -> str:
    """Return a key in block style."""
    return write_plain(key) if key.isprintable() and "\\" not in key else write_json(key)


def write_json(value: Any, indent: str | None = None) -> str:
    """Return a value as JSON that is also valid YAML: no surrogate pairs, and unprintable characters are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(
        char if char.isprintable() or char in "\n\t" or char > "\uffff" else f"\\u{ord(char):04x}" for char in text
    )


def write_one_line(value: Any) -> str:
    """Return a value as YAML in one line: `{$step: a, path: "$.x[0]"}`."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{write_one_line(key)}: {write_one_line(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(write_one_line, value))}]"
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED
    return str(value) if is_plain else write_json(value)


def write_plain(value: Any) -> str:
    """Return a value as YAML, without the line ending."""
    from .._data.yaml_format import write_yaml

    return write_yaml(value).rstrip("\n")


def find_line_end(text: str, position: int) -> int:
    """Return the offset of the end of the line that contains a position."""
    end = text.find("\n", position)
    if end == -1:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end


def write_flow_value(text: str, key: Key, value: Any, newline: str, *, one_line: bool = False) -> str:
    """Return a value as JSON. If the key starts its line, the value is indented over several lines, as in the file."""
    before = text[text.rfind("\n", 0, key.start) + 1 : key.start]
    if one_line or before.strip():
        return write_json(value)
    return (newline + before).join(write_json(value, detect_json_indent(text)).split("\n"))


def detect_json_indent(text: str) -> str:
    """Return the indentation of a JSON text, or of a YAML text with values in brackets."""
    step = re.search(r"\n( +|\t+)\S", text)
    return step[1] if step else "  "


def write_block(value: Any, indent: int, newline: str) -> str:
    """Return a value in block style with an indent."""
    text = write_plain(value)
    lines = text.split("\n")
    if "\\" in text or not all(map(str.isprintable, lines)):
        # Block style would split text with unprintable characters over several lines.
        lines = [write_json(value)]
    return newline.join(" " * indent + line if line else line for line in lines)


def make_fix(text: str, edits: Sequence[Edit]) -> Fix | None:
    """Return edits as one fix, which replaces everything between the first and the last of them; None without edits."""
    if not edits or any(start < 0 for start, _, _ in edits):
        return None
    start, end = min(edit[0] for edit in edits), max(edit[1] for edit in edits)
    moved = [(first - start, last - start, new) for first, last, new in edits]
    return Fix(start, end, text[start:end], apply_edits(text[start:end], moved))


def write_inline(text: str, value: Any) -> str:
    """Return a value in one line, in the language of a text."""
    return write_json(value) if text.lstrip()[:1] == "{" else write_one_line(value)


def add_key(text: str, mapping: Node, key: str, value: Any) -> list[Edit]:
    """Return the edits that add a key at the end of a mapping; none if that is not possible."""
    entry = f"{write_inline(text, key)}: {write_inline(text, value)}"
    if mapping.original is not None or mapping.start < 0 or not isinstance(mapping.value, dict):
        return []
    if not mapping.items:
        return [(mapping.start, mapping.end, f"{{{entry}}}")]
    if not mapping.written:
        return []
    if mapping.is_flow and "\n" not in text[mapping.start : mapping.last]:
        return [(mapping.last, mapping.last, f", {entry}")]
    return [make_addition(text, mapping, {key: value}, lambda _values, indent, _newline: " " * indent + entry)]


def remove_key(text: str, mapping: Node, key: str) -> list[Edit]:
    """Return the edits that remove a key and its value."""
    where = mapping.keys.get(key)
    if where is None or where.start < 0:
        return []
    keys = mapping.written
    return _remove_entry(text, mapping, [key.start for key in keys], keys.index(where))


def remove_element(text: str, holder: Node, index: int) -> list[Edit]:
    """Return the edits that remove an element of a list."""
    starts = [element.start if holder.is_flow else text.rfind("-", 0, element.start) for element in holder.elements]
    return _remove_entry(text, holder, starts, index)


def _remove_entry(text: str, holder: Node, starts: Sequence[int], index: int) -> list[Edit]:
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


def wrap_value(text: str, node: Node, key: str) -> list[Edit]:
    """Return the edits that put a value below a key, in its own place."""
    if node.original is not None or node.start < 0:
        return []
    if node.is_flow:
        return [(node.start, node.start, f"{{{write_inline(text, key)}: "), (node.end, node.end, "}")]
    newline, end = detect_newline(text), node.last
    body = re.sub(r"(\n)(?=[^\r\n])", r"\1  ", text[node.start : end])
    return [(node.start, end, f"{key}:{newline}{' ' * (node.column + 1)}{body}")]


def move_element(text: str, holder: Node, index: int, before: int) -> list[Edit]:
    """Return the edits that move an element of a list before an earlier one; the separators stay where they are."""
    parts = holder.elements[before : index + 1]
    if holder.original is not None or any(part.start < 0 or part.original is not None for part in parts):
        return []
    ends = [part.end if part.is_flow else part.last for part in parts]
    texts = [text[part.start : end] for part, end in zip(parts, ends, strict=True)]
    between = [text[end : part.start] for part, end in zip(parts[1:], ends, strict=False)]
    order = [texts[-1], *texts[:-1]]
    return [(parts[0].start, ends[-1], "".join(a + b for a, b in zip(order, [*between, ""], strict=True)))]
