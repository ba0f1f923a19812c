"""The synchronous client behind the asynchronous one's face, so that one test drives both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from typing import Any

_END = object()


class Awaited:
    """Every method of the client, awaited; each call is made in a thread."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if name in ("run_events", "iter_runs", "map"):
            return partial(_iterated, value)
        return partial(asyncio.to_thread, value) if inspect.ismethod(value) else value


async def _iterated(method: Callable[..., Iterator[Any]], *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
    iterator: Any = method(*args, **options)
    try:
        while (value := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield value
    finally:
        iterator.close()
