"""The standard streams, adjusted for commands: Python's own streams fail in cases where a command should not.

If output cannot be written, for example because the stream is closed (`>&-`), that is a `Problem`. Messages that cannot
be written are dropped without failing the command. A closed standard input counts as empty.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any

from .errors import Problem, usage


@contextmanager
def reporting_lost_output() -> Iterator[None]:
    """Convert failures to write standard output to a problem. A pipe closed by its reader is not a problem.

    Raises:
        Problem: If standard output cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise usage(f"standard output cannot be written: {error.strerror}") from error


# These replace the text layer, not the raw streams: if a signal handler raises during a raw stream's `write`, the
# buffer above it writes the same data again. They may be flushed after the interpreter has removed the names of this
# module, so a flush that succeeds uses none of them.
class _ResultStream(TextIOWrapper):
    def write(self, text: str, /) -> int:
        with reporting_lost_output():
            return super().write(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            with reporting_lost_output():
                raise


class _MessageStream(TextIOWrapper):
    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        try:  # noqa: SIM105
            super().flush()
        except OSError:
            pass


class _ClosedStream(TextIOWrapper):
    def write(self, text: str, /) -> int:
        if text:
            raise usage("standard output cannot be written: it is closed")
        return 0


def prepare_streams() -> None:
    """Adjust the standard streams. Streams that a test or another program has replaced are left alone."""
    is_closed = sys.stdout is None
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The descriptor must not stay free: the next file or socket would get it and receive the output.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.stdout = _reopen(sys.stdout, _ClosedStream if is_closed else _ResultStream)
    sys.stderr = _reopen(sys.stderr, _MessageStream)


def read_stdin_bytes() -> bytes:
    """Return the bytes on standard input, limited to the maximum size of a file.

    Raises:
        Problem: If there are more.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import read_stream

    try:
        return read_stream(sys.stdin.buffer.read, "standard input")
    except FlowFileError as error:
        raise usage(error.message, error.hint) from None


def read_stdin() -> str:
    """Return the text on standard input, which must be UTF-8.

    Raises:
        Problem: If it is not UTF-8, or exceeds the maximum size of a file.
    """
    try:
        return read_stdin_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage(f"standard input is not UTF-8 text (byte {error.start})") from None


def flush_quietly() -> None:
    """Flush standard output if possible, so that the interpreter's own flush at exit cannot fail."""
    try:
        sys.stdout.flush()
    except (OSError, Problem):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reopen(stream: Any, kind: type[TextIOWrapper]) -> Any:
    if not isinstance(stream, TextIOWrapper):
        return stream
    return kind(
        open(stream.fileno(), "wb", closefd=False),
        encoding=stream.encoding,
        # Characters that the terminal's encoding lacks are shown escaped instead of raising an error.
        errors="backslashreplace",
        # Python disables buffering on a terminal or if PYTHONUNBUFFERED is set.
        line_buffering=stream.line_buffering or stream.write_through,
    )
