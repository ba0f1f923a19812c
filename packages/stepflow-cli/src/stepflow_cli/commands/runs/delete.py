"""`stepflow runs delete`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ...errors import Problem
from ...output.view import Column, Output, View
from ...params.options import Confirm, confirm_option, output_options, server_options
from ...params.parsing import Command
from ...params.runs import read_run_ids, runs_argument, runs_text
from ...runs.bulk import deletion_status, for_each_run, note_what_is_kept, print_done, raise_worst
from ...runs.find import whole_ids
from ...server.connect import connect
from ...settings.resolve import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient

__all__ = ["command", "delete"]

_DELETION = View(columns=(Column("run_id", kind="id"), Column("status", kind="status")))


@click.command("delete", cls=Command)
@runs_argument
@confirm_option
@server_options(default="server")
@output_options
def command(runs: tuple[str, ...], confirm: Confirm, server: ServerOptions, output: Output) -> None:
    """RUN may be - for ids on standard input, one a line.

    Released servers (0.9 to 0.13) accept this but delete nothing. The command therefore checks afterwards: the status
    is 'deleted' if the run is gone, and 'kept' if it still exists.
    """
    ids = read_run_ids(runs)
    problems: list[Problem] = []
    with connect(server) as target:
        ids = whole_ids(target.client, ids, says=True)
        if ids:
            confirm(f"delete {runs_text(ids)}")
        deletions = list(for_each_run(ids, partial(delete, target.client), problems))
    print_done(output, deletions, _DELETION)
    note_what_is_kept(deletions)
    raise_worst(problems)


def delete(client: SyncStepflowClient, run_id: str) -> dict[str, Any]:
    """Request a run's deletion and return its outcome."""
    client.delete_run(run_id)
    return {"run_id": run_id, "status": deletion_status(lambda: client.get_run(run_id))}
