"""`stepflow runs get`."""

from __future__ import annotations

import click

from ...connect import connect
from ...options import output_options, server_options
from ...output import Output
from ...parsing import Command
from ...run_arguments import run_argument
from ...run_records import RUN_IN_FULL, run_record
from ...settings import ServerOptions

__all__ = ["command"]


@click.command("get", cls=Command)
@run_argument
@server_options(default="server")
@output_options
def command(run_id: str, server: ServerOptions, output: Output) -> None:
    """Show a run as it stands now.

    ITEMS are those that have ended, of all; servers count them when the whole run ends. What a run gave, or why it
    failed, is with result, items and steps.
    """
    with connect(server) as target:
        run = target.client.get_run(run_id)
    output.record(run_record(run), RUN_IN_FULL)
