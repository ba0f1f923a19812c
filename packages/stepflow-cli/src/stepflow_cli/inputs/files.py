"""Reading and writing the files that a command line names; what goes wrong is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import usage

__all__ = ["read_bytes", "read_text", "reading", "writing"]


def read_bytes(path: str) -> bytes:
    """Return what is in a file, which may be as long as the client's.

    Raises:
        Problem: If it cannot be read, or is longer.
    """
    from stepflow_client import FlowFileError
    from stepflow_client.flows.file import read_file

    try:
        return read_file(path)
    except FlowFileError as error:
        raise usage(error.message) from None


def read_text(path: str) -> str:
    """Return the text in a file, which is UTF-8; a byte order mark is no part of it.

    Raises:
        Problem: If it cannot be read.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage(f"{path} is not UTF-8 text (byte {error.start})") from None


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn the failure to write a file in the block into a problem; a pipe that nobody reads any more is none.

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
    """Turn the failure to open a file in the block into a problem.

    Raises:
        Problem: If it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise usage(f"{path} cannot be read: {error.strerror}") from None
