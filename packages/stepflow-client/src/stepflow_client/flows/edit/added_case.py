"""Adds a test case to a flow file without changing any other byte."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..._data.arguments import check_instance, check_mapping, check_text
from ...errors import InvalidArgumentError
from ...types import FlowResult
from ..source import Node
from .expected import expectation_of
from .text import (
    Edit,
    NotEditableError,
    addition,
    block_text,
    changed_file,
    json_indent,
    json_text,
    line_end,
    newline_of,
)

__all__ = ["add_case", "case_of"]


def case_of(name: str, input: Any, result: FlowResult) -> dict[str, Any]:
    """Return the test case that a finished item passes: its input, with its output or its error as expected output.

    Args:
        name: The name of the case.
        input: The input of the item.
        result: The result of the item.

    Raises:
        InvalidArgumentError: If the item was cancelled: no test expects that.
    """
    check_text(name, "name")
    if check_instance(result, "result", FlowResult).is_cancelled:
        raise InvalidArgumentError("a cancelled run is no test case: it has neither an output nor an error")
    return {"name": name, "input": input, "output": expectation_of(result)}


def add_case(content: bytes, case: Mapping[str, Any], source: str) -> bytes:
    """Return the content of a flow file with a case added behind the last one of `test.cases`.

    Args:
        content: The content of the file, YAML or JSON in UTF-8.
        case: The case, as `case_of` returns it.
        source: The name of the file.

    Raises:
        InvalidArgumentError: If the file has a case of the same name.
        FlowFileError: If the case cannot be added without changing more, for example because the cases are an alias.
    """
    check_instance(content, "content", bytes)
    added = dict(check_mapping(case, "case"))

    def change(text: str, root: Node) -> tuple[Iterable[Edit], Any]:
        wanted = copy.deepcopy(root.value)
        test = (wanted.get("test") or {}) if isinstance(wanted, dict) else None
        cases = (test.get("cases") or []) if isinstance(test, dict) else None
        if test is None or not isinstance(cases, list):
            return [], added
        if any(isinstance(each, dict) and each.get("name") == added.get("name") for each in cases):
            raise InvalidArgumentError(f"{source} has a test case {added['name']!r} already")
        wanted["test"] = {**test, "cases": [*cases, added]}
        return _edits(text, root, added), wanted

    problem = "a test case cannot be added without changing more of the file; write test.cases as a list of its own"
    return changed_file(content, source, change, problem)


def _edits(text: str, root: Node, case: dict[str, Any]) -> Iterator[Edit]:
    # Faults are only reported while the edits are read.
    yield _edit(text, root, case)


def _edit(text: str, root: Node, case: dict[str, Any]) -> Edit:
    test = root.get("test")
    if not root.written:
        # JSON that is no YAML, for example because of very long keys, has no places.
        raise NotEditableError
    if test is None:
        return addition(text, root, {"test": {"cases": [case]}})
    if test.value in (None, {}):
        return _filled(text, root, "test", {"cases": [case]})
    if not isinstance(test.value, dict) or test.original is not None:
        raise NotEditableError
    cases = test.get("cases")
    if cases is None:
        return addition(text, test, {"cases": [case]})
    if cases.value in (None, []):
        return _filled(text, test, "cases", [case])
    if cases.original is not None or not cases.elements:
        raise NotEditableError
    return _behind_last(text, cases, case)


def _filled(text: str, parent: Node, name: str, value: Any) -> Edit:
    """Return the edit that replaces null or an empty collection."""
    key, node, newline = parent.keys[name], parent.items[name], newline_of(text)
    if key.start < 0 or node.original is not None:
        raise NotEditableError
    colon = text.index(":", key.end) + 1
    end = max(colon, node.end)
    if parent.is_flow:
        return colon, end, f" {json_text(value)}"
    if "#" in text[colon : line_end(text, end)]:
        raise NotEditableError
    return colon, end, newline + block_text(value, key.column + 1, newline)


def _behind_last(text: str, cases: Node, case: dict[str, Any]) -> Edit:
    last, newline = cases.elements[-1], newline_of(text)
    if cases.is_flow:
        start = text.rfind("\n", 0, last.start) + 1
        before = text[start : last.start]
        between = ", " if before.strip() else f",{newline}{before}"
        lines = json_text(case, None if before.strip() else json_indent(text)).split("\n")
        return last.end, last.end, between + (newline + before).join(lines)
    before = text[: last.start].rstrip()
    if not before.endswith("-"):
        raise NotEditableError
    indent = len(before) - 1 - (before.rfind("\n") + 1)
    written = block_text([case], indent, newline)
    if written.lstrip().startswith("["):
        # A text in it cannot be written in block style.
        written = f"{' ' * indent}- {json_text(case)}"
    end = line_end(text, cases.last)
    return end, end, newline + written
