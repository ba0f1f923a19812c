"""Standard input and output as the connection of an agent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, BinaryIO, cast

from mcp.server.stdio import stdio_server

from ..signals import stop_signals

_AHEAD = 10
"""Number of lines that may have been read and wait to be handled."""


class _Lines:
    """The lines of a file, until its end or until `end` is called: no signal interrupts a thread that waits for a line.

    Args:
        source: The file.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        # The interpreter waits for other threads when it exits, and this one may wait for a line until then.
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    def _read(self) -> None:
        for line in self._source:
            self._room.acquire()
            self._put(line)
        self.end()

    def end(self, *_: object) -> None:
        """End the lines, after those that have been read. Any thread, and handlers of signals, may call it."""
        self._put(None)

    def _put(self, line: bytes | None) -> None:
        # Nobody reads the lines any more when the loop is closed.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (line := await self._lines.get()) is not None:
            self._room.release()
            yield line.decode(errors="replace")


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Any, Any]]:
    """Yield the streams of messages that are read and written.

    SIGINT, SIGTERM and SIGHUP end the messages like the agent does by closing standard input.
    """
    # A file of its own: at exit, the interpreter cannot close `sys.stdin` while a thread reads from it.
    lines = _Lines(open(0, "rb", closefd=False))  # noqa: SIM115, ASYNC230 - it is read by the thread
    with stop_signals(lines.end):
        async with stdio_server(stdin=cast("Any", lines)) as streams:
            yield streams
