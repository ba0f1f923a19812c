"""A flow as a tree in which each value has its line and column. Pure. `positions` reads such trees from files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Key", "Node", "node_of"]


@dataclass(frozen=True, slots=True)
class Key:
    """The position of a key of a mapping. Line and column count from 1; the offsets count characters from 0."""

    line: int
    column: int
    start: int = -1
    end: int = -1


@dataclass(slots=True)
class Node:
    """A value of a file and its position. Line and column count from 1, and are 0 if they are unknown."""

    value: Any
    line: int = 0
    column: int = 0
    items: dict[str, Node] = field(default_factory=dict)
    """The values of a mapping, by key."""
    keys: dict[str, Key] = field(default_factory=dict)
    """The positions of the keys of a mapping."""
    elements: list[Node] = field(default_factory=list)
    """The elements of a list."""

    def get(self, key: str) -> Node | None:
        """Return the value of a key; None if the key does not exist."""
        return self.items.get(key)

    def walk(self, *path: str) -> Node | None:
        """Return the value reached through a sequence of keys; None if it does not exist."""
        node: Node | None = self
        for key in path:
            node = node.items.get(key) if node is not None else None
        return node


def node_of(value: Any) -> Node:
    """Return the nodes of a value that is not from a file. Their lines and columns are 0."""
    node = Node(value)
    if isinstance(value, dict):
        node.items = {str(key): node_of(each) for key, each in value.items()}
        node.keys = {str(key): Key(0, 0) for key in value}
    elif isinstance(value, (list, tuple)):
        node.elements = [node_of(each) for each in value]
    return node
