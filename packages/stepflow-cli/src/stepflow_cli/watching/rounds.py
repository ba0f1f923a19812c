"""Runs a command again after each change of its files, and prints the differences from the previous result."""

from __future__ import annotations

import difflib
import io
import re
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from typing import Any

import click

from ..context import current_session
from ..errors import to_problem, usage
from ..output.color import format_diff_line, has_color
from ..output.messages import note, print_problem
from .files import WatchedFiles

# Longer results are not compared, because the time grows with the square of their length.
_MAX_LINES = 2000
_MAX_SHOWN = 60
_MAX_NAMES = 3


def check_no_stdin(flows: Iterable[str]) -> None:
    """Raise a Problem if one of the flows is standard input."""
    if "-" in flows:
        raise usage("--watch needs files: standard input can be read only once")


def watch_files(
    command: Callable[[], None], find_files: Callable[[], Iterable[str]], *, noise: re.Pattern[str] | None = None
) -> None:
    """Run a command now, and again whenever a file changes, until Ctrl-C, which is not a failure here.

    Args:
        command: Prints its result on standard output. An exception is printed and does not end the loop.
        find_files: Returns the files that it reads, and folders of such files.
        noise: Parts of the result to ignore in comparisons.
    """
    files = WatchedFiles(find_files)
    before: str | None = None
    with suppress(KeyboardInterrupt):
        while True:
            result = _run_and_capture(command)
            result = result if noise is None else noise.sub("", result)
            if before is not None:
                _show_difference(before, result)
            before = result
            # Keep the list of files if one of them cannot be read.
            with suppress(Exception):
                files.refresh()
            noun = "file" if files.count == 1 else "files"
            note(f"watching {files.count} {noun}; Ctrl-C stops")
            changed = files.wait()
            more = f" and {len(changed) - _MAX_NAMES} more" if len(changed) > _MAX_NAMES else ""
            note(f"{time.strftime('%H:%M:%S')} {', '.join(changed[:_MAX_NAMES])}{more} changed")


class _CopyingStream(io.RawIOBase):
    """Standard output, with a copy of what is written."""

    def __init__(self) -> None:
        self._real = sys.stdout
        self.copy = bytearray()

    def write(self, data: Any) -> int:
        self.copy += data
        written = self._real.buffer.write(data)
        self._real.flush()
        return written

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._real.isatty()

    def fileno(self) -> int:
        return self._real.fileno()


def _run_and_capture(command: Callable[[], None]) -> str:
    """Run a command, and return what it printed as its result, with its failure."""
    copied = _CopyingStream()
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    printed = io.TextIOWrapper(io.BufferedWriter(copied), encoding, errors, newline="", write_through=True)
    failure = None
    with redirect_stdout(printed):
        try:
            command()
        except Exception as error:
            failure = to_problem(error)
        printed.flush()
    text = click.unstyle(copied.copy.decode(encoding, "replace"))
    if failure is None:
        return text
    session = current_session()
    print_problem(failure, as_json=session.json_errors, color=session.color)
    return f"{text}{failure.message}\n"


def _show_difference(before: str, after: str) -> None:
    if before == after:
        note("the result is the same as before")
        return
    one, other = before.splitlines(), after.splitlines()
    if max(len(one), len(other)) > _MAX_LINES:
        note(f"the result differs from the one before; with more than {_MAX_LINES} lines they are not compared")
        return
    lines = list(difflib.unified_diff(one, other, "before", "now", lineterm="", n=1))[2:]
    session = current_session()
    for line in lines[:_MAX_SHOWN] if not session.json_errors and not session.quiet else ():
        text = format_diff_line(line, sys.stderr, session.color)
        click.echo(text, err=True, color=has_color(sys.stderr, session.color))
    if len(lines) > _MAX_SHOWN:
        note(f"{len(lines) - _MAX_SHOWN} more lines differ")
