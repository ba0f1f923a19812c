"""A few calls at once, asynchronous and blocking: written twice by hand, as the sockets are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from ._lazy import lazy_module

if TYPE_CHECKING:
    import asyncio
else:
    # Who blocks threads alone does not pay for the import.
    asyncio = lazy_module("asyncio")

__all__ = ["async_together", "sync_together"]

Answer = TypeVar("Answer")


async def async_together(calls: Sequence[Callable[[], Awaitable[Answer]]], at_once: int) -> list[Answer]:
    """Make calls, with a maximum number at once, and return what they return, in order."""
    free = asyncio.Semaphore(at_once)

    async def one(call: Callable[[], Awaitable[Answer]]) -> Answer:
        async with free:
            return await call()

    return await asyncio.gather(*map(one, calls))


def sync_together(calls: Sequence[Callable[[], Answer]], at_once: int) -> list[Answer]:
    """Make calls, with a maximum number at once, and return what they return, in order."""
    from concurrent.futures import ThreadPoolExecutor

    # The deadline of the caller lies in the context.
    contexts = [copy_context() for _ in calls]
    with ThreadPoolExecutor(at_once, thread_name_prefix="stepflow-client") as threads:
        try:
            return list(threads.map(lambda context, call: context.run(call), contexts, calls))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
