"""Minimal edits to YAML or JSON text: adding, removing, moving and wrapping keys or elements. No I/O.

New keys and values are written in the style of the surrounding text.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..errors import FlowFileError
from ..flows.findings import Fix
from ..flows.reading import decode_text
from ..flows.syntax_tree import Key, Node, parse_tree

# Matches strings that don't need quotes because they can't be mistaken for numbers or dates.
_PLAIN_SCALAR = re.compile(r"(?!0[xob][\da-f_]*$|[\d._-]+(?:e[+-]?\d+)?$)[$/\w][\w$/.-]*", re.IGNORECASE)
_RESERVED_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")

Edit = tuple[int, int, str]
"""A replacement: start offset, end offset, and new text."""
Write = Callable[[Mapping[str, Any], int], str]
"""A function that formats keys and values in block style, indented by a number of spaces."""
Change = Callable[[str, Node], tuple[Iterable[Edit], Any]]
"""A function that takes a file's text and syntax tree and returns edits and the value the file should then have."""


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with the edits applied."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def adapt_line_endings(text: str, edits: Iterable[Edit]) -> Iterator[Edit]:
    """Yield the edits, with their line endings changed to match the text's first line."""
    is_crlf = text.endswith("\r", 0, max(text.find("\n"), 0))
    for start, end, new in edits:
        yield start, end, re.sub("\r?\n", "\r\n", new) if is_crlf else new


class NotEditableError(Exception):
    """The text can't be edited to make the change."""


def edit_and_verify(content: bytes, source: str, change: Change, problem: str) -> bytes:
    """Return a file's content with edits applied.

    Args:
        content: The file's content, as UTF-8 encoded YAML or JSON.
        source: The file's name.
        change: The function that returns the edits and the file's new value.
        problem: Message for the FlowFileError raised if the edited file is invalid or has a different value.
    """
    text = decode_text(content, source)
    mark = BOM_UTF8 if content.startswith(BOM_UTF8) else b""
    edits, wanted = change(text, parse_tree(text, source))
    with suppress(NotEditableError, FlowFileError):
        changed = apply_edits(text, adapt_line_endings(text, edits))
        if parse_tree(changed, source).value == wanted:
            return mark + changed.encode()
    raise FlowFileError(f"{source}: {problem}", path=source)


def format_block_keys(values: Mapping[str, Any], indent: int) -> str:
    """Format keys and values in block style. Each value is an object or list."""
    margin = " " * indent
    return "\n".join(f"{margin}{format_yaml_key(key)}:\n{format_block(values[key], indent + 2)}" for key in values)


def build_keys_addition(text: str, mapping: Node, values: Mapping[str, Any], write: Write = format_block_keys) -> Edit:
    """Return the edit that adds keys to the end of a non-empty mapping.

    Each value is an object or list. `write` formats them in block style.
    """
    first, last = mapping.written_keys[0], mapping.written_keys[-1]
    if mapping.is_flow:
        is_one_line = "\n" not in text[first.start : mapping.last]
        before = text[: last.start].rpartition("\n")[2]
        # Copy the indentation rather than just its width, because it might contain tabs.
        between = ", " if is_one_line else ",\n" + (" " * len(before) if before.strip() else before)
        is_json = text.lstrip().startswith("{")
        added = ""
        for key, value in values.items():
            name = key if key.isidentifier() and key.isascii() and not is_json else dump_json(key)
            added += f"{between}{name}: {format_flow_style_value(text, last, value)}"
        return mapping.last, mapping.last, added
    end = find_line_end(text, mapping.last)
    return end, end, "\n" + write(values, first.column - 1)


def format_yaml_key(key: str) -> str:
    """Format a key in block style."""
    return format_yaml(key) if key.isprintable() and "\\" not in key else dump_json(key)


def dump_json(value: Any, indent: str | None = None) -> str:
    """Format a value as JSON that is also valid YAML.

    Unprintable characters are escaped, but surrogate pairs aren't used.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(
        char if char.isprintable() or char in "\n\t" or char > "\uffff" else f"\\u{ord(char):04x}" for char in text
    )


def format_inline_yaml(value: Any) -> str:
    """Format a value as single-line YAML, e.g. `{$step: a, path: "$.x[0]"}`."""
    if isinstance(value, Mapping):
        pairs = (f"{format_inline_yaml(key)}: {format_inline_yaml(part)}" for key, part in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(format_inline_yaml, value))}]"
    is_plain = isinstance(value, str) and _PLAIN_SCALAR.fullmatch(value) and value.lower() not in _RESERVED_WORDS
    return str(value) if is_plain else dump_json(value)


def format_yaml(value: Any) -> str:
    """Format a value as YAML without a trailing line ending."""
    from .._data.yaml_format import write_yaml

    return write_yaml(value).rstrip("\n")


def find_line_end(text: str, position: int) -> int:
    """Return the offset of the end of the line that contains a position."""
    end = text.find("\n", position)
    if end == -1:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end


def format_flow_style_value(text: str, key: Key, value: Any, *, one_line: bool = False) -> str:
    """Format a value as JSON. If its key starts a line, use several lines with the file's indentation."""
    before = text[text.rfind("\n", 0, key.start) + 1 : key.start]
    if one_line or before.strip():
        return dump_json(value)
    return dump_json(value, detect_json_indent(text)).replace("\n", "\n" + before)


def detect_json_indent(text: str) -> str:
    """Return the indentation used in JSON text (or in YAML text written with brackets)."""
    step = re.search(r"\n( +|\t+)\S", text)
    return step[1] if step else "  "


def format_block(value: Any, indent: int) -> str:
    """Format a value in block style, with each line indented by this many spaces."""
    text = format_yaml(value)
    lines = text.split("\n")
    if "\\" in text or not all(map(str.isprintable, lines)):
        # Use JSON, because block style would split strings with unprintable characters across lines.
        lines = [dump_json(value)]
    return "\n".join(" " * indent + line if line else line for line in lines)


def combine_edits(text: str, edits: Sequence[Edit]) -> Fix | None:
    """Combine edits into a single fix that replaces everything from the first edit to the last.

    Return None if there are no edits, if one of them has no position in the text, or if they remove an anchor, which
    could leave aliases without it.
    """
    if not edits or any(start < 0 for start, _, _ in edits):
        return None
    start, end = min(edit[0] for edit in edits), max(edit[1] for edit in edits)
    moved = [(first - start, last - start, new) for first, last, new in adapt_line_endings(text, edits)]
    old_and_new = text[start:end], apply_edits(text[start:end], moved)
    before, after = (len(re.findall(r"(?<![^\s\[{,])&\w", part)) for part in old_and_new)
    return Fix(start, end, *old_and_new) if before <= after else None


def format_inline_like(text: str, value: Any) -> str:
    """Format a value on one line, as JSON if the text is JSON and as YAML otherwise."""
    return dump_json(value) if text.lstrip()[:1] == "{" else format_inline_yaml(value)


def build_key_addition(text: str, mapping: Node, key: str, value: Any) -> list[Edit]:
    """Return the edits that add a key at the end of a mapping, or an empty list if that isn't possible."""
    entry = f"{format_inline_like(text, key)}: {format_inline_like(text, value)}"
    if mapping.original is not None or mapping.start < 0 or not isinstance(mapping.value, dict):
        return []
    if not mapping.items:
        return [(mapping.start, mapping.end, f"{{{entry}}}")]
    if mapping.is_flow and "\n" not in text[mapping.start : mapping.last]:
        return [(mapping.last, mapping.last, f", {entry}")]
    return [build_keys_addition(text, mapping, {key: value}, lambda _values, indent: " " * indent + entry)]


def build_key_removal(text: str, mapping: Node, key: str) -> list[Edit]:
    """Return the edits that remove a key and its value."""
    where = mapping.keys.get(key)
    if where is None or where.start < 0:
        return []
    keys = mapping.written_keys
    return _build_entry_removal(text, mapping, [key.start for key in keys], keys.index(where))


def build_element_removal(text: str, holder: Node, index: int) -> list[Edit]:
    """Return the edits that remove a list element."""
    starts = [element.start if holder.is_flow else text.rfind("-", 0, element.start) for element in holder.elements]
    return _build_entry_removal(text, holder, starts, index)


def _build_entry_removal(text: str, holder: Node, starts: Sequence[int], index: int) -> list[Edit]:
    if holder.original is not None or -1 in starts:
        return []
    if len(starts) == 1:
        empty = "[]" if holder.elements else "{}"
        if holder.is_flow or "\n" not in text[: starts[0]] or holder.parent is None:
            return [(holder.start, holder.end, empty)]
        # Block collections start on the line below their key.
        begin = len(text[: starts[0]].rstrip())
        return [(begin, holder.end, f" {empty}")] if text[begin - 1] == ":" else [(starts[0], holder.end, empty)]
    if index + 1 < len(starts):
        return [(starts[index], starts[index + 1], "")]
    before = text[: starts[index]].rstrip()
    if holder.is_flow:
        return [(len(before.removesuffix(",")), holder.last, "")]
    return [(len(before), max(holder.last, starts[index]), "")]


def build_value_wrapping(text: str, node: Node, key: str) -> list[Edit]:
    """Return the edits that wrap a value in a mapping, under a new key."""
    if node.original is not None:
        return []
    if node.is_flow:
        return [(node.start, node.start, f"{{{format_inline_like(text, key)}: "), (node.end, node.end, "}")]
    body = re.sub(r"\n(?=[^\r\n])", "\n  ", text[node.start : node.last])
    return [(node.start, node.last, f"{key}:\n{' ' * (node.column + 1)}{body}")]


def iter_minimal_value_edits(text: str, parent: Node, key: Key | None, node: Node, new: Any) -> Iterator[Edit]:
    """Yield minimal edits that keep the layout and comments of unchanged values. `key` is None for list elements."""
    old, is_own = node.value, node.original is None and not node.merges
    if old == new and json.dumps(old) == json.dumps(new):
        return
    if is_own and old and isinstance(old, dict) and isinstance(new, dict) and [*old] == [*new]:
        for name, part in node.items.items():
            yield from iter_minimal_value_edits(text, node, node.keys[name], part, new[name])
    elif key is None:
        yield node.start, node.end, dump_json(new)
    elif is_own and old and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for part, after in zip(node.elements, new, strict=True):
            yield from iter_minimal_value_edits(text, node, None, part, after)
    else:
        yield _build_whole_value_replacement(text, parent, key, node, new)


def _build_whole_value_replacement(text: str, parent: Node, key: Key, node: Node, value: Any) -> Edit:
    colon = text.index(":", key.end) + 1
    is_simple = not isinstance(value, (dict, list)) or not value
    is_collection = isinstance(node.value, (dict, list)) and node.original is None
    if node.start == node.end:
        # An empty value has no text, and its position is somewhere after the colon.
        if parent.is_flow or is_simple:
            return colon, colon, f" {dump_json(value)}"
        return colon, colon, "\n" + format_block(value, key.column + 1)
    if parent.is_flow or (node.is_flow and is_collection):
        is_one_line = "\n" not in text[node.start : node.end]
        keeps_line = is_one_line and not (is_simple or text.lstrip().startswith("{"))
        return node.start, node.end, format_flow_style_value(text, key, value, one_line=keeps_line)
    if is_simple and not is_collection:
        following = text[node.end : find_line_end(text, node.end)].strip()
        if isinstance(value, str) and "\n" in value and not following:
            # Write a multi-line string as a literal block, unless a comment follows, which would become part of the
            # block.
            lines = value.removesuffix("\n").split("\n")
            if all(map(str.isprintable, lines)) and lines[0][:1].strip() and lines[-1]:
                margin, style = " " * (key.column + 1), "|" if value.endswith("\n") else "|-"
                return node.start, node.end, "\n".join([style, *(margin + line if line else line for line in lines)])
        is_plain = not isinstance(value, str) or value.isprintable()
        return node.start, node.end, format_yaml(value) if is_plain else dump_json(value)
    if "\n" not in text[key.end : node.start]:
        return colon, node.end, "\n" + format_block(value, key.column + 1)
    # The value starts on a line of its own, so keep any comments between it and the key. Only a list can have the same
    # indentation as its key.
    indent = (node.column if node.column > key.column else key.column + 2) - 1
    return node.start, node.end, " " * (indent - node.column + 1) + format_block(value, indent).lstrip(" ")


def build_element_move(text: str, holder: Node, index: int, before: int) -> list[Edit]:
    """Return the edits that move a list element before an earlier one, leaving the separators in place."""
    parts = holder.elements[before : index + 1]
    if holder.original is not None or any(part.original is not None for part in parts):
        return []
    ends = [part.end for part in parts]
    texts = [text[part.start : end] for part, end in zip(parts, ends, strict=True)]
    between = [text[end : part.start] for part, end in zip(parts[1:], ends, strict=False)]
    order = [texts[-1], *texts[:-1]]
    return [(parts[0].start, ends[-1], "".join(a + b for a, b in zip(order, [*between, ""], strict=True)))]
