"""Standard input and output as the connection of an agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, JSONRPCResponse

if TYPE_CHECKING:
    from pydantic import ValidationError

    from .opening import Opening

# Number of digits of a number that are read to find the id of an invalid request.
_MAX_DIGITS = 20


async def _valid_messages(messages: Any, responses: Any) -> AsyncIterator[SessionMessage]:
    """Yield the messages of an agent, and respond to lines that are not messages with an error."""
    try:
        async for message in messages:
            if isinstance(message, SessionMessage):
                yield message
            else:
                await responses.send(SessionMessage(_build_error(message)))
    finally:
        await messages.aclose()


def _build_error(failure: ValidationError) -> JSONRPCError:
    """Return the error response to a line that is not a message, with the id of its request if that is legible."""
    first, *more = failure.errors(include_url=False)
    # Without a result, an object is reported as a response that lacks one.
    code, line = INVALID_REQUEST, next((error["input"] for error in more if error["type"] == "missing"), None)
    if first["type"] == "json_invalid":
        code = PARSE_ERROR
        # Python reads some lines that the protocol's parser does not, such as those with a lone surrogate.
        with suppress(ValueError, RecursionError):
            line = json.loads(first["input"], parse_int=lambda digits: int(digits[:_MAX_DIGITS]))
    request_id = line.get("id") if isinstance(line, dict) and "method" in line else None
    is_legible = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    where = ".".join(map(str, first["loc"][1:]))
    data = ErrorData(code=code, message=f"{where}: {first['msg']}" if where else first["msg"])
    return JSONRPCError(jsonrpc="2.0", id=request_id if is_legible else None, error=data)


class _ResponseStream:
    """The responses to an agent, without the response to a handshake that was already sent.

    Args:
        responses: The stream to send them to.
        handshake: The id of the handshake; None if there was none.
    """

    def __init__(self, responses: Any, handshake: Any) -> None:
        self._responses = responses
        self._handshake = handshake
        self.aclose = responses.aclose

    async def send(self, message: SessionMessage) -> None:
        content = message.message
        if self._handshake is not None and isinstance(content, JSONRPCResponse) and content.id == self._handshake:
            self._handshake = None
        else:
            await self._responses.send(message)

    async def __aenter__(self) -> _ResponseStream:
        await self._responses.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._responses.__aexit__(*raised)


@asynccontextmanager
async def open_streams(opening: Opening) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the streams of messages that are read and written, which continue an opening."""
    async with stdio_server(stdin=cast("Any", opening.iterate_rest())) as (messages, responses):
        yield _valid_messages(messages, responses), _ResponseStream(responses, opening.handshake)
