"""Serving agents: over standard input and output, or over HTTP."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..context import current_session
from ..errors import usage
from ..inputs.values import Values
from ..output.color import is_terminal
from ..output.messages import note
from ..server.connect import Target
from ..server.listening import AcceptedAddresses, listen
from ..settings.history import get_history_setting
from ..signals import handling_stop_signals
from .bounds import Bounds
from .catalog import Catalog
from .opening import LineReader, Offer, Opening
from .run_tools import GROUPS, TOOLS, select_tools
from .runs import AgentRuns

if TYPE_CHECKING:
    from .server import AgentServer

TOKEN_VARIABLE = "STEPFLOW_MCP_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Service:
    """What is served to agents."""

    flows: Sequence[str]
    """Flow files, or folders that contain them."""
    values: Values = field(default_factory=Values)
    """The values of the flows' variables."""
    read_only: Sequence[str] = ()
    tools: Sequence[str] = ("runs",)
    """Groups of the tools beside the flows, or names of single ones."""
    all_runs: bool = False
    bounds: Bounds = field(default_factory=Bounds)

    def check_tools(self) -> None:
        """Check the names of the tools.

        Raises:
            Problem: If one is neither a tool nor a group.
        """
        known = [*GROUPS, *(tool.name for tool in TOOLS)]
        for name in self.tools:
            if name not in known:
                raise usage(f"there are no tools {name}", f"--tools takes {', '.join(known)}")

    def offer(self, catalog: Catalog) -> Offer:
        """Return the tools that are offered."""
        return Offer(catalog, select_tools(self.tools), self.read_only)


@asynccontextmanager
async def agent_server(target: Target, service: Service, catalog: Catalog) -> AsyncIterator[AgentServer]:
    """Yield the server of agents; its client is closed at the end of the block.

    Args:
        target: The Stepflow server.
        service: What is served.
        catalog: The flows.
    """
    from .server import AgentServer

    async with target.async_client() as client:
        runs = AgentRuns(client, target.history, service.bounds, all_runs=service.all_runs)
        agents = AgentServer(runs, service.offer(catalog), target)
        async with agents.open():
            yield agents


def load_catalog(service: Service) -> Catalog:
    """Read the flows.

    Raises:
        Problem, FlowFileError: If a flow cannot be served.
    """
    service.check_tools()
    catalog = Catalog(service.flows, service.values, [tool.name for tool in select_tools(service.tools)])
    for name in service.read_only:
        if name not in catalog.tools and name not in map(catalog.get_file, catalog.tools):
            raise usage(f"--read-only names {name}, which is not served", f"tools are {', '.join(catalog.tools)}")
    if get_history_setting().value == "off":
        note("the history is off: agents see only the runs that this process has started, and no run has a label")
    return catalog


def _import_protocol() -> None:
    """Import the protocol's package, which takes longer than everything else."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # The import creates many objects and no garbage.
    gc.disable()
    try:
        from . import server, stdio  # noqa: F401 - imported for its time
    finally:
        gc.freeze()
        gc.enable()


def serve_stdio(target: Target, service: Service) -> None:
    """Serve one agent over standard input and output, until it closes them, or until SIGINT, SIGTERM or SIGHUP."""
    catalog = load_catalog(service)
    if is_terminal(sys.stdin):
        note("waiting for an agent on standard input; 'stepflow mcp config' prints what its host needs")

    async def serve() -> None:
        # A file of its own: at exit, the interpreter cannot close `sys.stdin` while a thread reads from it.
        lines = LineReader(open(0, "rb", closefd=False))  # noqa: SIM115, ASYNC230 - it is read by the thread
        # SIGINT, SIGTERM and SIGHUP end the messages like the agent does by closing standard input.
        with handling_stop_signals(lines.end):
            importing = asyncio.ensure_future(asyncio.to_thread(_import_protocol))
            opening = Opening(lines, service.offer(catalog))
            await opening.run(importing)
            await importing
            from .stdio import open_streams

            async with agent_server(target, service, catalog) as agents, open_streams(opening) as (read, write):
                await agents.protocol.run(read, write, agents.protocol.create_initialization_options())

    with target.history.recording():
        asyncio.run(serve())


def serve_http(target: Target, service: Service, host: str, port: int) -> None:
    """Serve agents over HTTP until SIGINT, SIGTERM or SIGHUP.

    Raises:
        Problem: If the port cannot be used.
    """
    with listen(host, port) as listening, target.history.recording():
        catalog = load_catalog(service)
        from ..server.asgi import serve_application
        from .http import PATH, application

        addresses = AcceptedAddresses.from_socket(listening, host)
        token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(32)
        is_new = TOKEN_VARIABLE not in os.environ

        def announce() -> None:
            name = f"[{host}]" if ":" in host else host
            url = f"http://{name}:{addresses.port}{PATH}"
            if not current_session().quiet:
                print(f"Tools for agents at {url}; Ctrl-C stops them.", file=sys.stderr)
            how = f"Authorization: Bearer {token}" if is_new else f"The token is the value of {TOKEN_VARIABLE}."
            print(how, file=sys.stderr, flush=True)

        app = application(lambda: agent_server(target, service, catalog), addresses, token)
        serve_application(app, listening, asyncio.Event(), announce)
