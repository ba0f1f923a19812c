"""How long the caller of a whole call waits, known to every request that the call sends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

from .._settings import check_positive

__all__ = ["current_deadline", "deadline_of", "deadline_override", "deadline_scope", "has_passed"]

_deadline: ContextVar[float | None] = ContextVar("stepflow_deadline", default=None)


def current_deadline() -> float | None:
    """Return the deadline of the caller, by `time.monotonic()`; None if there is none."""
    return _deadline.get()


def deadline_of(timeout: float | None) -> float | None:
    """Return when a number of seconds from now is over, by `time.monotonic()`; None for None.

    Raises:
        InvalidArgumentError: If it is not a positive number.
    """
    return None if timeout is None else time.monotonic() + check_positive(timeout, "timeout")


class deadline_scope:
    """Let no request of the block take longer than until a moment, nor than the blocks around it allow.

    Args:
        deadline: By `time.monotonic()`; None changes nothing.
    """

    # A class, because every call enters one, and a generator takes several times as long.
    __slots__ = ("_deadline", "_token")

    def __init__(self, deadline: float | None) -> None:
        """Keep the moment."""
        self._deadline = deadline
        self._token: Token[float | None] | None = None

    def __enter__(self) -> None:
        """Begin the block."""
        if self._deadline is None:
            return
        outer = _deadline.get()
        if outer is None or self._deadline < outer:
            self._token = _deadline.set(self._deadline)

    def __exit__(self, *exception: object) -> None:
        """End the block."""
        if self._token is not None:
            _deadline.reset(self._token)


@contextmanager
def deadline_override(deadline: float) -> Iterator[None]:
    """Let the requests of the block take until a moment, whatever the blocks around it allow.

    Args:
        deadline: By `time.monotonic()`.
    """
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def has_passed(deadline: float | None) -> bool:
    """Return whether a moment is over; None never is."""
    return deadline is not None and time.monotonic() >= deadline
