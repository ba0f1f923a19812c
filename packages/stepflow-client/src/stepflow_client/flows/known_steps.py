"""Reads a flow that is edited: steps whose text has not changed are not parsed again. Pure.

The list of the steps is cut into blocks, each with one step: of YAML into blocks of lines, of JSON into elements. Those
that were read before are known by their text. This gives the same tree as reading the whole text: blocks in which
anything could depend on the text around them are not cut, which each block shows by being valid on its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from .._data.expressions import Reference
from ..errors import FlowFileError
from .components import Components
from .file import MAX_YAML_LENGTH
from .findings import Release
from .nodes import Copy, Node, moved
from .source import read_tree

_STEPS = re.compile(r"^steps:[ \t]*(?:#[^\n]*)?\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*( *)-(?=[ \r\n])", re.MULTILINE)
"""The key of the steps, up to the dash of the first one."""
_SPACE = re.compile(r"[ \t\n\r]*")
_JSON = "flow.json"
"""A name for what is certainly JSON: another file may hold what is only YAML."""
_MOST_COLUMNS = 200
"""Maximum indentation of an element in JSON: a file in one line is not cut."""


@dataclass
class Facts:
    """What the model, the rules and the types have found out about a step, and keep as long as it is not edited."""

    reads: list[Reference] | None = None
    """What its input reads."""
    right_with: tuple[Components | None, Release | None] | None = None
    """The components and the release with which the rules found no fault in the step alone; None if they found one."""
    types: Any = None
    """Its types, and what they depended on: `TypesBefore` in `types/known`."""
    has_right_types: bool = False
    """Whether the rules found no fault in these types."""


class KnownStep(Copy):
    """A step at its place in a text, and what was found out about it in earlier texts."""

    __slots__ = ("facts",)

    def __init__(self, source: Node, lines: int, characters: int, facts: Facts) -> None:
        super().__init__(source, lines, characters)
        self.facts = facts


def facts_of(node: Node) -> Facts | None:
    """Return where to keep what is found out about a step; None if it is not known from earlier texts."""
    return node.facts if isinstance(node, KnownStep) else None


class _Block(NamedTuple):
    """A step that was read on its own."""

    node: Node
    facts: Facts


class _Cut(NamedTuple):
    """A text in parts: what stands before the steps, all steps but the last, and the last one with all behind it."""

    head: str
    blocks: list[str]
    starts: list[tuple[int, int]]
    """The number of lines and of characters before each block, and before the last step."""
    rest: str
    stub: str
    """A step that takes the place of the blocks. Its value is 0."""
    before: int
    """The number of characters before this value in it."""
    is_json: bool = False

    @property
    def moved(self) -> tuple[int, int]:
        """The number of lines and of characters by which the stub is shorter than the blocks."""
        lines, characters = self.starts[-1]
        short = self.head + self.stub
        return lines - short.count("\n"), characters - len(short)


class KnownSteps:
    """The steps of a text that is read again after each edit."""

    def __init__(self) -> None:
        self._blocks: dict[str, _Block] = {}

    def read(self, text: str, source: str) -> Node:
        """Return the tree of a text, as `read_tree` does.

        Raises:
            FlowFileError: If the text is invalid.
        """
        cut = _cut(text, source)
        if cut is None:
            return read_tree(text, source)
        known, before = dict[str, _Block](), self._blocks
        faulty = None
        for index, block in enumerate(cut.blocks):
            found = before.get(block) or known.get(block) or _block(block, cut, source)
            if found is not None:
                known[block] = found
            elif faulty is None:
                faulty = index
        self._blocks = known
        if faulty is None:
            tree = _joined(cut, [known[each] for each in cut.blocks], source)
            if tree is not None:
                return tree
        return _whole(text, cut, len(cut.blocks) if faulty is None else faulty, source)


def _cut(text: str, source: str) -> _Cut | None:
    """Return the parts of a text; None if they cannot be told apart, or are too few."""
    if len(text) > MAX_YAML_LENGTH or not _has_plain_lines(text):
        return None
    is_json = source.lower().endswith(".json") or text.lstrip()[:1] == "{"
    return _cut_json(text) if is_json else _cut_yaml(text)


def _has_plain_lines(text: str) -> bool:
    """Return whether lines end with a line feed only. (YAML knows other line breaks.)"""
    if "\r" in text and text.count("\r") != text.count("\r\n"):
        return False
    return text.isascii() or not re.search("[\x85\u2028\u2029\ufeff]", text)


def _cut_yaml(text: str) -> _Cut | None:
    first = _STEPS.search(text)
    if first is None:
        return None
    start, indentation = first.start(1), first[1]
    end = re.compile(rf"\n {{0,{len(indentation)}}}(?![ \r\n#]|-[ \r\n])").search(text, start)
    dashes = re.compile(rf"\n{indentation}-(?=[ \r\n])").finditer(text, start, end.start() if end else len(text))
    starts = [start, *(each.start() + 1 for each in dashes)]
    if len(starts) < 2:
        return None
    blocks = [text[one:other] for one, other in pairwise(starts)]
    lines = accumulate((each.count("\n") for each in blocks), initial=text.count("\n", 0, start))
    places = [*zip(lines, starts, strict=True)]
    return _Cut(text[:start], blocks, places, text[starts[-1] :], f"{indentation}- 0\n", len(indentation) + 2)


def _cut_json(text: str) -> _Cut | None:
    found = [*json_steps(text)]
    if len(found) < 2 or found[-1][1] is None:
        return None
    blocks, places, line, before = list[str](), list[tuple[int, int]](), 0, 0
    for start, end in found:
        column = start - text.rfind("\n", 0, start) - 1
        if column > _MOST_COLUMNS:
            return None
        line, before = line + text.count("\n", before, start), start
        # Columns are those of the whole text.
        blocks.append(" " * column + text[start:end])
        places.append((line, start - column))
    start, padding = found[-1][0], " " * (found[-1][0] - places[-1][1])
    places[-1] = line, start
    return _Cut(text[: found[0][0]], blocks[:-1], places, text[start:], f"0,\n{padding}", 0, True)


def json_steps(text: str) -> Iterator[tuple[int, int | None]]:
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


def _block(text: str, cut: _Cut, source: str) -> _Block | None:
    """Return the step in a block; None if it is not one, or has more than one place in the tree."""
    try:
        # Some positions in YAML are those of the next step.
        tree = read_tree(text, _JSON) if cut.is_json else read_tree(f"{text}{cut.stub}", source)
    except FlowFileError:
        return None
    if _is_shared(tree) or tree.start < 0:
        return None
    if cut.is_json:
        return _Block(tree, Facts())
    return _Block(tree.elements[0], Facts()) if len(tree.elements) == 2 and not tree.is_flow else None


def _is_shared(tree: Node) -> bool:
    """Return whether a tree has aliases or merge keys: a text may only have a certain number of their values."""
    return any(each.original is not None or each.merges for each in tree.walk())


def _joined(cut: _Cut, blocks: list[_Block], source: str) -> Node | None:
    """Return the tree of a text from the trees of its parts; None if a part is not valid, or no part of its own."""
    try:
        root = read_tree(cut.head + cut.stub + cut.rest, _JSON if cut.is_json else source)
    except FlowFileError:
        return None
    if not _has_stub(root, cut) or _is_shared(root):
        return None
    steps, by = root.items["steps"], cut.moved
    elements: list[Node] = [
        KnownStep(each.node, *start, each.facts) for each, start in zip(blocks, cut.starts, strict=False)
    ]
    elements += [Copy(each, *by) for each in steps.elements[1:]]
    steps.elements = [each.put(steps, index) for index, each in enumerate(elements)]
    steps.value[:] = [each.value for each in elements]
    for each in (steps, root):
        each.end, each.last = each.end + by[1], each.last + by[1]
    behind = {name: key for name, key in root.keys.items() if key.start > len(cut.head)}
    root.keys = {**root.keys, **moved(behind, *by)}
    root.items = {**root.items, **{name: Copy(root.items[name], *by).put(root, name) for name in behind}}
    return root


def _has_stub(root: Node, cut: _Cut) -> bool:
    """Return whether a stub before all other steps is read as a step, and not as a part of a text for example."""
    steps, start = root.get("steps"), len(cut.head) + cut.before
    if steps is None or steps.is_flow != cut.is_json or not steps.elements:
        return False
    stub = steps.elements[0]
    return (stub.start, stub.value) == (start, 0) and (cut.is_json or steps.start == start - 2)


def _whole(text: str, cut: _Cut, faulty: int, source: str) -> Node:
    """Read a text of which a part is not valid, and which may be valid as a whole.

    Valid blocks before the fault are not parsed for the message: empty lines take their place.
    """
    kept = max(faulty - 1, 0)
    try:
        # In JSON, a fault is found before positions are read.
        begins = kept > 0 and not cut.is_json and _has_stub(read_tree(cut.head + cut.stub, source), cut)
    except FlowFileError:
        begins = False
    if begins:
        # With a * somewhere, other faults are found first.
        stub = cut.stub.replace("\n", " # *\n") if "*" in text else cut.stub
        empty = "\n" * (sum(each.count("\n") for each in cut.blocks[:kept]) - 1)
        try:
            read_tree(f"{cut.head}{stub}{empty}{''.join(cut.blocks[kept:])}{cut.rest}", source)
        except FlowFileError as error:
            if error.line is not None and "alias" not in error.message:
                raise
    return read_tree(text, source)
