"""`stepflow runs get`."""

from __future__ import annotations

import click

from ...output.view import Output
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...records.runs import explained_record, run_view
from ...runs.accounts import account_of_run
from ...runs.ids import whole_id
from ...server.connect import connect
from ...settings.resolve import ServerOptions

__all__ = ["command"]


@click.command("get", cls=Command)
@run_argument
@server_options(default="server")
@output_options
def command(run_id: str, server: ServerOptions, output: Output) -> None:
    """ITEMS is how many items have ended, of how many; servers count them when the whole run ends. 'runs result',
    'items' and 'steps' print the output of a run, or why it failed.

    A run that failed or was cancelled is shown with the step that failed first, and the steps that did not run because
    of it; of a batch, with those of its first failed item.
    """
    with connect(server) as target:
        run_id = whole_id(target.client, run_id)
        run = target.client.get_run(run_id)
        account = account_of_run(target.client, run)
    output.record(explained_record(run, account), run_view(account))
