"""The async client on top of an httpx transport."""

from __future__ import annotations

import httpx
from stepflow_client import StepflowClient

from benchmarks.peers import ours


class Peer(ours.Peer):
    """`StepflowClient(transport=httpx.AsyncHTTPTransport())`."""

    def _client(self, url: str) -> StepflowClient:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return StepflowClient(url, timeout=300, transport=httpx.AsyncHTTPTransport(limits=limits))
