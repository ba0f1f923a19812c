"""A TCP proxy that fails on demand: one script for each connection, in the order of the connections.

It runs in its own thread, so that it serves both clients, and passes bytes on unchanged.
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
    """The faults of one connection. By default it is passed on unchanged.

    Attributes:
        refuse: Reset the connection as soon as it is accepted; nothing reaches the server.
        answer: Bytes that the proxy itself responds with, once a request has arrived; the server gets no request.
        instead: Bytes that the client gets instead of the server's response; the server has executed the request.
        cut_request: Close both directions after this many bytes have been sent to the server.
        cut_answer: Close both directions after this many bytes have been received; 0 for as soon as a response starts.
        within: Apply the script only to a request whose head contains this; both cuts count bytes from there on.
        after: Number of such requests to pass on unchanged first.
        reset: Close with RST instead of FIN on a cut.
        half_close: On a cut, only stop sending in that direction and leave the connection open.
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
    """Return a plain-text response as a proxy itself would send it."""
    lines = [f"HTTP/1.1 {status} Fault", "content-type: text/plain", f"content-length: {len(body)}"]
    if retry_after is not None:
        text = retry_after if isinstance(retry_after, str) else f"{retry_after:g}"
        lines.append(f"retry-after: {text}")
    return "\r\n".join([*lines, f"date: {formatdate(usegmt=True)}", "", ""]).encode() + body


@dataclass(eq=False)
class Passed:
    """The traffic of one connection."""

    script: Script
    sent: int = 0
    """Bytes sent to the server, starting with the request that the script applies to."""
    received: int = 0
    """Bytes received, starting with the response to that request."""
    request: bytearray = field(default_factory=bytearray)
    """All data from the client, if it is kept."""
    requests: int = 0
    faulted: bool = False
    spared: int = 0
    """Number of requests so far that match the script's `within`."""
    counts: bool = False
    keep: bool = True

    def note(self, data: bytes) -> None:
        """Count the requests in data from the client, and keep the data if `keep` is set."""
        # A request line may be split between two chunks.
        kept = len(self.request)
        self.request += data
        self.requests += self.request.count(_REQUEST_LINE, max(0, kept - len(_REQUEST_LINE) + 1))
        if not self.keep:
            del self.request[: 1 - len(_REQUEST_LINE)]


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and passes connections on to a server.

    Example:
        with FaultProxy(server_url) as proxy:
            proxy.script = lambda number: Script(cut_answer=100) if number == 0 else Script()
            client = StepflowClient(proxy.url)

    Args:
        upstream: The URL of the server.
        script: Returns the script of a connection, given its number, from 0.
        keep: Whether to keep the traffic of connections. If not, `connections` has only the open ones, without their
            requests, and numbers are reused; for long tests.
    """

    def __init__(
        self, upstream: str, script: Callable[[int], Script] = lambda number: CLEAN, *, keep: bool = True
    ) -> None:
        self.script = script
        self._keep = keep
        self._past: Counter[str] = Counter()
        self.connections: list[Passed] = []
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
        """Pass new connections on to another server; open connections stay."""
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
        passed = Passed(self.script(len(self.connections)), keep=self._keep)
        self.connections.append(passed)
        task = self._loop.create_task(self._serve(passed, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, passed: Passed, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        script = passed.script
        ends = [writer]
        graceful = not script.reset
        try:
            if script.refuse:
                passed.faulted = True
                graceful = False
                return
            if script.answer is not None:
                passed.faulted = True
                await _read_request(reader, passed)
                writer.write(script.answer)
                await writer.drain()
                return
            there, back = await asyncio.open_connection(*self._upstream)
            ends.append(back)
            forth = self._loop.create_task(_pump(reader, back, passed, script.cut_request, to_server=True))
            home = self._loop.create_task(_pump(there, writer, passed, script.cut_answer, to_server=False))
            try:
                await asyncio.wait({forth, home}, return_when=asyncio.FIRST_COMPLETED)
                if passed.faulted and script.stall:
                    # The remaining direction continues until the client closes.
                    await asyncio.wait({forth, home})
            finally:
                for pump in (forth, home):
                    pump.cancel()
                await asyncio.gather(forth, home, return_exceptions=True)
        except OSError:
            # The server is not running.
            graceful = False
        finally:
            self.open -= 1
            if not self._keep:
                self._past.update(connections=1, faults=passed.faulted, requests=passed.requests)
                self.connections.remove(passed)
            for end in ends:
                _shut(end, graceful or not passed.faulted)


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, passed: Passed, cut: int | None, *, to_server: bool
) -> None:
    """Pass bytes on in one direction, until the connection is to be cut or has ended."""
    script = passed.script
    with suppress(OSError):
        while data := await source.read(65536 if to_server else script.piece):
            before = 0
            if to_server:
                passed.note(data)
                if not passed.counts and script.within in data:
                    passed.counts = passed.spared == script.after
                    passed.spared += 1
                    before = data.index(script.within)
            if script.delay and not to_server:
                await asyncio.sleep(script.delay)
            if passed.counts and script.instead is not None and not to_server:
                passed.faulted = True
                sink.write(script.instead)
                await sink.drain()
                return
            if passed.counts:
                done = passed.sent if to_server else passed.received
                if cut is not None and done + len(data) - before >= cut:
                    data = data[: before + cut - done]
                    passed.faulted = True
                if to_server:
                    passed.sent += len(data) - before
                else:
                    passed.received += len(data)
            if data:
                sink.write(data)
                await sink.drain()
            if passed.faulted and cut is not None:
                break
        else:
            return
        if script.half_close and sink.can_write_eof():
            sink.write_eof()
        if script.stall or script.half_close:
            # Stay silent until the waiting side closes.
            while await source.read(65536):
                pass


async def _read_request(reader: asyncio.StreamReader, passed: Passed) -> None:
    """Read a complete request, so that the client is never reset while it is sending."""
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        passed.note(head + await reader.readexactly(length))


def _shut(writer: asyncio.StreamWriter, graceful: bool) -> None:
    with suppress(OSError):
        if not graceful:
            # Without waiting for unsent data: the other end sees a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
