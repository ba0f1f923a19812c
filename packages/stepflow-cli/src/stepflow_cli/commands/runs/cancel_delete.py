"""`stepflow runs cancel` and `stepflow runs delete`."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from stepflow_client import StepflowClientError

from ...errors import Problem
from ...output.columns import View, columns
from ...output.messages import note
from ...output.view import Output
from ...params.options import Confirm, confirm_option, output_options, running_server_options
from ...params.parsing import Command
from ...params.runs import describe_runs, runs_argument
from ...records.runs import RUN
from ...runs.find import connect_to_runs
from ...runs.wait import check_deletion, for_each_run, note_kept_objects, print_done, raise_worst
from ...settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient

_DELETION = View(columns=columns("run_id:id", "status:status"))


@click.command("cancel", cls=Command)
@runs_argument
@confirm_option
@running_server_options
@output_options
def cancel_command(ids: list[str], confirm: Confirm, server: ServerOptions, output: Output) -> None:
    """RUN may be - for ids on standard input, one per line.

    Released servers do not stop the run: the running step ends, later steps still start, and at the end the
    status may turn to completed or failed. If a run has ended already, it is not changed, and the exit code is 1.
    """
    problems: list[Problem] = []
    with connect_to_runs(server, ids, says=True) as (target, ids):
        if ids:
            confirm(f"cancel {describe_runs(ids)}")
        cancelled = list(for_each_run(ids, target.client.cancel_run, problems))
        executing: list[str] = []
        if len(cancelled) == 1:
            # The run is cancelled even if its steps cannot be read.
            with suppress(StepflowClientError):
                executing = target.client.explain_run(cancelled[0].run_id).may_be_executing
    print_done(output, [run.to_dict() for run in cancelled], RUN)
    if cancelled:
        note("marked as cancelled; released servers do not stop a run: it continues to its end")
    if executing:
        note(f"steps that may still be executing: {', '.join(executing)}")
    raise_worst(problems)


@click.command("delete", cls=Command)
@runs_argument
@confirm_option
@running_server_options
@output_options
def delete_command(ids: list[str], confirm: Confirm, server: ServerOptions, output: Output) -> None:
    """RUN may be - for ids on standard input, one per line.

    Released servers accept this but delete nothing. The command therefore checks afterwards: the status
    is 'deleted' if the run is gone, and 'kept' if it still exists.
    """
    problems: list[Problem] = []
    with connect_to_runs(server, ids, says=True) as (target, ids):
        if ids:
            confirm(f"delete {describe_runs(ids)}")
        deletions = list(for_each_run(ids, partial(delete_run, target.client), problems))
    print_done(output, deletions, _DELETION)
    note_kept_objects(deletions)
    raise_worst(problems)


def delete_run(client: SyncStepflowClient, run_id: str) -> dict[str, Any]:
    """Request a run's deletion and return its outcome."""
    client.delete_run(run_id)
    return {"run_id": run_id, "status": check_deletion(lambda: client.get_run(run_id))}
