"""The bare socket with JSON. It builds each request before sending it, and parses responses without checking them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from benchmarks.peers import bare
from benchmarks.workload import CHUNK, batch_input


class Peer(bare.Peer):
    """As many connections as are needed at once, with Python values at both ends."""

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        self.inputs = batch_input(count, is_tiny)

    async def batch(self) -> int:
        return len(await self._results(self.inputs, self.flow_id))

    async def stream(self) -> int:
        """Mimic `map`: store a flow for each of four lanes, run chunks of 400, and return their outputs."""
        chunks = (self.inputs[first : first + CHUNK] for first in range(0, len(self.inputs), CHUNK))
        outputs: list[Any] = []

        async def lane(number: int) -> None:
            flow_id = await self._store(f"lane {number}")
            for chunk in chunks:
                outputs.extend(item["output"] for item in await self._results(chunk, flow_id))

        await asyncio.gather(*map(lane, range(4)))
        return len(outputs)

    async def _results(self, inputs: list[Any], flow_id: str) -> list[Any]:
        answer: dict[str, Any] = json.loads(_body(await self._ask(self._run_request(inputs, flow_id))))
        return list(answer["results"])


def _body(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]
