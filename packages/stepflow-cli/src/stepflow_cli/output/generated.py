"""Files that a command writes, or with --check compares with what it would write."""

from __future__ import annotations

from pathlib import Path

from ..errors import Problem, usage
from .messages import note
from .view import Output, write_document


class GeneratedFile:
    """A text file that is the same whenever it is written from the same.

    Args:
        output: The file; None or `-` for standard output.
        check: Whether to compare instead of writing.

    Raises:
        Problem: If there is no file to compare, or it cannot be written.
    """

    def __init__(self, output: str | None, *, check: bool) -> None:
        self.path = None if output == "-" else output
        self._is_compared = check
        if check and Path(str(self.path)).is_dir():
            raise usage(f"{self.path} is a directory, not a file")
        if not check:
            Output(path=output).check()

    def write_or_compare(self, text: str, again: str) -> None:
        """Write the file, or compare it.

        Args:
            text: Its content.
            again: How to write it if it differs.

        Raises:
            Problem: If it differs, or cannot be written.
        """
        content = text.encode()
        if not self._is_compared:
            write_document(content, self.path)
            return
        file = Path(str(self.path))
        if file.is_file() and file.read_bytes() == content:
            note(f"{file} is up to date")
            return
        difference = "is out of date" if file.exists() else "does not exist"
        raise Problem(f"{file} {difference}", kind="outdated", hint=f"write it again: {again}")
