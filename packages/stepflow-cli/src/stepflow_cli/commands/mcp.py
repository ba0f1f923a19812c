"""`stepflow mcp`: flows as tools for agents."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..errors import require_extra, usage
from ..inputs.command_line_values import RunValues, ValueArgument
from ..mcp.agent_run_tracking import AgentLimits
from ..output.messages import note
from ..params.click_commands import LazyGroup
from ..params.options import FILE, Choice, Section, group_options, host_option, lazy_complete, option, server_options
from ..server.connect import connect
from ..settings.server_choice import ServerOptions, choose_server

if TYPE_CHECKING:
    from ..mcp.transports import ServiceOptions

command = LazyGroup("mcp")
_POSITIVE_SECONDS = click.FloatRange(0, min_open=True)

_MCP_EXTRA = ("'stepflow mcp serve'", "mcp", "mcp", "mcp_types")

_AGENTS, _FLOWS, _HTTP = map(Section, ("Agents", "Flows", "HTTP"))


class AgentHost(NamedTuple):
    """An application that hosts agents."""

    file: str
    """The location of its configuration file."""
    key: str
    """The configuration key under which servers are listed."""
    form: str = "json"
    """json or toml."""
    more: Mapping[str, str] = {}
    """Extra keys that each server entry needs."""


HOSTS = {
    "claude-code": AgentHost(".mcp.json in the project", "mcpServers"),
    "claude-desktop": AgentHost("claude_desktop_config.json", "mcpServers"),
    "codex": AgentHost("~/.codex/config.toml", "mcp_servers", "toml"),
    "cursor": AgentHost(".cursor/mcp.json in the project, or ~/.cursor/mcp.json", "mcpServers"),
    "gemini": AgentHost(".gemini/settings.json in the project, or ~/.gemini/settings.json", "mcpServers"),
    "vscode": AgentHost(".vscode/mcp.json in the project", "servers", more={"type": "stdio"}),
    "windsurf": AgentHost("~/.codeium/windsurf/mcp_config.json", "mcpServers"),
}


def _build_variable_values(variables: str | None, var: Sequence[str]) -> RunValues:
    if variables == "-":
        raise usage("--variables - would read the agent's messages", "name a file")
    files = [ValueArgument("--variables", "file", variables)] if variables is not None else []
    return RunValues(variables=files, single_variables=var)


def _build_service_options(tools: str, **options: Any) -> ServiceOptions:
    require_extra(*_MCP_EXTRA)
    from ..mcp.transports import ServiceOptions

    service = ServiceOptions(tools=[name for part in tools.split(",") if (name := part.strip())], **options)
    service.check_tool_names()
    return service


@command.command("serve")
@server_options(default="server", has_config_default=False)
@group_options(
    "service",
    _build_service_options,
    click.argument("flows", nargs=-1, required=True, metavar="FLOW|DIR...", shell_complete=lazy_complete("flow_files")),
    group_options(
        "values",
        _build_variable_values,
        _FLOWS.option("--variables FILE", "Read variables for the flows from this file.", type=FILE),
        _FLOWS.option(
            "--var NAME=VALUE", "Set a variable for the flows. Agents cannot set variables. Repeatable.", multiple=True
        ),
    ),
    _FLOWS.option(
        "--read-only FLOW",
        "Mark this flow (file or tool name) as free of side effects, so hosts may call it without asking. Repeatable.",
        multiple=True,
    ),
    _AGENTS.option(
        "--tools GROUPS",
        "Also offer these groups or single tools, separated by commas: runs, diagnose, author. [default: runs]",
        default="runs",
    ),
    _AGENTS.option("--all-runs", "Let agents see and cancel all runs on the server."),
    group_options(
        "bounds",
        AgentLimits,
        _AGENTS.option(
            "--max-wait SECONDS",
            "Let a call wait this long for its run before it returns the run ID. [default: 50]",
            type=_POSITIVE_SECONDS,
            default=50.0,
        ),
        _AGENTS.option(
            "--max-runs N",
            "Allow at most N unfinished agent runs. [default: 20]",
            to="runs",
            type=click.IntRange(1),
            default=20,
        ),
        _AGENTS.option(
            "--max-rate N",
            "Allow at most N calls per second, on average. [default: 20]",
            to="rate",
            type=_POSITIVE_SECONDS,
            default=20.0,
        ),
    ),
)
@_HTTP.option(
    "--http PORT",
    "Serve over HTTP on this port (0 picks a free one) instead of standard input and output.",
    to="port",
    type=click.IntRange(0, 65_535),
)
@host_option(_HTTP)
def _serve_agents(service: ServiceOptions, server: ServerOptions, port: int | None, host: str) -> None:
    """Serve flows as tools for agents, over the Model Context Protocol.

    The agent's host starts this command and talks to it over standard input and output. To configure a host, run
    'stepflow mcp config'. With --http, agents must send the printed token, or the one in STEPFLOW_MCP_TOKEN.

    Each flow becomes a tool with the same schemas. Runs continue on the server if a call takes too long, a connection
    breaks or (without --local) this command exits, and agents can read the results later. The history records runs
    started by agents, with labels such as via=mcp and tool. Changed files are reloaded. Responses show values of secret
    variables as ***.

    This requires the stepflow-cli[mcp] extra.
    """
    from ..mcp.transports import serve_http, serve_stdio

    with connect(server) as target:
        if port is None:
            serve_stdio(target, service)
        else:
            serve_http(target, service, host, port)


@command.command("config", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, required=True, metavar="FLOW|DIR...", type=click.UNPROCESSED)
@option(
    "--client NAME", f"Configure this host: {', '.join(HOSTS)}.", to="host", type=Choice(list(HOSTS)), required=True
)
@option("--name TEXT", "Give the server this name in the host. [default: stepflow]", default="stepflow")
@click.pass_context
def _print_host_config(ctx: click.Context, arguments: tuple[str, ...], host: str, name: str) -> None:
    """Print the configuration that makes an agent host start 'stepflow mcp serve'.

    You can pass any option of 'mcp serve' except --http. The entry includes these options, and the server if the
    environment or a profile names one. File paths become absolute. Standard error says which file to add the entry to.
    The entry is printed only if 'mcp serve' can serve the flows.
    """
    from ..mcp.transports import load_flow_catalog

    # Report errors now, rather than later in the host.
    params = _serve_agents.make_context("serve", list(arguments), ctx.parent).params
    if params["port"] is not None:
        raise usage("hosts start the server on standard input and output, so --http has no effect", "leave out --http")
    values = _build_variable_values(params["variables"], params["var"])
    catalog = load_flow_catalog(
        _build_service_options(params["tools"], flows=params["flows"], values=values, read_only=params["read_only"])
    )
    selected = ServerOptions(**{key: params[key] for key in ("url", "profile", "local", "config")}, default="server")
    server, environment = _get_server_flags_and_environment(selected)
    # Only these values are paths. Others, such as tool and profile names, might just happen to match a file's name.
    paths = {*params["flows"], params["variables"], params["config"], *set(params["read_only"]) - catalog.tools.keys()}
    words: list[str] = []
    for word in arguments:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        is_file = value in paths and os.path.exists(value)
        words.append(f"{option}{equals}{Path(value).absolute()}" if is_file else word)
    click.echo(_format_host_entry(HOSTS[host], words + server, name, environment), nl=False)
    note(f"add this to {HOSTS[host].file}")


def _get_server_flags_and_environment(server: ServerOptions) -> tuple[list[str], dict[str, str]]:
    """Return the options and environment variables that let a host use the same server from anywhere.

    Raises:
        Problem: If the URL contains a password, because the password would end up in a file.
        FlowFileError: If the embedded server's configuration file is missing or invalid.
    """
    from stepflow_client._command import ServerConfig

    choice = choose_server(server)
    if choice.is_embedded:
        config = choice.embedded_config.value
        if config is not None:
            ServerConfig(path=Path(config).expanduser()).load()
        return ["--config", str(Path(config).expanduser().absolute())] if config and server.config is None else [], {}
    if os.environ.get("STEPFLOW_TOKEN"):
        note("set STEPFLOW_TOKEN in the host too, or use a profile with token_env, token_file")
    if choice.profile is not None:
        profiles = os.environ.get("STEPFLOW_CONFIG_FILE")
        variables = {"STEPFLOW_CONFIG_FILE": str(Path(profiles).absolute())} if profiles else {}
        return [] if server.profile is not None else ["--profile", choice.profile.name], variables
    if choice.url.origin == "environment variable STEPFLOW_URL":
        if choice.url_without_password != choice.url.value:
            raise usage("the password in STEPFLOW_URL would become part of the entry", "use a profile: --profile NAME")
        return ["--url", choice.url_without_password], {}
    return [], {}


def _format_host_entry(host: AgentHost, arguments: Sequence[str], name: str, environment: Mapping[str, str]) -> str:
    """Return the entry to be added to a host's configuration.

    Args:
        host: The host.
        arguments: The arguments for `stepflow mcp serve`.
        name: The server's name in the configuration.
        environment: The environment variables that the command needs.
    """
    # Use an absolute path, because hosts start in a different folder and often with a different PATH.
    own = Path(sys.argv[0])
    is_script = own.stem == "stepflow" and own.exists()
    command, *module = [str(own.absolute())] if is_script else [sys.executable, "-m", "stepflow_cli"]
    words = [*module, "mcp", "serve", *arguments]
    if host.form == "toml":
        listed = ", ".join(json.dumps(word, ensure_ascii=False) for word in words)
        pairs = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in environment.items())
        key = name if name.isascii() and name.replace("-", "_").isidentifier() else json.dumps(name, ensure_ascii=False)
        text = f"[{host.key}.{key}]\ncommand = {json.dumps(command, ensure_ascii=False)}\nargs = [{listed}]\n"
        return text + (f"env = {{ {', '.join(pairs)} }}\n" if environment else "")
    more = {"env": dict(environment)} if environment else {}
    content: dict[str, Any] = {host.key: {name: {**host.more, "command": command, "args": words, **more}}}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
