"""The sync client, used the way its users do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepflow_client import SyncStepflowClient

from benchmarks.workload import FLOW, INPUT, batch_input


class Peer:
    """`SyncStepflowClient`."""

    def open(self, url: str) -> None:
        self.client = SyncStepflowClient(url, timeout=300)
        self.client.store_flow(FLOW)

    def run(self) -> object:
        return self.client.run(FLOW, INPUT).output

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        self.inputs: list[Any] = batch_input(count, is_tiny)

    def batch(self) -> int:
        return len(self.client.get_results(self.client.submit(FLOW, self.inputs)))

    def events(self, run_id: str, begun: Callable[[], None]) -> int:
        count = 0
        for _ in self.client.run_events(run_id):
            if not count:
                begun()
            count += 1
        return count

    def close(self) -> None:
        self.client.close()
