"""The MCP server over HTTP: who may use it, and serving it."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..server.listening import AcceptedAddresses, group_headers
from .bounds import MAX_ARGUMENT_BYTES
from .server import CLOSED

if TYPE_CHECKING:
    from .server import AgentServer

PATH = "/mcp"


Opened = AbstractAsyncContextManager["AgentServer"]


def application(server: Callable[[], Opened], addresses: AcceptedAddresses, token: str) -> ASGIApp:
    """Return the ASGI application; `server` creates the server, and agents send the token."""
    managers: list[StreamableHTTPSessionManager] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server() as opened:
            manager = StreamableHTTPSessionManager(opened.protocol, max_request_body_size=2 * MAX_ARGUMENT_BYTES)
            managers.append(manager)
            async with manager.run():
                yield

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        closed = scope[CLOSED] = asyncio.Event()
        try:
            await managers[0].handle_request(scope, receive, send)
        finally:
            closed.set()

    app = Starlette(lifespan=lifespan)
    expected = f"Bearer {token}".encode()

    def refuse(scope: Scope) -> PlainTextResponse | None:
        headers = group_headers(scope["headers"])
        refusal = addresses.get_refusal(headers["host"], headers["origin"])
        if refusal is not None:
            return PlainTextResponse(f"{refusal}\n", 403)
        if scope["path"].rstrip("/") != PATH:
            return PlainTextResponse(f"The server is at {PATH}.\n", 404)
        sent = headers["authorization"]
        if len(sent) != 1 or not hmac.compare_digest(sent[0].encode("latin-1"), expected):
            text = "Send the token that 'stepflow mcp serve' has printed, as 'Authorization: Bearer TOKEN'.\n"
            return PlainTextResponse(text, 401, headers={"www-authenticate": "Bearer"})
        return None

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        # `serve` is not mounted, because mounted applications redirect requests without a slash at the end.
        if scope["type"] == "http":
            await (refuse(scope) or serve)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarded
