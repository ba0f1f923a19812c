"""The nodes of a tree: values with their positions in a text, or in the Python code of the flow."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .expressions import Path, format_path_part

if TYPE_CHECKING:
    from ..types.results import FlowError

_NO_ITEMS: Mapping[str, Any] = {}


class Key(NamedTuple):
    """The position of a key of a mapping. Line and column count from 1; the offsets count characters from 0."""

    line: int
    column: int
    start: int = -1
    end: int = -1


class Node:
    """A value and its position. Line and column count from 1, and are 0 if they are unknown.

    An alias has the line and column of the node that it refers to, and its own offsets.
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
        """The values of a mapping, by key."""
        self.keys: Mapping[str, Key] = _NO_ITEMS
        """The positions of the keys of a mapping. The key of a merged value has no offsets."""
        self.merges: Sequence[tuple[Key, Node]] = ()
        """The merge keys (`<<`) of a mapping, and their values."""
        self.last = end
        """The end of the last part of a collection."""
        self.elements: Sequence[Node] = ()
        """The elements of a list."""
        self.is_flow = True
        """Whether it is written in brackets, or is a scalar or an alias."""
        self.original: Node | None = None
        """The node that an alias refers to."""
        self.parent: Node | None = None
        """The mapping or list that holds it; None for the whole text."""
        self.part: str | int = ""
        """Its key or index there."""

    def put(self, parent: Node, part: str | int) -> Node:
        """Make it a part of a mapping or list, and return it."""
        self.parent, self.part = parent, part
        return self

    @property
    def path(self) -> str:
        """Its path in the whole text, such as `$.steps[0].input`."""
        text, node = "", self
        while node.parent is not None:
            text = format_path_part(node.part) + text
            node = node.parent
        return "$" + text

    def get(self, key: str) -> Node | None:
        """Return the value of a key; None if the key does not exist."""
        return self.items.get(key)

    def at(self, *path: str | int) -> Node | None:
        """Return the value at a path of keys and indexes; None if it does not exist."""
        node: Node | None = self
        for part in path:
            if node is None:
                return None
            if isinstance(part, int):
                node = node.elements[part] if part < len(node.elements) else None
            else:
                node = node.items.get(part)
        return node

    def walk(self, *, below_aliases: bool = False) -> Iterator[Node]:
        """Yield the node and all nodes below it, those below aliases only with `below_aliases`."""
        yield self
        children = (*self.items.values(), *self.elements, *(value for _, value in self.merges))
        for child in children if self.original is None or below_aliases else ():
            yield from child.walk(below_aliases=below_aliases)

    @property
    def written(self) -> list[Key]:
        """The keys of a mapping as they are written, with merge keys and without merged ones."""
        keys = [key for key in self.keys.values() if key.start >= 0]
        return sorted([*keys, *(key for key, _ in self.merges)], key=lambda key: key.start) if self.merges else keys


class NodeCopy(Node):
    """A node at another place of a tree. Its parts are copied when they are first read."""

    __slots__ = ("source",)

    def __init__(self, source: Node) -> None:
        self.source = source
        self.value, self.column, self.line, self.keys = source.value, source.column, source.line, source.keys
        self.start, self.end, self.last = source.start, source.end, source.last
        self.merges, self.is_flow, self.original = source.merges, source.is_flow, source.original
        self.parent, self.part = None, ""

    def __getattr__(self, name: str) -> Any:
        if name == "items":
            self.items = {key: NodeCopy(item).put(self, key) for key, item in self.source.items.items()}
        elif name == "elements":
            self.elements = [NodeCopy(element).put(self, index) for index, element in enumerate(self.source.elements)]
        else:
            raise AttributeError(name)
        return getattr(self, name)


def to_node(value: Any) -> Node:
    """Return the tree of a value that is not from a file. Its lines and columns are 0."""
    node = Node(value)
    if isinstance(value, Mapping):
        node.items = {str(key): to_node(part).put(node, str(key)) for key, part in value.items()}
        node.keys = dict.fromkeys(node.items, Key(0, 0))
    elif isinstance(value, (list, tuple)):
        node.elements = [to_node(element).put(node, index) for index, element in enumerate(value)]
    return node


class Place(Protocol):
    """A position in a Python file."""

    @property
    def file(self) -> str:
        """The path of the file."""
        ...

    @property
    def line(self) -> int:
        """The line, from 1."""
        ...

    @property
    def column(self) -> int:
        """The column, from 1."""
        ...

    @property
    def shown_file(self) -> str:
        """The path as it is shown."""
        ...


def get_places(flow: object) -> Mapping[Path, Place]:
    """Return the positions of the parts of a flow by their paths in it; empty if it is not written in Python."""
    return flow.places if hasattr(type(flow), "places") else {}  # type: ignore[attr-defined]


def get_component_schemas(flow: object) -> Mapping[str, tuple[Any, Any]]:
    """Return the input and output schemas of components by the types of the Python functions that a flow calls."""
    return flow.component_schemas if hasattr(type(flow), "component_schemas") else {}  # type: ignore[attr-defined]


def set_places(root: Node, flow: object) -> tuple[str, str]:
    """Set the positions of the nodes of a flow in its Python file, and return the text of the file and its name.

    Nodes that are written in other files have none. Both texts are empty for flows that are not written in Python.
    """
    places = get_places(flow)
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


def add_place(error: FlowError | None, flow: object) -> FlowError | None:
    """Return an error whose hint also says where the failed step is written, if the flow is written in Python."""
    place = describe_place(flow, error.step_id) if error is not None else None
    if error is None or place is None or place in (error.hint or ""):
        return error
    return replace(error, hint="; ".join(filter(None, (error.hint, place))))


def describe_place(flow: object, step_id: str | None) -> str | None:
    """Return a sentence that says where a step, or the output, of a flow is written; None if that is not known."""
    path: Path = ("output",)
    what = "the output"
    if step_id is not None and get_places(flow):
        steps = flow.to_dict().get("steps", [])  # type: ignore[attr-defined]
        path = next((("steps", index) for index, step in enumerate(steps) if step["id"] == step_id), ())
        what = f"step {step_id!r}"
    place = get_places(flow).get(path) if path else None
    return f"{what} is written at {place.shown_file}:{place.line}" if place is not None else None
