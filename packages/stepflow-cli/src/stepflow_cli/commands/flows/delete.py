"""`stepflow flows delete`."""

from __future__ import annotations

from functools import partial

import click

from ...output.view import Column, Output, View
from ...params.options import Confirm, confirm_option, output_options, server_options
from ...params.parsing import Command
from ...records.deletions import deletion_status, note_what_is_kept
from ...server.connect import connect
from ...settings.resolve import ServerOptions

__all__ = ["command"]

_DELETED = View(columns=(Column("flow_id", kind="id"), Column("status", kind="status")), name="flow_id", folds=True)


@click.command("delete", cls=Command)
@click.argument("flow_ids", nargs=-1, required=True, metavar="FLOW_ID...")
@confirm_option
@server_options(default="server")
@output_options
def command(flow_ids: tuple[str, ...], confirm: Confirm, server: ServerOptions, output: Output) -> None:
    """Ask a server to delete flows.

    Released servers (0.9 to 0.13) accept this but delete nothing. The command therefore checks afterwards: the status
    is 'deleted' if the flow is gone, and 'kept' if it still exists.
    """
    names = list(dict.fromkeys(flow_ids))
    with connect(server) as target:
        # An unknown flow is an error, even though newer servers accept it.
        for each in names:
            target.client.get_flow(each)
        confirm(f"delete flow {names[0]}" if len(names) == 1 else f"delete {len(names)} flows")
        for each in names:
            target.client.delete_flow(each)
        look = target.client.get_flow
        records = [{"flow_id": each, "status": deletion_status(partial(look, each))} for each in names]
    output.records(records, _DELETED)
    note_what_is_kept(records)
