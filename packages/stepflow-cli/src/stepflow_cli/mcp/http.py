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


class Guard:
    """Lets only requests with the token through, that are addressed to this server.

    Args:
        app: The application that serves accepted requests.
        addresses: The accepted hosts and origins.
        token: The token.
    """

    def __init__(self, app: ASGIApp, addresses: AcceptedAddresses, token: str) -> None:
        self._app = app
        self._addresses = addresses
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        heads = group_headers(scope["headers"])
        refusal = self._addresses.refusal(heads["host"], heads["origin"])
        if refusal is not None:
            return PlainTextResponse(f"{refusal}\n", 403)
        if scope["path"].rstrip("/") != PATH:
            return PlainTextResponse(f"The server is at {PATH}.\n", 404)
        sent = heads["authorization"]
        if len(sent) != 1 or not hmac.compare_digest(sent[0].encode("latin-1"), self._expected):
            text = "Send the token that 'stepflow mcp serve' has printed, as 'Authorization: Bearer TOKEN'.\n"
            return PlainTextResponse(text, 401, headers={"www-authenticate": "Bearer"})
        return None


Opened = AbstractAsyncContextManager["AgentServer"]


def application(server: Callable[[], Opened], addresses: AcceptedAddresses, token: str) -> ASGIApp:
    """Return the ASGI application; `server` creates the server, and agents send the token."""
    managers: list[StreamableHTTPSessionManager] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server() as made:
            manager = StreamableHTTPSessionManager(made.protocol, max_request_body_size=2 * MAX_ARGUMENT_BYTES)
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
    app.mount(PATH, serve)

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        # A mounted application redirects requests without a slash at the end.
        await (serve if scope["type"] == "http" else app)(scope, receive, send)

    return Guard(routed, addresses, token)
