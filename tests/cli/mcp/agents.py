"""Flows for the tests, and helpers to serve them in this process and connect with the official client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stepflow_cli.inputs.command_line_values import RunValues
from stepflow_cli.mcp.agent_run_tracking import AgentLimits
from stepflow_cli.server.connect import connect
from stepflow_cli.settings.server_choice import ServerOptions

# Importing mcp takes a second, and every process of a test run collects these tests: only functions import it.
if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from stepflow_cli.mcp.agent_server import AgentServer

WHO = {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"], "additionalProperties": False}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
GREET = {
    "name": "greet",
    "description": "Greets somebody.",
    "schemas": {"properties": {"input": WHO, "output": TEXT}},
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"text": {"$input": "who"}}}],
    "output": {"$step": "a"},
    "examples": [{"name": "ada", "input": {"who": "Ada"}, "description": "Greets Ada."}],
}
SLOW = {
    "name": "slow",
    "steps": [
        {"id": "first", "component": "/builtin/sleep", "input": {"duration_ms": 1}},
        {
            "id": "second",
            "component": "/builtin/sleep",
            "input": {"duration_ms": {"$input": "ms"}, "passthrough": {"$step": "first"}},
        },
    ],
    "output": {"$step": "second"},
}
BROKEN = {
    "name": "broken",
    "schemas": {"properties": {"input": {"type": "object", "properties": {"order": {"type": "object"}}}}},
    "steps": [
        {"id": "read", "component": "/builtin/noop", "input": {"id": 7}},
        {
            "id": "charge",
            "component": "/builtin/noop",
            "input": {"card": {"$input": "$.order.card.number"}, "id": {"$step": "read", "path": "id"}},
        },
    ],
    "output": {"$step": "charge"},
}
KEY = {"type": "object", "properties": {"key": {"type": "string", "is_secret": True}}, "required": ["key"]}
SECRETIVE = {
    "name": "secretive",
    "schemas": {"properties": {"variables": KEY}},
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"key": {"$variable": "key"}}}],
    "output": {"$step": "a"},
}


def write_flows(folder: Path, *flows: Mapping[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for flow in flows:
        (folder / f"{flow['name']}.json").write_text(json.dumps(flow))
    return folder


@asynccontextmanager
async def serving(url: str, folder: Path, *, var: tuple[str, ...] = (), **options: Any) -> AsyncIterator[AgentServer]:
    """Serve the flows of a folder as tools that run on the server at `url`."""
    from stepflow_cli.mcp.transports import ServiceOptions, load_flow_catalog, open_agent_server

    options["bounds"] = AgentLimits(**options.get("bounds", {}))
    service = ServiceOptions([str(folder)], RunValues(single_variables=var), **options)
    with connect(ServerOptions(url=url, default="server")) as target, target.history.recording_runs():
        catalog = load_flow_catalog(service)
        async with open_agent_server(target, service, catalog) as agent_server:
            yield agent_server


@asynccontextmanager
async def agent(url: str, folder: Path, mode: str = "legacy", **options: Any) -> AsyncIterator[Client]:
    """Connect the official client to the agent server of `serving`."""
    from mcp import Client

    async with serving(url, folder, **options) as agent_server, Client(agent_server.protocol, mode=mode) as client:
        yield client


def protocol_error(match: str | None = None) -> pytest.RaisesExc[Exception]:
    """Expect an MCP protocol error."""
    from mcp.shared.exceptions import MCPError

    return pytest.raises(MCPError, match=match)


def text_of(result: CallToolResult) -> str:
    """Return the text content of a tool result, which is the part that a model reads."""
    return "\n".join(each.text for each in result.content if each.type == "text")


def run_id_of(result: CallToolResult) -> str:
    """Return the run ID in a tool result."""
    return str(result.structured_content["run_id"])
