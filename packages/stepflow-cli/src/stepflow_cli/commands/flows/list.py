"""`stepflow flows list`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from ...output.view import Column, Output, View, rfc3339
from ...params.options import output_options, server_options, watch_option
from ...params.parsing import Command
from ...params.times import time_option
from ...server.connect import connect
from ...settings.resolve import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient

__all__ = ["command"]

_LIMIT, _RUNS = 30, 1000

_FLOW = View(
    columns=(
        Column("name"),
        Column("flow_id"),
        Column("runs", kind="number"),
        Column("last_run", kind="time"),
        Column("last_status", title="STATUS", kind="status"),
    ),
    name="flow_id",
    fields=("last_run_id",),
)


@click.command("list", cls=Command)
@time_option("--since", "Only flows that ran then or later: 2026-11-25, or 1h for an hour ago.")
@click.option(
    "-n",
    "-L",
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=_LIMIT,
    show_default=True,
    help="Maximum number of flows.",
)
@server_options(default="server")
@watch_option
@output_options
def command(since: str | None, limit: int, server: ServerOptions, watch: bool, output: Output) -> None:
    """List the flows of recent runs, the one that ran last first.

    Servers cannot list their flows. These are the flows of the server's newest 1,000 runs, and RUNS counts the runs
    among those; a flow that was never run is missing.
    """
    if watch:
        from ...output.watching import check_watch

        check_watch(output)
    with connect(server) as target:
        if watch:
            from ...output.watching import watch_records

            watch_records(lambda: _flows(target.client, since)[:limit], _FLOW, output)
            return
        flows = _flows(target.client, since)
    output.records(flows[:limit], _FLOW)


def _flows(client: SyncStepflowClient, since: str | None) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for run in islice(client.iter_runs(since=since, page_size=_RUNS), _RUNS):
        flow = found.setdefault(
            run.flow_id,
            {
                "name": run.flow_name,
                "flow_id": run.flow_id,
                "runs": 0,
                "last_run": rfc3339(run.created_at),
                "last_status": run.status.value,
                "last_run_id": run.run_id,
            },
        )
        flow["runs"] += 1
    return list(found.values())
