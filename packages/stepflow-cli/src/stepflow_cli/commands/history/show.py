"""`stepflow history show`."""

from __future__ import annotations

import click

from ...errors import Problem, usage
from ...exit_codes import ExitCode
from ...output.view import Output
from ...params.options import output_options
from ...params.parsing import Command
from ...params.runs import recorded_run_argument
from ...records.history import ENTRY_IN_FULL, entry_record
from ...runs.ids import place_of

__all__ = ["command"]


@click.command("show", cls=Command)
@recorded_run_argument
@output_options
def command(run_id: str, output: Output) -> None:
    """Show a recorded run: its input, variables, overrides and flow.

    RUN is an id, the beginning of one, or @last, @2 and so on: the newest recorded runs of all servers. No server is
    asked. Values of secret variables are never recorded and shown as ***; with -o json or -o yaml the flow is shown
    too.
    """
    from ...settings.history import open_history

    history = open_history()
    if run_id.startswith("@"):
        found = history.search(limit=1, offset=place_of(run_id))
    else:
        found = history.search(run_id=run_id, limit=2)
    if len(found) > 1:
        raise usage(f"several recorded run ids begin with {run_id}", "give more of it")
    if not found:
        hint = "'stepflow history list' shows what is recorded"
        raise Problem(f"the history has no run {run_id}", kind="not_found", exit_code=ExitCode.FAILED, hint=hint)
    output.record(entry_record(found[0], full=True), ENTRY_IN_FULL)
