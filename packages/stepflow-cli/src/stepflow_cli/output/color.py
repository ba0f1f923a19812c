"""Whether the output is a terminal, and has colours."""

from __future__ import annotations

import os
from typing import TextIO


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
