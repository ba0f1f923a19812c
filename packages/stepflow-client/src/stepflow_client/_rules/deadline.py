"""The deadline of a whole call, available to every request that the call sends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

from .._base.not_given import NotGiven
from .._data.arguments import check_seconds

_deadline: ContextVar[float | None] = ContextVar("stepflow_deadline", default=None)


current_deadline = _deadline.get
"""Returns the caller's deadline, by `time.monotonic()`; None if there is none."""


def deadline_of(timeout: float | NotGiven | None) -> float | None:
    """Return the deadline for a timeout in seconds from now, by `time.monotonic()`; None for no limit.

    Raises:
        InvalidArgumentError: If the timeout is not a positive number.
    """
    if timeout is None or isinstance(timeout, NotGiven):
        return None
    return time.monotonic() + check_seconds(timeout, "timeout")


def limit_deadline(deadline: float | None, seconds: float) -> float:
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


def limit_to_deadline(deadline: float | None, seconds: float) -> float:
    """Return a number of seconds, or the seconds left until a deadline if they are fewer."""
    return seconds if deadline is None else max(0.0, min(seconds, deadline - time.monotonic()))
