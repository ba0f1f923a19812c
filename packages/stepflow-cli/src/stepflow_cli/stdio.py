"""Standard streams for commands. Python's own streams can raise errors even when a command shouldn't fail.

If output can't be written, for example because the stream is closed (`>&-`), a `Problem` is raised. Messages that can't
be written to standard error are silently dropped. If standard input is closed, it's treated as empty.
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
    """Turn a failure to write standard output into a `Problem`, unless the reader closed the pipe.

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
# it writes the same data again. At exit, the interpreter may flush these streams after it has cleared this module's
# globals, so a successful flush must not use any of them.
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
    """Replace the standard streams, except any that a test or another program has already replaced."""
    is_closed = sys.stdout is None
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Don't leave the descriptor free, because the next file or socket to be opened would then receive the
            # output.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.stdout = _reopen_stream(sys.stdout, _UnwritableStdout if is_closed else _StrictStdout)
    sys.stderr = _reopen_stream(sys.stderr, _LenientStderr)


def read_stdin_bytes() -> bytes:
    """Read all of standard input as bytes.

    Raises:
        Problem: If the input exceeds the maximum file size.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import read_stream

    try:
        return read_stream(sys.stdin.buffer.read, "standard input")
    except FlowFileError as error:
        raise usage(error.message, error.hint) from None


def read_stdin_text() -> str:
    """Read all of standard input as UTF-8 text.

    Raises:
        Problem: If the input isn't UTF-8 or exceeds the maximum file size.
    """
    try:
        return read_stdin_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage(f"standard input is not UTF-8 text (byte {error.start})") from None


def flush_stdout_quietly() -> None:
    """Flush standard output.

    If that fails, discard the output, so that the interpreter doesn't print a traceback at exit.
    """
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
        # If the terminal's encoding lacks a character, escape it instead of failing.
        errors="backslashreplace",
        # Flush after every line if Python would have done so: on a terminal, or if PYTHONUNBUFFERED is set.
        line_buffering=stream.line_buffering or stream.write_through,
    )
