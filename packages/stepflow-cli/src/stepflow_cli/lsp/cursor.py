"""Find the key or value at an offset and the word being typed there. Convert between offsets and positions."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import yaml
from lsprotocol import types
from stepflow_client.flows.syntax_tree import FlowText, Node

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


class DocumentText:
    """Text that LSP positions can be looked up in. Columns count the code units of an encoding (usually UTF-16)."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text, self.encoding = text, encoding
        self._codec, self._unit = _CODECS[encoding]

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset of the start of each line."""
        return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]

    def to_offset(self, position: types.Position) -> int:
        """Convert a position to an offset.

        A position past the end of its line (or of the text) is moved back to that end.
        """
        if position.line >= len(self.line_starts):
            return len(self.text)
        start = self.line_starts[position.line]
        line = self._get_line(position.line)
        if line.isascii():
            return start + min(position.character, len(line))
        units = line.encode(self._codec, "surrogatepass")[: position.character * self._unit]
        # Move a position in the middle of a character to the start of that character.
        return start + len(units.decode(self._codec, "ignore" if self._unit < 4 else "surrogatepass"))

    def to_position(self, offset: int) -> types.Position:
        """Convert an offset to a position."""
        line = bisect_right(self.line_starts, offset) - 1
        before = self.text[self.line_starts[line] : offset]
        units = len(before) if before.isascii() else len(before.encode(self._codec, "surrogatepass")) // self._unit
        return types.Position(line, units)

    def to_range(self, start: int, end: int) -> types.Range:
        """Return the range between two offsets."""
        return types.Range(self.to_position(start), self.to_position(end))

    def get_line_end(self, offset: int) -> int:
        """Return the offset of the end of the line that contains `offset`."""
        line = bisect_right(self.line_starts, offset) - 1
        return self.line_starts[line] + len(self._get_line(line))

    def get_span_to_line_end(self, line: int, column: int) -> tuple[int, int]:
        """Return the start and end offsets of the part of a line that starts at `column`.

        Both arguments are 1-based.
        """
        line = min(max(line, 1), len(self.line_starts)) - 1
        end = self.line_starts[line] + len(self._get_line(line))
        return min(self.line_starts[line] + max(column, 1) - 1, end), end

    def apply_changes(self, changes: Iterable[types.TextDocumentContentChangeEvent]) -> DocumentText:
        """Apply the changes in order and return the new text. Each change refers to the result of the previous one."""
        text = self
        for change in changes:
            new = change.text
            if isinstance(change, types.TextDocumentContentChangePartial):
                start, end = text.to_offset(change.range.start), text.to_offset(change.range.end)
                new = text.text[:start] + new + text.text[end:]
            text = DocumentText(new, self.encoding)
        return text

    def _get_line(self, line: int) -> str:
        end = self.line_starts[line + 1] if line + 1 < len(self.line_starts) else len(self.text)
        return self.text[self.line_starts[line] : end].rstrip("\r\n")


# Marks the cursor in text that is parsed.
_CURSOR_MARK = "\ue000"
_QUOTES = ("'", '"')
_CLOSERS = {"{": "}", "[": "]"}
# Matches the start of a section. It includes the line feed because `re` is much faster if the first character is fixed.
_SECTION_START = re.compile(r"\n(?![ \t#\n]|-[ \t\r\n]|---|\.\.\.|\r?(?:\n|\Z))")
_UNCLOSED_PATH = re.compile(r"(?<=[\s:])\$(?:\.[\w-]*|\[[^\]\s]*\]?)*\[[^\s,{}]*$")
_WHITESPACE = re.compile(r"[ \t\n\r]*")
_MAX_REMOVED_LINES = 5
# In longer documents, reparsing everything on each attempt would be too slow.
_LARGE_DOCUMENT_LENGTH = 100_000


class KeyOrValue(NamedTuple):
    """The key or value at an offset."""

    node: Node
    """The innermost value that contains the offset, or the whole mapping if the offset is in a key."""
    key: str | None = None
    """The key at the offset, if any."""


def find_key_or_value_at(root: Node, offset: int) -> KeyOrValue:
    """Return the innermost key or value at an offset."""
    node = root
    while node.original is None:
        for name, key in node.keys.items():
            if 0 <= key.start <= offset <= key.end:
                return KeyOrValue(node, name)
        parts = (*node.items.values(), *node.elements)
        inner = next((part for part in parts if part.start <= offset <= part.end and part.start < part.end), None)
        # Stop at merged values, because they are somewhere else in the text.
        if inner is None or inner.parent is not node:
            break
        node = inner
    return KeyOrValue(node)


class TypedWord(NamedTuple):
    """The key or value being typed at an offset."""

    target: KeyOrValue
    """The key or value, in a tree of the surrounding text. Its positions differ from the positions in the file."""
    text: str
    """The part of the word before the offset."""
    start: int
    end: int
    """The word's range in the file."""
    first_step: int = 0
    """The index of the first step in the tree. The tree doesn't include earlier steps."""
    is_quoted: bool = False
    opens_line: bool = False
    """Whether the value is the first text on its line, which means that it could still become a key."""


class _ParseableSection(NamedTuple):
    """A part of the text that can be parsed on its own."""

    start: int
    end: int
    head: str = ""
    """Text to add at the start before parsing."""
    first_step: int = 0
    foot: str = ""
    """Text to add at the end before parsing."""


def find_typed_word(text: str, name: str, offset: int) -> TypedWord | None:
    """Return the word being typed at an offset in YAML or JSON, or None if it can't be determined.

    If possible, only the surrounding step or section is parsed. If a colon, quote or bracket is missing, it is added.
    """
    is_json = name.lower().endswith(".json") or text.lstrip()[:1] == "{"
    whole = _ParseableSection(0, len(text))
    parts = [(_find_json_step if is_json else _find_yaml_section)(text, offset) or whole, whole]
    for part in parts if len(text) < _LARGE_DOCUMENT_LENGTH else parts[:1]:
        before, after = part.head + text[part.start : offset], text[offset : part.end] + part.foot
        marks = _find_open_marks(before)
        quote = marks.pop() if marks and marks[-1] in _QUOTES else ""
        path = _UNCLOSED_PATH.search(before) if not quote and marks else None
        if path is not None:
            # Inside braces, a path with brackets must be quoted, so the completion adds the quotes.
            before = before[: path.start()]
        closers = "".join(_CLOSERS[mark] for mark in reversed(marks))
        heads = [_CURSOR_MARK, f"{_CURSOR_MARK}{quote}", f"{_CURSOR_MARK}{quote}:"]
        if is_json:
            word = f"{_CURSOR_MARK}{quote}" if quote else f'"{_CURSOR_MARK}"'
            heads = [_CURSOR_MARK, word, f"{word},", f"{word}:null", f"{word}:null,"]
            heads = heads if quote else [*heads[1:], f",{word}", f",{word}:null"]
        following = after.partition("\n")[2]
        for tail in dict.fromkeys((after, f"\n{following}", f"{closers}\n{following}", closers)):
            for head in dict.fromkeys(heads):
                flow = FlowText(before + head + tail, name)
                at = len(before) + head.index(_CURSOR_MARK)
                if flow.error is None and (typed := _extract_typed_word(flow, at, offset, part)) is not None:
                    typed = typed._replace(is_quoted=quote != "")
                    return typed if path is None else typed._replace(text=path[0], start=offset - len(path[0]))
    return None


def _find_open_marks(text: str) -> list[str]:
    """Return the brackets left open at the end of YAML or JSON text, along with the open quote if there is one."""
    marks: list[str] = []
    try:
        for token in yaml.scan(text.replace("\t", " "), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(token, (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)):
                marks.append(text[token.start_mark.index])
            elif isinstance(token, (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)) and marks:
                marks.pop()
    except yaml.MarkedYAMLError as error:
        if error.context_mark is not None and "quoted scalar" in (error.context or ""):
            # The scanner buffers possible keys and loses them on an error, so rescan the text before the quote.
            start = error.context_mark.index
            return [*_find_open_marks(text[:start]), text[start]]
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        pass
    return marks


def _find_yaml_section(text: str, offset: int) -> _ParseableSection:
    """Return the YAML section around an offset.

    If the section contains a list (e.g. the steps), return only the element at the offset.
    """
    line = text.rfind("\n", 0, offset) + 1
    lines = f"\n{text}"
    starts = [match.start() for match in _SECTION_START.finditer(lines)]
    start = max((position for position in starts if position <= line), default=0)
    end = min((position for position in starts if position > line), default=len(text))
    first = re.compile(r"^( *)-(?=[ \r\n])", re.MULTILINE).search(text, start, end)
    if first is None or text[text.find("\n", start) : first.start()].strip() or first.start() > offset:
        return _ParseableSection(start, end)
    dash = re.compile(rf"\n{first[1]}-(?=[ \r\n]|\Z)")
    elements = [dash_match.start() for dash_match in dash.finditer(lines, start, end + 1)]
    index = sum(element <= line for element in elements) - 1
    last = elements[index + 1] if index + 1 < len(elements) else end
    return _ParseableSection(elements[index], last, text[start : first.start()], index)


def _find_json_step(text: str, offset: int) -> _ParseableSection | None:
    """Return the JSON step around an offset (even if it's invalid), or None if the offset isn't in a step."""
    for index, (start, end) in enumerate(_iter_json_step_ranges(text)):
        if end is None:
            line = text[text.rfind("\n", 0, start) + 1 : start]
            closed = re.compile(rf"\n{line}\}}").search(text, start) if not line.strip() else None
            end = closed.end() if closed is not None else len(text)
        if start <= offset <= end:
            return _ParseableSection(start, end, '{"steps": [', index, "]}")
    return None


def _iter_json_step_ranges(text: str) -> Iterator[tuple[int, int | None]]:
    """Yield the start and end of each step in JSON text. Stop after an invalid step, whose end is None."""
    read, at = json.JSONDecoder().raw_decode, _skip_whitespace(text, 0)
    try:
        while text[at : at + 1] in ("{", ","):
            key, at = read(text, _skip_whitespace(text, at + 1))
            at = _skip_whitespace(text, _skip_whitespace(text, at) + 1)
            if key == "steps" and text[at : at + 1] == "[":
                break
            at = _skip_whitespace(text, read(text, at)[1])
        else:
            return
    except (ValueError, RecursionError):
        return
    while text[at : at + 1] in ("[", ","):
        start = _skip_whitespace(text, at + 1)
        try:
            end = read(text, start)[1]
        except (ValueError, RecursionError):
            yield start, None
            return
        yield start, end
        at = _skip_whitespace(text, end)


def _skip_whitespace(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    return match.end() if match is not None else at


def _extract_typed_word(flow: FlowText, at: int, offset: int, part: _ParseableSection) -> TypedWord | None:
    spot = find_key_or_value_at(flow.root, at)
    where = spot.node.keys[spot.key] if spot.key is not None else spot.node
    word = flow.text[where.start : where.end]
    content = spot.key if spot.key is not None else spot.node.value
    if not isinstance(content, str) or _CURSOR_MARK not in content or "\n" in word:
        return None
    is_quoted = word[:1] in _QUOTES
    typed, rest = flow.text[where.start + is_quoted : at], word[at + 1 - where.start :]
    rest = rest.removesuffix(word[0]) if is_quoted else rest
    line = flow.text[flow.text.rfind("\n", 0, where.start) + 1 : where.start]
    opens_line = spot.key is None and not line.replace("- ", "  ").strip()
    return TypedWord(spot, typed, offset - len(typed), offset + len(rest), part.first_step, False, opens_line)


def blank_invalid_lines(flow: FlowText) -> FlowText:
    """Replace invalid lines with spaces, which keeps the positions of all other lines."""
    for _ in range(_MAX_REMOVED_LINES):
        line, lines = flow.error.line if flow.error is not None else None, flow.text.split("\n")
        # PyYAML counts more line separators than editors do, so an error can be past the end.
        if line is None or line > len(lines):
            break
        lines[line - 1] = " " * len(lines[line - 1])
        flow = FlowText("\n".join(lines), flow.name)
    return flow
