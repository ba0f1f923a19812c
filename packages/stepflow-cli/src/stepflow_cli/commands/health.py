"""`stepflow health`."""

from __future__ import annotations

import click
from stepflow_client.types.models import to_plain_data

from ..errors import Problem
from ..output.columns import View, columns
from ..output.view import Output
from ..params.options import DURATION, WAITING, record_options, server_options
from ..params.parsing import Command
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

# Timeout in seconds for the check of components without --wait. Each unreachable worker adds 5 s.
_CHECK_TIMEOUT = 10.0

_HEALTH = View(
    columns=columns("url", "status:status", "release", "commit", "time:time", "capabilities"),
    name="url",
)


@click.command("health", cls=Command)
@WAITING.option(
    "--component PATH",
    "Require this component, such as /python/summarize; repeatable.",
    to="components",
    multiple=True,
)
@WAITING.option(
    "--wait TIME",
    "How long to wait for the server, and its components: 90s or 5m. [default: not at all]",
    type=DURATION,
)
@server_options(default="server")
@record_options
def command(components: tuple[str, ...], wait: float | None, server: ServerOptions, output: Output) -> None:
    """The exit code is 1 if it is not healthy.

    With --wait, the command waits until the server responds and has the components, or the workers of all its plugins
    if none is named.
    """
    with connect(server) as target:
        if components or wait is not None:
            target.client.wait_ready(components, timeout=_CHECK_TIMEOUT if wait is None else wait)
        health = target.client.health_check()
        info = target.client.server_info()
    output.record(
        {
            "url": info.url,
            "status": health.status,
            "release": info.release or health.version,
            "commit": info.commit,
            "dialect": info.dialect,
            "time": to_plain_data(health.timestamp),
            "capabilities": info.capabilities,
        },
        _HEALTH,
    )
    if health.status != "healthy":
        raise Problem(f"the server is {health.status}", kind="unhealthy")
