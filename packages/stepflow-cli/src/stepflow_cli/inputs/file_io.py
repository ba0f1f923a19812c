"""Read and write files, and read standard input. Each error is reported as a single sentence."""

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
from ..stdio import read_stdin_text

DATA_SUFFIXES = (".yaml", ".yml", ".json")
"""The extensions of files that contain a YAML or JSON value."""
Signature = tuple[int, int, int] | None
"""A file's modification time, size and inode, used to detect changes. None if the file doesn't exist."""


def get_file_signature(path: str) -> Signature:
    """Return a file's signature, or None if the file doesn't exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def read_bytes(path: str) -> bytes:
    """Return a file's bytes, unless the file is larger than the client allows.

    Raises:
        Problem: If the file is too large or can't be read.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import read_file_bytes

    try:
        return read_file_bytes(path)
    except FlowFileError as error:
        raise usage(error.message, error.hint) from None


def write_bytes(path: str, content: bytes, **options: Any) -> None:
    """Create a file or replace its content.

    Args:
        path: The file.
        content: The new content.
        options: `expected_content`: the content that the file must still have, or None if it must not exist. By
            default, the current content doesn't matter.

    Raises:
        Problem: If the file can't be written. In that case, it is left unchanged.
    """
    from stepflow_client._stores.atomic_file_writes import write_file

    with converting_write_errors(path):
        write_file(path, content, **options)


@contextmanager
def converting_write_errors(path: str) -> Iterator[None]:
    """Raise a `Problem` for any error while writing a file, except when the reader of a pipe has closed it.

    Raises:
        Problem: If the file can't be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        from stepflow_client._stores.atomic_file_writes import FileChangedError

        hint = "run the command again" if isinstance(error, FileChangedError) else None
        raise usage(f"{path} cannot be written: {error.strerror or error}", hint) from None


# Wait this many seconds for input before telling the user that the command is waiting.
_STDIN_NOTICE_SECONDS = 2.0


def is_stdin_piped() -> bool:
    """Return True if stdin is a pipe or a regular file, rather than a terminal or a device such as /dev/null."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def read_piped_value(stdin_format: str | None = None) -> tuple[Any] | None:
    """Return the value on stdin as a 1-tuple, or None if nothing (or only whitespace) is piped.

    Args:
        stdin_format: `json` or `yaml`. Defaults to `json`.

    Raises:
        Problem: If the value can't be parsed. The hint names the options that read YAML or ignore stdin.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.reading import parse_json, parse_yaml

    if not is_stdin_piped():
        return None
    # On Windows, `select` only works with sockets.
    if os.name == "posix" and not select.select([sys.stdin], [], [], _STDIN_NOTICE_SECONDS)[0]:
        note("reading the input from standard input; to ignore it, use --no-stdin")
    text = read_stdin_text()
    if not text.strip():
        return None
    if stdin_format == "yaml":
        return (parse_yaml(text, "standard input"),)
    try:
        return (parse_json(text, "standard input"),)
    except FlowFileError as error:
        hint = error.hint
        # Don't suggest YAML for JSON with backslashes before its quotes: YAML would parse it as a different mapping.
        if not stdin_format and not text.lstrip().startswith('{\\"'):
            with suppress(FlowFileError):
                if isinstance(parse_yaml(text), (dict, list)):
                    looks_like_json = text.lstrip()[:1] in ("{", "[")
                    hint = f"{hint}; " if hint and looks_like_json else ""
                    hint += "for YAML, use --stdin-format yaml"
        raise usage(error.message, f"{hint}; to ignore standard input, use --no-stdin") from None
