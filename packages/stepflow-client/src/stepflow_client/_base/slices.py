"""Divides long computations without requests into slices, so that a deadline can stop them."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

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
