"""Support for long computations: pausing the garbage collector, and slicing work so that deadlines can interrupt it."""

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


def _reset_pauses_in_fork() -> None:
    """Reset the lock and the pauses, since the threads that hold them don't exist after a fork."""
    global _lock, _pauses
    _lock = threading.Lock()
    if _pauses and _was_enabled:
        gc.enable()
    _pauses = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_pauses_in_fork)


@contextmanager
def pause_garbage_collector() -> Iterator[None]:
    """Pause Python's cyclic garbage collector.

    Otherwise, when we create 100,000 items, nearly half the time goes into traversing the existing items over and over.
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


SLICE_STEPS = 4_000
"""Number of steps in one slice of a computation (about 10 ms)."""


@dataclass(eq=False, repr=False)
class Slices:
    """Counts a computation's steps."""

    on_end: Callable[[], object] | None = None
    """Called after each slice. It can raise an exception to stop the computation."""
    left: int = SLICE_STEPS

    def count_steps(self, steps: int) -> None:
        """Count steps that are about to execute."""
        self.left -= steps
        if self.left <= 0:
            self.left = SLICE_STEPS
            if self.on_end is not None:
                self.on_end()


slices: ContextVar[Slices | None] = ContextVar("stepflow_slices", default=None)
"""The slices that all computations in a context share, or None if the computations can't be interrupted."""


def run_in_slices(compute: Callable[[], Result], on_end: Callable[[], object]) -> Result:
    """Return a computation's result, calling `on_end` after each slice."""
    before = slices.set(Slices(on_end))
    try:
        return compute()
    finally:
        slices.reset(before)
