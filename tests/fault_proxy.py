"""A TCP proxy that fails as it is told: one script for each connection, in the order in which they come.

It runs in a thread of its own, so that it serves both clients, and passes bytes on as they are.
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
    """What happens to one connection. Without anything it is passed on untouched.

    Attributes:
        refuse: Reset as soon as it is accepted; nothing reaches the server.
        answer: Bytes that the proxy answers itself, once a request has come; the server is not asked.
        instead: Bytes that the client gets in place of the server's answer, which has done what was asked.
        cut_request: Close both ways once so many bytes have gone to the server.
        cut_answer: Close both ways once so many bytes have come back; with 0 as soon as there is an answer.
        within: Only the request that has this in its head is meant; both are counted from it on.
        after: So many such requests go untouched before the one that is meant.
        reset: Close with RST instead of FIN where it is closed by a cut.
        half_close: Where a cut is due only stop sending that way, and leave the connection open.
        stall: Where a cut is due go silent instead, and keep the connection open.
        delay: Seconds that each piece is held back on its way to the client.
        piece: Bytes of a piece on its way to the client, at most.
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
    """Return an answer that a proxy would give by itself, as plain text."""
    lines = [f"HTTP/1.1 {status} Fault", "content-type: text/plain", f"content-length: {len(body)}"]
    if retry_after is not None:
        text = retry_after if isinstance(retry_after, str) else f"{retry_after:g}"
        lines.append(f"retry-after: {text}")
    return "\r\n".join([*lines, f"date: {formatdate(usegmt=True)}", "", ""]).encode() + body


@dataclass(eq=False)
class Passed:
    """What one connection has carried."""

    script: Script
    sent: int = 0
    """Bytes that went to the server, from the request on that the script is about."""
    received: int = 0
    """Bytes that came back, from the answer to it on."""
    request: bytearray = field(default_factory=bytearray)
    """All that came from the client, if it is kept."""
    requests: int = 0
    faulted: bool = False
    spared: int = 0
    """Requests that the script would have been about, had it not left out the first ones."""
    counts: bool = False
    keep: bool = True

    def note(self, data: bytes) -> None:
        """Keep, or at least count, what came from the client."""
        # The mark may come in two pieces.
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
        script: Gives the script of a connection by its number, from 0.
        keep: Whether what connections have carried is kept. Otherwise only the open ones are in `connections`, their
            requests are not, and numbers are used again: for what goes on for long.
    """

    def __init__(
        self, upstream: str, script: Callable[[int], Script] = lambda number: CLEAN, *, keep: bool = True
    ) -> None:
        self.script = script
        self._keep = keep
        self._past: Counter[str] = Counter()
        self.connections: list[Passed] = []
        self.open = 0
        """Connections of clients that are open now."""
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
        """How many connections did not go untouched."""
        return self._past["faults"] + sum(each.faulted for each in self.connections)

    @property
    def accepted(self) -> int:
        """How many connections there were."""
        return self._past["connections"] + len(self.connections)

    @property
    def requests(self) -> int:
        """How many requests came, whole or not."""
        return self._past["requests"] + sum(each.requests for each in self.connections)

    def switch(self, upstream: str) -> None:
        """Pass new connections on to another server; those that are open stay where they are."""
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
                    # The rest goes on until the client gives up.
                    await asyncio.wait({forth, home})
            finally:
                for pump in (forth, home):
                    pump.cancel()
                await asyncio.gather(forth, home, return_exceptions=True)
        except OSError:
            # The server is not there.
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
    """Pass bytes on in one direction; end where the connection is to be cut, or has ended."""
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
            # Silent, but still there: until the one that waits closes.
            while await source.read(65536):
                pass


async def _read_request(reader: asyncio.StreamReader, passed: Passed) -> None:
    """Read one request, head and body, so that the client is never reset while it sends."""
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
            # No waiting for what was not sent yet: the other end sees a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
