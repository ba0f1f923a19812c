"""The exact start and end positions of the nodes of a YAML or JSON text.

They are built from PyYAML's events, not from its nodes, because events include the position of aliases. A block
collection ends where its last part ends, before any following comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import FlowFileError

__all__ = ["Node", "parse_nodes"]


@dataclass
class Node:
    """A node of a text. Positions are character offsets from 0."""

    start: int
    end: int
    line: int
    """The line in which it begins, from 1."""
    column: int
    """The column in which it begins, from 0."""
    value: str | None = None
    """The text of a scalar; None for collections and aliases."""
    alias: str | None = None
    """The anchor that an alias refers to; None for other nodes."""
    anchor: str | None = None
    is_flow: bool = False
    """Whether it is written in brackets, or is a scalar or an alias."""
    items: list[Node] = field(default_factory=list)
    """The elements of a list."""
    keys: list[tuple[Node, Node]] = field(default_factory=list)
    """The keys and values of a mapping, in their order."""

    def get(self, key: str) -> Node | None:
        """Return the value of a key of a mapping; None if the key does not exist."""
        return next((value for name, value in self.keys if name.value == key), None)

    def walk(self) -> Iterator[Node]:
        """Yield the node and all nodes below it."""
        yield self
        for key, value in self.keys:
            yield from key.walk()
            yield from value.walk()
        for item in self.items:
            yield from item.walk()


def parse_nodes(text: str, source: str) -> Node | None:
    """Return the root node of a text; None for an empty text.

    If `source` ends with `.json`, the text may contain tabs between its tokens.

    Raises:
        FlowFileError: If it is not YAML.
    """
    # JSON is YAML, except for tabs between its tokens.
    read = text.replace("\t", " ") if source.lower().endswith(".json") else text
    try:
        events = iter(list(yaml.parse(read, Loader=yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise FlowFileError(f"{source} is not YAML: {error}", path=source) from None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return _node(next(events), events, text)
    return None


def _node(event: Any, events: Iterator[Any], text: str) -> Node:
    mark = event.start_mark
    node = Node(mark.index, event.end_mark.index, mark.line + 1, mark.column)
    if isinstance(event, yaml.AliasEvent):
        node.alias, node.is_flow = event.anchor, True
        return node
    node.anchor = event.anchor
    if isinstance(event, yaml.ScalarEvent):
        node.value, node.is_flow = event.value, True
        # PyYAML's end of a block scalar includes the empty lines after it.
        node.end = node.start + len(text[node.start : node.end].rstrip())
        return node
    node.is_flow = bool(event.flow_style)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    last = _fill(node, events, text, is_mapping)
    if node.is_flow:
        node.end = last.end_mark.index
    else:
        node.end = max([node.start, *(part.end for part in (*node.items, *(value for _, value in node.keys)))])
        node.end = max([node.end, *(key.end for key, _ in node.keys)])
    return node


def _fill(node: Node, events: Iterator[Any], text: str, is_mapping: bool) -> Any:
    """Add the parts of a collection to its node, and return the event that ends it."""
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            return event
        part = _node(event, events, text)
        if is_mapping:
            node.keys.append((part, _node(next(events), events, text)))
        else:
            node.items.append(part)
    raise AssertionError("a collection ends")
