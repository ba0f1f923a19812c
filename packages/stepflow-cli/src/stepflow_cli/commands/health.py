"""`stepflow health`."""

from __future__ import annotations

import click

from ..errors import Problem
from ..exit_codes import ExitCode
from ..output.view import Column, Output, View, rfc3339
from ..params.options import output_options, server_options
from ..params.parsing import Command
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

__all__ = ["command"]

_HEALTH = View(
    columns=(
        Column("url"),
        Column("status", kind="status"),
        Column("release"),
        Column("commit"),
        Column("time", kind="time"),
        Column("capabilities"),
    ),
    name="url",
    fields=("dialect",),
)


@click.command("health", cls=Command)
@server_options(default="server")
@output_options
def command(server: ServerOptions, output: Output) -> None:
    """The exit code is 1 if it is not healthy."""
    with connect(server) as target:
        health = target.client.health_check()
        info = target.client.server_info()
    output.record(
        {
            "url": info.url,
            "status": health.status,
            "release": info.release or health.version,
            "commit": info.commit,
            "dialect": info.dialect,
            "time": rfc3339(health.timestamp),
            "capabilities": info.capabilities,
        },
        _HEALTH,
    )
    if health.status != "healthy":
        raise Problem(f"the server is {health.status}", kind="unhealthy", exit_code=ExitCode.FAILED)
