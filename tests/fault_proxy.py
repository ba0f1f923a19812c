"""A TCP proxy that injects faults: a script decides, connection by connection, what goes wrong.

It runs in its own thread, so it serves async and blocking clients alike. Without a fault, it forwards bytes unchanged.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

__all__ = ["FaultProxy", "Script", "answer"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Script:
    """The faults of one connection. By default, all bytes are forwarded unchanged.

    Attributes:
        refuse: Reset the connection as soon as it is accepted; nothing reaches the server.
        answer: Respond to a request with these bytes without forwarding it to the server.
        instead: Forward the request, but replace the server's response with these bytes.
        cut_request: Close both directions after sending this many bytes to the server.
        cut_answer: Close both directions after receiving this many bytes; 0 means as soon as the response starts.
        within: Apply the script only to a request whose head contains this text; cuts count bytes from there on.
        after: Number of such requests to forward unchanged first.
        reset: Close with RST instead of FIN on a cut.
        half_close: On a cut, stop sending in that direction only.
        stall: On a cut, go silent and keep the connection open.
        delay: Seconds to delay each chunk on its way to the client.
        piece: Maximum bytes of a chunk on its way to the client.
    """

    refuse: bool = False
    answer: bytes | None = None
    instead: bytes | None = None
    cut_request: int | None = None
    cut_answer: int | None = None
    within: bytes = b""
    after: int = 0
    reset: bool = False
    half_close: bool = False
    stall: bool = False
    delay: float = 0.0
    piece: int = 65536


CLEAN = Script()
_REQUEST_LINE = b" HTTP/1.1\r\n"


def answer(status: int, *, retry_after: float | str | None = None, body: bytes = b"") -> bytes:
    """Return a plain-text response like one that a proxy sends."""
    lines = [f"HTTP/1.1 {status} Fault", "content-type: text/plain", f"content-length: {len(body)}"]
    if retry_after is not None:
        text = retry_after if isinstance(retry_after, str) else f"{retry_after:g}"
        lines.append(f"retry-after: {text}")
    return "\r\n".join([*lines, f"date: {formatdate(usegmt=True)}", "", ""]).encode() + body


@dataclass(eq=False)
class ConnectionTraffic:
    """The traffic of one connection."""

    script: Script
    sent: int = 0
    """Bytes sent to the server, starting with the request that the script applies to."""
    received: int = 0
    """Bytes received, starting with the response to that request."""
    request: bytearray = field(default_factory=bytearray)
    """All data from the client, if `keep` is set."""
    requests: int = 0
    faulted: bool = False
    spared: int = 0
    """Number of requests so far that match the script's `within`."""
    counts: bool = False
    keep: bool = True

    def record_request_data(self, data: bytes) -> None:
        """Count the requests in data from the client, and keep the data if `keep` is set."""
        # A request line may be split between two chunks.
        previous_length = len(self.request)
        self.request += data
        self.requests += self.request.count(_REQUEST_LINE, max(0, previous_length - len(_REQUEST_LINE) + 1))
        if not self.keep:
            del self.request[: 1 - len(_REQUEST_LINE)]


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and forwards connections to a server.

    Example:
        with FaultProxy(server_url) as proxy:
            proxy.script = lambda number: Script(cut_answer=100) if number == 0 else Script()
            client = StepflowClient(proxy.url)

    Args:
        upstream: The URL of the server.
        script: Returns the script for a connection number, counting from 0.
        keep: Whether to keep the traffic of closed connections. Long tests turn this off: `connections` then contains
            only open connections, without their requests, and numbers are reused.
    """

    def __init__(
        self, upstream: str, script: Callable[[int], Script] = lambda number: CLEAN, *, keep: bool = True
    ) -> None:
        self.script = script
        self._keep = keep
        self._past: Counter[str] = Counter()
        self.connections: list[ConnectionTraffic] = []
        self.open = 0
        """Number of currently open client connections."""
        self._upstream = _address(upstream)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *exception: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def faults(self) -> int:
        """Number of connections with a fault."""
        return self._past["faults"] + sum(each.faulted for each in self.connections)

    @property
    def accepted(self) -> int:
        """Number of accepted connections."""
        return self._past["connections"] + len(self.connections)

    @property
    def requests(self) -> int:
        """Number of requests, complete or not."""
        return self._past["requests"] + sum(each.requests for each in self.connections)

    def switch(self, upstream: str) -> None:
        """Forward new connections to another server; open connections stay."""
        self._upstream = _address(upstream)

    def drop_all(self) -> None:
        """Cut every open connection."""
        self._call(self._drop())

    def _call(self, work: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._server = await asyncio.start_server(self._accepted, sock=listener)
        self.url = "http://{}:{}".format(*listener.getsockname()[:2])

    async def _drop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._drop()
        await asyncio.sleep(0)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        traffic = ConnectionTraffic(self.script(len(self.connections)), keep=self._keep)
        self.connections.append(traffic)
        task = self._loop.create_task(self._serve(traffic, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, traffic: ConnectionTraffic, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.open += 1
        script = traffic.script
        ends = [writer]
        graceful = not script.reset
        try:
            if script.refuse:
                traffic.faulted = True
                graceful = False
                return
            if script.answer is not None:
                traffic.faulted = True
                await _read_request(reader, traffic)
                writer.write(script.answer)
                await writer.drain()
                return
            server_reader, server_writer = await asyncio.open_connection(*self._upstream)
            ends.append(server_writer)
            upload = self._loop.create_task(_pump(reader, server_writer, traffic, script.cut_request, to_server=True))
            download = self._loop.create_task(_pump(server_reader, writer, traffic, script.cut_answer, to_server=False))
            try:
                await asyncio.wait({upload, download}, return_when=asyncio.FIRST_COMPLETED)
                if traffic.faulted and script.stall:
                    # The remaining direction continues until the client closes.
                    await asyncio.wait({upload, download})
            finally:
                for pump in (upload, download):
                    pump.cancel()
                await asyncio.gather(upload, download, return_exceptions=True)
        except OSError:
            # The server is not running.
            graceful = False
        finally:
            self.open -= 1
            if not self._keep:
                self._past.update(connections=1, faults=traffic.faulted, requests=traffic.requests)
                self.connections.remove(traffic)
            for end in ends:
                _shut(end, graceful or not traffic.faulted)


async def _pump(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    traffic: ConnectionTraffic,
    cut: int | None,
    *,
    to_server: bool,
) -> None:
    """Forward bytes in one direction until the script cuts the connection or it ends."""
    script = traffic.script
    with suppress(OSError):
        while data := await source.read(65536 if to_server else script.piece):
            before = 0
            if to_server:
                traffic.record_request_data(data)
                if not traffic.counts and script.within in data:
                    traffic.counts = traffic.spared == script.after
                    traffic.spared += 1
                    before = data.index(script.within)
            if script.delay and not to_server:
                await asyncio.sleep(script.delay)
            if traffic.counts and script.instead is not None and not to_server:
                traffic.faulted = True
                sink.write(script.instead)
                await sink.drain()
                return
            if traffic.counts:
                done = traffic.sent if to_server else traffic.received
                if cut is not None and done + len(data) - before >= cut:
                    data = data[: before + cut - done]
                    traffic.faulted = True
                if to_server:
                    traffic.sent += len(data) - before
                else:
                    traffic.received += len(data)
            if data:
                sink.write(data)
                await sink.drain()
            if traffic.faulted and cut is not None:
                break
        else:
            return
        if script.half_close and sink.can_write_eof():
            sink.write_eof()
        if script.stall or script.half_close:
            # Stay silent until the waiting side closes.
            while await source.read(65536):
                pass


async def _read_request(reader: asyncio.StreamReader, traffic: ConnectionTraffic) -> None:
    """Read a complete request, so that the client is never reset while it is sending."""
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        traffic.record_request_data(head + await reader.readexactly(length))


def _shut(writer: asyncio.StreamWriter, graceful: bool) -> None:
    with suppress(OSError):
        if not graceful:
            # Discard unsent data, so that the other end sees a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
