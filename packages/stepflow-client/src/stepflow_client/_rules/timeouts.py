"""Times: the deadline of a call, the timeout of each request, and the delays that callers do not set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import NamedTuple

from .._base.not_given import NotGiven
from .._data.arguments import check_seconds
from .._http.messages import MAX_EVENT_BYTES, Timeouts
from .._http.settings import check_timeout


class Timings(NamedTuple):
    """The timings and limits of one client, in seconds unless stated otherwise."""

    event_late: float = 0.5
    """How late servers send events. After this time without an event on a new connection, all past events were sent."""
    event_look: float = 1.5
    """After this time without an event, and then again each time, the client requests the state of the run beside the
    open stream: a cancelled run sends no event."""
    event_silence: float = 10.0
    """After this time without an event, the client opens the stream again: a dead connection is silent. Servers send a
    keep-alive comment only every 15 s."""
    event_silence_after_end: float = 3.0
    """The same once the run has ended, if the stream has not even repeated the last event."""
    lost_grace: float = 30.0
    """A run that its server has given up counts as lost after this time without a sign of life: the default interval at
    which servers look for runs that nobody executes."""
    event_outage: float = 60.0
    """After this time without a response, following the events of a run fails."""
    event_first_pause: float = 0.1
    """Pause before a stream of events is reopened for the first time; each later pause is longer."""
    event_longest_pause: float = 2.0
    """Maximum length of these pauses."""
    max_event_bytes: int = MAX_EVENT_BYTES
    """Maximum size of one event in bytes."""

    longest_hold: float = 25.0
    """Maximum time that a server may hold a request while it waits for the end of a run. Proxies close connections that
    are silent for longer, often after 30 or 60 s."""
    longest_shared_hold: float = 2.0
    """The same with several servers: a server does not notice the end of a run of another server while it holds the
    request."""
    wait_first_pause: float = 0.02
    """Pause before a run is requested again because it has not ended or the server did not respond; each later pause is
    longer."""
    wait_longest_pause: float = 1.0
    """Maximum length of these pauses."""
    wait_outage: float = 120.0
    """After this time without a response, waiting for a run fails, if the caller has not set a timeout."""

    creation_hold: int = 1
    """How long a server may hold the request that creates a run. A short flow ends within this time and takes one round
    trip; the id of a longer run is known soon."""
    resend_first_pause: float = 0.1
    """Maximum pause before the request that creates a run is sent again for the first time; doubles each time."""
    resend_longest_pause: float = 5.0
    """If a server asks for a longer pause than this, the request is not sent again."""
    search_outage: float = 60.0
    """How long the client searches for a lost run and waits for other calls that run the same flow."""
    search_after_timeout: float = 30.0
    """The same if the server may still be processing a request that timed out."""
    last_search: float = 1.0
    """How long the last search may take after the caller's deadline: finding the run is worth the delay."""
    arrival_delay: float = 0.3
    """How long a request may still be in transit to the server after its connection has broken."""
    orphan_arrival_delay: float = 0.5
    """The same for a request of a process that was killed."""
    searched_runs: int = 1000
    """Number of runs listed first in a search for a lost run; more are listed if all of them are too new."""
    clock_difference: float = 10.0
    """Maximum difference between the clocks of servers that share a store; it only limits the search."""

    retry_first_pause: float = 1.0
    """Pause before inputs of a batch are run again for the first time; each later pause is longer."""
    retry_longest_pause: float = 30.0
    """Maximum length of these pauses."""

    key_lease: float = 5.0
    """Minimum time for which nobody else creates the run of an idempotency key after a call that may be creating it has
    lost its turn. Longer if requests take long: see `key_lock`."""

    key_poll: float = 0.01
    """How often a call checks whether another call of the client has finished with the same idempotency key."""
    store_poll: float = 0.005
    """How often a call checks whether another call has stored the same flow."""
    ready_poll: float = 0.2
    """Pause between requests for the components of a server, which may take 5 s per worker that is not connected."""
    ready_request: float = 30.0
    """Maximum length of such a request."""
    ready_limit: float = 60.0
    """How long a run waits for its components by default."""
    log_poll: float = 0.02
    """How often an embedded server's log is read again for the lines of a run that has ended."""
    log_delay: float = 0.5
    """How long the log may take to contain them: the response that ends a run may arrive first."""
    cancel_limit: float = 5.0
    """How long a cancelled task or batch may take to cancel its runs."""

    def get_creation_hold(self, on_cancel: str) -> int | None:
        """Return how long a server may hold a creation; None if the id must be known at once, to cancel the run."""
        return None if on_cancel == "cancel" else self.creation_hold


DEFAULT = Timings()


_deadline: ContextVar[float | None] = ContextVar("stepflow_deadline", default=None)
_timeouts: ContextVar[Timeouts | None] = ContextVar("stepflow_timeouts", default=None)

current_deadline = _deadline.get
"""Returns the caller's deadline, by `time.monotonic()`; None if there is none."""
current_timeouts = _timeouts.get
"""Returns the timeouts that requests have instead of those of their client; None if the caller has set none."""


def compute_deadline(timeout: float | NotGiven | None) -> float | None:
    """Return the deadline for a timeout in seconds from now, by `time.monotonic()`; None for no limit.

    Raises:
        InvalidArgumentError: If the timeout is not a positive number.
    """
    if timeout is None or isinstance(timeout, NotGiven):
        return None
    return time.monotonic() + check_seconds(timeout, "timeout")


def get_earlier_deadline(deadline: float | None, seconds: float) -> float:
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


def get_seconds_left(deadline: float | None) -> float | None:
    """Return the seconds left until a deadline, 0 if it has passed; None for None."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def has_passed(deadline: float | None) -> bool:
    """Return whether a deadline has passed; False for None."""
    return deadline is not None and time.monotonic() >= deadline


def limit_seconds(deadline: float | None, seconds: float) -> float:
    """Return a number of seconds, or the seconds left until a deadline if they are fewer."""
    return seconds if deadline is None else max(0.0, min(seconds, deadline - time.monotonic()))


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
        super().__init__(None if has_phases else compute_deadline(timeout))

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
