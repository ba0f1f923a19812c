"""Escaping of text from servers, workers and files for the terminal. All printed text passes through here.

A terminal executes control characters (C0, C1, DEL), and bidirectional controls and line separators change what people
read. They are written as escapes: `\\x1b`, `\\u202e`, and `\\n` where text belongs on one line, so that no response can
start a line of its own, such as a forged `hint:`. In JSON and YAML, the format's own escapes are used: the data stays
the same, both on a terminal and in a pipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_UNSAFE = "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]"
_UNSAFE_IN_DOCUMENT = _UNSAFE.replace("\x0a-\x1f", "\x0b-\x1f")
_SHORT = {"\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """Return text as one line, with escapes for what a terminal would interpret; tabs are kept."""
    return text if _is_plain(text) else re.sub(_UNSAFE, _escape, text)


def printable_lines(text: str) -> str:
    """Return text of several lines, with escapes for what a terminal would interpret except line feeds."""
    return "\n".join(map(printable, text.split("\n")))


def printable_traceback(chunks: Iterable[str]) -> str:
    """Return a traceback in which each exception message is on one line.

    Args:
        chunks: The pieces of `traceback.format_exception`: frames are indented, messages are not.
    """
    return "".join(
        printable_lines(chunk) if chunk[:1].isspace() else f"{printable(chunk.removesuffix(chr(10)))}\n"
        for chunk in chunks
    )


def escape_json(document: str) -> str:
    """Return a JSON document with `\\uXXXX` escapes."""
    if _is_plain(document.replace("\n", "")):
        return document
    return re.sub(_UNSAFE_IN_DOCUMENT, lambda match: f"\\u{ord(match[0]):04x}", document)


def _is_plain(text: str) -> bool:
    """Return whether text is printable ASCII. Most text is, and then no pattern needs to be compiled."""
    return text.isascii() and text.isprintable()


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return _SHORT.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")
