"""Concurrent calls, asynchronous and blocking. Both versions are written by hand, like those of the sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from .._base.lazy import lazy_module
from .._rules.deadline import seconds_until

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future
else:
    # Programs that only use the blocking version do not pay for the import.
    asyncio = lazy_module("asyncio")

Answer = TypeVar("Answer")


async def async_gather(calls: Sequence[Callable[[], Awaitable[Answer]]], at_once: int) -> list[Answer]:
    """Make calls concurrently, with a maximum of `at_once`, and return their results in the order of the calls."""
    free = asyncio.Semaphore(at_once)

    async def one(call: Callable[[], Awaitable[Answer]]) -> Answer:
        async with free:
            return await call()

    return await asyncio.gather(*map(one, calls))


def sync_gather(calls: Sequence[Callable[[], Answer]], at_once: int) -> list[Answer]:
    """Make calls concurrently, with a maximum of `at_once`, and return their results in the order of the calls."""
    from concurrent.futures import ThreadPoolExecutor

    # The context contains the caller's deadline.
    contexts = [copy_context() for _ in calls]
    with ThreadPoolExecutor(at_once, thread_name_prefix="stepflow-client") as threads:
        try:
            return list(threads.map(lambda context, call: context.run(call), contexts, calls))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


async def async_settled(future: Future[Any], deadline: float | None) -> None:
    """Wait until another call has settled a future, or until a deadline, by `time.monotonic()`."""
    await asyncio.wait([asyncio.wrap_future(future)], timeout=seconds_until(deadline))


def sync_settled(future: Future[Any], deadline: float | None) -> None:
    """Wait until another call has settled a future, or until a deadline, by `time.monotonic()`."""
    from concurrent.futures import wait

    wait([future], timeout=seconds_until(deadline))
