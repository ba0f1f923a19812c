"""Readers of the same cases that stay together, asynchronous and blocking.

Variants whose runs are at the same cases at the same time see the same server: its load and its warm caches favour none
of them. Both versions are written by hand, like those of the sockets.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from .._base.lazy import lazy_module

if TYPE_CHECKING:
    import asyncio
else:
    # Programs that only use the blocking version do not pay for the import.
    asyncio = lazy_module("asyncio")


class _Pace:
    """How many inputs each reader has read.

    Args:
        readers: Number of readers.
        ahead: Maximum number of inputs by which a reader may be ahead of another one, unless a run has more inputs.
    """

    def __init__(self, readers: int, ahead: int) -> None:
        self._read: list[float] = [0] * readers
        self._ahead = ahead
        self._slowest: float = 0
        self.is_over = False
        """Whether the readers are to stop."""

    def _left(self, reader: int, most: int) -> int:
        """Return how many of `most` inputs, which are those of one run, a reader may read now."""
        # A run has no more inputs than are executed within a second.
        return int(min(most, self._slowest + max(self._ahead, most) - self._read[reader]))

    def _moved(self, reader: int, to: float) -> bool:
        """Set the place of a reader, and return whether others may read more."""
        was, self._read[reader] = self._read[reader], to
        if was > self._slowest:
            return False
        before, self._slowest = self._slowest, min(self._read)
        return self._slowest > before


class AsyncPace(_Pace):
    """The places of readers that are tasks."""

    def __init__(self, readers: int, ahead: int) -> None:
        """Start at the beginning."""
        super().__init__(readers, ahead)
        self._changed = asyncio.Event()

    async def turn(self, reader: int, most: int) -> int:
        """Wait until a reader may read more inputs, and return how many: 0 if the readers are to stop."""
        while self._left(reader, most) <= 0 and not self.is_over:
            await self._changed.wait()
        return 0 if self.is_over else self._left(reader, most)

    def moved(self, reader: int, count: int) -> None:
        """Record that a reader has read some inputs."""
        self._move(reader, self._read[reader] + count)

    def leave(self, reader: int) -> None:
        """Do not wait for a reader any more."""
        self._move(reader, math.inf)

    def stop(self) -> None:
        """Let all readers stop."""
        self.is_over = True
        self._changed.set()

    def _move(self, reader: int, to: float) -> None:
        if self._moved(reader, to):
            self._changed.set()
            self._changed = asyncio.Event()


class SyncPace(_Pace):
    """The places of readers that are threads."""

    def __init__(self, readers: int, ahead: int) -> None:
        """Start at the beginning."""
        super().__init__(readers, ahead)
        self._changed = threading.Condition()

    def turn(self, reader: int, most: int) -> int:
        """Wait until a reader may read more inputs, and return how many: 0 if the readers are to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._left(reader, most) > 0 or self.is_over)
            return 0 if self.is_over else self._left(reader, most)

    def moved(self, reader: int, count: int) -> None:
        """Record that a reader has read some inputs."""
        with self._changed:
            self._move(reader, self._read[reader] + count)

    def leave(self, reader: int) -> None:
        """Do not wait for a reader any more."""
        with self._changed:
            self._move(reader, math.inf)

    def stop(self) -> None:
        """Let all readers stop."""
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def _move(self, reader: int, to: float) -> None:
        if self._moved(reader, to):
            self._changed.notify_all()
