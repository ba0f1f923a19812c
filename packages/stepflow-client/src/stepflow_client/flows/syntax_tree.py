"""The syntax tree of a flow file, parsed from YAML or JSON. Each node has its line, column and offsets."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from os import fsdecode
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.lazy import lazy_module
from .._data.wire import check_json
from ..errors import FlowFileError
from . import reading
from .expressions import format_path_part
from .python_positions import get_python_places_by_path

if TYPE_CHECKING:
    import yaml

    from .._data import yaml_format
else:
    # Don't import PyYAML for JSON flows unless there is something to report.
    yaml = lazy_module("yaml")
    yaml_format = lazy_module("stepflow_client._data.yaml_format")

_NO_ITEMS: Mapping[str, Any] = {}
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


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
        """The positions of a mapping's keys. Keys added by a merge have no offsets."""
        self.merges: Sequence[tuple[Key, Node]] = ()
        """A mapping's merge keys (`<<`) and their values."""
        self.last = end
        """The offset where a collection's last part ends."""
        self.elements: Sequence[Node] = ()
        """A list's elements."""
        self.is_flow = True
        """Whether the node is a scalar, an alias, or a collection in flow style (with brackets)."""
        self.original: Node | None = None
        """The node an alias refers to."""
        self.parent: Node | None = None
        """The enclosing mapping or list, or None for the root."""
        self.part: str | int = ""
        """The node's key or index in its parent."""

    def set_parent(self, parent: Node, part: str | int) -> Node:
        """Attach the node to a mapping or list and return it."""
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

    @property
    def place(self) -> str:
        """Where the node is, for messages, e.g. `on line 5`, or `at $.steps[0].input` if the line is unknown."""
        return f"on line {self.line}" if self.line else f"at {self.path}"

    def get(self, key: str) -> Node | None:
        """Return the value for a key, or None if the key doesn't exist."""
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
        """Return the elements of the list at a path, or an empty sequence if there is no such list."""
        node = self.at(*path)
        return node.elements if node is not None else ()

    def items_at(self, *path: str | int) -> Mapping[str, Node]:
        """Return the values of the mapping at a path by key, or an empty mapping if there is no such mapping."""
        node = self.at(*path)
        return node.items if node is not None else {}

    def walk(self, *, below_aliases: bool = False) -> Iterator[Node]:
        """Yield this node and its descendants. Aliases are followed only if `below_aliases` is set."""
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
            self.items = {key: NodeCopy(item).set_parent(self, key) for key, item in self.source.items.items()}
        elif name == "elements":
            self.elements = [NodeCopy(part).set_parent(self, index) for index, part in enumerate(self.source.elements)]
        else:
            raise AttributeError(name)
        return getattr(self, name)


def to_node(value: Any) -> Node:
    """Build the tree for a value that wasn't read from a file. Lines and columns are 0."""
    node = Node(value)
    if isinstance(value, Mapping):
        node.items = {str(key): to_node(part).set_parent(node, str(key)) for key, part in value.items()}
        node.keys = dict.fromkeys(node.items, Key(0, 0))
    elif isinstance(value, (list, tuple)):
        node.elements = [to_node(element).set_parent(node, index) for index, element in enumerate(value)]
    return node


def _set_python_positions(root: Node, flow: object) -> tuple[str, str]:
    """Set the positions of a flow's nodes in its Python file and return the file's text and name.

    Nodes defined in other files get no position. If the flow isn't written in Python, both strings are empty.
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


class FlowText:
    """A flow file's text. It's parsed on first access, as JSON if the name ends with `.json` and otherwise as YAML.

    Args:
        text: The file's content.
        name: The file's name.
    """

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    @classmethod
    def from_source(cls, flow: reading.FlowSource) -> FlowText:
        """Return the text of a flow's file or Python module. For any other flow, the text is empty.

        Raises:
            FlowFileError: If the file can't be read.
            InvalidArgumentError: If `flow` is neither a path nor a flow.
        """
        path = reading.get_flow_file_path(flow)
        if path is not None:
            name = fsdecode(path)
            return cls.from_bytes(reading.read_file_bytes(name), name)
        root = to_node(check_json(reading.load_flow(flow), "the flow"))
        made = cls(*_set_python_positions(root, flow))
        made._root_or_error, made._flow = root, flow
        return made

    _flow: object = None

    @property
    def component_schemas_from_python(self) -> Mapping[str, tuple[Any, Any]]:
        """Component schemas derived from function signatures, if the flow is written in Python."""
        has_schemas = hasattr(type(self._flow), "component_schemas")
        return self._flow.component_schemas if has_schemas else {}  # type: ignore[attr-defined]

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> FlowText:
        """Decode a file's content. If it isn't UTF-8, `error` says so."""
        try:
            return cls(reading.decode_text(content, name), name)
        except FlowFileError as error:
            made = cls(content.decode("utf-8-sig", "replace"), name)
            made._root_or_error = error
            return made

    @cached_property
    def lines(self) -> list[str]:
        """The text, split into lines."""
        return self.text.splitlines()

    @cached_property
    def _root_or_error(self) -> Node | FlowFileError:
        try:
            return parse_tree(self.text, self.name)
        except FlowFileError as error:
            return error

    @property
    def error(self) -> FlowFileError | None:
        """The parse error, or None if the text is valid."""
        return self._root_or_error if isinstance(self._root_or_error, FlowFileError) else None

    @property
    def root(self) -> Node:
        """The parsed tree.

        Raises:
            FlowFileError: If the text is neither YAML nor JSON. The error includes the line and column.
        """
        if isinstance(self._root_or_error, FlowFileError):
            raise self._root_or_error
        return self._root_or_error

    @cached_property
    def copy_without_positions(self) -> FlowText:
        """The same flow, without positions if it's JSON, since computing them takes far longer than parsing the values.

        Raises:
            FlowFileError: If a JSON file is not valid JSON.
        """
        value = _NOT_JSON if "_root_or_error" in self.__dict__ else _parse_if_json(self.text, self.name)
        if value is _NOT_JSON:
            return self
        made = FlowText("", "")
        made._root_or_error = to_node(value)
        return made


def parse_tree(text: str, source: str) -> Node:
    """Parse YAML or JSON text into a tree. If `source` ends with `.json`, only JSON is accepted.

    Raises:
        FlowFileError: If the text is invalid. The error includes the line and column.
    """
    value = _parse_if_json(text, source)
    if value is _NOT_JSON and len(text) > reading.MAX_YAML_LENGTH:
        return to_node(reading.parse_yaml(text, source))
    if value is not _NOT_JSON:
        # Parse the JSON text as YAML, just to get the positions. YAML supports all of JSON except tabs between tokens
        # and escaped surrogates, so replace these.
        text = _SURROGATE_ESCAPE.sub(r"\\u0020", text.replace("\t", " "))
    try:
        root: Node = yaml_format.read_yaml(
            text, source, lambda reader, node: node and _TreeBuilder(text, reader, value).build_node(node, value, None)
        )
        return root or Node(None, 1, 1)
    except FlowFileError:
        if value is _NOT_JSON:
            raise
        return to_node(value)


def _parse_if_json(text: str, source: str) -> Any:
    """Return a JSON text's value, or `_NOT_JSON` if the text must be parsed as YAML."""
    if source.lower().endswith(".json"):
        return reading.parse_json(text, source)
    if text.lstrip()[:1] in ("{", "[", '"'):
        # As in `parse_yaml`, accept JSON that YAML doesn't support.
        with suppress(FlowFileError):
            return reading.parse_json(text, source)
    return _NOT_JSON


_NOT_JSON: Any = object()
_DEFAULT_TAGS = {"SequenceNode": "tag:yaml.org,2002:seq", "MappingNode": "tag:yaml.org,2002:map"}
_MERGE_TAG = "tag:yaml.org,2002:merge"


class _TreeBuilder:
    """Converts PyYAML nodes to a tree.

    JSON values have already been parsed, and YAML values are parsed along the way.
    """

    def __init__(self, text: str, reader: yaml_format.YamlReader, value: Any) -> None:
        self.text = text
        self.reader = reader
        self.is_json = value is not _NOT_JSON
        self.is_shared = not self.is_json and ("*" in text or "<<" in text)
        self.aliases = yaml_format.find_alias_spans(text) if self.is_shared else iter(())
        self.known: dict[int, Node] = {}
        """Nodes created so far, by the PyYAML node's `id()`. Only used if an alias or merge may repeat a node."""

    def build_node(self, node: yaml.Node, value: Any, key: Key | None) -> Node:
        if self.is_shared and id(node) in self.known:
            copy = NodeCopy(self.known[id(node)])
            copy.start, copy.end = next(self.aliases)
            copy.is_flow, copy.merges, copy.last, copy.original = True, (), -1, copy.source
            return copy
        start = node.start_mark
        made = Node(value, start.line + 1, start.column + 1, start.index, node.end_mark.index)
        if isinstance(node, yaml.ScalarNode):
            if not self.is_json:
                made.value = self.reader.read_value(node)
            # PyYAML includes trailing blank lines in a block scalar's end.
            if node.style in ("|", ">"):
                made.end = made.start + len(self.text[made.start : made.end].rstrip())
            if made.value is None and not node.value and key is not None:
                # PyYAML places an empty value at the next token. The key's position is more useful.
                made.line, made.column = key.line, key.column
        else:
            assert isinstance(node, yaml.CollectionNode)
            if node.tag != _DEFAULT_TAGS[type(node).__name__]:
                self.reader.reject_tag(node)
            made.is_flow = bool(node.flow_style)
            made.last = (
                self.fill_mapping(made, node) if isinstance(node, yaml.MappingNode) else self.fill_sequence(made, node)
            )
            if not made.is_flow:
                # PyYAML includes trailing comments in a block collection's end.
                made.end = made.last
        if self.is_shared:
            self.known[id(node)] = made
        return made

    def fill_mapping(self, made: Node, node: yaml.MappingNode) -> int:
        """Add a mapping's parts to its node and return the offset where the last one ends."""
        last, own, keys = made.start, dict[str, Node](), dict[str, Key]()
        pairs = {} if self.is_json else self.reader.read_pairs(node)
        given = iter(made.value.items() if self.is_json else ())
        for name_node, value_node in node.value:
            name, value = next(given, (name_node.value, _NOT_JSON))
            key = self.build_key_position(name_node)
            child = self.build_node(value_node, value, key)
            last = max(last, key.end, child.end)
            child.set_parent(made, name)
            if name_node.tag != _MERGE_TAG:
                own[name], keys[name] = child, key
            else:
                made.merges = [*made.merges, (key, child)]
        if len(pairs) > len(own):
            added = [name for name in pairs if name not in own]
            merged = {name: NodeCopy(self.known[id(pairs[name])]).set_parent(made, name) for name in added}
            keys = {name: Key(copy.line, copy.column) for name, copy in merged.items()} | keys
            own = merged | own
        made.items, made.keys = own, keys
        if not self.is_json:
            made.value = {name: part.value for name, part in own.items()}
        return last

    def build_key_position(self, node: yaml.Node) -> Key:
        mark = node.start_mark
        if self.is_shared and id(node) in self.known:
            return Key(mark.line + 1, mark.column + 1, *next(self.aliases))
        if self.is_shared:
            self.known[id(node)] = Node(node.value)
        return Key(mark.line + 1, mark.column + 1, mark.index, node.end_mark.index)

    def fill_sequence(self, made: Node, node: yaml.CollectionNode) -> int:
        """Add a list's elements to its node and return the offset where the last one ends."""
        values = made.value if self.is_json else [_NOT_JSON] * len(node.value)
        made.elements = elements = [
            self.build_node(element, value, None).set_parent(made, index)
            for index, (element, value) in enumerate(zip(node.value, values, strict=True))
        ]
        if not self.is_json:
            made.value = [element.value for element in elements]
        return max((element.end for element in elements), default=made.start)
