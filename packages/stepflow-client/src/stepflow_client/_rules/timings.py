"""Timings and limits of a client that its caller does not set.

Tests replace `DEFAULT` before they create a client; both clients read it when they are created.
"""

from __future__ import annotations

from typing import NamedTuple

from .._http.sse import MAX_EVENT_BYTES


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
