"""`stepflow runs flow`."""

from __future__ import annotations

import click

from ...output.view import Output
from ...params.options import file_output_options, server_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...runs.ids import whole_id
from ...server.connect import connect
from ...settings.resolve import ServerOptions

__all__ = ["command"]


@click.command("flow", cls=Command)
@run_argument
@server_options(default="server")
@file_output_options
def command(run_id: str, server: ServerOptions, output: Output) -> None:
    """It is the flow as the server stores it: without comments, and without keys that the server does not know. Values
    of secret variables in it are printed as ***; 'stepflow flows get' prints the flow as it is.
    """
    from ...records.flows import print_flow

    with connect(server) as target:
        run_id = whole_id(target.client, run_id)
        stored = target.client.get_run_flow(run_id).without_secrets()
    print_flow(stored, output)
