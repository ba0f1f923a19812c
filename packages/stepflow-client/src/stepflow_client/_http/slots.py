"""Limits on the number of concurrent requests, for event loops and for threads."""

from __future__ import annotations

import queue
import threading
import weakref
from typing import TYPE_CHECKING

from .._base.lazy import lazy_module
from .messages import PoolTimeout

if TYPE_CHECKING:
    import asyncio
else:
    # Programs that only use the blocking client do not pay for the import.
    asyncio = lazy_module("asyncio")

__all__ = ["AsyncSlots", "SyncSlots"]


class AsyncSlots:
    """Limits the number of concurrent requests in an event loop.

    Args:
        most: Maximum number; None for no limit.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._free: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def acquire(self, timeout: float) -> asyncio.Semaphore | None:
        """Take a slot, waiting up to `timeout` seconds for one; pass it to `release` afterwards.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        if self._most is None:
            return None
        loop = asyncio.get_running_loop()
        if self._free is None or loop is not self._loop:
            # A semaphore belongs to the first event loop in which a task had to wait for it.
            self._loop, self._free = loop, asyncio.Semaphore(self._most)
        free = self._free
        if not free.locked():
            await free.acquire()
            return free
        try:
            async with asyncio.timeout(timeout):
                await free.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no connection was free within {timeout:g} s") from None
        return free

    def release(self, slot: asyncio.Semaphore | None) -> None:
        """Release a slot."""
        if slot is not None:
            slot.release()


class SyncSlots:
    """Limits the number of concurrent requests in threads.

    A slot that is no longer referenced is replaced, so a KeyboardInterrupt never costs a slot, whichever line it hits.

    Args:
        most: Maximum number; None for no limit.
    """

    def __init__(self, most: int | None) -> None:
        # Not a semaphore: those are written in Python, and a KeyboardInterrupt can leave them locked.
        self._free: queue.SimpleQueue[_Slot] | None = None if most is None else queue.SimpleQueue()
        for _ in range(most or 0):
            self.add()

    def add(self) -> None:
        """Add a slot."""
        if self._free is not None:
            self._free.put(_Slot(weakref.ref(self)))

    def acquire(self, timeout: float) -> _Slot | None:
        """Take a slot, waiting up to `timeout` seconds for one.

        Raises:
            PoolTimeout: If no slot becomes free in time.
        """
        if self._free is None:
            return None
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

    __slots__ = ("_slots",)

    def __init__(self, slots: weakref.ref[SyncSlots]) -> None:
        self._slots = slots

    def __del__(self) -> None:
        slots = self._slots()
        if slots is not None:
            slots.add()
