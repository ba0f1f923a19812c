"""The text of an open document, and the conversion between offsets and positions of the protocol. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property

from lsprotocol import types

_BREAK = re.compile(r"\r\n|\n|\r")
_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


class DocumentText:
    """A text whose positions are those of the protocol: columns count the code units of an encoding, usually UTF-16."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text, self.encoding = text, encoding
        self._codec, self._unit = _CODECS[encoding]

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset of the start of each line."""
        return [0, *(match.end() for match in _BREAK.finditer(self.text))]

    def to_offset(self, position: types.Position) -> int:
        """Return the offset of a position, clipped to the end of its line and of the text."""
        if position.line >= len(self.line_starts):
            return len(self.text)
        start = self.line_starts[position.line]
        line = self._line(position.line)
        if line.isascii():
            return start + min(position.character, len(line))
        units = line.encode(self._codec, "surrogatepass")[: position.character * self._unit]
        # A position inside of a character becomes its start.
        return start + len(units.decode(self._codec, "ignore" if self._unit < 4 else "surrogatepass"))

    def to_position(self, offset: int) -> types.Position:
        """Return the position of an offset."""
        line = bisect_right(self.line_starts, offset) - 1
        before = self.text[self.line_starts[line] : offset]
        units = len(before) if before.isascii() else len(before.encode(self._codec, "surrogatepass")) // self._unit
        return types.Position(line, units)

    def to_range(self, start: int, end: int) -> types.Range:
        """Return the range between two offsets."""
        return types.Range(self.to_position(start), self.to_position(end))

    def line_end(self, offset: int) -> int:
        """Return the offset of the end of the line that contains an offset."""
        line = bisect_right(self.line_starts, offset) - 1
        return self.line_starts[line] + len(self._line(line))

    def rest_of_line(self, line: int, column: int) -> tuple[int, int]:
        """Return the start and end offsets of a line from a column on; both count from 1."""
        line = min(max(line, 1), len(self.line_starts)) - 1
        end = self.line_starts[line] + len(self._line(line))
        return min(self.line_starts[line] + max(column, 1) - 1, end), end

    def apply_changes(self, changes: Iterable[types.TextDocumentContentChangeEvent]) -> DocumentText:
        """Return the text after applying changes of the client in order."""
        text = self
        for change in changes:
            new = change.text
            if isinstance(change, types.TextDocumentContentChangePartial):
                start, end = text.to_offset(change.range.start), text.to_offset(change.range.end)
                new = text.text[:start] + new + text.text[end:]
            text = DocumentText(new, self.encoding)
        return text

    def _line(self, line: int) -> str:
        end = self.line_starts[line + 1] if line + 1 < len(self.line_starts) else len(self.text)
        return self.text[self.line_starts[line] : end].rstrip("\r\n")
