"""Tree nodes: values with their positions in the source text, or in the Python code that defines the flow."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .expressions import Path, format_path_part

if TYPE_CHECKING:
    from ..types.results import FlowError

_NO_ITEMS: Mapping[str, Any] = {}


class Key(NamedTuple):
    """The position of a mapping key. Line and column are 1-based; offsets count characters from 0."""

    line: int
    column: int
    start: int = -1
    end: int = -1


class Node:
    """A value and its position. Line and column are 1-based, or 0 if unknown.

    An alias has its own offsets, but the line and column of the node it refers to.
    """

    __slots__ = (
        "column", "elements", "end", "is_flow", "items", "keys", "last", "line", "merges", "original", "parent", "part",
        "start", "value",
    )  # fmt: skip

    def __init__(self, value: Any, line: int = 0, column: int = 0, start: int = -1, end: int = -1) -> None:
        self.value = value
        self.line = line
        self.column = column
        self.start = start
        self.end = end
        self.items: Mapping[str, Node] = _NO_ITEMS
        """A mapping's values, by key."""
        self.keys: Mapping[str, Key] = _NO_ITEMS
        """The positions of a mapping's keys. Keys of merged values have no offsets."""
        self.merges: Sequence[tuple[Key, Node]] = ()
        """A mapping's merge keys (`<<`) and their values."""
        self.last = end
        """The end of a collection's last part."""
        self.elements: Sequence[Node] = ()
        """A list's elements."""
        self.is_flow = True
        """Whether the node is in flow style (brackets), a scalar or an alias."""
        self.original: Node | None = None
        """The node an alias refers to."""
        self.parent: Node | None = None
        """The enclosing mapping or list, or None for the root."""
        self.part: str | int = ""
        """The node's key or index in its parent."""

    def attach_to(self, parent: Node, part: str | int) -> Node:
        """Attach the node to a mapping or list, and return it."""
        self.parent, self.part = parent, part
        return self

    @property
    def path(self) -> str:
        """The path from the root, e.g. `$.steps[0].input`."""
        text, node = "", self
        while node.parent is not None:
            text = format_path_part(node.part) + text
            node = node.parent
        return "$" + text

    def get(self, key: str) -> Node | None:
        """Return the value for a key, or None if there isn't one."""
        return self.items.get(key)

    def at(self, *path: str | int) -> Node | None:
        """Return the value at a path of keys and indexes, or None if it doesn't exist."""
        node: Node | None = self
        for part in path:
            if node is None:
                return None
            if isinstance(part, int):
                node = node.elements[part] if part < len(node.elements) else None
            else:
                node = node.items.get(part)
        return node

    def elements_at(self, *path: str | int) -> Sequence[Node]:
        """Return the elements of the list at a path, or none if it doesn't exist."""
        node = self.at(*path)
        return node.elements if node is not None else ()

    def walk(self, *, below_aliases: bool = False) -> Iterator[Node]:
        """Yield this node and its descendants. Aliases are only followed with `below_aliases`."""
        yield self
        children = (*self.items.values(), *self.elements, *(value for _, value in self.merges))
        for child in children if self.original is None or below_aliases else ():
            yield from child.walk(below_aliases=below_aliases)

    @property
    def written_keys(self) -> list[Key]:
        """A mapping's keys as written, including merge keys but not the keys they add."""
        keys = [key for key in self.keys.values() if key.start >= 0]
        return sorted([*keys, *(key for key, _ in self.merges)], key=lambda key: key.start) if self.merges else keys


class NodeCopy(Node):
    """A node repeated elsewhere in the tree. Its children are copied on first access."""

    __slots__ = ("source",)

    def __init__(self, source: Node) -> None:
        self.source = source
        self.value, self.column, self.line, self.keys = source.value, source.column, source.line, source.keys
        self.start, self.end, self.last = source.start, source.end, source.last
        self.merges, self.is_flow, self.original = source.merges, source.is_flow, source.original
        self.parent, self.part = None, ""

    def __getattr__(self, name: str) -> Any:
        if name == "items":
            self.items = {key: NodeCopy(item).attach_to(self, key) for key, item in self.source.items.items()}
        elif name == "elements":
            self.elements = [NodeCopy(part).attach_to(self, index) for index, part in enumerate(self.source.elements)]
        else:
            raise AttributeError(name)
        return getattr(self, name)


def to_node(value: Any) -> Node:
    """Build the tree for a value that wasn't read from a file. Lines and columns are 0."""
    node = Node(value)
    if isinstance(value, Mapping):
        node.items = {str(key): to_node(part).attach_to(node, str(key)) for key, part in value.items()}
        node.keys = dict.fromkeys(node.items, Key(0, 0))
    elif isinstance(value, (list, tuple)):
        node.elements = [to_node(element).attach_to(node, index) for index, element in enumerate(value)]
    return node


def get_python_places_by_path(flow: object) -> Mapping[Path, Any]:
    """Return the positions of a flow's parts (`authoring.Place`), keyed by path, or an empty mapping if the flow isn't
    written in Python."""
    return flow.places if hasattr(type(flow), "places") else {}  # type: ignore[attr-defined]


def set_python_positions(root: Node, flow: object) -> tuple[str, str]:
    """Set the positions of a flow's nodes in its Python file, and return that file's text and name.

    Nodes defined in other files get no position. Both strings are empty if the flow isn't written in Python.
    """
    places = get_python_places_by_path(flow)
    if not places:
        return "", ""
    whole = places[()]
    for path, place in sorted(places.items(), key=lambda entry: len(entry[0])):
        line, column = (place.line, place.column) if place.file == whole.file else (0, 0)
        node = root.at(*path)
        for part in node.walk() if node is not None else ():
            part.line, part.column = line, column
            part.keys = {name: key._replace(line=line, column=column) for name, key in part.keys.items()}
    return "".join(linecache.getlines(whole.file)), whole.shown_file


def add_python_place_to_hint(error: FlowError | None, flow: object) -> FlowError | None:
    """Add the failed step's location to an error's hint, if the flow is written in Python."""
    place = describe_python_place_of_step(flow, error.step_id) if error is not None else None
    if error is None or place is None or place in (error.hint or ""):
        return error
    return replace(error, hint="; ".join(filter(None, (error.hint, place))))


def describe_python_place_of_step(flow: object, step_id: str | None) -> str | None:
    """Describe where a flow's step is written in Python (or its output, without a step), or return None if unknown."""
    places, what = get_python_places_by_path(flow), "the output" if step_id is None else f"step {step_id!r}"
    path: Path = ("output",)
    if step_id is not None and places:
        steps = flow.to_dict().get("steps", [])  # type: ignore[attr-defined]
        path = next((("steps", index) for index, step in enumerate(steps) if step["id"] == step_id), ("steps", -1))
    place = places.get(path)
    return f"{what} is written at {place.shown_file}:{place.line}" if place is not None else None
