"""Ends what somebody else's code does after a number of seconds: a transport, a callable that gives a token.

Written twice by hand: an event loop can cancel what takes too long, a thread can only be left to itself.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from .._lazy import lazy_module

if TYPE_CHECKING:
    import asyncio
else:
    # Who blocks threads alone does not pay for the import.
    asyncio = lazy_module("asyncio")

__all__ = ["async_limited", "sync_limited"]

Result = TypeVar("Result")


async def async_limited(call: Callable[[], Awaitable[Result]], seconds: float, *, leave: bool = False) -> Result:
    """Return what a call returns, and cancel it after a number of seconds.

    Args:
        call: The call.
        seconds: How long it may take.
        leave: Has a meaning in the sync twin only.

    Raises:
        TimeoutError: If it takes longer.
    """
    async with asyncio.timeout(seconds):
        return await call()


def sync_limited(call: Callable[[], Result], seconds: float, *, leave: bool = False) -> Result:
    """Return what a call returns. It takes as long as it takes, unless it may be left to itself.

    Args:
        call: The call.
        seconds: How long it may take.
        leave: Make the call in a thread, which goes on after the timeout, and whose result is dropped then.

    Raises:
        TimeoutError: If it is left to itself.
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

    # It must not keep the process from ending.
    threading.Thread(target=work, name="stepflow-request", daemon=True).start()
    try:
        results, error = outcomes.get(timeout=min(seconds, threading.TIMEOUT_MAX))
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return results[0]
