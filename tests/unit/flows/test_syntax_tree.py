"""Syntax trees with positions: one parse serves checks, edits and server diagnostics."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import pytest
import yaml
from stepflow_cli.validation.flow_checks import locate_diagnostic_node
from stepflow_client import FlowFileError
from stepflow_client._base.gc_pauses_and_slices import pause_garbage_collector
from stepflow_client._checks.checker import check_source
from stepflow_client._data.yaml_format import read_yaml
from stepflow_client.flows.reading import parse_json, parse_yaml
from stepflow_client.flows.syntax_tree import FlowText, Node, parse_tree, to_node

from tests.flows.valid import VALID

TEXT = """\
name: &n "it's"   # a comment
steps:
  - id: a
    input: {q: [1, *n]}
    more: |
      lines
      and lines

    empty:
base: &base
  x: 1
  y: 2
merged:
  <<: *base
  y: 3
  last: *n
"""


def source_of(text: str, node: Node | None) -> str:
    assert node is not None
    return text[node.start : node.end]


def test_node_positions() -> None:
    root = parse_tree(TEXT, "f.yaml")
    assert root.value == parse_yaml(TEXT)
    step = root.at("steps", 0)
    assert step is not None
    assert (step.line, step.column) == (3, 5)
    assert source_of(TEXT, step) == TEXT[TEXT.index("id: a") : TEXT.index("empty:") + len("empty:")]
    assert source_of(TEXT, step.at("input")) == "{q: [1, *n]}"
    assert source_of(TEXT, step.at("more")) == "|\n      lines\n      and lines"
    key = step.keys["more"]
    assert (key.line, key.column, TEXT[key.start : key.end]) == (5, 5, "more")
    empty = step.at("empty")
    assert empty is not None
    assert (empty.value, empty.line, empty.start) == (None, step.keys["empty"].line, empty.end)
    assert root.at("steps", 1) is root.at("name", "x") is root.at("steps", 0, "id", 0) is None


def test_aliases_and_merges_keep_their_positions() -> None:
    root = parse_tree(TEXT, "f.yaml")
    alias = root.at("steps", 0, "input", "q", 1)
    assert alias is not None
    # The value and the position for messages are the anchor's; the offsets are the alias's own.
    assert (alias.value, alias.line, alias.original) == ("it's", 1, root.at("name"))
    assert source_of(TEXT, alias) == "*n"
    merged = root.at("merged")
    assert merged is not None
    assert merged.value == {"x": 1, "y": 3, "last": "it's"}
    assert (merged.items["x"].line, merged.keys["x"].start) == (11, -1)
    assert [TEXT[key.start : key.end] for key in merged.written_keys] == ["<<", "y", "last"]
    assert source_of(TEXT, merged.merges[0][1]) == "*base"
    assert source_of(TEXT, merged.at("last")) == "*n"


@pytest.mark.parametrize("flow", [flow for flow, _ in VALID])
def test_the_value_of_a_tree_equals_the_parsed_text(flow: object) -> None:
    for text, source in (
        (yaml.safe_dump(flow), "f.yaml"),
        (json.dumps(flow), "f.yaml"),
        (json.dumps(flow, indent="\t"), "f.json"),
    ):
        root = parse_tree(text, source)
        assert root.value == (parse_json if source == "f.json" else parse_yaml)(text)
        assert root.line == 1
        for node in root.walk():
            # The source text of a node parses to its value.
            if node.is_flow and node.original is None and node.end > node.start:
                assert parse_yaml(text[node.start : node.end]) == node.value


@pytest.mark.parametrize("source", ["f.json", "f.yaml"])
def test_json_that_is_no_yaml_has_positions(source: str) -> None:
    text = '{"a":\t["\\ud83d\\ude00", {"\\ud83d": 1}],\n "b": 2}'
    root = parse_tree(text, source)
    assert root.value == json.loads(text)
    b, smile = root.at("b"), root.at("a", 0)
    assert b is not None
    assert (b.line, b.column) == (2, 7)
    assert source_of(text, smile) == '"\\ud83d\\ude00"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("\ufeffa: 1\nb: [1,\nc: 2", r"this \[ is not closed \(line 2, column 4\)"),
        ("a: 1\na: 2", "appears twice"),
        ("a: !!set {}", "no JSON"),
        ("? [1]\n: 2", "a key must"),
    ],
)
def test_invalid_text_has_an_error(text: str, message: str) -> None:
    flow = FlowText(text, "f.yaml")
    assert flow.error is not None
    with pytest.raises(FlowFileError, match=message):
        parse_tree(text, "f.yaml")


def test_each_node_has_its_path() -> None:
    text = "a: &a {list: [1, {odd name: 2}]}\nb: *a\nc: {<<: *a, own: 3}\n"
    root = parse_tree(text, "f.yaml")
    paths = [("a", "list", 1, "odd name"), ("b", "list", 1, "odd name"), ("c", "list", 1, "odd name"), ("c", "own")]
    assert [node.path for path in paths if (node := root.at(*path))] == [
        '$.a.list[1]["odd name"]', '$.b.list[1]["odd name"]', '$.c.list[1]["odd name"]', "$.c.own",
    ]  # fmt: skip
    assert root.path == to_node(1).path == "$"
    inner = to_node({"a": [{"b": 1}]}).at("a", 0, "b")
    assert inner is not None
    assert inner.path == "$.a[0].b"


YAML_NODES = [
    r"$ 1:1 'a: &a [x, {b: 1}]  # c\nd:\n  - |\n    y\n\n  "
    r"- e: *a\n    f:\n  # g\nh: {<<: {i: 2}, j: 3}' block a@1:1 d@2:1 h@9:1",
    "$.a 1:4 '&a [x, {b: 1}]' ends at -1",
    "$.a[0] 1:8 'x'",
    "$.a[1] 1:11 '{b: 1}' ends at -1 b@1:12",
    "$.a[1].b 1:15 '1'",
    "$.d 3:3 '- |\\n    y\\n\\n  - e: *a\\n    f:' block",
    "$.d[0] 3:5 '|\\n    y'",
    "$.d[1] 6:5 'e: *a\\n    f:' block e@6:5 f@7:5",
    "$.d[1].e 1:4 '*a'",
    "$.d[1].f 7:5 ''",
    "$.h 9:4 '{<<: {i: 2}, j: 3}' ends at -1 i@9:13 j@9:17",
    "$.h.i 9:13 '2'",
    "$.h.j 9:20 '3'",
    "$.h.<< 9:9 '{i: 2}' ends at -1 i@9:10",
    "$.h.<<.i 9:13 '2'",
]
JSON_NODES = [
    '$ 1:1 \'{\\t"a": [1, {"b": "\\\\ud800"}],\\n "c": {}}\' ends at -1 a@1:3 c@2:2',
    '$.a 1:8 \'[1, {"b": "\\\\ud800"}]\' ends at -1',
    "$.a[0] 1:9 '1'",
    '$.a[1] 1:12 \'{"b": "\\\\ud800"}\' ends at -1 b@1:13',
    "$.a[1].b 1:18 '\"\\\\ud800\"'",
    "$.c 2:7 '{}' ends at -2",
]


def describe_nodes(text: str, source: str) -> list[str]:
    """Describe each node: path, position, text, style, keys, and the distance from its last part to its end."""
    descriptions = []
    for node in parse_tree(text, source).walk():
        style = "" if node.is_flow else " block"
        is_scalar = not isinstance(node.value, dict | list)
        last = "" if is_scalar or node.last in (-1, node.end) else f" ends at {node.last - node.end}"
        keys = " ".join(f"{key}@{at.line}:{at.column}" for key, at in node.keys.items())
        descriptions.append(
            f"{node.path} {node.line}:{node.column} {text[node.start : node.end]!r}{last}{style} {keys}".strip()
        )
    return descriptions


def test_all_nodes_have_positions() -> None:
    text = "a: &a [x, {b: 1}]  # c\nd:\n  - |\n    y\n\n  - e: *a\n    f:\n  # g\nh: {<<: {i: 2}, j: 3}\n"
    assert describe_nodes(text, "f.yaml") == YAML_NODES
    assert describe_nodes('{\t"a": [1, {"b": "\\ud800"}],\n "c": {}}', "f.json") == JSON_NODES


def test_a_missing_node_has_no_elements() -> None:
    root = to_node({"a": [1, 2], "b": {"c": ()}})
    assert [node.value for node in root.elements_at("a")] == [1, 2]
    assert [
        *root.elements_at("b", "c"),
        *root.elements_at("b"),
        *root.elements_at("x"),
        *root.elements_at("a", 2),
    ] == []
    assert root.items_at("b").keys() == {"c"}
    assert [*root.items_at("a"), *root.items_at("x")] == []
    assert root.at("x", 0, "y") is None
    assert (root.items["a"].start, root.items["a"].end, root.items["a"].is_flow) == (-1, -1, True)


def test_a_binary_file_has_an_error_and_no_tree() -> None:
    flow = FlowText.from_bytes(b"a: \xff\nb: 1", "f.yaml")
    assert flow.lines == ["a: \ufffd", "b: 1"]
    assert flow.error is not None
    with pytest.raises(FlowFileError, match=r"f\.yaml is not UTF-8 text"):
        _ = flow.root
    good = FlowText.from_bytes(b"\xef\xbb\xbfa: 1", "f.yaml")
    assert (good.error, good.root.value, good.component_schemas_from_python) == (None, {"a": 1}, {})


def test_aliases_are_followed_on_request_only() -> None:
    root = parse_tree("a: &a [1, {b: 2}]\nc: *a\nd: {<<: {e: 3}}\n", "f.yaml")
    below = root.items["c"]
    assert [node.value for node in below.walk()] == [[1, {"b": 2}]]
    assert [node.value for node in below.walk(below_aliases=True)] == [[1, {"b": 2}], 1, {"b": 2}, 2]
    assert [node.value for node in root.items["d"].walk()] == [{"e": 3}, 3, {"e": 3}, 3]


def test_an_alias_may_be_a_key() -> None:
    text = "a: &a b\n*a : 1\nc: *a\n"
    root = parse_tree(text, "f.yaml")
    assert root.value == parse_yaml(text) == {"a": "b", "b": 1, "c": "b"}
    key, value = root.keys["b"], root.items["c"]
    assert (key.line, key.column, text[key.start : key.end]) == (1, 4, "*a")
    assert (value.start, source_of(text, value)) == (text.rindex("*a"), "*a")


def test_only_json_is_parsed_without_positions() -> None:
    for name in ("f.json", "f.yaml"):
        flow = FlowText('{"a": [1]}', name)
        copy = flow.copy_without_positions
        assert (copy.root.value, copy.root.line, copy.text) == ({"a": [1]}, 0, "")
        assert flow.copy_without_positions is copy
    yaml_flow, parsed = FlowText("a: [1]", "f.yaml"), FlowText('{"a": [1]}', "f.json")
    assert yaml_flow.copy_without_positions is yaml_flow
    assert parsed.root.line == 1
    assert parsed.copy_without_positions is parsed
    with pytest.raises(FlowFileError, match="is not JSON"):
        _ = FlowText("a: 1", "f.json").copy_without_positions


def test_trees_of_empty_text_and_of_a_value() -> None:
    empty = parse_tree("# nothing\n", "f.yaml")
    assert (empty.value, empty.line, empty.column) == (None, 1, 1)
    root = to_node({"a": [1, {"b": 2}], 3: 4})
    assert root.at("a", 1, "b") is not None
    assert (root.line, [*root.keys]) == (0, ["a", "3"])


def test_server_diagnostics_have_a_position() -> None:
    text = "output:\n  $if: {$coalesce: [{$step: a}, 2]}\n  then:\n    odd name: 1\n"
    root = parse_tree(text, "f.yaml")
    for path, line, column in (
        ("$.output.condition[1]", 2, 33),
        ('$.output.then["odd name"]', 4, 15),
        ("$.output.then.gone", 4, 5),
        ("$.output[7]", 2, 3),
        ("$not a path", 1, 1),
    ):
        node = locate_diagnostic_node(root, path)
        assert (node.line, node.column) == (line, column), path


def test_a_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    composed, compose = [], yaml.compose

    def count_and_compose(text: str, *args: object, **options: object) -> object:
        composed.append(text)
        return compose(text, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(yaml, "compose", count_and_compose)
    flow = FlowText("name: f\noutput: {$step: a}\n", "f.yaml")
    for _ in range(2):
        assert check_source(flow, type_check=True)
        locate_diagnostic_node(flow.root, "$.output")
    assert len(composed) == 1


def test_the_garbage_collector_is_paused_and_resumed() -> None:
    def failing() -> None:
        with pause_garbage_collector():
            assert not gc.isenabled()
            with pause_garbage_collector():
                pass
            assert not gc.isenabled()
            raise ValueError("x")

    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"):
        failing()
    assert gc.isenabled()


def test_the_nodes_of_the_parser_are_freed_without_the_garbage_collector() -> None:
    freed = list[Any]()
    with pause_garbage_collector():
        read_yaml("a: [1, 1.5, b, null, true]\n", "f.yaml", lambda reader, _: freed.append(weakref.ref(reader)))
        assert freed[0]() is None
