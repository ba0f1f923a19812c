"""Reads a flow that is edited: steps whose text has not changed are not parsed again. Pure.

The list of the steps is cut into blocks of lines, each with one step. Those that were read before are known by their
text. This gives the same tree as reading the whole text: blocks in which anything could depend on the text around them
are not cut, which each block shows by being valid on its own.
"""

from __future__ import annotations

import re
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
_STUB = "- 0\n"
"""A step that takes the place of others."""


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
        """Create a step without a parent."""
        super().__init__(source, lines, characters)
        self.facts = facts


def facts_of(node: Node) -> Facts | None:
    """Return where to keep what is found out about a step; None if it is not known from earlier texts."""
    return node.facts if isinstance(node, KnownStep) else None


class _Block(NamedTuple):
    """A step that was read on its own."""

    node: Node
    lines: int
    """The number of its lines."""
    facts: Facts


class _Cut(NamedTuple):
    """A text in parts: what stands before the steps, the blocks, and the last step with what stands behind it."""

    head: str
    blocks: list[str]
    rest: str
    indentation: str


class KnownSteps:
    """The steps of a text that is read again after each edit."""

    def __init__(self) -> None:
        """Start without any."""
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
            found = before.get(block) or known.get(block) or _block(block, cut.indentation, source)
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
    """Return the parts of a YAML text; None if they cannot be told apart, or are too few."""
    if source.lower().endswith(".json") or len(text) > MAX_YAML_LENGTH or not _has_plain_lines(text):
        return None
    first = _STEPS.search(text)
    if first is None:
        return None
    start, indentation = first.start(1), first[1]
    end = re.compile(rf"\n {{0,{len(indentation)}}}(?![ \r\n#]|-[ \r\n])").search(text, start)
    dashes = re.compile(rf"\n{indentation}-(?=[ \r\n])").finditer(text, start, end.start() if end else len(text))
    starts = [start, *(each.start() + 1 for each in dashes)]
    if len(starts) < 2:
        return None
    return _Cut(text[:start], [text[one:other] for one, other in pairwise(starts)], text[starts[-1] :], indentation)


def _has_plain_lines(text: str) -> bool:
    """Return whether lines end with a line feed only. (YAML knows other line breaks.)"""
    if "\r" in text and text.count("\r") != text.count("\r\n"):
        return False
    return text.isascii() or not re.search("[\x85\u2028\u2029\ufeff]", text)


def _block(text: str, indentation: str, source: str) -> _Block | None:
    """Return the step in a block of lines; None if it is not one, or has more than one place in the tree."""
    try:
        # Some positions are those of the next step.
        tree = read_tree(f"{text}{indentation}{_STUB}", source)
    except FlowFileError:
        return None
    if len(tree.elements) != 2 or tree.is_flow or _is_shared(tree):
        return None
    return _Block(tree.elements[0], text.count("\n"), Facts())


def _is_shared(tree: Node) -> bool:
    """Return whether a tree has aliases or merge keys: a text may only have a certain number of their values."""
    return any(each.original is not None or each.merges for each in tree.walk())


def _joined(cut: _Cut, blocks: list[_Block], source: str) -> Node | None:
    """Return the tree of a text from the trees of its parts; None if a part is not valid, or no part of its own."""
    stub = cut.indentation + _STUB
    try:
        root = read_tree(cut.head + stub + cut.rest, source)
    except FlowFileError:
        return None
    if not _has_stub(root, cut) or _is_shared(root):
        return None
    steps, start = root.items["steps"], len(cut.head)
    first = cut.head.count("\n")
    lines = [*accumulate((each.lines for each in blocks), initial=first)]
    starts = [*accumulate(map(len, cut.blocks), initial=start)]
    by = lines[-1] - first - 1, starts[-1] - start - len(stub)
    elements: list[Node] = [
        KnownStep(each.node, line, at, each.facts) for each, line, at in zip(blocks, lines, starts, strict=False)
    ]
    elements += [Copy(each, *by) for each in steps.elements[1:]]
    steps.elements = [each.put(steps, index) for index, each in enumerate(elements)]
    steps.value[:] = [each.value for each in elements]
    for each in (steps, root):
        each.end, each.last = each.end + by[1], each.last + by[1]
    behind = {name: key for name, key in root.keys.items() if key.start > start}
    root.keys = {**root.keys, **moved(behind, *by)}
    root.items = {**root.items, **{name: Copy(root.items[name], *by).put(root, name) for name in behind}}
    return root


def _has_stub(root: Node, cut: _Cut) -> bool:
    """Return whether a stub before all other steps is read as a step, and not as a part of a text for example."""
    steps, start = root.get("steps"), len(cut.head) + len(cut.indentation)
    if steps is None or steps.is_flow or not steps.elements:
        return False
    stub = steps.elements[0]
    return (steps.start, stub.start, stub.value) == (start, start + 2, 0)


def _whole(text: str, cut: _Cut, faulty: int, source: str) -> Node:
    """Read a text of which a part is not valid, and which may be valid as a whole.

    Valid blocks before the fault are not parsed for the message: empty lines take their place.
    """
    kept, stub = max(faulty - 1, 0), cut.indentation + _STUB
    try:
        begins = kept > 0 and _has_stub(read_tree(cut.head + stub, source), cut)
    except FlowFileError:
        begins = False
    if begins:
        # With a * somewhere, other faults are found first.
        stub = stub.replace("\n", " # *\n") if "*" in text else stub
        empty = "\n" * (sum(each.count("\n") for each in cut.blocks[:kept]) - 1)
        try:
            read_tree(f"{cut.head}{stub}{empty}{''.join(cut.blocks[kept:])}{cut.rest}", source)
        except FlowFileError as error:
            if error.line is not None and "alias" not in error.message:
                raise
    return read_tree(text, source)
