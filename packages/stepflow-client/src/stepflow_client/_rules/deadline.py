"""The deadline of a whole call, available to every request and every long computation of the call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TypeVar

from .._data.arguments import check_seconds

Result = TypeVar("Result")

_deadline: ContextVar[float | None] = ContextVar("stepflow_deadline", default=None)


current_deadline = _deadline.get
"""Returns the caller's deadline, by `time.monotonic()`; None if there is none."""


def deadline_of(timeout: float | None) -> float | None:
    """Return the deadline for a timeout in seconds from now, by `time.monotonic()`; None for None.

    Raises:
        InvalidArgumentError: If the timeout is not a positive number.
    """
    return None if timeout is None else time.monotonic() + check_seconds(timeout, "timeout")


def earlier(deadline: float | None, seconds: float) -> float:
    """Return a deadline, or the end of a number of seconds from now if that is earlier."""
    end = time.monotonic() + seconds
    return end if deadline is None or end < deadline else deadline


class deadline_scope:
    """A context manager that sets the deadline for the requests in its block. An earlier outer deadline still applies.

    Args:
        deadline: The deadline, by `time.monotonic()`; None changes nothing.
    """

    # A class, because every call enters one, and a generator-based context manager takes several times as long.
    __slots__ = ("_deadline", "_token")

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._token: Token[float | None] | None = None

    def __enter__(self) -> None:
        """Set the deadline, unless an outer one is earlier."""
        if self._deadline is None:
            return
        outer = _deadline.get()
        if outer is None or self._deadline < outer:
            self._token = _deadline.set(self._deadline)

    def __exit__(self, *exception: object) -> None:
        """Restore the outer deadline."""
        if self._token is not None:
            _deadline.reset(self._token)


@contextmanager
def deadline_override(deadline: float) -> Iterator[None]:
    """Set the deadline for the requests in the block, regardless of outer deadlines.

    Args:
        deadline: The deadline, by `time.monotonic()`.
    """
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_until(deadline: float | None) -> float | None:
    """Return the seconds left until a deadline, 0 if it has passed; None for None."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def has_passed(deadline: float | None) -> bool:
    """Return whether a deadline has passed; False for None."""
    return deadline is not None and time.monotonic() >= deadline


SLICE = 4_000
"""Number of steps in a slice of a computation, which takes about 10 ms."""


class Slices:
    """Divides long computations without requests into slices, so that a deadline can stop them.

    Args:
        on_end: Called at the end of each slice; an exception stops the computation.
    """

    __slots__ = ("left", "on_end")

    def __init__(self, on_end: Callable[[], object] | None = None) -> None:
        self.left, self.on_end = SLICE, on_end

    def spend(self, steps: int) -> None:
        """Count the steps of the part that follows."""
        self.left -= steps
        if self.left <= 0:
            self.left = SLICE
            if self.on_end is not None:
                self.on_end()


_slices: ContextVar[Slices | None] = ContextVar("stepflow_slices", default=None)
current_slices = _slices.get
"""Returns the slices that the computations of this context share; None if nothing stops them."""


def in_slices(compute: Callable[[], Result], on_end: Callable[[], object]) -> Result:
    """Return the result of a computation, during which a function is called at the end of each slice."""
    token = _slices.set(Slices(on_end))
    try:
        return compute()
    finally:
        _slices.reset(token)
