"""`stepflow runs items`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ...errors import usage
from ...output.view import Output
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...params.runs import run_argument, status_option
from ...records.runs import ITEM, STATUSES, item_record
from ...runs.ids import whole_id
from ...server.connect import connect
from ...settings.resolve import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import RunItem

__all__ = ["command"]

_FAILED = ("failed", "recovery_failed")


@click.command("items", cls=Command)
@run_argument
@status_option("items")
@click.option("--failed", is_flag=True, help="Only items that failed.")
@server_options(default="server")
@output_options
def command(run_id: str, status: tuple[str, ...], failed: bool, server: ServerOptions, output: Output) -> None:
    """Servers report the state of the items when the whole run ends; until then all of them may be shown as running."""
    if failed and status:
        raise usage("--failed and --status exclude each other")
    wanted = _FAILED if failed else status or STATUSES
    with connect(server) as target:
        run_id = whole_id(target.client, run_id)
        listed = target.client.get_run_items(run_id)
    # An iterator: each item is parsed from the response when it is used, and `
    # head` uses few.
    output.records(_chosen(iter(listed.items), wanted, all_of_them=not (failed or status)), ITEM)


def _chosen(items: Iterator[RunItem], wanted: tuple[str, ...], *, all_of_them: bool) -> Iterator[dict[str, Any]]:
    for item in items:
        if all_of_them or item.status.value in wanted:
            yield item_record(item)
