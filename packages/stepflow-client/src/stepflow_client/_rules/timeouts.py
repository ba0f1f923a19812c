"""Call deadlines, request timeouts, and internal delays that callers can't set."""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import NamedTuple

from .._base.not_given import NotGiven
from .._data.arguments import check_seconds
from .._http.settings import MAX_EVENT_BYTES, Timeouts, check_timeout


class Timings(NamedTuple):
    """A client's timings and limits, in seconds unless stated otherwise."""

    event_late: float = 0.5
    """How long servers may delay events. If a new connection stays quiet this long, it has delivered all past
    events."""
    event_look: float = 1.5
    """How often to request the run's state while the open stream is quiet, because cancelled runs send no event."""
    event_silence: float = 10.0
    """Seconds without an event before reopening the stream, because a dead connection is silent. Servers only send a
    keep-alive comment every 15 s."""
    event_silence_after_end: float = 3.0
    """Same, but for a run that has ended and whose last event hasn't been repeated."""
    lost_grace: float = 30.0
    """Seconds without a sign of life before a run its server gave up on counts as lost. By default, servers look for
    abandoned runs at this interval."""
    event_outage: float = 60.0
    """Seconds without a response before following a run's events fails."""
    event_first_pause: float = 0.1
    """Delay before reopening an event stream for the first time. Increases each time."""
    event_longest_pause: float = 2.0
    """Maximum delay before reopening an event stream."""
    max_event_bytes: int = MAX_EVENT_BYTES
    """Maximum event size in bytes."""

    longest_hold: float = 25.0
    """How long a server may hold a request while waiting for a run to end. Proxies close connections that are silent
    for longer, often after 30 or 60 s."""
    longest_shared_hold: float = 2.0
    """Same, but with several servers: while holding a request, a server doesn't notice that a run on another one has
    ended."""
    wait_first_pause: float = 0.02
    """Delay before checking again on a run that hasn't ended, or whose server did not respond. Increases each time."""
    wait_longest_pause: float = 1.0
    """Maximum delay between these checks."""
    wait_outage: float = 120.0
    """Seconds without a response before waiting for a run fails, unless the caller has set a timeout."""

    creation_hold: int = 1
    """How long a server may hold the request that creates a run. Short flows end within this time and take just one
    round trip, while longer runs still return their ID quickly."""
    resend_first_pause: float = 0.1
    """Maximum delay before resending a creation request for the first time. Doubles each time."""
    resend_longest_pause: float = 5.0
    """If a server asks for a longer delay than this, the request is not resent."""
    search_outage: float = 60.0
    """How long to search for a lost run and wait for other calls running the same flow."""
    search_after_timeout: float = 30.0
    """Same, but if the server may still be processing a request that timed out."""
    last_search: float = 1.0
    """How far the last search may overrun the caller's deadline. Finding the run is worth the delay."""
    arrival_delay: float = 0.3
    """How long a request may remain in transit to the server after its connection breaks."""
    orphan_arrival_delay: float = 0.5
    """Same, but for requests from a process that was killed."""
    searched_runs: int = 1000
    """How many runs to list at first when searching for a lost run. List more if these are all too new."""
    clock_difference: float = 10.0
    """Maximum clock skew between servers that share a store. Only used to limit the search."""

    retry_first_pause: float = 1.0
    """Delay before rerunning batch inputs for the first time. Increases each time."""
    retry_longest_pause: float = 30.0
    """Maximum delay before rerunning batch inputs."""

    key_lease: float = 5.0
    """Minimum time for which nobody else creates an idempotency key's run after a call that may be creating it has lost
    its turn. Longer if requests are slow (see `key_lock`)."""

    key_poll: float = 0.01
    """How often to check whether another of the client's calls with the same idempotency key has finished."""
    store_poll: float = 0.005
    """How often to check whether another call has stored the same flow."""
    ready_poll: float = 0.2
    """Delay between requests for a server's components. Such a request may take 5 s per disconnected worker."""
    ready_request: float = 30.0
    """Timeout for requests for a server's components."""
    ready_limit: float = 60.0
    """How long a run waits for its components by default."""
    log_poll: float = 0.02
    """How often to check an embedded server's log for the lines of a run that has ended."""
    log_delay: float = 0.5
    """How long to wait for these lines, which may be written after the response that ends the run arrives."""
    cancel_limit: float = 5.0
    """How long a cancelled task or batch has to cancel its runs."""

    def get_creation_hold(self, on_cancel: str) -> int | None:
        """Return how long a server may hold a creation request, or None if cancelling needs the ID right away."""
        return None if on_cancel == "cancel" else self.creation_hold


DEFAULT = Timings()


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


def get_earlier_deadline(deadline: float | None, seconds: float) -> float:
    """Return `deadline`, or `seconds` from now if that is earlier."""
    end = time.monotonic() + seconds
    return end if deadline is None or end < deadline else deadline


class deadline_scope:
    """A context manager that sets the deadline, and possibly the timeouts, for requests in its block.

    Args:
        deadline: The deadline, by `time.monotonic()`, unless an outer one is earlier. None has no effect.
        timeouts: The timeouts that replace the client's. None has no effect.
        overrides_outer: Whether the deadline applies regardless of any outer one. Defaults to False.
    """

    # A class, because every call enters one and generator-based context managers are several times slower.
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


def deadline_override(deadline: float) -> deadline_scope:
    """Return a context manager that sets the deadline for requests in its block, regardless of any outer one."""
    return deadline_scope(deadline, overrides_outer=True)


def call_scope(timeout: float | NotGiven | None, *, limits_requests: bool = True) -> deadline_scope:
    """Return a context manager that limits the total duration of a call, whether it sends one request or several.

    Args:
        timeout: Seconds for the entire call, replacing the client's per-phase timeouts, or None for no limit.
            `NOT_GIVEN` has no effect. An object with per-phase timeouts only limits the individual requests.
        limits_requests: Whether a number also replaces the client's timeout for each request. Defaults to True.

    Raises:
        InvalidArgumentError: If the timeout is invalid; see `check_timeout`.
    """
    timeouts: Timeouts | None = None
    if not isinstance(timeout, NotGiven) and (limits_requests or timeout is None):
        timeouts = check_timeout(timeout, of_a_call=True)
    has_phases = limits_requests and hasattr(timeout, "as_dict")
    return deadline_scope(None if has_phases else compute_deadline(timeout), timeouts)


def get_seconds_left(deadline: float | None) -> float | None:
    """Return the seconds until a deadline (0 if it has passed), or None if there is no deadline."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def has_passed(deadline: float | None) -> bool:
    """Return whether a deadline has passed. Always False for None."""
    return deadline is not None and time.monotonic() >= deadline


def limit_by_deadline(deadline: float | None, seconds: float) -> float:
    """Return `seconds`, or the seconds left until the deadline if that is less."""
    return seconds if deadline is None else max(0.0, min(seconds, deadline - time.monotonic()))
