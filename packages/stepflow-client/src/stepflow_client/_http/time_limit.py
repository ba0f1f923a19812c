"""Limits how long the caller's code may run: a transport, or a callable that returns a token.

Both variants are written by hand: an event loop can cancel a call that takes too long, but a thread can only be left
running.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from .._base.lazy import lazy_module

if TYPE_CHECKING:
    import asyncio
else:
    # The blocking client does not need asyncio.
    asyncio = lazy_module("asyncio")

Result = TypeVar("Result")


async def async_call_within(call: Callable[[], Awaitable[Result]], seconds: float, *, leave: bool = False) -> Result:
    """Return the result of a call; cancel it if it takes too long.

    Args:
        call: The call.
        seconds: Maximum number of seconds it may take.
        leave: Only used by `sync_call_within`.

    Raises:
        TimeoutError: If it takes longer.
    """
    async with asyncio.timeout(seconds):
        return await call()


def sync_call_within(call: Callable[[], Result], seconds: float, *, leave: bool = False) -> Result:
    """Return the result of a call. Its time is only limited with `leave`.

    Args:
        call: The call.
        seconds: Maximum number of seconds it may take.
        leave: Whether to make the call in a thread, which is left running after the timeout.

    Raises:
        TimeoutError: If it takes longer and `leave` is True.
    """
    if not leave:
        return call()
    context = copy_context()
    outcomes: queue.SimpleQueue[tuple[list[Result], BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcomes.put(([context.run(call)], None))
        except BaseException as error:
            outcomes.put(([], error))

    # A daemon thread does not keep the process from ending.
    threading.Thread(target=work, name="stepflow-request", daemon=True).start()
    try:
        results, error = outcomes.get(timeout=min(seconds, threading.TIMEOUT_MAX))
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return results[0]
