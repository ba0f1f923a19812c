"""Colors text for terminals, and escapes text from servers, workers and files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TextIO

import click

_DIFF_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that supports escape sequences."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def uses_color(stream: TextIO, when: str = "auto") -> bool:
    """Return whether to use colors.

    Args:
        stream: The output stream.
        when: `auto`, `always` or `never`.
    """
    return when == "always" or (when == "auto" and is_terminal(stream) and not os.environ.get("NO_COLOR"))


def format_diff_line(line: str, stream: TextIO, when: str = "auto") -> str:
    """Format a line of a unified diff, in color if colors are enabled.

    Args:
        line: The line, without its newline.
        stream: The output stream.
        when: `auto`, `always` or `never`.
    """
    color = _DIFF_COLORS.get(line[:1]) if uses_color(stream, when) else None
    return click.style(escape(line), fg=color) if color else escape(line)


_UNSAFE_CHARACTERS = "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]"
_UNSAFE_IN_DOCUMENT = _UNSAFE_CHARACTERS.replace("\x0a-\x1f", "\x0b-\x1f")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r"}


def escape(text: str) -> str:
    """Return text as a single line, escaping everything that a terminal would interpret except tabs."""
    return text if _is_printable_ascii(text) else re.sub(_UNSAFE_CHARACTERS, _escape_match, text)


def escape_lines_for_terminal(text: str) -> str:
    """Return text with its line breaks, escaping everything else that a terminal would interpret except tabs."""
    return "\n".join(map(escape, text.split("\n")))


def escape_traceback(chunks: Iterable[str]) -> str:
    """Format a traceback, escaping line breaks so that each exception's message stays on one line.

    Args:
        chunks: The output of `traceback.format_exception`, in which frames are indented but messages aren't.
    """
    return "".join(
        escape_lines_for_terminal(chunk) if chunk[:1].isspace() else f"{escape(chunk.removesuffix(chr(10)))}\n"
        for chunk in chunks
    )


def escape_json_for_terminal(document: str) -> str:
    """Escape a JSON document for the terminal, using `\\uXXXX` sequences."""
    if _is_printable_ascii(document.replace("\n", "")):
        return document
    return re.sub(_UNSAFE_IN_DOCUMENT, lambda match: f"\\u{ord(match[0]):04x}", document)


def _is_printable_ascii(text: str) -> bool:
    """Return whether text is printable ASCII. Most text is, so we rarely have to compile a pattern."""
    return text.isascii() and text.isprintable()


def _escape_match(match: re.Match[str]) -> str:
    char = match[0]
    return _SHORT_ESCAPES.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")
