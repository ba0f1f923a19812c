"""What is measured. A peer is a module with a class `Peer`, imported only by the process that runs it.

Every peer can do the same: open a connection to a server and store the flow, run the flow once and give the result,
run a batch, follow the events of a run. The names in PEERS are those of the tables.
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
    """Where a peer is, and whether it needs the environment that holds the upstream client."""

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
# One call of the bare socket with JSON is that of the bare socket: only its batches are measured.
CALLERS = [peer for peer in PEERS if peer != BARE_JSON]


class AsyncPeer(Protocol):
    """A peer in an event loop."""

    async def open(self, url: str) -> None:
        """Connect to the server and store the flow."""

    async def run(self) -> object:
        """Run the flow on the input and return what comes back."""

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        """Make a batch ready; this is not measured."""

    async def batch(self) -> int:
        """Run the batch and return how many results (the bare socket: bytes) came back."""

    async def events(self, run_id: str, begun: Callable[[], None]) -> int:
        """Follow a run to its end and return how many events came; call `begun` at the first one."""

    async def close(self) -> None:
        """Disconnect."""


class SyncPeer(Protocol):
    """A peer that blocks its thread."""

    def open(self, url: str) -> None:
        """Connect to the server and store the flow."""

    def run(self) -> object:
        """Run the flow on the input and return what comes back."""

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        """Make a batch ready; this is not measured."""

    def batch(self) -> int:
        """Run the batch and return how many results came back."""

    def events(self, run_id: str, begun: Callable[[], None]) -> int:
        """Follow a run to its end and return how many events came; call `begun` at the first one."""

    def close(self) -> None:
        """Disconnect."""
