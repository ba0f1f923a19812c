"""A YAML or JSON text as one tree, in which each value has its position: line, column and offsets. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from os import fsdecode
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._data.values import check_json
from ..errors import FlowFileError
from .nodes import Key, Node, NodeCopy, get_component_schemas, set_places, to_node
from .reading import (
    MAX_YAML_LENGTH,
    FlowSource,
    decode_text,
    get_flow_path,
    load_flow,
    parse_json,
    parse_yaml,
    read_file_bytes,
)

if TYPE_CHECKING:
    import yaml

    from .._data import yaml_format
else:
    # Flows in JSON are checked without PyYAML, unless there is something to report.
    yaml = lazy_module("yaml")
    yaml_format = lazy_module("stepflow_client._data.yaml_format")

__all__ = ["Key", "Node", "to_node"]

_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class FlowText:
    """The text of a flow file, JSON if its name ends with `.json`. It is parsed once, when its tree is first needed.

    Args:
        text: The text.
        name: The name of the file.
    """

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    @classmethod
    def of(cls, flow: FlowSource) -> FlowText:
        """Return the text of a flow's file, of its Python file, or a text without lines for any other flow.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidArgumentError: If `flow` is neither a path nor a flow.
        """
        path = get_flow_path(flow)
        if path is not None:
            name = fsdecode(path)
            return cls.read(read_file_bytes(name), name)
        root = to_node(check_json(load_flow(flow), "the flow"))
        made = cls(*set_places(root, flow))
        made._parsed, made._flow = root, flow
        return made

    _flow: object = None

    @property
    def stubs(self) -> Mapping[str, tuple[Any, Any]]:
        """The schemas of components by the types of their functions, if the flow is written in Python."""
        return get_component_schemas(self._flow)

    @classmethod
    def read(cls, content: bytes, name: str) -> FlowText:
        """Return the text of a file's content. If it is not UTF-8, that is its error."""
        try:
            return cls(decode_text(content, name), name)
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
            return parse_tree(self.text, self.name)
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
        """The same flow without positions, which in JSON take far longer to read than the values.

        Raises:
            FlowFileError: If it is a JSON file, and not JSON.
        """
        value = _UNREAD if "_parsed" in self.__dict__ else _parse_json_text(self.text, self.name)
        if value is _UNREAD:
            return self
        made = FlowText("", "")
        made._parsed = to_node(value)
        return made


def parse_tree(text: str, source: str) -> Node:
    """Return the tree of a YAML or JSON text. If `source` ends with `.json`, the text is parsed as JSON.

    Raises:
        FlowFileError: If the text is invalid. The error has the line and the column.
    """
    value = _parse_json_text(text, source)
    if value is _UNREAD and len(text) > MAX_YAML_LENGTH:
        return to_node(parse_yaml(text, source))
    if value is not _UNREAD:
        # JSON is YAML, except for tabs between its tokens and for escaped surrogates. Only positions are read from it.
        text = _HALF_PAIR.sub(r"\\u0020", text.replace("\t", " "))
    try:
        root: Node = yaml_format.read_yaml(
            text, source, lambda reader, node: node and _Tree(text, reader, value).node(node, value, None)
        )
        return root or Node(None, 1, 1)
    except FlowFileError:
        if value is _UNREAD:
            raise
        return to_node(value)


def _parse_json_text(text: str, source: str) -> Any:
    """Return the value of a JSON text, `_UNREAD` if the text has to be read as YAML."""
    if source.lower().endswith(".json"):
        return parse_json(text, source)
    if text.lstrip()[:1] in ("{", "[", '"'):
        # As in `parse_yaml`: JSON that YAML does not support is read too.
        with suppress(FlowFileError):
            return parse_json(text, source)
    return _UNREAD


_UNREAD: Any = object()
_TAGS = {"SequenceNode": "tag:yaml.org,2002:seq", "MappingNode": "tag:yaml.org,2002:map"}
_MERGE = "tag:yaml.org,2002:merge"


class _Tree:
    """Converts PyYAML's nodes to a tree. The values of JSON are known already; YAML values are read on the way."""

    def __init__(self, text: str, reader: yaml_format.YamlReader, value: Any) -> None:
        self.text = text
        self.reader = reader
        self.value = value
        self.is_json = value is not _UNREAD
        self.is_shared = not self.is_json and ("*" in text or "<<" in text)
        self.aliases = yaml_format.find_aliases(text) if self.is_shared else iter(())
        self.known: dict[int, Node] = {}
        """The nodes so far, if an alias or a merge may repeat them, by the id of PyYAML's node."""

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
        made = NodeCopy(original)
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
                name: NodeCopy(self.known[id(pair)]).put(made, name) for name, pair in pairs.items() if name not in own
            }
            keys = {name: Key(copy.line, copy.column) for name, copy in merged.items()} | keys
            own = merged | own
        made.items, made.keys = own, keys
        if not self.is_json:
            made.value = {name: part.value for name, part in own.items()}
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
            self.node(element, value, None).put(made, index)
            for index, (element, value) in enumerate(zip(node.value, values, strict=True))
        ]
        if not self.is_json:
            made.value = [element.value for element in elements]
        return max((element.end for element in elements), default=made.start)
