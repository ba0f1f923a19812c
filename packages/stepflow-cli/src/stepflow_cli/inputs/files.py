"""Reading and writing the files that a command line names; each error is reported as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import usage

__all__ = ["read_bytes", "read_text", "reading", "writing"]


def read_bytes(path: str) -> bytes:
    """Return a file's bytes, limited to the client's maximum file size.

    Raises:
        Problem: If it cannot be read or is larger.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import read_file

    try:
        return read_file(path)
    except FlowFileError as error:
        raise usage(error.message) from None


def read_text(path: str) -> str:
    """Return a file's text, which must be UTF-8, without a byte order mark.

    Raises:
        Problem: If it cannot be read.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage(f"{path} is not UTF-8 text (byte {error.start})") from None


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
        raise usage(f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Convert failures to open a file in the block to a problem.

    Raises:
        Problem: If it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise usage(f"{path} cannot be read: {error.strerror}") from None
