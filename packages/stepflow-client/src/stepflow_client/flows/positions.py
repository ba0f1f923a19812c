"""A YAML or JSON text as nodes: each value with its line and column. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from .._codec.yaml_reader import _Loader, _Reader
from ..errors import FlowFileError
from .file import parse_json, parse_yaml

__all__ = ["Key", "Node", "locate", "node_of", "read_nodes"]


@dataclass(frozen=True, slots=True)
class Key:
    """Where a key of a mapping stands; line and column count from 1, the offsets count characters from 0."""

    line: int
    column: int
    start: int = -1
    end: int = -1


@dataclass(slots=True)
class Node:
    """A value of a file and where it stands; line and column count from 1, and are 0 where nothing is known."""

    value: Any
    line: int = 0
    column: int = 0
    items: dict[str, Node] = field(default_factory=dict)
    """The values of a mapping, by key."""
    keys: dict[str, Key] = field(default_factory=dict)
    """Where the keys of a mapping stand."""
    elements: list[Node] = field(default_factory=list)
    """The elements of a list."""

    def get(self, key: str) -> Node | None:
        """Return the value of a key, or None."""
        return self.items.get(key)

    def walk(self, *path: str) -> Node | None:
        """Return the value behind some keys, or None."""
        node: Node | None = self
        for key in path:
            node = node.items.get(key) if node is not None else None
        return node


def read_nodes(text: str, source: str) -> Node:
    """Return the nodes of a YAML or JSON text; by the source's ending `.json` it is read as JSON.

    Raises:
        FlowFileError: If it is neither; it carries the line and the column.
    """
    if not source.lower().endswith(".json"):
        value = parse_yaml(text, source)
        return _placed(value, yaml.compose(text, Loader=_Loader), _Reader(source), None)
    value = parse_json(text, source)
    try:
        # JSON is YAML, but for tabs between its tokens and for half characters.
        return _placed(value, yaml.compose(text.replace("\t", " "), Loader=_Loader), _Reader(source), None)
    except (yaml.YAMLError, FlowFileError, UnicodeError, RecursionError):
        return node_of(value)


def _placed(value: Any, node: yaml.Node | None, reader: _Reader, key: Key | None) -> Node:
    if node is None:
        return Node(value, 1, 1)
    # A null that is not written stands where the next token is: its key says more.
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
            # The key of a merged mapping stands elsewhere.
            mark = marks.get(name) or Key(child.start_mark.line + 1, child.start_mark.column + 1)
            found.keys[name] = mark
            found.items[name] = _placed(value[name], child, reader, mark)
    elif isinstance(value, list) and isinstance(node, yaml.SequenceNode):
        found.elements = [_placed(each, child, reader, None) for each, child in zip(value, node.value, strict=True)]
    return found


def node_of(value: Any) -> Node:
    """Return nodes for a value that stands in no file; their lines and columns are 0."""
    node = Node(value)
    if isinstance(value, dict):
        node.items = {str(key): node_of(each) for key, each in value.items()}
        node.keys = {str(key): Key(0, 0) for key in value}
    elif isinstance(value, (list, tuple)):
        node.elements = [node_of(each) for each in value]
    return node


_PART = re.compile(r"""\["(?P<quoted>[^"]*)"\] | \[(?P<index>[0-9]+)\] | \.?(?P<name>[^.\[]+)""", re.VERBOSE)


def locate(root: Node, path: str) -> Node:
    """Return the node that a server's diagnostic names, or the nearest one around it.

    Args:
        root: The flow.
        path: For example `$.steps[0].input.name`. The keywords `$if` and `$coalesce` do not stand in it.
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
