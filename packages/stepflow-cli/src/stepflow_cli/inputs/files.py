"""Reading and writing files and standard input; each error is reported as one sentence."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import usage
from ..output.messages import note
from ..stdio import read_stdin

DATA_SUFFIXES = (".yaml", ".yml", ".json")
"""The endings of files that hold a YAML or JSON value."""
Signature = tuple[int, int, int] | None
"""What differs after a file has changed: its time of change, size and inode; None if it does not exist."""


def get_signature(path: str) -> Signature:
    """Return the signature of a file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def read_bytes(path: str) -> bytes:
    """Return a file's bytes, limited to the client's maximum file size.

    Raises:
        Problem: If it cannot be read or is larger.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import read_file_bytes

    try:
        return read_file_bytes(path)
    except FlowFileError as error:
        raise usage(error.message, error.hint) from None


def write_bytes(path: str, content: bytes, **options: Any) -> None:
    """Write a file, or replace its content.

    Args:
        path: The file.
        content: Its new content.
        options: `unchanged_from`, the content that it must still have; None if it must not exist. Default: any.

    Raises:
        Problem: If it cannot be written, and is then what it was.
    """
    from stepflow_client._stores.user_files import write_file

    with writing(path):
        write_file(path, content, **options)


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Convert failures to write a file in the block to a problem. A pipe closed by its reader is not a problem.

    Raises:
        Problem: If it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        from stepflow_client._stores.user_files import FileChangedError

        hint = "run the command again" if isinstance(error, FileChangedError) else None
        raise usage(f"{path} cannot be written: {error.strerror or error}", hint) from None


# Seconds without a byte before a message explains what the command is waiting for.
_SILENCE = 2.0


def is_stdin_piped() -> bool:
    """Return whether standard input is a pipe or a regular file, not a terminal or a device such as /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def read_piped_value(stdin_format: str | None = None) -> tuple[Any] | None:
    """Return the value on standard input, in a tuple; None if nothing is piped or only whitespace.

    Args:
        stdin_format: json or yaml; None is json.

    Raises:
        Problem: If it cannot be parsed; the hint gives the options that read YAML, or that ignore standard input.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import parse_json, parse_yaml

    if not is_stdin_piped():
        return None
    # On Windows, select works only with sockets.
    if os.name == "posix" and not select.select([sys.stdin], [], [], _SILENCE)[0]:
        note("reading the input from standard input; to ignore it, use --no-stdin")
    text = read_stdin()
    if not text.strip():
        return None
    if stdin_format == "yaml":
        return (parse_yaml(text, "standard input"),)
    try:
        return (parse_json(text, "standard input"),)
    except FlowFileError as error:
        hint = error.hint
        # With a backslash before its quotes, JSON is another mapping in YAML.
        if not stdin_format and not text.lstrip().startswith('{\\"'):
            with suppress(FlowFileError):
                if isinstance(parse_yaml(text), (dict, list)):
                    looks_like_json = text.lstrip()[:1] in ("{", "[")
                    hint = f"{hint}; " if hint and looks_like_json else ""
                    hint += "--stdin-format yaml reads YAML"
        raise usage(error.message, f"{hint}; to ignore standard input, use --no-stdin") from None
