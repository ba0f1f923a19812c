"""Plain httpx, sending the same requests. Responses are only decoded with `json`."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx

from benchmarks.workload import FLOW, INPUT, batch_input


class Peer:
    """`httpx.AsyncClient` without connection limits."""

    async def open(self, url: str) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self.http = httpx.AsyncClient(base_url=f"{url}/api/v1", limits=limits, timeout=300, trust_env=False)
        stored = await self.http.post("/flows", json={"flow": FLOW})
        self.flow_id = json.loads(stored.content)["flowId"]

    async def _create(self, inputs: list[object]) -> list[object]:
        body = {"flowId": self.flow_id, "input": inputs, "wait": True}
        answer = await self.http.post("/runs", json=body)
        answer.raise_for_status()
        return [item["output"] for item in json.loads(answer.content)["results"]]

    async def run(self) -> object:
        return (await self._create([INPUT]))[0]

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        self.inputs: list[object] = list(batch_input(count, is_tiny))

    async def batch(self) -> int:
        return len(await self._create(self.inputs))

    async def events(self, run_id: str, begun: Callable[[], None]) -> int:
        count = 0
        async with self.http.stream("GET", f"/runs/{run_id}/events", params={"runId": run_id}) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    json.loads(line[5:])
                    if not count:
                        begun()
                    count += 1
        return count

    async def close(self) -> None:
        await self.http.aclose()
