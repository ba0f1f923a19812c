"""The text of an open document, and the positions of the protocol in it. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate

from lsprotocol import types

_BREAK = re.compile(r"\r\n|\n|\r")
_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


class Text:
    """A text and its lines, as the protocol counts them: columns count the units of an encoding, usually UTF-16."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text, self.encoding = text, encoding
        self._codec, self._unit = _CODECS[encoding]

    @cached_property
    def starts(self) -> list[int]:
        """The offsets of the beginnings of the lines."""
        if "\r" in self.text:
            return [0, *(each.end() for each in _BREAK.finditer(self.text))]
        return [0, *accumulate(len(each) + 1 for each in self.text.split("\n"))][:-1]

    def offset(self, position: types.Position) -> int:
        """Return the offset of a position; positions behind the end of a line or of the text are moved there."""
        if position.line >= len(self.starts):
            return len(self.text)
        start = self.starts[position.line]
        line = self._line(position.line)
        if line.isascii():
            return start + min(position.character, len(line))
        units = line.encode(self._codec, "surrogatepass")[: position.character * self._unit]
        # The half of a character does not count.
        return start + len(units.decode(self._codec, "ignore" if self._unit < 4 else "surrogatepass"))

    def position(self, offset: int) -> types.Position:
        """Return the position of an offset."""
        line = bisect_right(self.starts, offset) - 1
        before = self.text[self.starts[line] : offset]
        units = len(before) if before.isascii() else len(before.encode(self._codec, "surrogatepass")) // self._unit
        return types.Position(line, units)

    def range(self, start: int, end: int) -> types.Range:
        """Return the range between two offsets."""
        return types.Range(self.position(start), self.position(end))

    def line_end(self, offset: int) -> int:
        """Return the offset of the end of the line with an offset, without its line break."""
        line = bisect_right(self.starts, offset) - 1
        return self.starts[line] + len(self._line(line))

    def in_line(self, line: int, column: int) -> tuple[int, int]:
        """Return the characters from a column of a line up to its end; both count from 1."""
        line = min(max(line, 1), len(self.starts)) - 1
        end = self.starts[line] + len(self._line(line))
        return min(self.starts[line] + max(column, 1) - 1, end), end

    def changed(self, changes: Iterable[types.TextDocumentContentChangeEvent]) -> Text:
        """Return the text after changes of the client, one after the other."""
        text = self
        for each in changes:
            new = each.text
            if isinstance(each, types.TextDocumentContentChangePartial):
                start, end = text.offset(each.range.start), text.offset(each.range.end)
                new = text.text[:start] + new + text.text[end:]
            text = Text(new, self.encoding)
        return text

    def _line(self, line: int) -> str:
        end = self.starts[line + 1] if line + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[line] : end].rstrip("\r\n")
