"""`stepflow mcp`: flows as tools for agents."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..completion.candidates import complete_flow_files
from ..errors import check_extra, usage
from ..inputs.values import Given, Values
from ..mcp.hosts import HOSTS, entry
from ..output.messages import note
from ..params.options import host_option, option_in, server_options
from ..params.parsing import FILE, Choice, LazyGroup
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

command = LazyGroup("mcp")
_SECONDS = click.FloatRange(0, min_open=True)


@command.command("serve")
@click.argument("flows", nargs=-1, required=True, metavar="FLOW|DIR...", shell_complete=complete_flow_files)
@server_options(default="server")
@option_in("--variables", type=FILE, section="Flows", metavar="FILE", help="Values of the flows' variables, as a file.")
@option_in(
    "--var",
    multiple=True,
    section="Flows",
    metavar="NAME=VALUE",
    help="The value of a variable of the flows; agents cannot set any; repeatable.",
)
@option_in(
    "--read-only",
    multiple=True,
    section="Flows",
    metavar="FLOW",
    help="A flow, by its file or its tool, that changes nothing: hosts may call it without asking; repeatable.",
)
@option_in(
    "--tools",
    default="runs",
    section="Agents",
    metavar="GROUPS",
    help="The tools beside the flows, separated by commas: runs, diagnose, author, or single tools. [default: runs]",
)
@option_in("--all-runs", is_flag=True, section="Agents", help="Let agents see and cancel all runs of the server.")
@option_in(
    "--max-wait",
    type=_SECONDS,
    default=50.0,
    section="Agents",
    metavar="SECONDS",
    help="How long a call waits for its run, before it returns the run's id. [default: 50]",
)
@option_in(
    "--max-runs",
    type=click.IntRange(1),
    default=20,
    section="Agents",
    metavar="N",
    help="Maximum number of unfinished runs of agents. [default: 20]",
)
@option_in(
    "--max-rate",
    type=_SECONDS,
    default=20.0,
    section="Agents",
    metavar="N",
    help="Maximum number of calls a second, on average. [default: 20]",
)
@option_in(
    "--http",
    "port",
    type=click.IntRange(0, 65_535),
    section="HTTP",
    metavar="PORT",
    help="Serve over HTTP on this port, 0 for a free one, instead of standard input and output.",
)
@host_option("HTTP")
def _serve(
    flows: tuple[str, ...],
    server: ServerOptions,
    variables: str | None,
    var: tuple[str, ...],
    read_only: tuple[str, ...],
    tools: str,
    all_runs: bool,
    max_wait: float,
    max_runs: int,
    max_rate: float,
    port: int | None,
    host: str,
) -> None:
    """Serve flows as tools for agents, over the Model Context Protocol.

    Hosts start this command and talk to it over standard input and output; 'stepflow mcp config' prints what a host
    needs. With --http, agents send the token that is printed, or that of STEPFLOW_MCP_TOKEN.

    Each flow is a tool, with the schemas of the flow. Runs stay on the server when a call takes too long, a connection
    breaks or this command ends: their results can be read with the id in the response. Runs that agents start are in
    the history, with the labels via=mcp, agent, session and tool. Files that change are read again. Values of secret
    variables are *** in all responses.

    Needs the extra stepflow-cli[mcp].
    """
    from ..mcp.bounds import Bounds
    from ..mcp.serving import Service, serve_http, serve_stdio

    check_extra("'stepflow mcp serve'", "mcp", "mcp", "mcp_types")
    if variables == "-":
        raise usage("--variables - would read what the agent sends", "name a file")
    given = [Given("--variables", "file", variables)] if variables is not None else []
    service = Service(
        flows,
        Values(variables=given, single_variables=var),
        read_only,
        [name for each in tools.split(",") if (name := each.strip())],
        all_runs,
        Bounds(max_runs, max_rate, max_wait),
    )
    service.check()
    with connect(server) as target:
        if port is None:
            serve_stdio(target, service)
        else:
            serve_http(target, service, host, port)


@command.command("config", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, required=True, metavar="FLOW|DIR...", type=click.UNPROCESSED)
@click.option("--client", "host", type=Choice(list(HOSTS)), required=True, metavar="NAME", help=f"{', '.join(HOSTS)}.")
@click.option("--name", default="stepflow", metavar="TEXT", help="What the host calls the server. [default: stepflow]")
@click.pass_context
def _config(ctx: click.Context, arguments: tuple[str, ...], host: str, name: str) -> None:
    """Print the configuration with which a host of agents starts 'stepflow mcp serve'.

    All options of 'mcp serve' can be given; they become part of it. Files are named by their absolute paths. The file
    that the entry belongs in is printed on standard error.
    """
    # A misspelt option should not first be noticed by the host.
    _serve.make_context("serve", list(arguments), ctx.parent)
    words = [str(Path(each).absolute()) if os.path.exists(each) else each for each in arguments]
    click.echo(entry(HOSTS[host], words, name), nl=False)
    note(f"this belongs into {HOSTS[host].file}")
