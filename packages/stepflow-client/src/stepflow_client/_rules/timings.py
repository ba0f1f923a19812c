"""How long a client waits, and how far it looks, where its caller sets nothing.

Tests replace `DEFAULT` before they make a client; both clients read it when they are made.
"""

from __future__ import annotations

from typing import NamedTuple

from .._http.sse import LARGEST_EVENT

__all__ = ["DEFAULT", "Timings"]


class Timings(NamedTuple):
    """The timings and limits of one client, in seconds unless stated otherwise."""

    event_silence: float = 10.0
    """Without an event for so long, the state of the run is requested: a cancelled run sends no event, and a dead
    connection is silent. Servers send a keep-alive comment only every 15 s."""
    event_silence_after_end: float = 3.0
    """The same once the run has ended: events arrive up to half a second late."""
    event_outage: float = 60.0
    """Without a response for so long, following the events of a run fails."""
    event_first_pause: float = 0.1
    """Before a stream of events is opened again for the first time; then longer each time."""
    event_longest_pause: float = 2.0
    """The limit of those pauses."""
    largest_event: int = LARGEST_EVENT
    """Maximum size of one event in bytes."""

    longest_hold: float = 25.0
    """Maximum time a server is asked to hold a request for the end of a run: proxies close connections that are silent
    for longer, often after 30 or 60 s."""
    longest_shared_hold: float = 2.0
    """The same with several servers: a server that holds a request for a run of another one misses its end."""
    wait_first_pause: float = 0.02
    """Before a run is requested again that has not ended, or whose server did not respond; then longer each time."""
    wait_longest_pause: float = 1.0
    """The limit of those pauses."""
    wait_outage: float = 120.0
    """Without a response for so long, waiting for a run fails, if the caller has set no timeout."""

    creation_hold: int = 1
    """How long a server may hold the request that creates a run: a short flow ends within it and takes one round trip,
    and the id of a longer run is known soon."""
    resend_first_pause: float = 0.1
    """Maximum pause before a creation is sent again for the first time; doubles each time."""
    resend_longest_pause: float = 5.0
    """If a server asks for a longer pause than this, the creation is not sent again."""
    search_outage: float = 60.0
    """How long a lost run is looked for, and other calls that run the same flow are waited for."""
    search_after_timeout: float = 30.0
    """The same if the server may still be processing a request that timed out."""
    last_search: float = 1.0
    """How long the last search may take after the caller's deadline: finding the run is worth the delay."""
    arrival_delay: float = 0.3
    """How long a request may still be on its way to the server after its connection has broken."""
    orphan_arrival_delay: float = 0.5
    """The same for a request of a process that was killed."""
    searched_runs: int = 1000
    """Number of runs listed first when a lost run is looked for; more are listed if all of them are too new."""
    clock_difference: float = 10.0
    """Maximum difference between the clocks of servers that share a store; it only limits the search."""

    store_poll: float = 0.005
    """How often a call checks whether another call has stored the same flow."""
    cancel_limit: float = 5.0
    """How long a cancelled task or batch may take to cancel its runs."""


DEFAULT = Timings()
