"""The entries that hosts of agents need in their configuration."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Host(NamedTuple):
    """A host of agents."""

    file: str
    """Where its configuration is."""
    key: str
    """The key of the servers in it."""
    form: str = "json"
    """json or toml."""
    more: Mapping[str, str] = {}
    """What its entries have besides the command."""


HOSTS = {
    "claude-code": Host(".mcp.json in the project", "mcpServers"),
    "claude-desktop": Host("claude_desktop_config.json", "mcpServers"),
    "codex": Host("~/.codex/config.toml", "mcp_servers", "toml"),
    "cursor": Host(".cursor/mcp.json in the project, or ~/.cursor/mcp.json", "mcpServers"),
    "gemini": Host(".gemini/settings.json in the project, or ~/.gemini/settings.json", "mcpServers"),
    "vscode": Host(".vscode/mcp.json in the project", "servers", more={"type": "stdio"}),
    "windsurf": Host("~/.codeium/windsurf/mcp_config.json", "mcpServers"),
}


def entry(host: Host, arguments: Sequence[str], name: str, environment: Mapping[str, str]) -> str:
    """Return the entry of a host's configuration.

    Args:
        host: The host.
        arguments: The arguments of `stepflow mcp serve`.
        name: The name of the server in the configuration.
        environment: The variables that the command needs.
    """
    # Hosts are started from elsewhere, often with another PATH.
    own = Path(sys.argv[0])
    is_script = own.stem == "stepflow" and own.exists()
    command, *module = [str(own.absolute())] if is_script else [sys.executable, "-m", "stepflow_cli"]
    words = [*module, "mcp", "serve", *arguments]
    if host.form == "toml":
        listed = ", ".join(json.dumps(each, ensure_ascii=False) for each in words)
        pairs = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in environment.items())
        text = f"[{host.key}.{name}]\ncommand = {json.dumps(command, ensure_ascii=False)}\nargs = [{listed}]\n"
        return text + (f"env = {{ {', '.join(pairs)} }}\n" if environment else "")
    more = {"env": dict(environment)} if environment else {}
    made: dict[str, Any] = {host.key: {name: {**host.more, "command": command, "args": words, **more}}}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
