"""Parses a YAML or JSON text into nodes with lines and columns. Pure."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .._codec.yaml_reader import _Loader, _Reader
from ..errors import FlowFileError
from .file import parse_json, parse_yaml
from .placed import Key, Node, node_of

__all__ = ["Key", "Node", "locate", "node_of", "read_nodes"]


def read_nodes(text: str, source: str) -> Node:
    """Return the nodes of a YAML or JSON text. If `source` ends with `.json`, the text is parsed as JSON.

    Raises:
        FlowFileError: If the text is invalid. The error has the line and the column.
    """
    if not source.lower().endswith(".json"):
        value = parse_yaml(text, source)
        return _placed(value, yaml.compose(text, Loader=_Loader), _Reader(source), None)
    value = parse_json(text, source)
    try:
        # JSON is YAML, except for tabs between its tokens and for lone surrogates.
        return _placed(value, yaml.compose(text.replace("\t", " "), Loader=_Loader), _Reader(source), None)
    except (yaml.YAMLError, FlowFileError, UnicodeError, RecursionError):
        return node_of(value)


def _placed(value: Any, node: yaml.Node | None, reader: _Reader, key: Key | None) -> Node:
    if node is None:
        return Node(value, 1, 1)
    # PyYAML puts an empty value at the next token; the position of its key is more useful.
    empty = isinstance(node, yaml.ScalarNode) and not node.value and value is None and key is not None
    line, column = (key.line, key.column) if empty and key else (node.start_mark.line + 1, node.start_mark.column + 1)
    found = Node(value, line, column)
    if isinstance(value, dict) and isinstance(node, yaml.MappingNode):
        marks = {
            each.value: Key(
                each.start_mark.line + 1, each.start_mark.column + 1, each.start_mark.index, each.end_mark.index
            )
            for each, _ in node.value
        }
        for name, child in reader.pairs(node).items():
            # The key of a merged mapping is elsewhere in the file.
            mark = marks.get(name) or Key(child.start_mark.line + 1, child.start_mark.column + 1)
            found.keys[name] = mark
            found.items[name] = _placed(value[name], child, reader, mark)
    elif isinstance(value, list) and isinstance(node, yaml.SequenceNode):
        found.elements = [_placed(each, child, reader, None) for each, child in zip(value, node.value, strict=True)]
    return found


_PART = re.compile(r"""\["(?P<quoted>[^"]*)"\] | \[(?P<index>[0-9]+)\] | \.?(?P<name>[^.\[]+)""", re.VERBOSE)


def locate(root: Node, path: str) -> Node:
    """Return the node that a server's diagnostic refers to, or the nearest enclosing one.

    Args:
        root: The flow.
        path: The path, for example `$.steps[0].input.name`. It does not contain the keywords `$if` and `$coalesce`.
    """
    node = root
    for part in _PART.finditer(path.removeprefix("$")):
        name = part["quoted"] if part["quoted"] is not None else part["name"]
        if name is None:
            inner = node.items.get("$coalesce", node)
            index = int(part["index"])
            if index >= len(inner.elements):
                return node
            node = inner.elements[index]
            continue
        following = node.items.get("$if" if name == "condition" and "$if" in node.items else name)
        if following is None:
            return node
        node = following
    return node
