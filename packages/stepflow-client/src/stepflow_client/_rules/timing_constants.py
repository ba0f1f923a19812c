"""How long clients pause, wait, search and retry: delays and limits that callers can't set."""

from __future__ import annotations

from typing import NamedTuple

from .._http.settings import MAX_EVENT_BYTES


class Timings(NamedTuple):
    """A client's timings and limits, in seconds unless stated otherwise."""

    event_late: float = 0.5
    """How long servers may delay events. A new connection that stays quiet this long has delivered all past events."""
    event_look: float = 1.5
    """How often to request the run's state while the open stream is quiet, because there's no cancellation event."""
    event_silence: float = 10.0
    """Seconds without an event before reopening the stream, since a dead connection just goes silent. Servers only send
    a keep-alive comment every 15 s."""
    event_silence_after_end: float = 3.0
    """Like `event_silence`, but applies after the run has ended, if the server hasn't repeated the last event."""
    lost_grace: float = 30.0
    """Seconds without a sign of life before a run abandoned by its server counts as lost. By default, servers look for
    abandoned runs at this interval."""
    event_outage: float = 60.0
    """Give up on a run's events after this many seconds without a response."""
    event_first_pause: float = 0.1
    """Delay before reopening an event stream for the first time. It grows with each attempt."""
    event_longest_pause: float = 2.0
    """Maximum delay before reopening an event stream."""
    max_event_bytes: int = MAX_EVENT_BYTES
    """Maximum event size in bytes."""

    longest_hold: float = 25.0
    """How long a server may hold a request while waiting for a run to end. Proxies close connections that are silent
    for longer, often after 30 or 60 s."""
    longest_shared_hold: float = 2.0
    """Like `longest_hold`, but for clients with several servers: while a server holds a request, it doesn't notice that
    a run on another server has ended."""
    wait_first_pause: float = 0.02
    """Delay before checking again on a run that hasn't ended or whose server didn't respond. It grows every time."""
    wait_longest_pause: float = 1.0
    """Maximum delay between checks on a run."""
    wait_outage: float = 120.0
    """Give up waiting for a run after this many seconds without a response, unless the caller has set a timeout."""

    creation_hold: int = 1
    """How long a server may hold the request that creates a run. Short flows end within this time and take just one
    round trip, while longer runs still return their ID quickly."""
    resend_first_pause: float = 0.1
    """Maximum delay before resending a creation request for the first time. It doubles with each attempt."""
    resend_longest_pause: float = 5.0
    """The longest delay that a server may ask for. If it asks for more, the client doesn't resend the request."""
    search_outage: float = 60.0
    """How long to search for a lost run and wait for other calls running the same flow."""
    search_after_timeout: float = 30.0
    """Like `search_outage`, but applies if the server may still be processing a request that timed out."""
    last_search: float = 1.0
    """How far the last search may overrun the caller's deadline. Finding the run is worth the delay."""
    arrival_delay: float = 0.3
    """How long a request may still be on its way to the server after its connection breaks."""
    orphan_arrival_delay: float = 0.5
    """Like `arrival_delay`, but for requests from a process that was killed."""
    searched_runs: int = 1000
    """How many runs to list at first when searching for a lost run. If these are all too new, the search lists more."""
    clock_difference: float = 10.0
    """Maximum clock skew between servers that share a store. Only used to limit the search."""

    retry_first_pause: float = 1.0
    """Delay before rerunning batch inputs for the first time. It grows with each attempt."""
    retry_longest_pause: float = 30.0
    """Maximum delay before rerunning batch inputs."""

    key_lease: float = 5.0
    """Minimum time to wait before creating an idempotency key's run if another call lost its turn while it may have
    been creating that run. The wait is longer if requests are slow (see `key_lease`)."""

    key_poll: float = 0.01
    """How often to check whether another of the client's calls with the same idempotency key has finished."""
    store_poll: float = 0.005
    """How often to check whether another call has stored the same flow."""
    ready_poll: float = 0.2
    """Delay between requests for a server's components. The server may take 5 s per disconnected worker to respond."""
    ready_request: float = 30.0
    """Timeout for requests for a server's components."""
    ready_limit: float = 60.0
    """How long a run waits for its components by default."""
    log_poll: float = 0.02
    """How often to check an embedded server's log for lines from a run that has ended."""
    log_delay: float = 0.5
    """How long to wait for a run's log lines, which may be written after the response that ends the run arrives."""
    cancel_limit: float = 5.0
    """How long a cancelled task or batch has to cancel its runs."""


DEFAULT = Timings()
