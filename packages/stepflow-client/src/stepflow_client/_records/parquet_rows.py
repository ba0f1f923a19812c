"""Reads Parquet files using pyarrow, which the `stepflow-client[parquet]` extra installs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from .._base.suggestions import install_command
from .._data.json_encoding import encode_scalar, is_scalar
from ..errors import FlowFileError

# Maximum number of rows to decode at once, so that memory holds only part of a row group.
_BATCH_SIZE = 1000


def import_pyarrow() -> Any:
    """Import `pyarrow` along with `pyarrow.parquet`.

    Raises:
        FlowFileError: If it isn't installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        missing = FlowFileError("Parquet needs pyarrow")
        missing.hint = install_command("stepflow-client", "parquet")
        raise missing from None
    return pyarrow


@contextmanager
def _converting_errors(name: str) -> Iterator[None]:
    arrow = import_pyarrow()
    try:
        yield
    except (OSError, arrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or error
        unreadable = FlowFileError(f"{name} cannot be read: {reason}", path=name)
        unreadable.hint = "the file is damaged, or not a Parquet file"
        raise unreadable from None


def open_rows(source: Any, name: str) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return a file's row count and an iterator that reads its rows lazily.

    Args:
        source: The path, or a file open for reading bytes. If the file isn't seekable, all of it is read first.
        name: The file's name for error messages.

    Raises:
        FlowFileError: If the file cannot be read, or if pyarrow is missing.
    """
    arrow = import_pyarrow()
    with _converting_errors(name):
        if not isinstance(source, str) and not source.seekable():
            source = arrow.BufferReader(source.read())
        # Don't pre-buffer: it would load all row groups into memory.
        file = arrow.parquet.ParquetFile(source, pre_buffer=False)
    names = file.schema_arrow.names
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise FlowFileError(f"{name} cannot be read: it has two columns named {twice!r}", path=name)
    return file.metadata.num_rows, _iter_rows(name, file)


def _iter_rows(name: str, file: Any) -> Iterator[dict[str, Any]]:
    with file:
        batches = file.iter_batches(batch_size=_BATCH_SIZE)
        while True:
            with _converting_errors(name):
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            if batch is None:
                return
            yield from rows


def convert_to_json(value: Any) -> Any:
    """Convert a row's value to JSON. Times become ISO 8601 strings; decimals and UTF-8 bytes also become strings.

    Raises:
        ValueError: If it contains bytes that aren't UTF-8 text.
    """
    if isinstance(value, dict):
        return {name: convert_to_json(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [convert_to_json(part) for part in value]
    if is_scalar(value):
        return encode_scalar(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError("it has bytes that are not UTF-8 text") from None
    return value
