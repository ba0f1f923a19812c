"""Deadlines and timeouts for calls and requests."""

from __future__ import annotations

import time
from contextvars import ContextVar, Token

from .._base.not_given import NotGiven
from .._data.arguments import check_seconds
from .._http.settings import Timeouts, parse_timeout

_deadline: ContextVar[float | None] = ContextVar("stepflow_deadline", default=None)
_timeouts: ContextVar[Timeouts | None] = ContextVar("stepflow_timeouts", default=None)

current_deadline = _deadline.get
"""Returns the caller's deadline, by `time.monotonic()`, or None if there is none."""
current_timeouts = _timeouts.get
"""Returns the timeouts that replace the client's, or None if the caller hasn't set any."""


def compute_deadline(timeout: float | NotGiven | None) -> float | None:
    """Return the deadline (by `time.monotonic()`) for a timeout in seconds, or None for no limit.

    Raises:
        InvalidArgumentError: If the timeout isn't a positive number.
    """
    if timeout is None or isinstance(timeout, NotGiven):
        return None
    return time.monotonic() + check_seconds(timeout, "timeout")


class deadline_scope:
    """A context manager that sets the deadline, and possibly the timeouts, for requests in its block.

    Args:
        deadline: The deadline, by `time.monotonic()`. If an outer deadline is earlier, the outer one applies. None has
            no effect.
        timeouts: The timeouts that replace the client's. None has no effect.
        overrides_outer: Whether the deadline applies even if an outer one is earlier. Defaults to False.
    """

    # This is a class because every call enters a scope, and generator-based context managers are several times slower.
    __slots__ = ("_deadline", "_deadline_token", "_overrides_outer", "_timeouts", "_timeouts_token")

    def __init__(
        self, deadline: float | None, timeouts: Timeouts | None = None, *, overrides_outer: bool = False
    ) -> None:
        self._deadline, self._timeouts, self._overrides_outer = deadline, timeouts, overrides_outer
        self._deadline_token: Token[float | None] | None = None
        self._timeouts_token: Token[Timeouts | None] | None = None

    def __enter__(self) -> None:
        """Set the deadline and the timeouts."""
        outer = None if self._overrides_outer else _deadline.get()
        if self._deadline is not None and (outer is None or self._deadline < outer):
            self._deadline_token = _deadline.set(self._deadline)
        if self._timeouts is not None:
            self._timeouts_token = _timeouts.set(self._timeouts)

    def __exit__(self, *exception: object) -> None:
        """Restore the outer deadline and timeouts."""
        if self._deadline_token is not None:
            _deadline.reset(self._deadline_token)
        if self._timeouts_token is not None:
            _timeouts.reset(self._timeouts_token)


def call_scope(timeout: float | NotGiven | None, *, limits_requests: bool = True) -> deadline_scope:
    """Return a context manager that limits the total duration of a call, whether it sends one request or several.

    Args:
        timeout: Maximum duration of the entire call in seconds, or None for no limit. It replaces the client's
            per-phase timeouts. `NOT_GIVEN` has no effect. An object with per-phase timeouts only limits the individual
            requests.
        limits_requests: Whether a number also replaces the client's timeout for each request. Defaults to True.

    Raises:
        InvalidArgumentError: If the timeout is invalid; see `parse_timeout`.
    """
    timeouts: Timeouts | None = None
    if not isinstance(timeout, NotGiven) and (limits_requests or timeout is None):
        timeouts = parse_timeout(timeout, of_a_call=True)
    has_phases = limits_requests and hasattr(timeout, "as_dict")
    return deadline_scope(None if has_phases else compute_deadline(timeout), timeouts)


def get_seconds_left(deadline: float | None) -> float | None:
    """Return the number of seconds until a deadline (0 if it has passed), or None if there is no deadline."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def has_passed(deadline: float | None) -> bool:
    """Return whether a deadline has passed. Always False if the deadline is None."""
    return deadline is not None and time.monotonic() >= deadline


def limit_by_deadline(deadline: float | None, seconds: float) -> float:
    """Return `seconds`, or the time left until the deadline if that is shorter."""
    return seconds if deadline is None else max(0.0, min(seconds, deadline - time.monotonic()))
