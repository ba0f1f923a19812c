"""The MCP server's request handlers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import mcp_types as types
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from stepflow_client import InvalidArgumentError, RateLimitError, ServerConnectionError, StepflowClientError
from stepflow_client._base.text_formatting import cut, visible
from stepflow_client._codec.flow_tools import format_unknown_tool, make_error_result
from stepflow_client._command import async_compute

from .._version import VERSION
from ..output.messages import note
from .agent_run_tracking import AGENT_LABEL, MAX_ARGUMENT_BYTES, AgentRuns, RateLimiter
from .early_handshake import OfferedTools
from .resources_and_prompts import PromptHandlers, ResourceHandlers
from .tool_calls import ToolCall, build_tool_response

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from stepflow_client import Progress

    from ..server.connect import Target

    Context = ServerRequestContext[Any, Any]

IDEMPOTENCY_META_KEY = "org.stepflow/idempotency-key"
"""The `_meta` field for an agent's idempotency key. Repeating a call with the same key doesn't start another run."""
CLOSED_SCOPE_KEY = "stepflow.closed"
"""The ASGI scope key for an event that is set once the response has been sent or the client closes the stream."""
# Minimum number of seconds between checks for changed files.
_MIN_CHECK_SECONDS = 1.0
# After a check, wait at least this many times as long as the check took.
_CHECK_INTERVAL_FACTOR = 20
# Maximum number of seconds that a connection may take to accept a notification.
_NOTIFICATION_TIMEOUT_SECONDS = 1.0
_MAX_LABEL_LENGTH = 60


class _ChangeAdvertisingServer(Server[Any]):
    """A server that tells clients that its lists of tools and prompts may change."""

    def create_initialization_options(self, *args: Any, **more: Any) -> InitializationOptions:
        return super().create_initialization_options(NotificationOptions(tools_changed=True, prompts_changed=True))


class AgentServer:
    """Handles requests from agents.

    Args:
        runs: The runs that agents have started.
        offer: The tools to offer.
        target: The Stepflow server, for tools that run in threads.
    """

    def __init__(self, runs: AgentRuns, offer: OfferedTools, target: Target) -> None:
        self._runs = runs
        self._offer = offer
        self._catalog = catalog = offer.catalog
        self._target = target
        self._tools = offer.run_tools
        self._rate = RateLimiter(runs.bounds.rate)
        self._bus = InMemorySubscriptionBus()
        self._listening: dict[Any, Any] = {}
        """Sessions whose (older) protocol version requires the server to notify clients of changes."""
        self._resources = ResourceHandlers(runs, catalog, target.client)
        self._prompts = PromptHandlers(catalog)
        self.protocol: Server[Any] = _ChangeAdvertisingServer(
            "stepflow",
            version=VERSION,
            title="Stepflow",
            instructions=offer.instructions,
            lifespan=_create_stdio_connection_id,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._resources.list_resources,
            on_list_resource_templates=self._resources.list_resource_templates,
            on_read_resource=self._resources.read_resource,
            on_list_prompts=self._prompts.list_prompts,
            on_get_prompt=self._prompts.get_prompt,
            on_subscriptions_listen=ListenHandler(self._bus),
        )
        self.protocol.middleware.append(self._remember_session)

    @asynccontextmanager
    async def watching_flow_files(self) -> AsyncIterator[None]:
        """Watch the flow files for changes while the block is running."""
        watching = asyncio.ensure_future(self._poll_flow_files())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await self._runs.wait_for_starting_runs()

    async def _poll_flow_files(self) -> None:
        check_seconds, failure = 0.0, ""
        while True:
            await asyncio.sleep(max(_MIN_CHECK_SECONDS, _CHECK_INTERVAL_FACTOR * check_seconds))
            began = time.monotonic()
            try:
                is_changed = await asyncio.to_thread(self._catalog.reload_changed_files)
            except Exception as error:
                # Keep serving the previous version of the flows, and report each failure once.
                if str(error) != failure:
                    note(f"cannot reload the flows: {error}")
                is_changed, failure = False, str(error)
            check_seconds = time.monotonic() - began
            if not is_changed:
                continue
            await self._bus.publish(ToolsListChanged())
            for name, session in list(self._listening.items()):
                try:
                    async with asyncio.timeout(_NOTIFICATION_TIMEOUT_SECONDS):
                        await session.send_tool_list_changed()
                        await session.send_prompt_list_changed()
                except Exception:
                    # The host has closed the connection.
                    self._listening.pop(name, None)

    async def _remember_session(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Remember the session if its (older) protocol version requires the server to notify clients of changes."""
        if ctx.method == "notifications/initialized":
            self._listening[_get_agent_connection_id(ctx)] = ctx.session
        return await call_next(ctx)

    async def _list_tools(self, _: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        tools = [types.Tool.model_validate(tool) for tool in self._offer.describe_tools()]
        return types.ListToolsResult(tools=tools)

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            seconds = self._rate.acquire_or_get_delay()
            if seconds:
                raise RateLimitError(f"too many calls: wait {seconds:.1f} seconds", hint="call one tool at a time")
            size = len(json.dumps(params.arguments, ensure_ascii=False, default=str))
            if size > MAX_ARGUMENT_BYTES:
                message = f"the arguments have {size:,} characters of JSON, but only {MAX_ARGUMENT_BYTES:,} are allowed"
                hint = "pass a reference to the data, such as a path or a URL, if the flow accepts one"
                raise InvalidArgumentError(message, hint=hint)
            return await _await_call_until_stream_closes(ctx, self._run_tool(ctx, params))
        except StepflowClientError as error:
            return build_tool_response(make_error_result(error, self._catalog.secrets))

    async def _run_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        connection = _get_agent_connection_id(ctx)
        meta = (ctx.params or {}).get("_meta") or {}
        key = meta.get(IDEMPOTENCY_META_KEY)
        names: list[Any] = [(connection, str(ctx.request_id))] if connection is not None else []
        if isinstance(key, str) and key:
            # A key with different arguments is a conflict, which is detected when the run is created.
            arguments = json.dumps(params.arguments, sort_keys=True).encode()
            names.append((IDEMPOTENCY_META_KEY, params.name, key, sha256(arguments).digest()))
        client = ctx.session.client_params
        agent = _sanitize_label_value(client.client_info.name if client is not None else "")
        call = ToolCall(
            arguments={},
            runs=self._runs,
            catalog=self._catalog,
            target=self._target,
            offered=self._tools,
            key=key if isinstance(key, str) and key else None,
            labels={**AGENT_LABEL, "agent": agent, "session": _sanitize_label_value(connection or "none")},
            request_ids=names,
            report=_ProgressReporter(ctx).report if "progressToken" in meta else None,
        )
        if params.name in self._tools:
            tool = self._tools[params.name]
            call.arguments = await async_compute(partial(tool.spec.parse_input, params.arguments))
            return build_tool_response(await tool.handler(call), call.arguments.get("item", 0))
        flow_spec = self._catalog.tools.get(params.name)
        if flow_spec is None:
            raise InvalidArgumentError(format_unknown_tool(params.name, [*self._catalog.tools, *self._tools]))
        until = time.monotonic() + self._runs.bounds.max_wait
        value = await async_compute(partial(flow_spec.parse_input, params.arguments))

        async def create_run() -> str:
            run_id = await self._runs.client.submit(
                dict(flow_spec.flow),
                [value],
                variables=self._catalog.variables[flow_spec.name] or None,
                idempotency_key=call.idempotency_key,
                labels={**call.labels, "tool": flow_spec.name},
                timeout=self._runs.bounds.max_wait,
            )
            return str(run_id)

        run_id = await call.start_run(create_run)
        return build_tool_response(await call.wait_for_outcome(run_id, max(0.0, until - time.monotonic()), flow_spec))


async def _await_call_until_stream_closes(ctx: Context, work: Awaitable[types.CallToolResult]) -> types.CallToolResult:
    """Await a call, but give up if the client closes the stream. The run continues, but its response is dropped."""
    closed = None if ctx.request is None else ctx.request.scope.get(CLOSED_SCOPE_KEY)
    if closed is None:
        return await work
    call, closing = asyncio.ensure_future(work), asyncio.ensure_future(closed.wait())
    try:
        await asyncio.wait((call, closing), return_when=asyncio.FIRST_COMPLETED)
        if not call.done():
            raise ServerConnectionError("the client closed the stream")
        return await call
    finally:
        call.cancel()
        closing.cancel()


@asynccontextmanager
async def _create_stdio_connection_id(_: Server[Any]) -> AsyncIterator[str]:
    """Yield a name for a stdio connection. HTTP connections are named after their session IDs instead."""
    yield uuid4().hex[:12]


def _get_agent_connection_id(ctx: Context) -> str | None:
    """Return the name of a request's connection, or None if the protocol version doesn't have connections."""
    if ctx.request is None:
        return str(ctx.lifespan_context)
    session: str | None = ctx.request.headers.get("mcp-session-id")
    return session


def _sanitize_label_value(text: str) -> str:
    return visible(cut(text, _MAX_LABEL_LENGTH)) or "unknown"


class _ProgressReporter:
    """Reports progress, increasing the value with every report as the protocol requires."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._last_progress = -1.0
        self._last_message = ""

    async def report(self, progress: Progress) -> None:
        done = float(progress.finished_steps if progress.total == 1 else progress.done)
        total = progress.steps if progress.total == 1 else progress.total
        words = f"at {', '.join(progress.running_steps)}" if progress.running_steps else progress.status
        if done <= self._last_progress and words == self._last_message:
            return
        self._last_progress, self._last_message = max(done, self._last_progress + 0.001), words
        await self._ctx.session.report_progress(self._last_progress, total, visible(words))
