"""The theoretical limit: sockets in an event loop, with prebuilt requests and unparsed, unchecked responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from benchmarks.workload import CHUNK, FLOW, INPUT, batch_input


class _Line(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.answer: asyncio.Future[bytes]
        self.came: list[bytes] = []
        self.missing = -1

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        self.answer = asyncio.get_running_loop().create_future()
        self.missing = -1
        self.came.clear()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.came.append(data)
        if self.missing >= 0:
            self.missing -= len(data)
        else:
            read = b"".join(self.came)
            end = read.find(b"\r\n\r\n")
            if end < 0:
                return
            start = read.index(b"content-length: ") + 16
            self.missing = int(read[start : read.index(b"\r", start)]) + end + 4 - len(read)
        if self.missing == 0:
            self.answer.set_result(b"".join(self.came))


class Peer:
    """As many connections as are needed at once."""

    async def open(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)
        self.idle: list[_Line] = []
        self.flow_id = await self._store(FLOW["name"])
        self.request = self._run_request([INPUT], self.flow_id)

    async def _store(self, name: str) -> str:
        stored = await self._ask(self._post("/flows", {"flow": {**FLOW, "name": name}}))
        return str(json.loads(stored.partition(b"\r\n\r\n")[2])["flowId"])

    def _post(self, path: str, body: dict[str, Any]) -> bytes:
        content = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST /api/v1{path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def _run_request(self, inputs: list[Any], flow_id: str) -> bytes:
        return self._post("/runs", {"flowId": flow_id, "input": inputs, "wait": True})

    async def _ask(self, request: bytes) -> bytes:
        if self.idle:
            line = self.idle.pop()
        else:
            _, line = await asyncio.get_running_loop().create_connection(_Line, self.host, self.port)
        answer = await line.ask(request)
        self.idle.append(line)
        return answer

    async def run(self) -> object:
        return await self._ask(self.request)

    def prepare(self, count: int, is_tiny: bool = False) -> None:
        inputs = batch_input(count, is_tiny)
        self.batch_request = self._run_request(inputs, self.flow_id)
        chunks = (inputs[first : first + CHUNK] for first in range(0, count, CHUNK))
        self.chunk_requests = [self._run_request(chunk, self.flow_id) for chunk in chunks]

    async def batch(self) -> int:
        return len(await self._ask(self.batch_request))

    async def stream(self) -> int:
        """Post the prepared inputs in chunks of 400, four at a time, as `map` does but without storing flows."""
        requests = iter(self.chunk_requests)

        async def lane() -> int:
            return sum([len(await self._ask(request)) for request in requests])

        return sum(await asyncio.gather(*(lane() for _ in range(4))))

    async def events(self, run_id: str, begun: Callable[[], None]) -> int:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        path = f"/api/v1/runs/{run_id}/events?runId={run_id}"
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {self.host}\r\nconnection: close\r\n\r\n".encode())
        parts: list[bytes] = []
        waiting = True
        while part := await reader.read(1 << 18):
            if waiting and b"data:" in part:
                waiting = False
                begun()
            parts.append(part)
        writer.close()
        return b"".join(parts).count(b"data: {")

    async def close(self) -> None:
        for line in self.idle:
            line.transport.close()
