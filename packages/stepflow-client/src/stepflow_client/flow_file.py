"""Reads flow, input, variable and override files into plain JSON values, without loss.

What JSON cannot hold (NaN, keys that are not strings, a key given twice) is an error with its line and column.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any, NoReturn

from .errors import FlowFileError, InvalidArgumentError

__all__ = ["FlowSource", "load_file", "load_flow", "parse_json", "parse_yaml"]

FlowSource = str | PathLike[str] | Mapping[str, Any]
"""A flow: the path of a YAML or JSON file, or the flow itself as a mapping."""

_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


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
    from ._yaml import read_yaml

    return read_yaml(text, source)


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
    from ._yaml import read_yaml

    try:
        read_yaml(text, source)
    except FlowFileError as error:
        if "is not YAML" not in error.message:
            raise
    raise FlowFileError(f"{source} is not JSON: {reason}", path=source)


def _read_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


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
