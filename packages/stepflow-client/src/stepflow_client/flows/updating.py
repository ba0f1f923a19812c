"""Writes actual outputs into a flow file as the expected ones of its test cases; every other byte stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import FlowFileError
from ..types import FlowResult
from .error_codes import code_matches, code_word
from .file import parse_json, parse_yaml
from .matching import compare, is_matcher
from .nodes import Node, parse_nodes

__all__ = ["expectation_of", "update_expected"]


def expectation_of(result: FlowResult, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the expected output that a result fits, as near as can be to the one before.

    What still fits stays: matchers, and objects that name only some of the keys. All else becomes the actual value.
    """
    before = before or {}
    if result.is_success:
        if before.get("outcome") == "success" and "result" in before:
            return {**before, "result": _adapted(before["result"], result.output)}
        return {"outcome": "success", "result": result.output}
    error = result.error
    actual = {"code": code_word(error) if error else "UNSPECIFIED", "message": error.message if error else ""}
    if before.get("outcome") == "failed" and isinstance(before.get("error"), Mapping):
        kept = before["error"]
        if code_matches(kept.get("code"), error):
            actual["code"] = kept["code"]
        if "message" in kept:
            actual["message"] = _adapted(kept["message"], actual["message"])
    return {"outcome": "failed", "error": actual}


def _adapted(expected: Any, actual: Any) -> Any:
    if not compare(expected, actual):
        return expected
    if is_matcher(expected):
        return actual
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return {key: _adapted(value, actual[key]) for key, value in expected.items() if key in actual}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [_adapted(value, found) for value, found in zip(expected, actual, strict=True)]
    return actual


def update_expected(content: bytes, expected: Mapping[int, Any], source: str) -> bytes:
    """Return the content of a flow file with other expected outputs.

    Only the values of `output` of these cases change; a case without one gets one behind its last key. Comments inside
    a value that is replaced go with it.

    Args:
        content: The file, YAML or JSON in UTF-8.
        expected: The new expected output of each case, by its place in `test.cases`.
        source: What to call the file in errors.

    Raises:
        FlowFileError: If a value cannot be replaced alone: it, or a part of it, is an anchor that is used elsewhere, or
            the cases themselves are aliases.
    """
    text = content.decode("utf-8")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    parse = parse_json if source.lower().endswith(".json") else parse_yaml
    root = parse_nodes(text, source)
    edits = sorted((_edit(text, root, index, value, source) for index, value in expected.items()), reverse=True)
    changed = text
    for start, end, new in edits:
        changed = changed[:start] + new + changed[end:]
    wanted = parse(text, source)
    for index, value in expected.items():
        wanted["test"]["cases"][index]["output"] = value
    try:
        is_right = parse(changed, source) == wanted
    except FlowFileError:
        is_right = False
    if not is_right:
        raise FlowFileError(f"{source}: the expected outputs cannot be replaced without touching more", path=source)
    return (mark + changed).encode()


def _edit(text: str, root: Node | None, index: int, value: Any, source: str) -> tuple[int, int, str]:
    """Return which characters to replace by what."""
    test = root.get("test") if root else None
    cases = test.get("cases") if test else None
    case = cases.items[index] if cases and index < len(cases.items) else None
    if root is None or case is None or not case.keys:
        raise FlowFileError(f"{source}: test case {index} is an alias; write it out to update it", path=source)
    newline = "\r\n" if "\r\n" in text else "\n"
    for key, node in case.keys:
        if key.value != "output":
            continue
        _refuse_shared(root, node, source)
        return _replacement(text, case, key, node, value)
    last_key, last = case.keys[-1]
    if case.is_flow:
        is_json = text.lstrip().startswith("{")
        name = '"output"' if is_json else "output"
        one_line = text.count("\n", case.keys[0][0].start, last.end) == 0
        between = ", " if one_line else "," + newline + " " * last_key.column
        return last.end, last.end, f"{between}{name}: {_flow_text(text, last_key, value, newline)}"
    indent = case.keys[0][0].column
    end = _line_end(text, last.end)
    block = _block_text(value, indent + 2, newline)
    return end, end, f"{newline}{' ' * indent}output:{newline}{block}"


def _replacement(text: str, case: Node, key: Node, node: Node, value: Any) -> tuple[int, int, str]:
    newline = "\r\n" if "\r\n" in text else "\n"
    colon = text.index(":", key.end) + 1
    if node.value == "" and node.start == node.end:
        # Nothing at all: the place of an empty value is somewhere behind the colon.
        new = _flow_text(text, key, value, newline) if case.is_flow else ""
        return colon, colon, f" {new}" if new else newline + _block_text(value, key.column + 2, newline)
    if case.is_flow or (node.is_flow and node.value is None and node.alias is None):
        return node.start, node.end, _flow_text(text, key, value, newline)
    if node.line == key.line:
        return colon, node.end, newline + _block_text(value, key.column + 2, newline)
    # On lines of its own: comments between the key and the value stay.
    return node.start, node.end, _block_text(value, node.column, newline).lstrip(" ")


def _refuse_shared(root: Node, node: Node, source: str) -> None:
    inside = {id(each) for each in node.walk()}
    anchors = {each.anchor for each in node.walk() if each.anchor}
    for each in root.walk():
        if each.alias in anchors and id(each) not in inside:
            message = f"{source}: line {node.line}: the expected output holds the anchor &{each.alias}"
            raise FlowFileError(
                f"{message}, which line {each.line} uses", path=source, line=node.line, hint="write it out there"
            )


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    if end == -1:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end


def _flow_text(text: str, key: Node, value: Any, newline: str) -> str:
    """Return a value as JSON: over several lines, in steps of the file, where each key has its own line."""
    before = text[text.rfind("\n", 0, key.start) + 1 : key.start]
    if before.strip():
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=_json_step(text)).split("\n")
    return (newline + before).join(lines)


def _json_step(text: str) -> int:
    found = re.search(r"\n( +)\S", text)
    return len(found[1]) if found else 2


def _block_text(value: Any, indent: int, newline: str) -> str:
    from .._codec.yaml_writer import write_yaml

    lines = write_yaml(value).rstrip("\n").split("\n")
    return newline.join(" " * indent + line if line else line for line in lines)
