"""How many may do something at once, in an event loop and in threads."""

from __future__ import annotations

import queue
import threading
import weakref
from typing import TYPE_CHECKING

from .._lazy import lazy_module
from .messages import PoolTimeout

if TYPE_CHECKING:
    import asyncio
else:
    # Who blocks threads alone does not pay for the import.
    asyncio = lazy_module("asyncio")

__all__ = ["AsyncSlots", "SyncSlots"]


class AsyncSlots:
    """How many may do something at once, in an event loop.

    Args:
        most: How many; None does not limit them.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._free: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def acquire(self, timeout: float) -> asyncio.Semaphore | None:
        """Take a slot, waiting for one at most a number of seconds; it is to be given to `release`."""
        if self._most is None:
            return None
        loop = asyncio.get_running_loop()
        if self._free is None or loop is not self._loop:
            # A semaphore belongs to the first event loop in which somebody had to wait for it.
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
    """How many threads may do something at once.

    A slot that nobody holds any more is replaced: whatever line a KeyboardInterrupt hits, it does not cost one.

    Args:
        most: How many; None does not limit them.
    """

    def __init__(self, most: int | None) -> None:
        # Not a semaphore: a KeyboardInterrupt can leave that locked, as it is written in Python.
        self._free: queue.SimpleQueue[_Slot] | None = None if most is None else queue.SimpleQueue()
        for _ in range(most or 0):
            self.add()

    def add(self) -> None:
        """Have one slot more."""
        if self._free is not None:
            self._free.put(_Slot(weakref.ref(self)))

    def acquire(self, timeout: float) -> _Slot | None:
        """Take a slot, waiting for one at most a number of seconds."""
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
    """Is replaced by another one when it goes."""

    __slots__ = ("_slots",)

    def __init__(self, slots: weakref.ref[SyncSlots]) -> None:
        self._slots = slots

    def __del__(self) -> None:
        slots = self._slots()
        if slots is not None:
            slots.add()
