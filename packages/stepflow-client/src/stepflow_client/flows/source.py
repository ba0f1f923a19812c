"""A YAML or JSON text as one tree, in which each value has its position: line, column and offsets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from os import PathLike, fsdecode
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.lazy import lazy_module
from .._data.expressions import path_part
from .._data.values import check_json
from ..errors import FlowFileError
from .file import MAX_YAML_LENGTH, FlowSource, load_flow, parse_json, parse_yaml, read_file, text_of
from .python_places import set_places

if TYPE_CHECKING:
    import yaml

    from .._data import yaml_reader
else:
    # Flows in JSON are checked without PyYAML, unless there is something to report.
    yaml = lazy_module("yaml")
    yaml_reader = lazy_module("stepflow_client._data.yaml_reader")

__all__ = ["FlowText", "Key", "Node", "node_of", "read_tree"]

_NO_ITEMS: Mapping[str, Any] = {}
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Key(NamedTuple):
    """The position of a key of a mapping. Line and column count from 1; the offsets count characters from 0."""

    line: int
    column: int
    start: int = -1
    end: int = -1


class Node:
    """A value and its position. Line and column count from 1, and are 0 if they are unknown.

    The line and the column of an alias are those of the node that it refers to, the offsets are its own.
    """

    __slots__ = (
        "column", "elements", "end", "is_flow", "items", "keys", "last", "line", "merges", "original", "parent", "part",
        "start", "value",
    )  # fmt: skip

    def __init__(self, value: Any, line: int = 0, column: int = 0, start: int = -1, end: int = -1) -> None:
        """Create a node without parts."""
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
            text = path_part(node.part) + text
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

    def walk(self) -> Iterator[Node]:
        """Yield the node and all nodes below it, but not those below aliases."""
        yield self
        children = (*self.items.values(), *self.elements, *(value for _, value in self.merges))
        for child in children if self.original is None else ():
            yield from child.walk()

    @property
    def written(self) -> list[Key]:
        """The keys of a mapping as they are written, with merge keys and without merged ones."""
        keys = [each for each in self.keys.values() if each.start >= 0]
        return sorted([*keys, *(key for key, _ in self.merges)], key=lambda each: each.start) if self.merges else keys


class _Copy(Node):
    """A node at another place, below an alias or a merge key. Its parts are copied when they are first read."""

    __slots__ = ("source",)

    def __init__(self, source: Node) -> None:
        super().__init__(source.value, source.line, source.column, source.start, source.end)
        self.source, self.keys, self.merges, self.last = source, source.keys, source.merges, source.last
        self.is_flow, self.original = source.is_flow, source.original
        del self.items, self.elements

    def __getattr__(self, name: str) -> Any:
        if name == "items":
            self.items = {key: _Copy(each).put(self, key) for key, each in self.source.items.items()}
        elif name == "elements":
            self.elements = [_Copy(each).put(self, index) for index, each in enumerate(self.source.elements)]
        else:
            raise AttributeError(name)
        return getattr(self, name)


class FlowText:
    """The text of a flow file, JSON if its name ends with `.json`. It is parsed once, when its tree is first needed."""

    def __init__(self, text: str, name: str) -> None:
        """Store the text."""
        self.text, self.name = text, name

    @classmethod
    def of(cls, flow: FlowSource) -> FlowText:
        """Return the text of a file, of the Python file of a flow, or the one without lines for any other flow.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If `flow` is neither a path nor a flow.
        """
        if isinstance(flow, (str, PathLike)) and "\n" not in fsdecode(flow):
            name = fsdecode(flow)
            return cls.read(read_file(name), name)
        root = node_of(check_json(load_flow(flow), "the flow", exact_integers=False))
        made = cls(*set_places(root, flow))
        made._parsed = root
        return made

    @classmethod
    def read(cls, content: bytes, name: str) -> FlowText:
        """Return the text of a file's content. If it is not UTF-8, that is its error."""
        try:
            return cls(text_of(content, name), name)
        except FlowFileError as error:
            made = cls(content.decode("utf-8-sig", "replace"), name)
            made._parsed = error
            return made

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.splitlines()

    @cached_property
    def _parsed(self) -> Node | FlowFileError:
        try:
            return read_tree(self.text, self.name)
        except FlowFileError as error:
            return error

    @property
    def error(self) -> FlowFileError | None:
        """Why the text cannot be parsed; None if it can."""
        return self._parsed if isinstance(self._parsed, FlowFileError) else None

    @property
    def root(self) -> Node:
        """The tree of the text.

        Raises:
            FlowFileError: If the text is neither YAML nor JSON. The error has the line and the column.
        """
        if isinstance(self._parsed, FlowFileError):
            raise self._parsed
        return self._parsed

    @cached_property
    def unplaced(self) -> FlowText:
        """The same flow for those who need no positions; those of JSON take far longer to read than its values.

        Raises:
            FlowFileError: If it is a JSON file, and not JSON.
        """
        value = _UNREAD if "_parsed" in self.__dict__ else _json_in(self.text, self.name)
        if value is _UNREAD:
            return self
        made = FlowText("", "")
        made._parsed = node_of(value)
        return made


def read_tree(text: str, source: str) -> Node:
    """Return the tree of a YAML or JSON text. If `source` ends with `.json`, the text is parsed as JSON.

    Raises:
        FlowFileError: If the text is invalid. The error has the line and the column.
    """
    value = _json_in(text, source)
    if value is not _UNREAD:
        return _tree_of_json(value, text, source)
    if len(text) > MAX_YAML_LENGTH:
        return node_of(parse_yaml(text, source))
    return _tree_of_yaml(text, source, _UNREAD)


def _json_in(text: str, source: str) -> Any:
    """Return the value of a JSON text, `_UNREAD` if the text has to be read as YAML."""
    if source.lower().endswith(".json"):
        return parse_json(text, source)
    if text.lstrip()[:1] in ("{", "[", '"'):
        # As in `parse_yaml`: JSON that YAML does not support is read too.
        with suppress(FlowFileError):
            return parse_json(text, source)
    return _UNREAD


def _tree_of_json(value: Any, text: str, source: str) -> Node:
    # JSON is YAML, except for tabs between its tokens and for escaped surrogates. Only the positions are read from it.
    plain = _HALF_PAIR.sub(r"\\u0020", text.replace("\t", " "))
    try:
        return _tree_of_yaml(plain, source, value)
    except FlowFileError:
        return node_of(value)


def _tree_of_yaml(text: str, source: str, value: Any) -> Node:
    root: Node = yaml_reader.read_yaml(text, source, lambda reader, node: _Tree(text, reader, value).document(node))
    return root


def node_of(value: Any) -> Node:
    """Return the tree of a value that is not from a file. Its lines and columns are 0."""
    node = Node(value)
    if isinstance(value, Mapping):
        node.items = {str(key): node_of(each).put(node, str(key)) for key, each in value.items()}
        node.keys = dict.fromkeys(node.items, Key(0, 0))
    elif isinstance(value, (list, tuple)):
        node.elements = [node_of(each).put(node, index) for index, each in enumerate(value)]
    return node


_UNREAD: Any = object()
_TAGS = {"SequenceNode": "tag:yaml.org,2002:seq", "MappingNode": "tag:yaml.org,2002:map"}
_MERGE = "tag:yaml.org,2002:merge"


class _Tree:
    """Converts PyYAML's nodes to a tree. The values of JSON are known; those of YAML are read on the way."""

    def __init__(self, text: str, reader: yaml_reader.YamlReader, value: Any) -> None:
        self.text = text
        self.reader = reader
        self.value = value
        self.is_json = value is not _UNREAD
        self.is_shared = not self.is_json and ("*" in text or "<<" in text)
        self.aliases = yaml_reader.alias_marks(text) if self.is_shared else iter(())
        self.known: dict[int, Node] = {}
        """The nodes so far, if an alias or a merge may repeat them, by the id of PyYAML's node."""

    def document(self, node: yaml.Node | None) -> Node:
        return Node(None, 1, 1) if node is None else self.node(node, self.value, None)

    def node(self, node: yaml.Node, value: Any, key: Key | None) -> Node:
        if self.is_shared and id(node) in self.known:
            return self.alias(self.known[id(node)])
        start = node.start_mark
        made = Node(value, start.line + 1, start.column + 1, start.index, node.end_mark.index)
        if isinstance(node, yaml.ScalarNode):
            self.scalar(made, node, key)
        else:
            assert isinstance(node, yaml.CollectionNode)
            if node.tag != _TAGS[type(node).__name__]:
                self.reader.refuse_tag(node)
            made.is_flow = bool(node.flow_style)
            made.last = self.mapping(made, node) if isinstance(node, yaml.MappingNode) else self.sequence(made, node)
            if not made.is_flow:
                # PyYAML's end of a block collection includes the comments after it.
                made.end = made.last
        if self.is_shared:
            self.known[id(node)] = made
        return made

    def scalar(self, made: Node, node: yaml.ScalarNode, key: Key | None) -> None:
        if not self.is_json:
            made.value = self.reader.value(node)
        # PyYAML's end of a block scalar includes the empty lines after it.
        if node.style in ("|", ">"):
            made.end = made.start + len(self.text[made.start : made.end].rstrip())
        if made.value is None and not node.value and key is not None:
            # PyYAML puts an empty value at the next token; the position of its key is more useful.
            made.line, made.column = key.line, key.column

    def alias(self, original: Node) -> Node:
        made = _Copy(original)
        made.start, made.end = next(self.aliases)
        made.is_flow, made.merges, made.last, made.original = True, (), -1, original
        return made

    def mapping(self, made: Node, node: yaml.MappingNode) -> int:
        """Add the parts of a mapping to its node, and return the end of the last one."""
        last, own, keys = made.start, dict[str, Node](), dict[str, Key]()
        pairs = {} if self.is_json else self.reader.pairs(node)
        given = iter(made.value.items() if self.is_json else ())
        for name_node, value_node in node.value:
            name, value = next(given, (name_node.value, _UNREAD))
            key = self.key(name_node)
            child = self.node(value_node, value, key)
            last = max(last, key.end, child.end)
            child.put(made, name)
            if name_node.tag != _MERGE:
                own[name], keys[name] = child, key
            else:
                made.merges = [*made.merges, (key, child)]
        if len(pairs) > len(own):
            merged = {
                name: _Copy(self.known[id(each)]).put(made, name) for name, each in pairs.items() if name not in own
            }
            keys = {name: Key(each.line, each.column) for name, each in merged.items()} | keys
            own = merged | own
        made.items, made.keys = own, keys
        if not self.is_json:
            made.value = {name: each.value for name, each in own.items()}
        return last

    def key(self, node: yaml.Node) -> Key:
        mark = node.start_mark
        if self.is_shared and id(node) in self.known:
            return Key(mark.line + 1, mark.column + 1, *next(self.aliases))
        if self.is_shared:
            self.known[id(node)] = Node(node.value)
        return Key(mark.line + 1, mark.column + 1, mark.index, node.end_mark.index)

    def sequence(self, made: Node, node: yaml.CollectionNode) -> int:
        """Add the elements of a list to its node, and return the end of the last one."""
        values = made.value if self.is_json else [_UNREAD] * len(node.value)
        made.elements = elements = [
            self.node(each, value, None).put(made, index)
            for index, (each, value) in enumerate(zip(node.value, values, strict=True))
        ]
        if not self.is_json:
            made.value = [each.value for each in elements]
        return max((each.end for each in elements), default=made.start)
