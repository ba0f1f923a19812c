"""A flow as a tree: each value with its line and column. Pure; where they come from a file is in `positions`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Key", "Node", "node_of"]


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


def node_of(value: Any) -> Node:
    """Return nodes for a value that stands in no file; their lines and columns are 0."""
    node = Node(value)
    if isinstance(value, dict):
        node.items = {str(key): node_of(each) for key, each in value.items()}
        node.keys = {str(key): Key(0, 0) for key in value}
    elif isinstance(value, (list, tuple)):
        node.elements = [node_of(each) for each in value]
    return node
