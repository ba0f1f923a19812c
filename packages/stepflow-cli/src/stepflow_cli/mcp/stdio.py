"""Standard input and output as the connection of an agent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError

from ..signals import stop_signals

if TYPE_CHECKING:
    from pydantic import ValidationError

_AHEAD = 10
"""Number of lines that may have been read and wait to be handled."""
_MAX_DIGITS = 20
"""Number of digits of a number that are read to find the id of an invalid request."""


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
            if line.strip():
                yield line.decode(errors="replace")


class _Messages:
    """The messages of an agent. Lines that are not messages are answered with an error.

    Args:
        messages: The messages, and an exception for each such line.
        answers: Where the errors are sent.
    """

    def __init__(self, messages: Any, answers: Any) -> None:
        self._messages = messages
        self._answers = answers

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> SessionMessage:
        async for message in self._messages:
            if isinstance(message, SessionMessage):
                return message
            await self._answers.send(SessionMessage(_refusal(message)))
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._messages.aclose()


def _refusal(error: ValidationError) -> JSONRPCError:
    """Return the error response to a line that is not a message, with the id of its request if that is legible."""
    first, *more = error.errors(include_url=False)
    # Without a result, an object is reported as a response that lacks one.
    code, line = INVALID_REQUEST, next((each["input"] for each in more if each["type"] == "missing"), None)
    if first["type"] == "json_invalid":
        code = PARSE_ERROR
        # Python reads some lines that the protocol's parser does not, such as those with a lone surrogate.
        with suppress(ValueError, RecursionError):
            line = json.loads(first["input"], parse_int=lambda digits: int(digits[:_MAX_DIGITS]))
    request_id = line.get("id") if isinstance(line, dict) and "method" in line else None
    is_legible = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    where = ".".join(map(str, first["loc"][1:]))
    said = ErrorData(code=code, message=f"{where}: {first['msg']}" if where else first["msg"])
    return JSONRPCError(jsonrpc="2.0", id=request_id if is_legible else None, error=said)


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Any, Any]]:
    """Yield the streams of messages that are read and written.

    SIGINT, SIGTERM and SIGHUP end the messages like the agent does by closing standard input.
    """
    # A file of its own: at exit, the interpreter cannot close `sys.stdin` while a thread reads from it.
    lines = _Lines(open(0, "rb", closefd=False))  # noqa: SIM115, ASYNC230 - it is read by the thread
    with stop_signals(lines.end):
        async with stdio_server(stdin=cast("Any", lines)) as (messages, answers):
            yield _Messages(messages, answers), answers
