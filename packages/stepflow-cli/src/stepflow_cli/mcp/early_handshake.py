"""Answers the first requests on stdin without the MCP package, because importing that package takes a second."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from .._version import VERSION

if TYPE_CHECKING:
    from stepflow_client._codec.flow_tools import FlowToolSpec

    from .builtin_tools import BuiltinTool
    from .flow_catalog import FlowCatalog

MCP_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Protocol versions whose handshake can be answered without the MCP package."""
_CAPABILITIES = {
    "prompts": {"listChanged": True},
    "resources": {"listChanged": False, "subscribe": False},
    "tools": {"listChanged": True},
}
# Maximum number of lines to read ahead.
_MAX_READ_AHEAD = 10


class OfferedTools:
    """The tools offered to agents, along with their JSON descriptions.

    Args:
        catalog: The flows.
        tools: The tools that aren't flows.
        read_only: Flows (as tool names or files) that have no side effects outside the server.
    """

    def __init__(self, catalog: FlowCatalog, tools: Sequence[BuiltinTool], read_only: Collection[str] = ()) -> None:
        self.catalog = catalog
        self.run_tools = {tool.name: tool for tool in tools}
        self._read_only = frozenset(read_only)

    @property
    def instructions(self) -> str:
        """Instructions that tell the model how to use the tools as a whole."""
        text = (
            "Each tool runs a flow on a Stepflow server. A run continues if its call times out, is cancelled or "
            "loses its connection"
        )
        if "list_runs" in self.run_tools:
            text += ": before repeating such a call, look for its run with list_runs"
        text += ". A response without a result names the run"
        return f"{text}, and wait_run gets the result." if "wait_run" in self.run_tools else f"{text}."

    def describe_tools(self) -> list[dict[str, Any]]:
        """Return descriptions of the tools in the format defined by the protocol."""
        tools = []
        for spec in self.catalog.tools.values():
            is_read_only = not self._read_only.isdisjoint((spec.name, self.catalog.get_flow_file(spec.name)))
            # Assume that a flow is destructive unless the user says otherwise, because we can't tell from its steps.
            tools.append(_describe_tool(spec, is_read_only=is_read_only, is_destructive=not is_read_only))
        for tool in self.run_tools.values():
            description = _describe_tool(tool.spec, is_read_only=tool.is_read_only, is_destructive=tool.is_destructive)
            if not tool.has_outcome:
                del description["outputSchema"]
            tools.append(description)
        return tools


def _describe_tool(spec: FlowToolSpec, *, is_read_only: bool, is_destructive: bool) -> dict[str, Any]:
    return {
        "name": spec.name,
        "description": spec.description,
        "inputSchema": dict(spec.input_schema),
        "outputSchema": dict(spec.output_schema),
        "annotations": {"readOnlyHint": is_read_only, "destructiveHint": is_destructive},
    }


class ThreadedLineReader:
    """Reads lines from a file in a background thread until the file ends or `close` is called.

    Signals can't interrupt a thread that is waiting for a line, so a separate thread does the waiting.

    Args:
        source: The file.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._line_slots = threading.Semaphore(_MAX_READ_AHEAD)
        # Use a daemon thread, because it may still be waiting for a line when the interpreter exits.
        threading.Thread(target=self._read_lines, name="standard input", daemon=True).start()

    def _read_lines(self) -> None:
        for line in self._source:
            self._line_slots.acquire()
            self._enqueue_line(line)
        self.close()

    def close(self, *_: object) -> None:
        """End the input after the lines already read. This can be called from any thread and from signal handlers."""
        self._enqueue_line(None)

    def _enqueue_line(self, line: bytes | None) -> None:
        # If the event loop has been closed, the line is no longer needed.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)

    async def read_nonblank_line(self) -> str | None:
        """Return the next line that isn't blank, or None at the end of the input."""
        while (line := await self._lines.get()) is not None:
            self._line_slots.release()
            if line.strip():
                return line.decode(errors="replace")
        self.close()
        return None


class EarlyHandshake:
    """Answers the handshake and any `tools/list` requests that arrive while the MCP package is being imported.

    Args:
        lines: The lines sent by the host.
        offer: The tools.
    """

    def __init__(self, lines: ThreadedLineReader, offer: OfferedTools) -> None:
        self._lines = lines
        self._offer = offer
        self._replayed: list[str] = []
        self.answered_id: Any = None
        """The request ID of the handshake, or None if no handshake was answered."""

    async def answer_until_imported(self, importing: asyncio.Future[Any]) -> None:
        """Answer each line until one requires the MCP package or the import is complete."""
        while not importing.done():
            waiting = asyncio.ensure_future(self._lines.read_nonblank_line())
            await asyncio.wait((waiting, importing), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                return
            line = waiting.result()
            if line is None or not self._answer_if_possible(line):
                self._replayed += [] if line is None else [line]
                return

    async def iter_lines_for_mcp_package(self) -> AsyncIterator[str]:
        """Yield the handshake again (because the MCP package has to process it too), and then the remaining lines."""
        for replayed in self._replayed:
            yield replayed
        while (line := await self._lines.read_nonblank_line()) is not None:
            yield line

    def _answer_if_possible(self, line: str) -> bool:
        message = _parse_jsonrpc_message(line)
        method, request_id = message.get("method"), message.get("id")
        if method == "notifications/initialized" and self.answered_id is not None and "id" not in message:
            self._replayed.append(line)
            return True
        if isinstance(request_id, bool) or not isinstance(request_id, (int, str)):
            return False
        if method == "initialize" and self.answered_id is None and _is_valid_handshake(message.get("params")):
            self.answered_id = request_id
            self._replayed.append(line)
            version = message["params"]["protocolVersion"]
            server = {"name": "stepflow", "title": "Stepflow", "version": VERSION}
            result = {"protocolVersion": version, "capabilities": _CAPABILITIES, "serverInfo": server}
            _write_response(request_id, {**result, "instructions": self._offer.instructions})
            return True
        if method == "tools/list" and self.answered_id is not None and not message.get("params"):
            _write_response(request_id, {"tools": self._offer.describe_tools()})
            return True
        return False


def _parse_jsonrpc_message(line: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        message = json.loads(line)
        if isinstance(message, dict) and message.get("jsonrpc") == "2.0":
            return message
    return {}


def _is_valid_handshake(params: Any) -> bool:
    """Return whether a handshake is valid.

    This check has to be as strict as the one in the MCP package, which processes the handshake later.
    """
    if not isinstance(params, dict) or params.get("protocolVersion") not in MCP_VERSIONS:
        return False
    client = params.get("clientInfo")
    is_named = isinstance(client, dict) and all(isinstance(client.get(key), str) for key in ("name", "version"))
    return is_named and isinstance(params.get("capabilities"), dict)


def _write_response(request_id: int | str, result: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}).encode() + b"\n")
    sys.stdout.buffer.flush()
