"""The paths of expressions (`$.a[0]["b"]`), parsed as servers from 0.9 to 0.13 do. Pure."""

from __future__ import annotations

import re

__all__ = ["PathError", "ambiguity", "parse_path"]

_DIGITS = re.compile(r"\+?[0-9]+")


class PathError(ValueError):
    """Servers reject the path."""


def parse_path(text: str | None) -> list[str | int]:
    """Return the fields and indexes of a path; an empty list for the whole value.

    Raises:
        PathError: If servers reject the path.
    """
    if text is None or text == "":
        return []
    trimmed = text.strip()
    if not trimmed.startswith("$"):
        return [text]
    rest, parts = trimmed[1:], list[str | int]()
    while rest:
        if rest[0] == ".":
            stop = re.search(r"[.\[]", rest[1:])
            end = stop.start() + 1 if stop else len(rest)
            if rest[1:end]:
                parts.append(rest[1:end])
            rest = rest[end:]
        elif rest[0] == "[":
            close = rest.find("]")
            if close < 0:
                raise PathError("a [ is not closed")
            parts.append(_bracket(rest[1:close].strip()))
            rest = rest[close + 1 :]
        else:
            raise PathError(f"after $ comes . or [, not {rest[0]!r}" if not parts else f"{rest[0]!r} after ]")
    return parts


def _bracket(inner: str) -> str | int:
    if _DIGITS.fullmatch(inner):
        return int(inner)
    if len(inner) >= 2 and inner[0] == inner[-1] and inner[0] in "'\"":
        return inner[1:-1]
    raise PathError(f"[{inner}] is neither an index ([0]) nor a quoted name (['x'])")


def ambiguity(text: str) -> str | None:
    """Return why the meaning of a path depends on the server or on the way a flow is stored; None if it does not."""
    trimmed = text.strip()
    if not trimmed.startswith("$"):
        if re.search(r"[.\[]", text):
            return f"{text!r} is a path on some servers and one field of that name on others; write {'$.' + text!r}"
        return None
    if re.search(r"\.\*|\.\.|\[\*\]", trimmed):
        return f"{text!r} has no wildcards or descent: * is the name of a field and empty names vanish"
    for part in re.findall(r"""\[\s*(['"])(.*?)\1\s*\]""", trimmed):
        if part[1] == "" or re.search(r"[.\[\]]", part[1]):
            return f"the quoted name {part[1]!r} means different things by the way the flow is stored; rename the field"
    return None
