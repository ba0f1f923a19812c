"""Upstream's gRPC client. Its `run` waits for the result, which stays a protobuf message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepflow_py import StepflowClient  # type: ignore[import-not-found,unused-ignore]

from benchmarks.workload import FLOW, INPUT, batch_input

# Otherwise, responses over 4 MiB are rejected.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Peer:
    """`stepflow_py.StepflowClient`."""

    async def open(self, url: str) -> None:
        self.client: Any = StepflowClient.connect(url, options=_OPTIONS)
        self.flow_id = (await self.client.store_flow(FLOW)).flow_id

    async def run(self) -> object:
        return (await self.client.run(self.flow_id, INPUT)).results[0].output

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        self.inputs: list[Any] = batch_input(count, is_tiny)

    async def batch(self) -> int:
        return len((await self.client.run(self.flow_id, self.inputs)).results)

    async def events(self, run_id: str, begun: Callable[[], None]) -> int:
        count = 0
        async for _ in self.client.status_events(run_id):
            if not count:
                begun()
            count += 1
        return count

    async def close(self) -> None:
        await self.client.close()
