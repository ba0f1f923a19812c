"""Parquet files, read with pyarrow: the extra `stepflow-cli[parquet]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from ..errors import usage

_ROWS = 1000
"""Maximum number of rows decoded at a time; only the needed part of a row group is held in memory."""


def imported() -> Any:
    """Return `pyarrow` with `pyarrow.parquet`.

    Raises:
        Problem: If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise usage("Parquet needs pyarrow", "pip install 'stepflow-cli[parquet]'") from None
    return pyarrow


@contextmanager
def _readable(path: str) -> Iterator[None]:
    arrow = imported()
    try:
        yield
    except (OSError, arrow.ArrowException) as error:
        raise usage(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def rows_of(path: str) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return the number of rows in a file, and an iterator that reads the rows as they are needed.

    Args:
        path: The file; `-` is standard input, which is first read completely.

    Raises:
        Problem: If it cannot be read, or pyarrow is missing.
    """
    arrow = imported()
    with _readable(path):
        source = arrow.BufferReader(sys.stdin.buffer.read()) if path == "-" else path
        # Pre-buffering would load all row groups into memory.
        file = arrow.parquet.ParquetFile(source, pre_buffer=False)
    return file.metadata.num_rows, _rows(path, file)


def _rows(path: str, file: Any) -> Iterator[dict[str, Any]]:
    with file:
        batches = file.iter_batches(batch_size=_ROWS)
        while True:
            with _readable(path):
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            if batch is None:
                return
            yield from rows


def plain(value: Any) -> Any:
    """Return a row's value in JSON form: times as ISO 8601 text, decimals and binary text as text.

    Raises:
        ValueError: If it has bytes that are not text.
    """
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError("it has bytes that are not UTF-8 text") from None
    return value
