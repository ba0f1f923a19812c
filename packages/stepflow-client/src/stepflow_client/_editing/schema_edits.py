"""Writes schemas into a flow file without changing any other byte."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..flows.source import Key, Node
from .text_edits import (
    Edit,
    NotEditableError,
    addition,
    block_key,
    changed_file,
    flow_text,
    line_end,
    newline_of,
    one_line,
)

_LINE = 110
"""Maximum length of a line."""

Schemas = Mapping[str, Any]


class _Frame(dict[str, Any]):
    """A mapping that contains schemas but is not a schema itself. Each of its keys is written on a separate line."""


def add_schemas(content: bytes, schemas: Schemas, source: str) -> bytes:
    """Return the content of a flow file with `input`, `output` and `steps` added to its `schemas.properties`.

    Existing schemas in the file are not changed.

    Raises:
        FlowFileError: If the schemas cannot be added without changing more, for example because they are an alias.
    """
    if not schemas:
        return content
    framed = _Frame(schemas)
    if "steps" in framed:
        framed["steps"] = _Frame(properties=_Frame(framed["steps"]["properties"]))
    added = {"schemas": _Frame(properties=framed)}
    message = "schemas cannot be added without changing more of the file; write 'schemas' as a mapping of its own, "
    message += "without aliases"

    def change(text: str, root: Node) -> tuple[Iterable[Edit], Any]:
        return _edits(text, root, added, is_root=True), _merged(root.value, added)

    return changed_file(content, source, change, message)


def _merged(value: Any, added: Any) -> Any:
    """Return a value with missing parts added."""
    if value is None or not isinstance(value, Mapping) or not isinstance(added, Mapping):
        return copy.deepcopy(added) if value is None else value
    whole = dict(value)
    for key, each in added.items():
        whole[key] = _merged(whole.get(key), each)
    return whole


def _edits(text: str, mapping: Node, added: Schemas, *, is_root: bool = False) -> Iterator[Edit]:
    """Yield the edits that add missing parts to a mapping."""
    if not mapping.items or mapping.original is not None:
        raise NotEditableError
    missing: dict[str, Any] = {}
    for name, value in added.items():
        key, node = mapping.keys.get(name), mapping.get(name)
        if key is None or node is None or key.start < 0:
            missing[name] = value
        elif text[node.start : node.end].strip() in ("", "~", "null", "{}"):
            yield from _filled(text, mapping, key, node, value)
        else:
            yield from _edits(text, node, value)
    if missing:
        yield _before_steps(text, mapping, missing) if is_root else addition(text, mapping, missing, _keys)


def _filled(text: str, parent: Node, key: Key, node: Node, value: Any) -> Iterator[Edit]:
    """Yield the edits that replace null or an empty mapping with a value. Comments on the same line are kept."""
    newline = newline_of(text)
    if parent.is_flow:
        one_line = "\n" not in text[parent.start : parent.end]
        written = flow_text(text, key, value, newline, one_line=one_line)
        yield node.start, node.end, written if node.start > key.end + 1 else f" {written}"
        return
    yield node.start, node.end, ""
    end = line_end(text, node.end)
    yield end, end, newline + _keys(value, key.column + 1, newline)


def _before_steps(text: str, root: Node, values: Schemas) -> Edit:
    """Return the edit that adds keys before `steps` and the comments above it, or at the end if that is impossible."""
    steps = root.keys.get("steps")
    start = text.rfind("\n", 0, steps.start) + 1 if steps is not None else 0
    if steps is None or root.is_flow or steps == root.written[0] or text[start : steps.start].strip():
        return addition(text, root, values, _keys)
    while start and text[:start].splitlines()[-1].lstrip().startswith("#"):
        start = text.rfind("\n", 0, start - 1) + 1
    newline = newline_of(text)
    return start, start, _keys(values, steps.column - 1, newline) + newline


def _keys(values: Schemas, indent: int, newline: str) -> str:
    """Return keys in block style. A schema that fits on one line is written on one line."""
    lines = list[str]()
    for key, value in values.items():
        start = f"{' ' * indent}{block_key(key)}:"
        short = f"{start} {one_line(value)}"
        is_short = len(short) <= _LINE and not isinstance(value, _Frame)
        if is_short or not value or not isinstance(value, (Mapping, list)):
            lines.append(short)
        elif isinstance(value, Mapping):
            lines += [start, _keys(value, indent + 2, newline)]
        else:
            lines.append(start)
            for element in value:
                line = f"{' ' * (indent + 2)}- {one_line(element)}"
                if len(line) > _LINE and element and isinstance(element, Mapping):
                    line = f"{' ' * (indent + 2)}- {_keys(element, indent + 4, newline).lstrip(' ')}"
                lines.append(line)
    return newline.join(lines)
