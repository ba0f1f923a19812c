"""Whether the output is a terminal, and has colours."""

from __future__ import annotations

import os
from typing import TextIO

import click

from .safety import printable

_DIFFERENCES = {"+": "green", "-": "red", "@": "cyan"}


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that can do more than print lines."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO, when: str = "auto") -> bool:
    """Return whether to use colours.

    Args:
        stream: The stream to write to.
        when: auto, always or never.
    """
    return when == "always" or (when == "auto" and is_terminal(stream) and not os.environ.get("NO_COLOR"))


def format_diff_line(line: str, stream: TextIO, when: str = "auto") -> str:
    """Return a line of a difference, as `diff -u` prints it, for a stream: coloured if that has colours.

    Args:
        line: The line, without its end.
        stream: The stream to write to.
        when: auto, always or never.
    """
    color = _DIFFERENCES.get(line[:1]) if has_color(stream, when) else None
    return click.style(printable(line), fg=color) if color else printable(line)
