"""The standard streams as commands use them: what Python makes of them fails where a command should not.

Output that cannot be written, to a closed stream (`>&-`) for example, is a `Problem`; messages that cannot be written
are lost, which is no reason to fail. A closed standard input is an empty one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any

from .errors import Problem, usage

__all__ = ["flush_quietly", "prepare_streams", "read_stdin", "read_stdin_bytes", "telling_of_lost_output"]


@contextmanager
def telling_of_lost_output() -> Iterator[None]:
    """Turn the failure to write standard output into a problem; a pipe that nobody reads any more is none.

    Raises:
        Problem: If it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise usage(f"standard output cannot be written: {error.strerror}") from error


# Not the raw streams beneath: where a signal ends their `write` in Python, the buffer above writes the same once more.
class _Data(TextIOWrapper):
    def write(self, text: str, /) -> int:
        with telling_of_lost_output():
            return super().write(text)

    def flush(self) -> None:
        with telling_of_lost_output():
            super().flush()


class _Messages(TextIOWrapper):
    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


class _Closed(TextIOWrapper):
    def write(self, text: str, /) -> int:
        if text:
            raise usage("standard output cannot be written: it is closed")
        return 0


def prepare_streams() -> None:
    """Put the streams in order; those that a test or another program has replaced are left alone."""
    is_closed = sys.stdout is None
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_empty(number, name)
    sys.stdout = _reopened(sys.stdout, _Closed if is_closed else _Data)
    sys.stderr = _reopened(sys.stderr, _Messages)


def read_stdin_bytes() -> bytes:
    """Return what is on standard input, which may be as long as a file.

    Raises:
        Problem: If it is longer.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import read_stream

    try:
        return read_stream(sys.stdin.buffer.read, "standard input")
    except FlowFileError as error:
        raise usage(error.message) from None


def read_stdin() -> str:
    """Return what is on standard input, as UTF-8.

    Raises:
        Problem: If it is something else, or longer than a file may be.
    """
    try:
        return read_stdin_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage(f"standard input is not UTF-8 text (byte {error.start})") from None


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


def _reopened(stream: Any, kind: type[TextIOWrapper]) -> Any:
    if not isinstance(stream, TextIOWrapper):
        return stream
    return kind(
        open(stream.fileno(), "wb", closefd=False),
        encoding=stream.encoding,
        # Text that the terminal's encoding lacks is shown in another way, instead of being an error.
        errors="backslashreplace",
        # Python leaves out buffers on a terminal, or by PYTHONUNBUFFERED.
        line_buffering=stream.line_buffering or stream.write_through,
    )
