"""Pictures and pages: writing them to a file, and opening them in the browser."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import Problem, usage
from ..exit_codes import ExitCode
from ..inputs.files import writing
from ..stdio import telling_of_lost_output

__all__ = ["open_in_browser", "write_document"]


def write_document(content: bytes, path: str | None) -> None:
    """Write a document to a file, or to standard output if the path is None or `-`.

    Raises:
        Problem: If it is a binary picture and standard output is a terminal, or the file cannot be written.
    """
    if path in (None, "-"):
        if path is None and sys.stdout.isatty() and b"\x00" in content:
            raise usage("a PNG picture is not printed on a terminal", "--output FILE keeps it")
        sys.stdout.flush()
        with telling_of_lost_output():
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        return
    with writing(str(path)), open(str(path), "wb") as file:
        file.write(content)


def open_in_browser(path: str) -> None:
    """Open a file in the browser.

    Raises:
        Problem: If there is no browser.
    """
    import webbrowser

    if not webbrowser.open(Path(path).resolve().as_uri()):
        hint = f"open {path} yourself"
        raise Problem("no browser could be started", kind="no_browser", exit_code=ExitCode.FAILED, hint=hint)
