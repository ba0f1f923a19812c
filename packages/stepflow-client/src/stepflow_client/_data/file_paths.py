"""Paths of files that the caller names."""

from __future__ import annotations

import os
from pathlib import Path

from .arguments import wrong


def file_path(path: str | os.PathLike[str], what: str) -> Path:
    """Return the path of a file as a Path.

    Raises:
        InvalidArgumentError: If it cannot be the path of a file.
    """
    try:
        found = Path(path)
        # Raises a ValueError for text that no file system can hold.
        name = os.fsencode(found)
    except (TypeError, ValueError):
        raise wrong(what, "the path of a file", path) from None
    # An empty text would be the working folder.
    if b"\0" in name or name == b":memory:" or not os.fspath(path):
        raise wrong(what, "the path of a file", str(path))
    return found
