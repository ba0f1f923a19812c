"""Reads TOML files into plain Python values, with readable error messages."""

from __future__ import annotations

import re
from typing import Any

from .._base.error_classes import FlowFileError

# Maximum nesting depth of tables and lists. Four levels are enough for settings.
_MAX_DEPTH = 20
# Matches the parser's messages about duplicate keys and tables.
_DUPLICATE = re.compile(r"Cannot overwrite a value|Duplicate inline table key|Cannot declare(?: \((.*?),?\) twice)?")


def parse_toml(content: bytes, name: str) -> dict[str, Any]:
    """Return the content of a TOML file.

    Args:
        content: The file's bytes.
        name: The file name to show in error messages.

    Raises:
        FlowFileError: If the file isn't valid TOML.
    """
    import tomllib

    try:
        # Accept a byte order mark, since some Windows editors add one.
        document = tomllib.loads(content.decode("utf-8-sig"))
        if _is_value_too_deep(document):
            raise RecursionError
    except UnicodeDecodeError as error:
        raise FlowFileError(f"{name} is not UTF-8 text (byte {error.start})", path=name) from None
    except ValueError as error:
        reason = str(error)
        if (match := _DUPLICATE.match(reason)) is not None:
            names = ".".join(re.findall(r"'([^']*)'", match[1] or ""))
            table = f"the table {names} is defined twice" if names else "a table is defined twice"
            _, at, place = reason.partition(" (at ")
            reason = (table if "declare" in match[0] else "a key is defined twice in one table") + at + place
        raise FlowFileError(f"{name} is not TOML: {reason}", path=name) from None
    except RecursionError:
        raise FlowFileError(f"{name} is nested too deeply", path=name) from None
    return document


def _is_value_too_deep(value: Any, depth: int = 0) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > _MAX_DEPTH or any(_is_value_too_deep(part, depth + 1) for part in parts)
