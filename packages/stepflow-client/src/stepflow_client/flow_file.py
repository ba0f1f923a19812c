"""Reads flow, input, variable and override files into plain JSON values, without loss.

PyYAML does the reading; its resolver is replaced, because YAML 1.1 would turn `no`, `on`, `012`, `1:30` and dates
into something else than their author wrote. Here a plain scalar is `null`, a boolean, a number as JSON writes
numbers, or else the text itself. What JSON cannot hold (NaN, keys that are not strings, a key given twice) is an
error with its line and column.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from .errors import FlowFileError, InvalidArgumentError

__all__ = ["FlowSource", "load_file", "load_flow", "parse_json", "parse_yaml"]

FlowSource = str | PathLike[str] | Mapping[str, Any]
"""A flow: the path of a YAML or JSON file, or the flow itself as a mapping."""

_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')

_MOST_VALUES = 5_000_000
"""A file may unfold to this many values: aliases of aliases can grow a small file without end."""

_NULLS: dict[str, bool | None] = dict.fromkeys(("~", "null", "Null", "NULL", ""))
_BOOLEANS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

if TYPE_CHECKING:
    _BASE = yaml.SafeLoader
else:
    _BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):
    """PyYAML's loader with JSON's idea of plain scalars."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def load_flow(flow: FlowSource) -> dict[str, Any]:
    """Give a flow as a dict.

    Args:
        flow: The path of a YAML or JSON file, or a mapping, which is taken as it is.

    Raises:
        FlowFileError: If the file cannot be read or does not hold a mapping.
        InvalidArgumentError: If `flow` is neither a path nor a mapping.
    """
    if isinstance(flow, Mapping):
        return dict(flow)
    if not isinstance(flow, (str, PathLike)):
        raise InvalidArgumentError(f"a flow is a path or a mapping, not {type(flow).__name__}")
    if isinstance(flow, str) and "\n" in flow:
        raise InvalidArgumentError("a flow given as text is taken for a path; parse it first and pass the mapping")
    value = load_file(flow)
    if not isinstance(value, dict):
        name = fsdecode(flow)
        raise FlowFileError(f"{name} is not a flow: it holds {_kind(value)}, not a mapping", path=name)
    return value


def load_file(path: str | PathLike[str]) -> Any:
    """Give the value that a YAML or JSON file holds; by the ending `.json`, else it is read as YAML.

    Raises:
        FlowFileError: If it cannot be read; the message has the path and, where it is known, line and column.
    """
    name = fsdecode(path)
    try:
        text = Path(name).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise FlowFileError(f"{name} does not exist", path=name) from None
    except IsADirectoryError:
        raise FlowFileError(f"{name} is a directory, not a file", path=name) from None
    except UnicodeDecodeError as error:
        raise FlowFileError(f"{name} is not UTF-8 text (byte {error.start})", path=name) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FlowFileError(f"{name} cannot be read: {reason}", path=name) from None
    parse = parse_json if name.lower().endswith(".json") else parse_yaml
    return parse(text, name)


def parse_yaml(text: str, source: str = "the YAML text") -> Any:
    """Give the value of YAML text (JSON text is YAML too).

    Args:
        text: One YAML document.
        source: What to call it in an error.

    Raises:
        FlowFileError: If it is not YAML, or holds what JSON cannot.
    """
    if text.lstrip()[:1] in ("{", "[", '"'):
        # JSON is read as such: YAML knows no surrogate pairs in escapes and no keys of more than 1,024 letters.
        with suppress(ValueError, RecursionError):
            return _read_json(text)
    try:
        return _read_yaml(text, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _fail(source, "is not YAML", mark, error.problem or error.context or "")
    except yaml.reader.ReaderError as error:
        raise FlowFileError(f"{source} is not YAML: {error.reason} (position {error.position})", path=source) from None
    except UnicodeEncodeError as error:
        reason = "half of a surrogate pair is not a character"
        raise FlowFileError(f"{source} is not YAML: {reason} (position {error.start})", path=source) from None
    except RecursionError:
        raise FlowFileError(f"{source} is nested too deeply", path=source) from None


def parse_json(text: str, source: str = "the JSON text") -> Any:
    """Give the value of JSON text.

    Raises:
        FlowFileError: If it is not JSON, or a key stands twice in one object.
    """
    try:
        return _read_json(text)
    except json.JSONDecodeError as error:
        message = f"{source} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise FlowFileError(message, path=source, line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise FlowFileError(f"{source} is nested too deeply", path=source) from None
    except ValueError as error:
        reason = str(error)
    # json does not say where it is. A constant can be looked for; the rest the YAML reader finds, as JSON is YAML.
    for token in _STRING_OR_CONSTANT.finditer(text):
        if token[1]:
            line = text.count("\n", 0, token.start()) + 1
            column = token.start() - text.rfind("\n", 0, token.start())
            message = f"{source} is not JSON: {reason} (line {line}, column {column})"
            raise FlowFileError(message, path=source, line=line, column=column)
    with suppress(yaml.YAMLError, UnicodeEncodeError, RecursionError):
        _read_yaml(text, source)
    raise FlowFileError(f"{source} is not JSON: {reason}", path=source)


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def _read_yaml(text: str, source: str) -> Any:
    node = yaml.compose(text, Loader=_Loader)
    return None if node is None else _Reader(source).value(node)


class _Reader:
    """Turns YAML nodes into values, and keeps count of them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.count = 0
        self.open: set[int] = set()
        self.scalars: dict[str, Callable[[yaml.ScalarNode], Any]] = {
            "tag:yaml.org,2002:null": lambda node: self.constant(node, _NULLS),
            "tag:yaml.org,2002:bool": lambda node: self.constant(node, _BOOLEANS),
            "tag:yaml.org,2002:int": self.integer,
            "tag:yaml.org,2002:float": self.number,
            "tag:yaml.org,2002:str": lambda node: node.value,
        }

    def value(self, node: yaml.Node) -> Any:
        self.count += 1
        if self.count > _MOST_VALUES:
            self.fail(node, f"its aliases unfold to more than {_MOST_VALUES:,} values")
        if isinstance(node, yaml.ScalarNode):
            read = self.scalars.get(node.tag)
            if read is None:
                self.fail(node, f"the tag {node.tag} has no JSON counterpart")
            return read(node)
        if id(node) in self.open:
            self.fail(node, "an alias stands inside what it names")
        self.open.add(id(node))
        try:
            if node.tag == "tag:yaml.org,2002:seq":
                return [self.value(child) for child in node.value]
            if node.tag == "tag:yaml.org,2002:map":
                return self.mapping(node)
        finally:
            self.open.discard(id(node))
        self.fail(node, f"the tag {node.tag} has no JSON counterpart")

    def mapping(self, node: yaml.Node) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                for source in self.merge_sources(value_node):
                    merged = {**source, **merged}
                continue
            key = self.value(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self.fail(key_node, "a key must be a string; put it in quotes")
            if key in own:
                self.fail(key_node, f"the key {key!r} stands twice in one mapping")
            own[key] = self.value(value_node)
        # A merged value yields to the mapping's own; the mapping's own order comes last, as in YAML's merge.
        return {**merged, **own} if merged else own

    def merge_sources(self, node: yaml.Node) -> Iterator[dict[str, Any]]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for each in nodes:
            value = self.value(each)
            if not isinstance(value, dict):
                self.fail(each, "only mappings can be merged with <<")
            yield value

    def constant(self, node: yaml.ScalarNode, known: dict[str, bool | None]) -> bool | None:
        if node.value not in known:
            self.fail(node, f"{_clip(node.value)!r} is not what its tag {node.tag} says")
        return known[node.value]

    def integer(self, node: yaml.ScalarNode) -> int:
        try:
            return int(node.value)
        except ValueError:
            self.fail(node, f"{_clip(node.value)} is not an integer that can be read")

    def number(self, node: yaml.ScalarNode) -> float:
        try:
            number = float(node.value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(node, f"{_clip(node.value)} is not a number that JSON can hold")
        return number

    def fail(self, node: yaml.Node, reason: str) -> NoReturn:
        _fail(self.source, "cannot be used", node.start_mark, reason)


def _fail(source: str, what: str, mark: Any, reason: str) -> NoReturn:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
    where = f" (line {line}, column {column})" if line is not None else ""
    raise FlowFileError(f"{source} {what}: {reason}{where}", path=source, line=line, column=column) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON can hold")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{_clip(text)} is not a number that JSON can hold")
    return number


def _clip(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return {str: "text", list: "a list", bool: "a boolean"}.get(type(value), "a number")
