"""The async client, used the way its users do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepflow_client import StepflowClient

from benchmarks.workload import CHUNK, FLOW, INPUT, batch_input


class Peer:
    """`StepflowClient`."""

    def _client(self, url: str) -> StepflowClient:
        return StepflowClient(url, timeout=300)

    async def open(self, url: str) -> None:
        self.client = self._client(url)
        await self.client.store_flow(FLOW)

    async def run(self) -> object:
        return (await self.client.run(FLOW, INPUT)).output

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        self.inputs: list[Any] = batch_input(count, is_tiny)

    async def batch(self) -> int:
        run_id = await self.client.submit(FLOW, self.inputs)
        return len(await self.client.get_results(run_id))

    async def stream(self) -> int:
        return len([outcome async for outcome in self.client.map(FLOW, self.inputs, chunk_size=CHUNK)])

    async def events(self, run_id: str, begun: Callable[[], None]) -> int:
        count = 0
        async for _ in self.client.run_events(run_id):
            if not count:
                begun()
            count += 1
        return count

    async def close(self) -> None:
        await self.client.aclose()
