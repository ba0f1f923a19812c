"""A blocking client with the interface of the async client, so that one test covers both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Self

_END = object()


class Awaited:
    """Makes the methods of a blocking client or handle awaitable, by calling them in a thread."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if name in ("run_events", "iter_runs", "map", "events"):
            return lambda *args, **options: _Stream(value(*args, **options))
        if name in ("handle", "with_options"):
            return lambda *args, **options: Awaited(value(*args, **options))
        if name == "start_run":
            return partial(_start_run, value)
        return partial(asyncio.to_thread, value) if inspect.ismethod(value) else value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Awaited) and bool(self.client == other.client)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.client)


async def _start_run(method: Callable[..., Any], *args: Any, **options: Any) -> Awaited:
    return Awaited(await asyncio.to_thread(method, *args, **options))


class _Stream:
    """Makes a blocking stream an async iterator."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        value = await asyncio.to_thread(next, self._stream, _END)
        if value is _END:
            raise StopAsyncIteration
        return value

    async def aclose(self) -> None:
        await asyncio.to_thread(self._stream.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
