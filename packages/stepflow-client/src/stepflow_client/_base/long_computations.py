"""Long computations: with the garbage collector paused, and in slices that a deadline can stop."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

_lock = threading.Lock()
_pauses = 0
_was_enabled = False


def _reset_in_fork() -> None:
    """Reset the lock and the pauses, because a fork does not have the threads that hold them."""
    global _lock, _pauses
    _lock = threading.Lock()
    if _pauses and _was_enabled:
        gc.enable()
    _pauses = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_fork)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's cyclic garbage collector.

    While 100,000 items are created, the collector would repeatedly traverse the existing ones, which takes nearly half
    of the time.
    """
    global _pauses, _was_enabled
    with _lock:
        if not _pauses:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses and _was_enabled:
                gc.enable()


Result = TypeVar("Result")


SLICE = 4_000
"""Number of steps in a slice of a computation, which takes about 10 ms."""


@dataclass(slots=True)
class Slices:
    """Counts the steps of computations."""

    on_end: Callable[[], object] | None = None
    """Called at the end of each slice; an exception stops the computation."""
    left: int = SLICE

    def spend(self, steps: int) -> None:
        """Count the steps of the part that follows."""
        self.left -= steps
        if self.left <= 0:
            self.left = SLICE
            if self.on_end is not None:
                self.on_end()


slices: ContextVar[Slices | None] = ContextVar("stepflow_slices", default=None)
"""The slices that the computations of a context share; None if nothing stops them."""


def run_in_slices(compute: Callable[[], Result], on_end: Callable[[], object]) -> Result:
    """Return the result of a computation, during which a function is called at the end of each slice."""
    before = slices.set(Slices(on_end))
    try:
        return compute()
    finally:
        slices.reset(before)
