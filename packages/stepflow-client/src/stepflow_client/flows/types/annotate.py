"""Writes schemas into a flow file without changing any other byte."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import FlowFileError
from ..edits import Edit, addition, apply, block_key, flow_text, json_text, line_end, newline_of
from ..file import parse_json, parse_yaml
from ..nodes import Node, parse_nodes

__all__ = ["add_schemas"]

_LINE = 110
"""Maximum length of a line."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RESERVED = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")

Schemas = Mapping[str, Any]


class _Frame(dict[str, Any]):
    """A mapping that contains schemas but is not a schema itself. Each of its keys is written on a separate line."""


def add_schemas(content: bytes, schemas: Schemas, source: str) -> bytes:
    """Return the content of a flow file with schemas added.

    Args:
        content: The content of the file, YAML or JSON in UTF-8.
        schemas: The schemas to add to the flow's `schemas.properties`: `input`, `output` and `steps`, which has
            `properties`. Existing schemas in the file are not changed.
        source: The name of the file in errors.

    Raises:
        FlowFileError: If the schemas cannot be added without changing more, for example because they are an alias.
    """
    text = content.decode("utf-8")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    if not schemas:
        return content
    parse = parse_json if source.lower().endswith(".json") else parse_yaml
    added = _framed(schemas)
    wanted = _merged(parse(text, source), added)
    root = parse_nodes(text, source)
    changed = _changed(text, root, added)
    try:
        is_right = changed is not None and parse(changed, source) == wanted
    except FlowFileError:
        is_right = False
    if changed is None or not is_right:
        message = f"{source}: schemas cannot be added without changing more of the file; write 'schemas' as a mapping "
        message += "of its own, without aliases"
        raise FlowFileError(message, path=source)
    return (mark + changed).encode()


def _changed(text: str, root: Node | None, added: Schemas) -> str | None:
    """Return the text with the additions; None if there is no place for them."""
    try:
        return apply(text, list(_edits(text, root, added, is_root=True))) if root is not None else None
    except ValueError:
        return None


def _framed(schemas: Schemas) -> Schemas:
    framed = _Frame(schemas)
    if "steps" in framed:
        framed["steps"] = _Frame(properties=_Frame(framed["steps"]["properties"]))
    return {"schemas": _Frame(properties=framed)}


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
    if not mapping.keys:
        raise ValueError("not a mapping")
    missing: dict[str, Any] = {}
    for name, value in added.items():
        found = next(((key, node) for key, node in mapping.keys if key.value == name), None)
        if found is None:
            missing[name] = value
        elif _is_empty(text, found[1]):
            yield from _filled(text, mapping, *found, value)
        else:
            yield from _edits(text, found[1], value)
    if missing:
        yield _before_steps(text, mapping, missing) if is_root else addition(text, mapping, missing, _keys)


def _is_empty(text: str, node: Node) -> bool:
    written = text[node.start : node.end].strip()
    return node.alias is None and node.anchor is None and written in ("", "~", "null", "{}")


def _filled(text: str, parent: Node, key: Node, node: Node, value: Any) -> Iterator[Edit]:
    """Yield the edits that replace null or an empty mapping with a value. Comments on the same line are kept."""
    newline = newline_of(text)
    if parent.is_flow:
        one_line = "\n" not in text[parent.start : parent.end]
        written = flow_text(text, key, value, newline, one_line=one_line)
        yield node.start, node.end, written if node.start > key.end + 1 else f" {written}"
        return
    yield node.start, node.end, ""
    end = line_end(text, node.end)
    yield end, end, newline + _keys(value, key.column + 2, newline)


def _before_steps(text: str, root: Node, values: Schemas) -> Edit:
    """Return the edit that adds keys before `steps` and the comments above it, or at the end if that is impossible."""
    steps = next((key for key, _ in root.keys if key.value == "steps"), None)
    start = text.rfind("\n", 0, steps.start) + 1 if steps is not None else 0
    if steps is None or root.is_flow or steps is root.keys[0][0] or text[start : steps.start].strip():
        return addition(text, root, values, _keys)
    while start and text[:start].splitlines()[-1].lstrip().startswith("#"):
        start = text.rfind("\n", 0, start - 1) + 1
    newline = newline_of(text)
    return start, start, _keys(values, steps.column, newline) + newline


def _keys(values: Schemas, indent: int, newline: str) -> str:
    """Return keys in block style. A schema that fits on one line is written on one line."""
    lines = list[str]()
    for key, value in values.items():
        start = f"{' ' * indent}{block_key(key)}:"
        short = f"{start} {_flow(value)}"
        if (
            not isinstance(value, (Mapping, list))
            or not value
            or (len(short) <= _LINE and not isinstance(value, _Frame))
        ):
            lines.append(short)
        elif isinstance(value, Mapping):
            lines += [start, _keys(value, indent + 2, newline)]
        else:
            lines += [start, *(_element(each, indent + 2, newline) for each in value)]
    return newline.join(lines)


def _element(value: Any, indent: int, newline: str) -> str:
    """Return an element of a list in block style."""
    short = f"{' ' * indent}- {_flow(value)}"
    if len(short) <= _LINE or not isinstance(value, Mapping) or not value:
        return short
    return f"{' ' * indent}- {_keys(value, indent + 2, newline).lstrip(' ')}"


def _flow(value: Any) -> str:
    """Return a value as YAML between braces."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_word(key)}: {_flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return _word(value)


def _word(value: Any) -> str:
    is_plain = isinstance(value, str) and _WORD.fullmatch(value) and value.lower() not in _RESERVED
    return str(value) if is_plain else json_text(value)
