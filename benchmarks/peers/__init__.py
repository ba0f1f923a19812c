"""The clients to measure. A peer is a module with a `Peer` class, imported only in the process that runs it.

Every peer can connect to a server and store the flow, run it once and return the result, run a batch, and follow a
run's events. The tables use the names in PEERS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

OURS = "ours"
OURS_SYNC = "ours, sync"
OURS_OVER_HTTPX = "ours over httpx"
PLAIN_HTTPX = "plain httpx"
UPSTREAM = "stepflow-py"
BARE = "bare socket"
BARE_JSON = "bare socket, JSON"


@dataclass(frozen=True)
class PeerModule:
    """Where to find a peer, and whether it needs the upstream client's environment."""

    module: str
    upstream: bool = False


PEERS = {
    OURS: PeerModule("ours"),
    OURS_SYNC: PeerModule("ours_sync"),
    OURS_OVER_HTTPX: PeerModule("ours_over_httpx"),
    PLAIN_HTTPX: PeerModule("plain_httpx"),
    UPSTREAM: PeerModule("upstream", upstream=True),
    BARE: PeerModule("bare"),
    BARE_JSON: PeerModule("bare_json"),
}
# A single call over the bare socket is the same with JSON, so only batches are measured.
CALLERS = [peer for peer in PEERS if peer != BARE_JSON]


class AsyncPeer(Protocol):
    """A peer in an event loop."""

    async def open(self, url: str) -> None:
        """Connect to the server and store the flow."""

    async def run(self) -> object:
        """Run the flow on the input and return the response."""

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        """Prepare a batch. This is not measured."""

    async def batch(self) -> int:
        """Run the batch and return the number of results received (or bytes, for the bare socket)."""

    async def events(self, run_id: str, begun: Callable[[], None]) -> int:
        """Follow a run to its end and return the number of events, calling `begun` at the first one."""

    async def close(self) -> None:
        """Disconnect."""


class SyncPeer(Protocol):
    """A peer that blocks its thread."""

    def open(self, url: str) -> None:
        """Connect to the server and store the flow."""

    def run(self) -> object:
        """Run the flow on the input and return the response."""

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        """Prepare a batch. This is not measured."""

    def batch(self) -> int:
        """Run the batch and return the number of results received."""

    def events(self, run_id: str, begun: Callable[[], None]) -> int:
        """Follow a run to its end and return the number of events, calling `begun` at the first one."""

    def close(self) -> None:
        """Disconnect."""
