"""The MCP server over HTTP: who may use it, and serving it."""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..server.asgi import serve_application
from ..server.listening import Addresses
from .bounds import MAX_ARGUMENT_BYTES

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

    def __init__(self, app: ASGIApp, addresses: Addresses, token: str) -> None:
        self._app = app
        self._addresses = addresses
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        heads: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            heads.setdefault(name.lower(), []).append(value)
        hosts, origins = heads.get(b"host", []), heads.get(b"origin", [])
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        if not self._addresses.accepts_host(host):
            return PlainTextResponse("This server is not at the address that was asked for.\n", 403)
        origin = origins[0].decode("latin-1") if origins else None
        if len(origins) > 1 or not self._addresses.accepts_origin(origin, host):
            return PlainTextResponse("Pages of other origins are not served.\n", 403)
        if scope["path"].rstrip("/") != PATH:
            return PlainTextResponse(f"The server is at {PATH}.\n", 404)
        given = heads.get(b"authorization", [])
        if len(given) != 1 or not hmac.compare_digest(given[0], self._expected):
            said = "Send the token that 'stepflow mcp serve' has printed, as 'Authorization: Bearer TOKEN'.\n"
            return PlainTextResponse(said, 401, headers={"www-authenticate": "Bearer"})
        return None


def serve_listening(
    listening: socket.socket,
    server: Callable[[], AbstractAsyncContextManager[AgentServer]],
    token: str,
    host: str,
    tell: Callable[[str], None],
) -> None:
    """Serve agents until a signal ends the command.

    Args:
        listening: The listening socket.
        server: Creates the server.
        token: The token of the agents.
        host: The host given to listen on.
        tell: Called with the URL when it is about to be served.
    """
    address, port = listening.getsockname()[:2]
    is_exposed = not ip_address(address).is_loopback
    names = {host, socket.gethostname()} if is_exposed else {host}
    stopping = asyncio.Event()
    app = application(server, Addresses(port, names, is_exposed=is_exposed), token)
    name = f"[{host}]" if ":" in host else host
    serve_application(app, listening, stopping, lambda: tell(f"http://{name}:{port}{PATH}"))


def application(
    server: Callable[[], AbstractAsyncContextManager[AgentServer]], addresses: Addresses, token: str
) -> ASGIApp:
    """Return the ASGI application.

    Args:
        server: Creates the server.
        addresses: The accepted hosts and origins.
        token: The token of the agents.
    """
    managers: list[StreamableHTTPSessionManager] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server() as made:
            manager = StreamableHTTPSessionManager(made.protocol, max_request_body_size=2 * MAX_ARGUMENT_BYTES)
            managers.append(manager)
            async with manager.run():
                yield

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await managers[0].handle_request(scope, receive, send)

    app = Starlette(lifespan=lifespan)
    app.mount(PATH, serve)

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        # A mounted application redirects requests without a slash at the end.
        await (serve if scope["type"] == "http" else app)(scope, receive, send)

    return Guard(routed, addresses, token)
