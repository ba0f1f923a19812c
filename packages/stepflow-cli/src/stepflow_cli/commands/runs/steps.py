"""`stepflow runs steps`."""

from __future__ import annotations

import click

from ...completion.words import complete_steps_of_run
from ...errors import usage
from ...output.view import Output
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...params.runs import run_argument
from ...records.runs import STEP, TIMED_STEP, step_record
from ...runs.accounts import accounts_of_steps
from ...runs.ids import whole_id
from ...server.connect import connect
from ...settings.resolve import ServerOptions

__all__ = ["command"]


@click.command("steps", cls=Command)
@run_argument
@click.option("--item", type=click.IntRange(min=0), metavar="N", help="Only steps of this item, counted from 0.")
@click.option(
    "--step",
    metavar="ID",
    shell_complete=complete_steps_of_run,
    help="Only this step; of the first item, unless --item names another.",
)
@click.option("--times", is_flag=True, help="Add start, duration and attempts, from the run's events.")
@server_options(default="server")
@output_options
def command(
    run_id: str, item: int | None, step: str | None, times: bool, server: ServerOptions, output: Output
) -> None:
    """A step that reads a failed one is not run; servers list it as failed, with the error of the step it reads. The
    table shows it as 'not run' with the step that failed; in JSON, 'status' is the server's, and 'state' is 'not_run'.

    Servers of 0.10 and 0.11 tell no outputs of steps, and show the steps of a run only when it ends. Servers before
    0.12 tell no times of steps.
    """
    if times and step is not None:
        raise usage("--times is for the list of steps: not with --step")
    with connect(server) as target:
        run_id = whole_id(target.client, run_id)
        if step is not None:
            found = target.client.get_run_step(run_id, step, item_index=item or 0)
            account = target.client.explain_run(run_id, item_index=item or 0).step(step) if found.error else None
            output.record(step_record(found, account), STEP)
            return
        listed = target.client.get_run_steps(run_id, item_index=item, times=times)
        accounts = accounts_of_steps(target.client, run_id, listed.steps)
    records = (step_record(each, accounts.get((each.item_index, each.step_id)), times=times) for each in listed.steps)
    output.records(records, TIMED_STEP if times else STEP)
