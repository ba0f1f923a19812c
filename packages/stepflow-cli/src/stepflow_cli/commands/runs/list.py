"""`stepflow runs list`."""

from __future__ import annotations

import sys
from typing import Any

import click

from ...errors import usage
from ...output.messages import note
from ...output.tables import is_terminal
from ...output.view import Output
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...params.runs import run_id_option, status_option
from ...records.runs import RUN, run_record
from ...server.connect import connect
from ...settings.resolve import ServerOptions

__all__ = ["command"]

_LIMIT = 30


@click.command("list", cls=Command)
@status_option("runs")
@click.option("--flow-name", metavar="NAME", help="Only runs of flows of this name.")
@run_id_option("--root", help="Only this run and the runs below it.")
@run_id_option("--parent", help="Only runs that a step of this run created.")
@click.option("--roots-only", is_flag=True, help="Leave out runs that steps created.")
@click.option("--since", metavar="TIME", help="Only runs created then or later: 2026-11-25, or 2026-11-25T14:00:00Z.")
@click.option("--until", metavar="TIME", help="Only runs created before then; without a time zone it is local time.")
@click.option(
    "-L", "--limit", type=click.IntRange(min=1), metavar="N", help=f"Maximum number of runs. [default: {_LIMIT}]"
)
@click.option("--all", "everything", is_flag=True, help="All runs; with jsonl and name each is printed as it comes.")
@server_options(default="server")
@output_options
def command(limit: int | None, everything: bool, server: ServerOptions, output: Output, **given: Any) -> None:
    """List runs, newest first.

    ITEMS are those that have ended, of all; servers count them when the whole run ends. The duration of a run that
    goes on is how long it has been going.
    """
    if everything and limit is not None:
        raise usage("--all and --limit exclude each other")
    filters = {
        "status": given["status"],
        "flow_name": given["flow_name"],
        "root_run_id": given["root"],
        "parent_run_id": given["parent"],
        # Unset, and not False: a server before 0.10 does not know the filter.
        "roots_only": given["roots_only"] or None,
        "since": given["since"],
        "until": given["until"],
    }
    limit = limit or _LIMIT
    with connect(server) as target:
        if everything:
            output.records(map(run_record, target.client.iter_runs(**filters)), RUN)
            return
        # One more than is shown tells whether there are more.
        runs = target.client.list_runs(limit=limit + 1, **filters).runs
    output.records(map(run_record, runs[:limit]), RUN)
    if len(runs) > limit and is_terminal(sys.stderr):
        note(f"there are more than these {limit} runs; --limit N shows more, --all shows all")
