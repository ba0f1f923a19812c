"""Standard streams adapted for commands, since Python's own can fail where a command should not.

Failing to write output, for example because the stream is closed (`>&-`), is a `Problem`. Messages that can't be
written are silently dropped. A closed standard input counts as empty.
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
def converting_output_errors() -> Iterator[None]:
    """Convert failures to write standard output to a problem, unless the reader closed the pipe.

    Raises:
        Problem: If standard output can't be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise usage(f"standard output cannot be written: {error.strerror}") from error


# Replace the text layer rather than the raw streams: if a signal handler raises during a raw `write`, the buffer above
# writes the same data again. At exit, these may be flushed after the interpreter has cleared this module's names, so a
# successful flush must not use any.
class _StrictStdout(TextIOWrapper):
    def write(self, text: str, /) -> int:
        with converting_output_errors():
            return super().write(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            with converting_output_errors():
                raise


class _LenientStderr(TextIOWrapper):
    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        try:  # noqa: SIM105
            super().flush()
        except OSError:
            pass


class _UnwritableStdout(TextIOWrapper):
    def write(self, text: str, /) -> int:
        if text:
            raise usage("standard output cannot be written: it is closed")
        return 0


def prepare_standard_streams() -> None:
    """Adapt the standard streams, leaving alone any that a test or another program has replaced."""
    is_closed = sys.stdout is None
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Don't leave the descriptor free, or the next file or socket opened would receive the output.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.stdout = _reopen_stream(sys.stdout, _UnwritableStdout if is_closed else _StrictStdout)
    sys.stderr = _reopen_stream(sys.stderr, _LenientStderr)


def read_stdin_bytes() -> bytes:
    """Read bytes from standard input, up to the maximum file size.

    Raises:
        Problem: If the input exceeds the maximum.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import read_stream

    try:
        return read_stream(sys.stdin.buffer.read, "standard input")
    except FlowFileError as error:
        raise usage(error.message, error.hint) from None


def read_stdin_text() -> str:
    """Read UTF-8 text from standard input.

    Raises:
        Problem: If the input isn't UTF-8 or exceeds the maximum file size.
    """
    try:
        return read_stdin_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage(f"standard input is not UTF-8 text (byte {error.start})") from None


def flush_stdout_quietly() -> None:
    """Flush standard output. If that fails, discard it, or the interpreter's flush at exit would print a traceback."""
    try:
        sys.stdout.flush()
    except (OSError, Problem):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reopen_stream(stream: Any, kind: type[TextIOWrapper]) -> Any:
    if not isinstance(stream, TextIOWrapper):
        return stream
    return kind(
        open(stream.fileno(), "wb", closefd=False),
        encoding=stream.encoding,
        # Escape characters the terminal's encoding lacks instead of failing.
        errors="backslashreplace",
        # Python disables buffering on a terminal or if PYTHONUNBUFFERED is set.
        line_buffering=stream.line_buffering or stream.write_through,
    )
