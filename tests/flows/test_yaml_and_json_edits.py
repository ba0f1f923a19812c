"""Text edits add, remove, move, wrap and replace keys and elements, and keep the style of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from stepflow_client import FlowFileError
from stepflow_client._editing import yaml_and_json_edits
from stepflow_client._editing.yaml_and_json_edits import Edit
from stepflow_client.flows.reading import parse_yaml
from stepflow_client.flows.syntax_tree import Node, parse_tree


def node_at(text: str, *path: str | int) -> Node:
    node = parse_tree(text, "f.yaml").at(*path)
    assert node is not None
    return node


def apply_fix(text: str, edits: Sequence[Edit]) -> str:
    """Apply the edits as one fix and return the text, or "" if there are no edits."""
    fix = yaml_and_json_edits.combine_edits(text, edits)
    if fix is None:
        assert edits == []
        return ""
    assert text[fix.start : fix.end] == fix.old
    return text[: fix.start] + fix.text + text[fix.end :]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("a: 1\nb: 2\nc: 3\n", ("a",), "b: 2\nc: 3\n"),
        ("a: 1\nb: 2\nc: 3\n", ("b",), "a: 1\nc: 3\n"),
        ("a: 1\nb: 2\nc: 3\n", ("c",), "a: 1\nb: 2\n"),
        ("a: 1\nb:\n", ("b",), "a: 1\n"),
        ("a: 1\n", ("a",), "{}\n"),
        ("x:\n  a: 1\ny: 2\n", ("x", "a"), "x: {}\ny: 2\n"),
        ("x: # why\n  a: 1\ny: 2\n", ("x", "a"), "x: # why\n  {}\ny: 2\n"),
        ("- a: 1\n- 2\n", (0, "a"), "- {}\n- 2\n"),
        ("x: {a: 1, b: 2}\n", ("x", "a"), "x: {b: 2}\n"),
        ("x: {a: 1, b: 2}\n", ("x", "b"), "x: {a: 1}\n"),
        ("x: {a: 1, b: 2,}\n", ("x", "b"), "x: {a: 1,}\n"),
        ("x: {a: 1}\n", ("x", "a"), "x: {}\n"),
        ("x: [1, 2, 3]\n", ("x", 0), "x: [2, 3]\n"),
        ("x: [1, 2, 3]\n", ("x", 2), "x: [1, 2]\n"),
        ("x: [1]\n", ("x", 0), "x: []\n"),
        ("x:\n- 1\n- 2\n", ("x", 0), "x:\n- 2\n"),
        ("x:\n- 1\n- 2\n", ("x", 1), "x:\n- 1\n"),
        ("x:\n- 1\n- a: 1\n  b: 2\ny: 1\n", ("x", 1), "x:\n- 1\ny: 1\n"),
        ("x:\n- 1\ny: 2\n", ("x", 0), "x: []\ny: 2\n"),
        ("- 1\n", (0,), "[]\n"),
        ("- - 1\n  - 2\n- 3\n", (0, 1), "- - 1\n- 3\n"),
        ("x:\r\n  a: 1\r\n  b: 2\r\n", ("x", "b"), "x:\r\n  a: 1\r\n"),
        # An alias or a merge key repeats content that is defined elsewhere.
        ("x: &x {a: 1}\ny: *x\n", ("y", "a"), ""),
        ("x: &x {a: 1}\ny: {<<: *x}\n", ("y", "a"), ""),
        ("x: &x [1]\ny: *x\n", ("y", 0), ""),
    ],
)
def test_a_key_or_an_element_is_removed(text: str, path: tuple[str | int, ...], expected: str) -> None:
    holder, last = node_at(text, *path[:-1]), path[-1]
    if isinstance(last, int):
        edits = yaml_and_json_edits.build_element_removal(text, holder, last)
    else:
        edits = yaml_and_json_edits.build_key_removal(text, holder, last)
    assert apply_fix(text, edits) == expected
    value = holder.value
    del value[last]
    assert not expected or node_at(expected, *path[:-1]).value == value


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("a: 1\n", (), 2, "a: 1\nnew: 2\n"),
        ("a: 1", (), [1], "a: 1\nnew: [1]"),
        ("x:\n  a: 1\ny: 2\n", ("x",), {"b": "c d"}, 'x:\n  a: 1\n  new: {b: "c d"}\ny: 2\n'),
        ("x:\n  a: 1  # why\ny: 2\n", ("x",), "no", 'x:\n  a: 1  # why\n  new: "no"\ny: 2\n'),
        ("x:\r\n  a: 1\r\n", ("x",), 2, "x:\r\n  a: 1\r\n  new: 2\r\n"),
        ("- a: 1\n- 2\n", (0,), 2, "- a: 1\n  new: 2\n- 2\n"),
        ("x: {}\n", ("x",), 2, "x: {new: 2}\n"),
        ("x: {a: 1}\n", ("x",), 2, "x: {a: 1, new: 2}\n"),
        ("x: {\n  a: 1,\n  b: 2\n}\n", ("x",), 2, "x: {\n  a: 1,\n  b: 2,\n  new: 2\n}\n"),
        ('{"a": 1}', (), "b", '{"a": 1, "new": "b"}'),
        ('{\n\t"a": 1,\n\t"b": 2\n}', (), "b", '{\n\t"a": 1,\n\t"b": 2,\n\t"new": "b"\n}'),
        ("x: &x {a: 1}\ny: *x\n", ("y",), 2, ""),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", ("y",), 2, "x: &x {a: 1}\ny:\n  <<: *x\n  new: 2\n"),
        ("x: 1\n", ("x",), 2, ""),
        ("x: [1]\n", ("x",), 2, ""),
    ],
)
def test_a_key_is_added(text: str, path: tuple[str | int, ...], value: Any, expected: str) -> None:
    holder = node_at(text, *path)
    assert apply_fix(text, yaml_and_json_edits.build_key_addition(text, holder, "new", value)) == expected
    assert not expected or node_at(expected, *path).value == {**holder.value, "new": value}


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("x: 1\n", ("x",), "x: {$literal: 1}\n"),
        ("x: [1, {a: 2}]  # why\n", ("x",), "x: {$literal: [1, {a: 2}]}  # why\n"),
        ("x:\n  a: 1\n\n  b: 2\ny: 3\n", ("x",), "x:\n  $literal:\n    a: 1\n\n    b: 2\ny: 3\n"),
        ("- a: 1\n  b: 2\n- 3\n", (0,), "- $literal:\n    a: 1\n    b: 2\n- 3\n"),
        ('{"x": 1}', ("x",), '{"x": {"$literal": 1}}'),
        ("x: &x 1\ny: *x\n", ("y",), ""),
    ],
)
def test_a_value_is_wrapped_in_a_key(text: str, path: tuple[str | int, ...], expected: str) -> None:
    node = node_at(text, *path)
    assert apply_fix(text, yaml_and_json_edits.build_value_wrapping(text, node, "$literal")) == expected
    assert not expected or node_at(expected, *path).value == {"$literal": node.value}


@pytest.mark.parametrize(
    ("text", "index", "before", "expected"),
    [
        ("x: [1, 2,  3]\n", 2, 0, "x: [3, 1,  2]\n"),
        ("x: [1, 2,  3]\n", 2, 1, "x: [1, 3,  2]\n"),
        ("x:\n- a: 1\n  b: 2  # why\n# next\n- 3\n", 1, 0, "x:\n- 3  # why\n# next\n- a: 1\n  b: 2\n"),
        ("x: [&a 1, *a]\n", 1, 0, ""),
        ("y: &y [1, 2]\nx: *y\n", 1, 0, ""),
    ],
)
def test_an_element_is_moved_forward(text: str, index: int, before: int, expected: str) -> None:
    holder = node_at(text, "x")
    assert apply_fix(text, yaml_and_json_edits.build_element_move(text, holder, index, before)) == expected
    value = list(holder.value)
    value.insert(before, value.pop(index))
    assert not expected or node_at(expected, "x").value == value


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("x: 1  # why\n", 2, "x: 2  # why\n"),
        ("x:  # why\n", 2, "x: 2  # why\n"),
        ("x:\n", {"a": [1]}, "x:\n  a:\n  - 1\n"),
        ("x:\n", [], "x: []\n"),
        ("x: 1\ny: 2\n", [1, {"a": "no"}], "x:\n  - 1\n  - a: 'no'\ny: 2\n"),
        ("x: 1\n", {}, "x: {}\n"),
        ("x: 1\n", "a: b", "x: 'a: b'\n"),
        ("x: old\n", "a\nb", "x: |-\n  a\n  b\n"),
        ("x: old\n", "a\n\nb\n", "x: |\n  a\n\n  b\n"),
        # A literal block cannot have a comment, and would need an indentation indicator for an indented first line and
        # `+` for an empty last line.
        ("x: old  # why\n", "a\nb", 'x: "a\\nb"  # why\n'),
        ("x: old\n", " a\nb", 'x: " a\\nb"\n'),
        ("x: old\n", "a\n\n", 'x: "a\\n\\n"\n'),
        ("x: old\n", "a\u2028\nb", 'x: "a\\u2028\\nb"\n'),
        ("x: |\n  a\n  b\n\ny: 1\n", "c\n", "x: |\n  c\n\ny: 1\n"),
        # Only the differing parts change.
        ("x: {a: 1,  b: [1,  2]}\n", {"a": 1, "b": [1, 3]}, "x: {a: 1,  b: [1,  3]}\n"),
        ("x:\n  a: 1  # why\n  b: 2\n", {"a": 1, "b": 3}, "x:\n  a: 1  # why\n  b: 3\n"),
        ("x:\n- 1  # why\n- 2\n", [1, {"a": 1}], 'x:\n- 1  # why\n- {"a": 1}\n'),
        ("x: {a: 1}\n", {"a": True}, "x: {a: true}\n"),
        ("x: {a: 1}\n", {"b": 1}, 'x: {"b": 1}\n'),
        ("x: {a: 1}\n", 5, "x: 5\n"),
        ("x: [1, 2]\n", [1], "x: [1]\n"),
        ("x: {\n  a: 1\n}\n", {"b": 1}, 'x: {\n  "b": 1\n}\n'),
        ('{\n  "x": 1\n}', {"b": 1}, '{\n  "x": {\n    "b": 1\n  }\n}'),
        ('{"x": 1}', {"b": 1}, '{"x": {"b": 1}}'),
        ("x:\n  # why\n  a: 1\ny: 2\n", {"b": 1}, "x:\n  # why\n  b: 1\ny: 2\n"),
        ("x:\n  # why\n  a: 1\ny: 2\n", [1], "x:\n  # why\n  - 1\ny: 2\n"),
        ("x:\n- 1\n- 2\ny: 2\n", {"b": 1}, "x:\n  b: 1\ny: 2\n"),
        ("x:\n    a: 1\n", {"b": {"c": 1}}, "x:\n    b:\n      c: 1\n"),
        ("x:\n  a: 1\n", 5, "x:\n  5\n"),
        # Content shared by an anchor, an alias or a merge key is not changed where it is defined.
        ("y: &y {a: 1}\nx: *y\n", {"a": 2}, "y: &y {a: 1}\nx:\n  a: 2\n"),
        ("y: &y [1]\nx: *y\n", [2], "y: &y [1]\nx:\n  - 2\n"),
        ("y: &y {a: 1}\nx: {<<: *y}\n", {"a": 2}, 'y: &y {a: 1}\nx: {"a": 2}\n'),
        ("x: 1\n", 1, "x: 1\n"),
    ],
)
def test_only_the_differing_parts_of_a_value_are_replaced(text: str, value: Any, expected: str) -> None:
    root = parse_tree(text, "f.yaml")
    edits = list(yaml_and_json_edits.iter_minimal_value_edits(text, root, root.keys["x"], root.items["x"], value))
    changed = yaml_and_json_edits.apply_edits(text, edits)
    assert changed == expected
    assert parse_tree(changed, "f.yaml").value == {**root.value, "x": value}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain-1.x/$y", "plain-1.x/$y"),
        ("Yes", '"Yes"'),
        ("12", '"12"'),
        ("1e5", '"1e5"'),
        ("0x1f", '"0x1f"'),
        ("2024-01-01", '"2024-01-01"'),
        ("a b", '"a b"'),
        ("", '""'),
        ("ä", "ä"),
        ("\u2028", '"\\u2028"'),
        ({"a": [1, None, True]}, "{a: [1, null, true]}"),
    ],
)
def test_inline_values_are_quoted_only_if_necessary(value: Any, written: str) -> None:
    assert yaml_and_json_edits.format_inline_like("a: 1", value) == written
    assert parse_yaml(written) == value
    assert yaml_and_json_edits.format_inline_like(' {"a": 1}', {"a b": [value]}).startswith('{"a b": [')


def test_a_file_keeps_its_byte_order_mark_and_line_endings() -> None:
    def change(text: str, root: Node) -> tuple[list[Edit], Any]:
        return yaml_and_json_edits.build_key_addition(text, root, "b", 2), {"a": 1, "b": 2}

    for mark in (b"", b"\xef\xbb\xbf"):
        changed = yaml_and_json_edits.edit_and_verify(mark + b"a: 1\r\n", "f.yaml", change, "not possible")
        assert changed == mark + b"a: 1\r\nb: 2\r\n"
    with pytest.raises(FlowFileError, match=r"^f\.yaml: not possible$") as caught:
        yaml_and_json_edits.edit_and_verify(b"a: 3\n", "f.yaml", change, "not possible")
    assert caught.value.path == "f.yaml"


def test_keys_are_written_in_block_style() -> None:
    written = yaml_and_json_edits.format_block_keys({"a b": {"x": 1}, "c": ["y"], "a\\b": {"z": 2}, "\u2028": [3]}, 2)
    assert written == '  a b:\n    x: 1\n  c:\n    - y\n  "a\\\\b":\n    z: 2\n  "\\u2028":\n    - 3'
    assert yaml_and_json_edits.format_block({"a": "\u2028"}, 2) == '  {"a": "\\u2028"}'
    assert yaml_and_json_edits.format_block({"a": "b\\c"}, 2) == '  {"a": "b\\\\c"}'


@pytest.mark.parametrize(
    ("char", "written"),
    [("\uffff", "\\uffff"), ("😀", "😀"), ("\U000e0001", "\U000e0001"), ("ä", "ä"), ("\x7f", "\\u007f")],
)
def test_dumped_json_is_valid_yaml(char: str, written: str) -> None:
    assert yaml_and_json_edits.dump_json(char) == f'"{written}"'
    assert parse_yaml(yaml_and_json_edits.dump_json(char)) == char
    assert yaml_and_json_edits.dump_json({"a": char}, "  ") == f'{{\n  "a": "{written}"\n}}'


def test_a_key_is_added_below_the_last_key_of_a_flow_mapping() -> None:
    text = "x: {a: 1,\n    b: 2}\n"
    edit = yaml_and_json_edits.build_keys_addition(text, node_at(text, "x"), {"c": [3]})
    assert apply_fix(text, [edit]) == "x: {a: 1,\n    b: 2,\n    c: [\n        3\n    ]}\n"
    text = "x: {a: 1, b: {\n  c: 2}}\n"
    edit = yaml_and_json_edits.build_keys_addition(text, node_at(text, "x"), {"d": [3]})
    assert apply_fix(text, [edit]) == "x: {a: 1, b: {\n  c: 2},\n          d: [3]}\n"
