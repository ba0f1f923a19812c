"""Reads YAML into plain JSON values, rejecting anything that JSON can't represent. Also writes YAML."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import yaml
import yaml.composer

from .._base.error_classes import FlowFileError
from .._base.text_formatting import cut

# Maximum number of additional values that aliases and merges can produce. Without a limit, a small file with aliases of
# aliases could expand to any size.
_MAX_ALIASED_VALUES = 1_000_000

_NULL_WORDS: dict[str, bool | None] = dict.fromkeys(("~", "null", "Null", "NULL", ""))
_BOOL_WORDS: dict[str, bool | None] = {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}

_BASE_PREFIX = re.compile(r"[-+]?0[xob]")

_Pairs = dict[str, yaml.Node]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's loader with Stepflow's rules for unquoted scalars."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


class _AnchorRedefiningComposer(yaml.composer.Composer):
    """PyYAML's pure-Python composer, except that anchors can be redefined (as in YAML). The loader does the parsing."""

    def __init__(self, loader: Any) -> None:
        super().__init__()
        for name in ("check_event", "get_event", "peek_event", "resolve", "descend_resolver", "ascend_resolver"):
            setattr(self, name, getattr(loader, name))

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]
        if isinstance(event, yaml.NodeEvent) and not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)


def read_yaml(text: str, source: str, convert: Callable[[YamlReader, yaml.Node | None], Any] | None = None) -> Any:
    """Return the value of a YAML document.

    Args:
        text: The YAML text.
        source: The file name to show in error messages.
        convert: The function that converts the document's node (None if the document is empty). Defaults to reading its
            value.

    Raises:
        FlowFileError: If the text isn't valid YAML, or contains a value that JSON can't represent.
    """
    try:
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.composer.ComposerError as error:
            if error.problem != "second occurrence":
                raise
            node = _AnchorRedefiningComposer(_Loader(text)).get_single_node()
        reader = YamlReader(source)
        if node is not None and "*" in text:
            # Without aliases, a document can't expand to more values than it contains.
            reader.count_values(node)
        if convert is not None:
            return convert(reader, node)
        return None if node is None else reader.read_value(node)
    except yaml.MarkedYAMLError as error:
        from .syntax_faults import explain_yaml_error

        raise explain_yaml_error(text, error, _Loader).make_error(source, "is not YAML") from None
    except yaml.reader.ReaderError as error:
        message = f"{source} is not YAML: {error.reason} (position {error.position})"
        raise FlowFileError(message, path=source, hint="remove the character, or name a text file") from None
    except UnicodeEncodeError as error:
        reason = "half of a surrogate pair is not a character"
        raise FlowFileError(f"{source} is not YAML: {reason} (position {error.start})", path=source) from None
    except RecursionError:
        raise FlowFileError(f"{source} is nested too deeply", path=source) from None


def find_alias_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each alias in a YAML document. (Nodes only contain the position of their anchor.)"""
    for token in yaml.scan(text, Loader=_Loader) if "*" in text else ():
        if isinstance(token, yaml.AliasToken):
            yield token.start_mark.index, token.end_mark.index


class YamlReader:
    """Converts YAML nodes to values. Call `count_values` first if the document has aliases, which can repeat values."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.distinct = 0
        self.merged = 0
        self.open: set[int] = set()
        self.sizes: dict[int, int] = {}
        self.mappings: dict[int, _Pairs] = {}
        """The keys and value nodes of each mapping (by the `id()` of its node), after merges."""

    def count_values(self, node: yaml.Node) -> int:
        """Return the number of values that a node expands to. Repeated nodes are only visited once."""
        if isinstance(node, yaml.ScalarNode) or id(node) in self.sizes:
            return self.sizes.get(id(node), 1)
        total = 1
        self.enter_acyclic_node(node)
        children = list(self.read_pairs(node).values()) if isinstance(node, yaml.MappingNode) else node.value
        self.distinct += 1 + len(children)
        for child in children:
            total += self.count_values(child)
        self.open.discard(id(node))
        if total - self.distinct > _MAX_ALIASED_VALUES:
            self.raise_fault(node, f"its aliases expand to more than {_MAX_ALIASED_VALUES:,} values")
        self.sizes[id(node)] = total
        return total

    def read_value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            read = _SCALAR_READERS.get(node.tag)
            if read is not None:
                return read(self, node)
        elif isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.read_value(child) for child in node.value]
        elif isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return {key: self.read_value(child) for key, child in self.read_pairs(node).items()}
        self.reject_tag(node)

    def reject_tag(self, node: yaml.Node) -> NoReturn:
        self.raise_fault(node, f"the tag {node.tag} has no JSON counterpart")

    def read_pairs(self, node: yaml.MappingNode) -> _Pairs:
        """Return a mapping's keys and value nodes, after merges. They are only computed once per mapping."""
        if id(node) in self.mappings:
            return self.mappings[id(node)]
        own: _Pairs = {}
        merged: _Pairs = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                self.add_merged_keys(value_node, merged)
                continue
            key = self.read_key(key_node)
            if key in own:
                hint = _suggest_duplicate_fix(node, key)
                self.raise_fault(key_node, f"the key {key!r} appears twice in one mapping", hint)
            own[key] = value_node
        # The mapping's own values take precedence, but merged keys come first (as in PyYAML).
        self.mappings[id(node)] = pairs = {**merged, **own} if merged else own
        return pairs

    def read_key(self, node: yaml.Node) -> str:
        """Return a key as a string, exactly as written: `200` and `true` become '200' and 'true'."""
        if not isinstance(node, yaml.ScalarNode):
            hint = "put text with { } or [ ] in quotes"
            if isinstance(node, yaml.MappingNode):
                hint += "; flows have no {{ }}: write {$input: name} or {$step: id}"
            self.raise_fault(node, "a key must be a string, not a list or a mapping", hint)
        if node.tag not in _SCALAR_READERS:
            self.reject_tag(node)
        return str(node.value)

    def add_merged_keys(self, node: yaml.Node, merged: _Pairs) -> None:
        """Add the keys of a mapping or a list of mappings, without replacing existing ones."""
        for mapping in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(mapping, yaml.MappingNode):
                self.raise_fault(mapping, "only mappings can be merged with <<")
            self.enter_acyclic_node(mapping)
            source = self.read_pairs(mapping)
            self.open.discard(id(mapping))
            self.merged += len(source)
            if self.merged > _MAX_ALIASED_VALUES:
                self.raise_fault(mapping, f"its merges expand to more than {_MAX_ALIASED_VALUES:,} values")
            for key, child in source.items():
                merged.setdefault(key, child)

    def enter_acyclic_node(self, node: yaml.Node) -> None:
        if id(node) in self.open:
            self.raise_fault(node, "an alias is inside the value it refers to")
        self.open.add(id(node))

    def read_null_or_boolean(self, node: yaml.ScalarNode, known: dict[str, bool | None]) -> bool | None:
        if node.value not in known:
            self.raise_fault(node, f"{cut(node.value, 41)!r} is not what its tag {node.tag} says")
        return known[node.value]

    def read_integer(self, node: yaml.ScalarNode) -> int:
        try:
            # A leading zero doesn't change the base: `!!int 017` is 17.
            return int(node.value, 0 if _BASE_PREFIX.match(node.value) else 10)
        except ValueError:
            self.raise_fault(node, f"{cut(node.value, 41)} is not an integer that can be read")

    def read_number(self, node: yaml.ScalarNode) -> float:
        try:
            number = float(node.value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.raise_fault(node, f"{cut(node.value, 41)} is not a number that JSON can represent")
        return number

    def raise_fault(self, node: yaml.Node, reason: str, hint: str | None = None) -> NoReturn:
        from .syntax_faults import Fault

        mark = node.start_mark
        fault = Fault(reason, hint, mark.line + 1, mark.column + 1)
        raise fault.make_error(self.source, "cannot be used") from None


# Keep this outside the class. A reader that refers to its own methods would stay in memory, along with all its nodes,
# until the next garbage collection.
_SCALAR_READERS: dict[str, Callable[[YamlReader, yaml.ScalarNode], Any]] = {
    "tag:yaml.org,2002:null": lambda reader, node: reader.read_null_or_boolean(node, _NULL_WORDS),
    "tag:yaml.org,2002:bool": lambda reader, node: reader.read_null_or_boolean(node, _BOOL_WORDS),
    "tag:yaml.org,2002:int": YamlReader.read_integer,
    "tag:yaml.org,2002:float": YamlReader.read_number,
    "tag:yaml.org,2002:str": lambda reader, node: node.value,
}


def _suggest_duplicate_fix(node: yaml.MappingNode, key: str) -> str:
    """Return a hint for a duplicate key.

    If the first key is repeated, a new list element is usually missing its dash.
    """
    first = next(name for name, _ in node.value if name.value == key)
    line = first.start_mark.line + 1
    if first is node.value[0][0] and not node.flow_style and len(node.value) > 2:
        return f"the first is on line {line}; if a new element starts here, add '- ' before it"
    return f"the first is on line {line}; remove one of them"


# Line separators and bidirectional control characters. YAML allows them, but they change how text is displayed.
_UNSAFE_CHARACTERS = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]")


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """PyYAML's dumper, changed to quote every string that either PyYAML or Stepflow would parse as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True for every value, so that repeated values are written out in full."""
        return True


def _represent_string(dumper: _Dumper, text: str) -> yaml.Node:
    if not text.isascii():
        # Escape lone surrogates, which UTF-8 can't encode.
        text = text.encode("utf-8", "backslashreplace").decode()
    # Escapes only work in double quotes.
    style = '"' if _UNSAFE_CHARACTERS.search(text) else None
    node: yaml.Node = dumper.represent_scalar("tag:yaml.org,2002:str", text, style)
    return node


_Dumper.add_representer(str, _represent_string)
# Patterns of unquoted scalars that aren't strings, by first character.
_patterns = (yaml.SafeDumper.yaml_implicit_resolvers, _Loader.yaml_implicit_resolvers)
_Dumper.yaml_implicit_resolvers = {
    first: [pattern for patterns in _patterns for pattern in patterns.get(first, ())]
    for first in {*_patterns[0], *_patterns[1]}
}


def write_yaml(value: Any) -> str:
    """Format a value as a block-style YAML document, keeping the key order and without folding long lines."""
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**31 - 1)
    text = text.removesuffix("...\n") if text.endswith("\n...\n") else text
    return _UNSAFE_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
