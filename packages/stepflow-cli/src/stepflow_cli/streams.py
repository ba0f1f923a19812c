"""The standard streams as commands use them: what Python makes of them fails where a command should not.

A stream that was closed (`>&-`) is an empty one. Output that cannot be written is a `Problem`; messages that cannot be
written are lost, which is no reason to fail.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

from .problems import Problem, usage

__all__ = ["flush_quietly", "prepare_streams"]


class _Data(FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise usage(f"standard output cannot be written: {error.strerror}") from error


class _Messages(FileIO):
    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data)
        return len(data)


def prepare_streams() -> None:
    """Put the streams in order; those that a test or another program has replaced are left alone."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_empty(number, name)
    sys.stdout = _reopened(sys.stdout, _Data)
    sys.stderr = _reopened(sys.stderr, _Messages)


def flush_quietly() -> None:
    """Flush standard output if that can be done; the interpreter must not fail at it when it exits."""
    try:
        sys.stdout.flush()
    except (OSError, Problem):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_empty(number: int, name: str) -> None:
    # Its number must not be free: the next file or socket would take it, and output would go there.
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _reopened(stream: Any, kind: type[FileIO]) -> Any:
    if not isinstance(stream, TextIOWrapper):
        return stream
    return TextIOWrapper(
        BufferedWriter(kind(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        # Text that the terminal's encoding lacks is shown in another way, instead of being an error.
        errors="backslashreplace",
        # Python leaves out buffers on a terminal, or by PYTHONUNBUFFERED.
        line_buffering=stream.line_buffering or stream.write_through,
    )
