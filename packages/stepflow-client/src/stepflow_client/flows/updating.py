"""Writes actual outputs into a flow file as the expected outputs of its test cases; every other byte is unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import FlowFileError
from ..types import FlowResult
from .edits import Edit, addition, apply, block_text, flow_text, json_text, line_end, newline_of, plain_text
from .error_codes import code_matches, code_word, error_data
from .file import parse_json, parse_yaml
from .matching import compare, is_matcher, level_run_ids
from .nodes import Node, parse_nodes

__all__ = ["expectation_of", "update_expected"]


def expectation_of(result: FlowResult, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an expected output that matches a result, as close as possible to the previous one.

    Parts that still match are kept: matchers, and objects that name only some of the keys. All others are replaced by
    the actual values.
    """
    before = before or {}
    is_like = before.get("outcome") == ("success" if result.is_success else "failed")
    if result.is_success:
        if is_like and "result" in before:
            return {**before, "result": _adapted(before["result"], result.output)}
        return {"outcome": "success", "result": level_run_ids(result.output)}
    error = result.error
    actual = {"code": code_word(error) if error else "UNSPECIFIED", "message": error.message if error else ""}
    if not is_like or not isinstance(before.get("error"), Mapping):
        return {"outcome": "failed", "error": actual}
    kept = dict(before["error"])
    if "code" in kept and not code_matches(kept["code"], error):
        kept["code"] = actual["code"]
    if "message" in kept:
        kept["message"] = _adapted(kept["message"], actual["message"])
    if "data" in kept:
        kept["data"] = _adapted(kept["data"], error_data(error))
    return {**before, "error": kept}


def _adapted(expected: Any, actual: Any) -> Any:
    if not compare(expected, actual):
        return expected
    if is_matcher(expected):
        return level_run_ids(actual)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return {key: _adapted_at(key, value, actual[key]) for key, value in expected.items() if key in actual}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [_adapted(value, found) for value, found in zip(expected, actual, strict=True)]
    return level_run_ids(actual)


def _adapted_at(key: str, expected: Any, actual: Any) -> Any:
    adapted = _adapted(expected, actual)
    # Whether a text is the id of a run depends on its key.
    return level_run_ids({key: adapted})[key] if isinstance(adapted, str) and adapted != expected else adapted


def update_expected(content: bytes, expected: Mapping[int, Any], source: str) -> bytes:
    """Return the content of a flow file with new expected outputs.

    Only the values of `output` of these cases change; in a case without `output` it is added after the last key.
    Comments inside a replaced value are removed with it.

    Args:
        content: The content of the file, YAML or JSON in UTF-8.
        expected: The new expected output of each case, by its position in `test.cases`.
        source: The name of the file in errors.

    Raises:
        FlowFileError: If a value cannot be replaced on its own, because it, or a part of it, is an anchor that is used
            elsewhere, or because the cases themselves are aliases.
    """
    text = content.decode("utf-8")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    parse = parse_json if source.lower().endswith(".json") else parse_yaml
    root = parse_nodes(text, source)
    wanted = parse(text, source)
    edits: list[Edit] = []
    for index, value in expected.items():
        edits += _edits(text, root, index, wanted["test"]["cases"][index], value, source)
    changed = apply(text, edits)
    for index, value in expected.items():
        wanted["test"]["cases"][index]["output"] = value
    try:
        is_right = parse(changed, source) == wanted
    except FlowFileError:
        is_right = False
    if not is_right:
        raise FlowFileError(f"{source}: the expected outputs cannot be replaced without touching more", path=source)
    return (mark + changed).encode()


def _edits(text: str, root: Node | None, index: int, old: Mapping[str, Any], value: Any, source: str) -> Iterator[Edit]:
    """Yield the edits that replace the expected output of a case."""
    test = root.get("test") if root else None
    cases = test.get("cases") if test else None
    case = cases.items[index] if cases and index < len(cases.items) else None
    if root is None or case is None or not case.keys:
        raise FlowFileError(f"{source}: test case {index} is an alias; write it out to update it", path=source)
    for key, node in case.keys:
        if key.value == "output":
            _refuse_shared(root, node, source)
            yield from _changes(text, case, key, node, old["output"], value)
            return
    yield addition(text, case, {"output": value})


def _changes(text: str, parent: Node, key: Node, node: Node, old: Any, new: Any) -> Iterator[Edit]:
    """Yield minimal edits: unchanged values keep their layout and their comments."""
    if old == new and json.dumps(old) == json.dumps(new):
        return
    if node.keys and isinstance(old, dict) and isinstance(new, dict) and [*old] == [*new] == _names(node):
        for (name, part), before, after in zip(node.keys, old.values(), new.values(), strict=True):
            yield from _changes(text, node, name, part, before, after)
    elif node.items and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for part, before, after in zip(node.items, old, new, strict=True):
            yield from _item_changes(text, part, before, after)
    else:
        yield _replacement(text, parent, key, node, new)


def _item_changes(text: str, node: Node, old: Any, new: Any) -> Iterator[Edit]:
    if old == new and json.dumps(old) == json.dumps(new):
        return
    if node.keys and isinstance(old, dict) and isinstance(new, dict) and [*old] == [*new] == _names(node):
        for (name, part), before, after in zip(node.keys, old.values(), new.values(), strict=True):
            yield from _changes(text, node, name, part, before, after)
    else:
        yield node.start, node.end, json_text(new)


def _names(node: Node) -> list[str | None]:
    return [key.value for key, _ in node.keys]


def _replacement(text: str, parent: Node, key: Node, node: Node, value: Any) -> Edit:
    newline = newline_of(text)
    colon = text.index(":", key.end) + 1
    is_simple = not isinstance(value, (dict, list)) or not value
    if node.value == "" and node.start == node.end:
        # Nothing is written here, and the position of such an empty value is somewhere after the colon.
        if parent.is_flow or is_simple:
            return colon, colon, f" {json_text(value)}"
        return colon, colon, newline + block_text(value, key.column + 2, newline)
    if parent.is_flow or (node.is_flow and node.value is None and node.alias is None):
        is_one_line = "\n" not in text[node.start : node.end]
        keeps_line = is_one_line and not (is_simple or text.lstrip().startswith("{"))
        return node.start, node.end, flow_text(text, key, value, newline, one_line=keeps_line)
    if is_simple and (node.alias or node.value is not None):
        if isinstance(value, str) and "\n" in value and text[node.end : line_end(text, node.end)].strip():
            # A comment after it would become part of a literal block.
            return node.start, node.end, json_text(value)
        return node.start, node.end, _scalar(value, " " * (key.column + 2), newline)
    if node.line == key.line:
        return colon, node.end, newline + block_text(value, key.column + 2, newline)
    # The value is on separate lines: comments between the key and the value are kept.
    # Only a list may have the same indent as its key.
    indent = node.column if node.column > key.column else key.column + 2
    return node.start, node.end, " " * (indent - node.column) + block_text(value, indent, newline).lstrip(" ")


def _scalar(value: Any, indent: str, newline: str) -> str:
    """Return a scalar or empty collection as YAML. A text of several lines becomes a literal block."""
    if not isinstance(value, str) or "\n" not in value:
        return plain_text(value) if not isinstance(value, str) or value.isprintable() else json_text(value)
    lines = value.removesuffix("\n").split("\n")
    if not all(map(str.isprintable, lines)) or not lines[0][:1].strip() or not lines[-1]:
        return json_text(value)
    kept = "|" if value.endswith("\n") else "|-"
    return newline.join([kept, *(indent + line if line else line for line in lines)])


def _refuse_shared(root: Node, node: Node, source: str) -> None:
    inside = {id(each) for each in node.walk()}
    anchors = {each.anchor for each in node.walk() if each.anchor}
    for each in root.walk():
        if each.alias in anchors and id(each) not in inside:
            message = f"{source}: line {node.line}: the expected output holds the anchor &{each.alias}"
            message += f", which line {each.line} uses; write it out there"
            raise FlowFileError(message, path=source, line=node.line)
