"""Serves agents over stdio, or over HTTP with token authentication."""

from __future__ import annotations

import asyncio
import gc
import hmac
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, JSONRPCResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import current_session, usage
from ..inputs.command_line_values import RunValues
from ..output.colors_and_escaping import is_terminal
from ..output.messages import note
from ..server.connect import Target
from ..server.host_origin_checks import AcceptedAddresses, group_headers_by_name
from ..settings.run_history import get_history_setting
from ..signals import using_stop_signal_handler
from .agent_run_tracking import MAX_ARGUMENT_BYTES, AgentLimits, AgentRuns
from .agent_server import CLOSED_SCOPE_KEY
from .builtin_tools import BUILTIN_TOOLS, TOOL_GROUPS, select_builtin_tools
from .early_handshake import EarlyHandshake, OfferedTools, ThreadedLineReader
from .flow_catalog import FlowCatalog

if TYPE_CHECKING:
    from pydantic import ValidationError

    from .agent_server import AgentServer

# Maximum number of digits to parse in a number when looking for the ID of an invalid request.
_MAX_DIGITS = 20


async def _filter_valid_messages(messages: Any, responses: Any) -> AsyncIterator[SessionMessage]:
    """Yield an agent's valid messages, responding with an error to any line that isn't one."""
    try:
        async for message in messages:
            if isinstance(message, SessionMessage):
                yield message
            else:
                await responses.send(SessionMessage(_build_invalid_line_error(message)))
    finally:
        await messages.aclose()


def _build_invalid_line_error(failure: ValidationError) -> JSONRPCError:
    """Return an error response that includes the request's ID if it can be determined."""
    first, *more = failure.errors(include_url=False)
    # The parser reports an object that isn't a valid request as a response with missing fields.
    code, line = INVALID_REQUEST, next((error["input"] for error in more if error["type"] == "missing"), None)
    if first["type"] == "json_invalid":
        code = PARSE_ERROR
        # Python accepts some lines that the protocol's parser rejects, such as those with a lone surrogate.
        with suppress(ValueError, RecursionError):
            line = json.loads(first["input"], parse_int=lambda digits: int(digits[:_MAX_DIGITS]))
    request_id = line.get("id") if isinstance(line, dict) and "method" in line else None
    is_legible = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    where = ".".join(map(str, first["loc"][1:]))
    data = ErrorData(code=code, message=f"{where}: {first['msg']}" if where else first["msg"])
    return JSONRPCError(jsonrpc="2.0", id=request_id if is_legible else None, error=data)


class _HandshakeResponseFilter:
    """A response stream that drops the response to the handshake if it has already been answered.

    Args:
        responses: The underlying stream.
        handshake: The request ID of the answered handshake, or None if no handshake was answered.
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

    async def __aenter__(self) -> _HandshakeResponseFilter:
        await self._responses.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._responses.__aexit__(*raised)


@asynccontextmanager
async def open_streams(handshake: EarlyHandshake) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the streams for reading and writing messages. They continue where the early handshake left off."""
    async with stdio_server(stdin=cast("Any", handshake.iter_lines_for_mcp_package())) as (messages, responses):
        yield _filter_valid_messages(messages, responses), _HandshakeResponseFilter(responses, handshake.answered_id)


MCP_PATH = "/mcp"


AgentServerContext = AbstractAsyncContextManager["AgentServer"]


def build_http_app(open_server: Callable[[], AgentServerContext], addresses: AcceptedAddresses, token: str) -> ASGIApp:
    """Return the ASGI application.

    It opens the agent server with `open_server` and requires agents to send the token.
    """
    managers: list[StreamableHTTPSessionManager] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with open_server() as opened:
            manager = StreamableHTTPSessionManager(opened.protocol, max_request_body_size=2 * MAX_ARGUMENT_BYTES)
            managers.append(manager)
            async with manager.run():
                yield

    async def handle_mcp_request(scope: Scope, receive: Receive, send: Send) -> None:
        closed = scope[CLOSED_SCOPE_KEY] = asyncio.Event()
        try:
            await managers[0].handle_request(scope, receive, send)
        finally:
            closed.set()

    app = Starlette(lifespan=lifespan)
    expected = f"Bearer {token}".encode()

    def build_refusal(scope: Scope) -> PlainTextResponse | None:
        headers = group_headers_by_name(scope["headers"])
        refusal = addresses.get_refusal_reason(headers["host"], headers["origin"])
        if refusal is not None:
            return PlainTextResponse(f"{refusal}\n", 403)
        if scope["path"].rstrip("/") != MCP_PATH:
            return PlainTextResponse(f"The server is at {MCP_PATH}.\n", 404)
        sent = headers["authorization"]
        if len(sent) != 1 or not hmac.compare_digest(sent[0].encode("latin-1"), expected):
            text = "Send the token that 'stepflow mcp serve' printed, as 'Authorization: Bearer TOKEN'.\n"
            return PlainTextResponse(text, 401, headers={"www-authenticate": "Bearer"})
        return None

    async def guard_requests(scope: Scope, receive: Receive, send: Send) -> None:
        # Don't mount `handle_mcp_request`, because Starlette redirects requests to a mounted app without a trailing
        # slash.
        if scope["type"] == "http":
            await (build_refusal(scope) or handle_mcp_request)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guard_requests


TOKEN_VARIABLE = "STEPFLOW_MCP_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class ServiceOptions:
    """The flows and tools to serve to agents."""

    flows: Sequence[str]
    """Flow files, or folders of flow files."""
    values: RunValues = field(default_factory=RunValues)
    """Values for the variables of flows."""
    read_only: Sequence[str] = ()
    tools: Sequence[str] = ("runs",)
    """Groups or names of the tools to offer in addition to the flows."""
    all_runs: bool = False
    bounds: AgentLimits = field(default_factory=AgentLimits)

    def check_tool_names(self) -> None:
        """Check that all tool names are valid.

        Raises:
            Problem: If a name is neither a tool nor a group.
        """
        known = [*TOOL_GROUPS, *(tool.name for tool in BUILTIN_TOOLS)]
        for name in self.tools:
            if name not in known:
                raise usage(f"unknown tools {name}", f"--tools accepts {', '.join(known)}")

    def build_offered_tools(self, catalog: FlowCatalog) -> OfferedTools:
        """Return the tools to offer."""
        return OfferedTools(catalog, select_builtin_tools(self.tools), self.read_only)


@asynccontextmanager
async def open_agent_server(
    target: Target, service: ServiceOptions, catalog: FlowCatalog
) -> AsyncIterator[AgentServer]:
    """Yield the agent server, whose client is closed at the end of the block.

    Args:
        target: The Stepflow server.
        service: The flows and tools to serve.
        catalog: The flows.
    """
    from .agent_server import AgentServer

    async with target.create_async_client() as client:
        runs = AgentRuns(client, target.history, service.bounds, all_runs=service.all_runs)
        agents = AgentServer(runs, service.build_offered_tools(catalog), target)
        async with agents.watching_flow_files():
            yield agents


def load_flow_catalog(service: ServiceOptions) -> FlowCatalog:
    """Load the flows to serve.

    Raises:
        Problem, FlowFileError: If a flow can't be served.
    """
    service.check_tool_names()
    catalog = FlowCatalog(service.flows, service.values, [tool.name for tool in select_builtin_tools(service.tools)])
    for name in service.read_only:
        if name not in catalog.tools and name not in map(catalog.get_flow_file, catalog.tools):
            raise usage(f"--read-only names {name}, which is not served", f"tools are {', '.join(catalog.tools)}")
    if get_history_setting().value == "off":
        note("the history is off: agents see only the runs started by this process, and runs have no labels")
    return catalog


def _import_mcp_package_without_gc() -> None:
    """Import the MCP package without garbage collection, because the import is the slowest part of startup."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Garbage collection would only slow this down: the import creates many objects, and they all stay alive.
    gc.disable()
    try:
        from . import agent_server  # noqa: F401 - imported for its time
    finally:
        gc.freeze()
        gc.enable()


def serve_stdio(target: Target, service: ServiceOptions) -> None:
    """Serve an agent over stdio until it closes the streams or this process receives SIGINT, SIGTERM or SIGHUP."""
    catalog = load_flow_catalog(service)
    if is_terminal(sys.stdin):
        note("waiting for an agent on standard input; to configure its host, run 'stepflow mcp config'")

    async def serve_until_closed() -> None:
        # Open stdin a second time, because the interpreter can't close `sys.stdin` at exit while a thread is reading
        # it.
        lines = ThreadedLineReader(open(0, "rb", closefd=False))  # noqa: SIM115, ASYNC230 - it is read by the thread
        # Treat a stop signal as if the agent had closed stdin.
        with using_stop_signal_handler(lines.close):
            importing = asyncio.ensure_future(asyncio.to_thread(_import_mcp_package_without_gc))
            opening = EarlyHandshake(lines, service.build_offered_tools(catalog))
            await opening.answer_until_imported(importing)
            await importing

            async with open_agent_server(target, service, catalog) as agents, open_streams(opening) as (read, write):
                await agents.protocol.run(read, write, agents.protocol.create_initialization_options())

    with target.history.recording_runs():
        asyncio.run(serve_until_closed())


def serve_http(target: Target, service: ServiceOptions, host: str, port: int) -> None:
    """Serve agents over HTTP until this process receives SIGINT, SIGTERM or SIGHUP.

    Raises:
        Problem: If the port can't be used.
    """
    from ..server.serve_asgi import open_listening_socket, serve_asgi

    with open_listening_socket(host, port) as listening, target.history.recording_runs():
        catalog = load_flow_catalog(service)
        addresses = AcceptedAddresses.from_socket(listening, host)
        token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(32)
        is_new = not os.environ.get(TOKEN_VARIABLE)

        def print_url_and_token() -> None:
            name = f"[{host}]" if ":" in host else host
            url = f"http://{name}:{addresses.port}{MCP_PATH}"
            if not current_session().quiet:
                print(f"Tools for agents at {url}; Ctrl-C stops them.", file=sys.stderr)
            how = f"Authorization: Bearer {token}" if is_new else f"The token is the value of {TOKEN_VARIABLE}."
            print(how, file=sys.stderr, flush=True)

        app = build_http_app(lambda: open_agent_server(target, service, catalog), addresses, token)
        serve_asgi(app, listening, asyncio.Event(), print_url_and_token)
