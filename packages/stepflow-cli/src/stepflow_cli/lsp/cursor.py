"""What is at an offset of a flow's text, and what is being typed there, even where the text is not valid yet. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from stepflow_client._command import open_marks
from stepflow_client.flows.source import FlowText, Node

_CARET = "\ue000"
"""Stands for the cursor while a text is parsed."""
_QUOTES = ("'", '"')
_CLOSERS = {"{": "}", "[": "]"}
_SECTION = re.compile(r"\n(?![ \t#\n]|-[ \t\r\n]|---|\.\.\.|\r?(?:\n|\Z))")
"""The beginning of a section, behind a line feed: a pattern that begins with a character is found far faster."""
_PATH = re.compile(r"(?<=[\s:])\$(?:\.[\w-]*|\[[^\]\s]*\]?)*\[[^\s,{}]*$")
_SPACE = re.compile(r"[ \t\n\r]*")
_MAX_MENDED = 5
_LARGE = 100_000
"""Number of characters from which on a text is not parsed again and again."""


class Spot(NamedTuple):
    """What is at an offset of a text."""

    node: Node
    """The innermost value around the offset; the mapping, if it is at a key."""
    key: str | None = None
    """The key of the mapping that is there."""


def spot_at(root: Node, offset: int) -> Spot:
    """Return the innermost key or value at an offset."""
    node = root
    while node.original is None:
        for name, key in node.keys.items():
            if 0 <= key.start <= offset <= key.end:
                return Spot(node, name)
        parts = (*node.items.values(), *node.elements)
        inner = next((each for each in parts if each.start <= offset <= each.end and each.start < each.end), None)
        # A merged value is somewhere else in the text.
        if inner is None or inner.parent is not node:
            break
        node = inner
    return Spot(node)


class Typed(NamedTuple):
    """The key or the value that is being typed at an offset."""

    spot: Spot
    """The key or the value in a tree that has positions of its own: that of the text around, without other steps."""
    text: str
    """What is typed so far, up to the offset."""
    start: int
    end: int
    """The characters of the file that make up the whole word."""
    first_step: int = 0
    """The index of the first step in the tree; the steps before it are left out."""
    is_quoted: bool = False
    opens_line: bool = False
    """Whether the value is the first in its line, and can become a key."""

    @property
    def root(self) -> Node:
        """The tree."""
        node = self.spot.node
        while node.parent is not None:
            node = node.parent
        return node


class _Part(NamedTuple):
    """A part of a text that is valid without the rest."""

    start: int
    end: int
    head: str = ""
    """The text before it that it needs."""
    first_step: int = 0
    foot: str = ""
    """The text behind it that it needs."""


def typed_at(text: str, name: str, offset: int) -> Typed | None:
    """Return what is being typed at an offset of a YAML or JSON text; None if that is not clear.

    Only the step or the section around the offset is parsed. If it is not valid, what is missing is added: a colon, a
    quote, brackets.
    """
    is_json = name.lower().endswith(".json") or text.lstrip()[:1] == "{"
    whole = _Part(0, len(text))
    parts = [(_part_of_json if is_json else _part_around)(text, offset) or whole, whole]
    for part in parts if len(text) < _LARGE else parts[:1]:
        before, after = part.head + text[part.start : offset], text[offset : part.end] + part.foot
        marks = open_marks(before)
        quote = marks.pop() if marks and marks[-1] in _QUOTES else ""
        path = _PATH.search(before) if not quote and marks else None
        if path is not None:
            # Within braces, a path with brackets needs quotes, which come with the completion.
            before = before[: path.start()]
        closers = "".join(_CLOSERS[each] for each in reversed(marks))
        heads = _heads_of_json(quote) if is_json else [_CARET, f"{_CARET}{quote}", f"{_CARET}{quote}:"]
        following = after.partition("\n")[2]
        for tail in dict.fromkeys((after, f"\n{following}", f"{closers}\n{following}", closers)):
            for head in dict.fromkeys(heads):
                flow = FlowText(before + head + tail, name)
                at = len(before) + head.index(_CARET)
                if flow.error is None and (found := _typed(flow, at, offset, part)) is not None:
                    found = found._replace(is_quoted=quote != "")
                    return found if path is None else found._replace(text=path[0], start=offset - len(path[0]))
    return None


def _heads_of_json(quote: str) -> list[str]:
    """Return what may be missing at the caret in a JSON text: quotes, a colon with a value, a comma."""
    word = f"{_CARET}{quote}" if quote else f'"{_CARET}"'
    closed = [f"{word}{each}" for each in ("", ",", ":null", ":null,")]
    return [_CARET, *closed] if quote else [*closed, f",{word}", f",{word}:null"]


def _part_around(text: str, offset: int) -> _Part:
    """Return the section of a YAML text around an offset: of a list such as that of the steps, only one element."""
    line = text.rfind("\n", 0, offset) + 1
    lines = f"\n{text}"
    starts = [match.start() for match in _SECTION.finditer(lines)]
    start = max((each for each in starts if each <= line), default=0)
    end = min((each for each in starts if each > line), default=len(text))
    first = re.compile(r"^( *)-(?=[ \r\n])", re.MULTILINE).search(text, start, end)
    if first is None or text[text.find("\n", start) : first.start()].strip() or first.start() > offset:
        return _Part(start, end)
    dash = re.compile(rf"\n{first[1]}-(?=[ \r\n]|\Z)")
    elements = [each.start() for each in dash.finditer(lines, start, end + 1)]
    index = sum(each <= line for each in elements) - 1
    last = elements[index + 1] if index + 1 < len(elements) else end
    return _Part(elements[index], last, text[start : first.start()], index)


def _part_of_json(text: str, offset: int) -> _Part | None:
    """Return the step of a JSON text around an offset, which may be invalid; None if there is none."""
    for index, (start, end) in enumerate(_json_steps(text)):
        if end is None:
            line = text[text.rfind("\n", 0, start) + 1 : start]
            closed = re.compile(rf"\n{line}\}}").search(text, start) if not line.strip() else None
            end = closed.end() if closed is not None else len(text)
        if start <= offset <= end:
            return _Part(start, end, '{"steps": [', index, "]}")
    return None


def _json_steps(text: str) -> Iterator[tuple[int, int | None]]:
    """Yield where the steps in a JSON text begin and end; a step that is not valid has no end, and is the last."""
    read, at = json.JSONDecoder().raw_decode, _next(text, 0)
    try:
        while text[at : at + 1] in ("{", ","):
            key, at = read(text, _next(text, at + 1))
            at = _next(text, _next(text, at) + 1)
            if key == "steps" and text[at : at + 1] == "[":
                break
            at = _next(text, read(text, at)[1])
        else:
            return
    except (ValueError, RecursionError):
        return
    while text[at : at + 1] in ("[", ","):
        start = _next(text, at + 1)
        try:
            end = read(text, start)[1]
        except (ValueError, RecursionError):
            yield start, None
            return
        yield start, end
        at = _next(text, end)


def _next(text: str, at: int) -> int:
    """Return the offset of the next character of a JSON text that is no white space."""
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _typed(flow: FlowText, at: int, offset: int, part: _Part) -> Typed | None:
    spot = spot_at(flow.root, at)
    where = spot.node.keys[spot.key] if spot.key is not None else spot.node
    word = flow.text[where.start : where.end]
    content = spot.key if spot.key is not None else spot.node.value
    if not isinstance(content, str) or _CARET not in content or "\n" in word:
        return None
    begin = where.start + (word[:1] in _QUOTES)
    typed, rest = flow.text[begin:at], word[at + 1 - where.start :]
    rest = rest.removesuffix(word[0]) if begin > where.start else rest
    line = flow.text[flow.text.rfind("\n", 0, where.start) + 1 : where.start]
    opens_line = spot.key is None and not line.replace("- ", "  ").strip()
    return Typed(spot, typed, offset - len(typed), offset + len(rest), part.first_step, False, opens_line)


def mended(flow: FlowText) -> FlowText:
    """Return a flow whose text is not valid without the lines that are at fault: these are blank, in place."""
    for _ in range(_MAX_MENDED):
        line = flow.error.line if flow.error is not None else None
        if line is None:
            break
        lines = flow.text.split("\n")
        lines[line - 1] = " " * len(lines[line - 1])
        flow = FlowText("\n".join(lines), flow.name)
    return flow
