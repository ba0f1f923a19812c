"""Adds a test case to a flow file without changing any other byte."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from stepflow_client._command import (
    check_instance,
    check_mapping,
    check_text,
    expectation_of,
    get_edits,
    is_lost,
    without_cases,
)
from stepflow_client._editing.text_edits import (
    Edit,
    NotEditableError,
    detect_json_indent,
    detect_newline,
    edit_file,
    find_line_end,
    make_addition,
    write_block,
    write_json,
)
from stepflow_client.errors import InvalidArgumentError
from stepflow_client.flows.source import Node
from stepflow_client.types import FlowResult


def build_case(
    name: str,
    input: Any,
    result: FlowResult,
    *,
    variables: Mapping[str, Any] | None = None,
    mocks: Mapping[str, Any] | None = None,
    flow: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """Return a test case from a finished item, which expects its output or its error.

    Args:
        name: The name of the case.
        input: The input of the item.
        result: The result of the item.
        variables: The variables of the run. Default: none.
        mocks: Outcomes of steps, as flow results, by step id. None, the default, executes all steps.
        flow: The flow, whose texts do not vary between runs. None, the default: unknown.
        at: When the run was executed. None, the default, is now.

    Raises:
        InvalidArgumentError: If the item was cancelled or lost by the server.
    """
    check_text(name, "name")
    if check_instance(result, "result", FlowResult).is_cancelled:
        raise InvalidArgumentError("a cancelled run is no test case: it has neither an output nor an error")
    if is_lost(result):
        raise InvalidArgumentError("a run that the server lost is no test case: it has neither an output nor an error")
    pinned = {name: dict(each) for name, each in (("variables", variables), ("mocks", mocks)) if each}
    given = (input, pinned, without_cases(flow or {}))
    return {"name": name, "input": input, **pinned, "output": expectation_of(result, given=given, at=at)}


def add_case(content: bytes, case: Mapping[str, Any], source: str, *, replace: bool = False) -> bytes:
    """Return the content of a flow file with a case added at the end of `test.cases`.

    Args:
        content: The content of the file, YAML or JSON in UTF-8.
        case: The case, as `build_case` returns it.
        source: The name of the file.
        replace: Whether to update an existing case with this name: its input, variables, mocks and expected output;
            other keys are kept. Default False.

    Raises:
        InvalidArgumentError: If the file has a case of the same name, and `replace` is False.
        FlowFileError: If the case cannot be added without changing more, for example because the cases are an alias.
    """
    check_instance(content, "content", bytes)
    added = dict(check_mapping(case, "case"))

    def change(text: str, root: Node) -> tuple[Iterable[Edit], Any]:
        changed = copy.deepcopy(root.value)
        test = (changed.get("test") or {}) if isinstance(changed, dict) else None
        cases = (test.get("cases") or []) if isinstance(test, dict) else None
        if test is None or not isinstance(cases, list):
            return [], added
        same = [at for at, each in enumerate(cases) if isinstance(each, dict) and each.get("name") == added.get("name")]
        if same and not replace:
            raise InvalidArgumentError(f"{source} has a test case {added['name']!r} already")
        if same:
            # Remove variables and mocks that the new case does not have.
            dropped = {"variables", "mocks"} - added.keys()
            old = {key: value for key, value in cases[same[0]].items() if key not in dropped}
            cases[same[0]] = old | added
            return _replace_case(text, root, same[0], cases[same[0]]), changed
        changed["test"] = {**test, "cases": [*cases, added]}
        # Pass an iterator: errors are reported only while the edits are read.
        return map(partial(_append_case, text, root), [added]), changed

    problem = "a test case cannot be added without changing more of the file; write test.cases as a list of its own"
    return edit_file(content, source, change, problem)


def _replace_case(text: str, root: Node, index: int, case: Mapping[str, Any]) -> Iterator[Edit]:
    node = root.at("test", "cases", index)
    around = [root.at("test"), root.at("test", "cases"), node]
    if node is None or any(part is None or part.original is not None or part.merges for part in around):
        raise NotEditableError
    if not case.keys() >= node.items.keys():
        # A key is removed: write the whole case.
        if node.is_flow:
            yield node.start, node.end, write_json(case)
        else:
            indent, written = _format_element(text, node, case)
            yield text.rindex("-", 0, node.start) - indent, find_line_end(text, node.last), written
        return
    for name, part in node.items.items():
        yield from get_edits(text, node, node.keys[name], part, case[name])
    new = {name: value for name, value in case.items() if name not in node.items}
    if new:
        yield make_addition(text, node, new)


def _append_case(text: str, root: Node, case: dict[str, Any]) -> Edit:
    test = root.get("test")
    if not root.written:
        # JSON that is not valid YAML, for example because of very long keys, has no positions.
        raise NotEditableError
    if test is None:
        return make_addition(text, root, {"test": {"cases": [case]}})
    if test.value in (None, {}):
        return _fill_empty(text, root, "test", {"cases": [case]})
    if not isinstance(test.value, dict) or test.original is not None:
        raise NotEditableError
    cases = test.get("cases")
    if cases is None:
        return make_addition(text, test, {"cases": [case]})
    if cases.value in (None, []):
        return _fill_empty(text, test, "cases", [case])
    if cases.original is not None or not cases.elements:
        raise NotEditableError
    last, newline = cases.elements[-1], detect_newline(text)
    if not cases.is_flow:
        end = find_line_end(text, cases.last)
        return end, end, newline + _format_element(text, last, case)[1]
    start = text.rfind("\n", 0, last.start) + 1
    before = text[start : last.start]
    between = ", " if before.strip() else f",{newline}{before}"
    lines = write_json(case, None if before.strip() else detect_json_indent(text)).split("\n")
    return last.end, last.end, between + (newline + before).join(lines)


def _fill_empty(text: str, parent: Node, name: str, value: Any) -> Edit:
    """Return the edit that replaces null or an empty collection."""
    key, node, newline = parent.keys[name], parent.items[name], detect_newline(text)
    if key.start < 0 or node.original is not None:
        raise NotEditableError
    colon = text.index(":", key.end) + 1
    end = max(colon, node.end)
    if parent.is_flow:
        return colon, end, f" {write_json(value)}"
    if "#" in text[colon : find_line_end(text, end)]:
        raise NotEditableError
    return colon, end, newline + write_block(value, key.column + 1, newline)


def _format_element(text: str, sibling: Node, case: Mapping[str, Any]) -> tuple[int, str]:
    """Return the indent of an element of a list in block style, and a case as such an element."""
    before = text[: sibling.start].rstrip()
    if not before.endswith("-"):
        raise NotEditableError
    indent = len(before) - 1 - (before.rfind("\n") + 1)
    written = write_block([case], indent, detect_newline(text))
    if written.lstrip().startswith("["):
        # A text in it cannot be written in block style.
        written = f"{' ' * indent}- {write_json(case)}"
    return indent, written
