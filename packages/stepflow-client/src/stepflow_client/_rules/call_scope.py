"""The timeout of one call: for all its requests together, and for each of them."""

from __future__ import annotations

from contextvars import ContextVar, Token

from .._base.not_given import NotGiven
from .._http.messages import Timeouts
from .._http.settings import check_timeout
from .deadline import deadline_of, deadline_scope

_timeouts: ContextVar[Timeouts | None] = ContextVar("stepflow_timeouts", default=None)


current_timeouts = _timeouts.get
"""Returns the timeouts that requests have instead of those of their client; None if the caller has set none."""


class call_scope(deadline_scope):
    """A context manager that limits a call, of one request or several, as a whole.

    Args:
        timeout: Seconds for the whole call, instead of the client's timeout for each phase of a request; None for no
            limit. `NOT_GIVEN` changes nothing. An object with phases limits each request only.
        limits_requests: Whether a number limits each request, too, instead of the client's timeout. Default True.

    Raises:
        InvalidArgumentError: If it is invalid, as for `check_timeout`.
    """

    __slots__ = ("_outer", "_timeouts")

    def __init__(self, timeout: float | NotGiven | None, *, limits_requests: bool = True) -> None:
        self._timeouts: Timeouts | None = None
        if not isinstance(timeout, NotGiven) and (limits_requests or timeout is None):
            self._timeouts = check_timeout(timeout, of_a_call=True)
        self._outer: Token[Timeouts | None] | None = None
        has_phases = limits_requests and hasattr(timeout, "as_dict")
        super().__init__(None if has_phases else deadline_of(timeout))

    def __enter__(self) -> None:
        """Set the deadline, unless an outer one is earlier, and the timeouts of requests."""
        super().__enter__()
        if self._timeouts is not None:
            self._outer = _timeouts.set(self._timeouts)

    def __exit__(self, *exception: object) -> None:
        """Restore the outer deadline and timeouts."""
        super().__exit__()
        if self._outer is not None:
            _timeouts.reset(self._outer)
