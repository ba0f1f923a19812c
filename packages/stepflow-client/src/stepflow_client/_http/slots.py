"""Limits on the number of concurrent requests, for event loops and for threads."""

from __future__ import annotations

import math
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._base.lazy import lazy_module
from .messages import PoolTimeout

if TYPE_CHECKING:
    import asyncio
else:
    # The blocking client does not need asyncio.
    asyncio = lazy_module("asyncio")


class _LoopSlots:
    """The free slots of one event loop, and the calls that wait for one."""

    def __init__(self, free: float, loop: asyncio.AbstractEventLoop) -> None:
        self.free = free
        self.loop = loop
        self.waiting: deque[asyncio.Future[None]] = deque()


class AsyncSlots:
    """Limits the number of concurrent requests in an event loop.

    Args:
        limit: Maximum number; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = math.inf if limit is None else limit
        self._slots: _LoopSlots | None = None

    def take(self) -> _LoopSlots | None:
        """Take a slot if one is free; pass it to `release` afterwards."""
        slots, loop = self._slots, asyncio.get_running_loop()
        if slots is None or slots.loop is not loop:
            # The futures of waiting calls belong to their event loop.
            slots = self._slots = _LoopSlots(self._limit, loop)
        if not slots.free:
            return None
        slots.free -= 1
        return slots

    async def wait(self, timeout: float) -> _LoopSlots:
        """Wait up to `timeout` seconds for a slot after `take` returned none, and take it. Calls take turns.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        slots = self._slots
        assert slots is not None
        waiter = slots.loop.create_future()
        slots.waiting.append(waiter)
        timer = slots.loop.call_later(timeout, self._expire, waiter, timeout)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # It got the slot at the moment it was cancelled.
                self.release(slots)
            raise
        finally:
            timer.cancel()
        return slots

    @staticmethod
    def _expire(waiter: asyncio.Future[None], timeout: float) -> None:
        if not waiter.done():
            waiter.set_exception(PoolTimeout(f"no connection was free within {timeout:g} s"))

    @staticmethod
    def release(slots: _LoopSlots | None) -> None:
        """Release a slot: the call that has waited longest gets it."""
        if slots is None:
            return
        while slots.waiting:
            waiter = slots.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        slots.free += 1


class SyncSlots:
    """Limits the number of concurrent requests in threads.

    A slot that is no longer referenced is replaced, so a KeyboardInterrupt never costs a slot, whichever line it hits.

    Args:
        limit: Maximum number; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        # Not a semaphore, which is written in Python: a KeyboardInterrupt can leave it locked.
        self._free: queue.SimpleQueue[_Slot] | None = None if limit is None else queue.SimpleQueue()
        for _ in range(limit or 0):
            self.add()

    def add(self) -> None:
        """Add a slot."""
        if self._free is not None:
            self._free.put(_Slot(weakref.ref(self)))

    def take(self) -> _Slot | None:
        """Take a slot if one is free; pass it to `release` afterwards."""
        try:
            return _UNLIMITED if self._free is None else self._free.get_nowait()
        except queue.Empty:
            return None

    def wait(self, timeout: float) -> _Slot:
        """Wait up to `timeout` seconds for a slot after `take` returned none, and take it.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        assert self._free is not None
        try:
            return self._free.get(timeout=min(timeout, threading.TIMEOUT_MAX))
        except queue.Empty:
            raise PoolTimeout(f"no connection was free within {timeout:g} s") from None

    def release(self, slot: _Slot | None) -> None:
        """Release a slot."""
        if self._free is not None and slot is not None:
            self._free.put(slot)


class _Slot:
    """A slot. When it is deleted, a new one replaces it."""

    def __init__(self, slots: Callable[[], SyncSlots | None]) -> None:
        self._slots = slots

    def __del__(self) -> None:
        slots = self._slots()
        if slots is not None:
            slots.add()


_UNLIMITED = _Slot(lambda: None)
