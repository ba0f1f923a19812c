# Written from _async/traced_stream.py by `make generate`. Change that file instead.

"""Spans of generators."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

from .connection import Connection

Item = TypeVar("Item")


def traced_stream(
    connection: Connection, name: str, source: Generator[Item, None], run_id: str | None = None
) -> Generator[Item, None, None]:
    """Yield the items of a generator in a span that begins with its first item and ends with it.

    Requests that the generator sends have spans below that one; the code that iterates over it does not.

    Args:
        connection: The connection.
        name: The operation's name.
        source: The generator.
        run_id: The run concerned, if there is one.
    """
    with connection.traced(name, kind="INTERNAL", is_current=False) as span:
        span.note(run_id=run_id)
        with closing(source):
            while True:
                with span.current():
                    try:
                        item = next(source)
                    except StopIteration:
                        return
                yield item
