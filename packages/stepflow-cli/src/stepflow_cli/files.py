"""Reading and writing the files that a command line names; what goes wrong is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .problems import usage

__all__ = ["read_bytes", "read_text", "writing"]


def read_bytes(path: str) -> bytes:
    """Give what is in a file.

    Raises:
        Problem: If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise usage(f"{path} does not exist") from None
    except IsADirectoryError:
        raise usage(f"{path} is a directory, not a file") from None
    except OSError as error:
        raise usage(f"{path} cannot be read: {error.strerror}") from None


def read_text(path: str) -> str:
    """Give the text in a file, which is UTF-8; a byte order mark is no part of it.

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
        raise usage(f"{path} cannot be written: {error.strerror}") from None
