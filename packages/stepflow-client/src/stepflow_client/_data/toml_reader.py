"""Reads TOML files as plain values, with messages for people."""

from __future__ import annotations

import re
from typing import Any

from .._base.basic_errors import FlowFileError

_MAX_DEPTH = 20
"""Maximum nesting of tables and lists; settings need four levels."""
_TWICE = (
    ("Cannot overwrite a value", "a key stands twice in one table"),
    ("Cannot declare", "a table stands twice"),
    ("Duplicate inline table key", "a key stands twice in one table"),
)
"""The parser's messages for duplicate names, and what they mean."""


def parse_toml(content: bytes, name: str) -> dict[str, Any]:
    """Return the content of a TOML file.

    Args:
        content: The bytes of the file.
        name: Its name in messages.

    Raises:
        FlowFileError: If it is not TOML.
    """
    import tomllib

    try:
        # Some Windows editors write a byte order mark.
        found = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FlowFileError(f"{name} is not UTF-8 text (byte {error.start})", path=name) from None
    except ValueError as error:
        raise FlowFileError(f"{name} is not TOML: {_problem(str(error))}", path=name) from None
    except RecursionError:
        raise FlowFileError(f"{name} is nested too deeply", path=name) from None
    if _is_deep(found):
        raise FlowFileError(f"{name} is nested too deeply", path=name)
    return found


def _problem(said: str) -> str:
    """Return what is wrong with a file, from the parser's message."""
    for start, meaning in _TWICE:
        if said.startswith(start):
            _, at, place = said.partition(" (at ")
            name = re.search(r"declare \((.*?),?\) twice", said)
            named = ".".join(re.findall(r"'([^']*)'", name[1])) if name else ""
            return (f"the table {named} stands twice" if named else meaning) + at + place
    return said


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            below
            for each in level
            if isinstance(each, (dict, list))
            for below in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True
