"""`stepflow runs diff`."""

from __future__ import annotations

import click

from ...errors import ExitCode, usage
from ...output.messages import note
from ...output.printing import Output
from ...params.click_commands import Command
from ...params.options import ParsedText, option, output_options, running_server_options
from ...params.runs import RUN_ID
from ...records.runs import DIFFERENCE, duration_text
from ...runs.find_runs import connect_to_runs
from ...settings.server_choice import ServerOptions


def _parse_item_pair(text: str, name: str) -> tuple[int, int]:
    """Parse item indexes. `7:0` means item 7 of A and item 0 of B; `7` means item 7 of both."""
    one, _, other = text.partition(":")
    if not (one.isdecimal() and (other or one).isdecimal()):
        raise usage(f"{name} {text}: use one item index (7) or a pair (7:0)")
    return int(one), int(other or one)


@click.command("diff", cls=Command)
@click.argument("a", metavar="A", type=RUN_ID)
@click.argument("b", metavar="B", type=RUN_ID)
@option("--ignore PATH", "Ignore this path and everything below it (* matches any key). Repeatable.", multiple=True)
@option(
    "--item N[:M]",
    "Compare only item N of A with item M of B, counted from 0. [default of M: N]",
    to="items",
    type=ParsedText(_parse_item_pair),
)
@option("--all", "Also show differences that come from an earlier step.", to="every")
@running_server_options
@output_options
def command(
    a: str,
    b: str,
    ignore: tuple[str, ...],
    items: tuple[int, int] | None,
    every: bool,
    server: ServerOptions,
    output: Output,
) -> None:
    """The command compares the status, the flow, and each item's step outputs (0.12 or newer), output and error. Paths
    look like `$.status`, `$.flow.steps.ID.input`, `$.steps.ID.output` and `$.output`. In batches, they begin with
    `$.items[N]`. A and B are run IDs or their first few digits, or @last, @2 and so on.

    If later steps inherit a difference, it's shown only at the first step. Use --all to show it everywhere. Secret
    values in the flows are shown as ***. Inputs, times and the flow's examples aren't compared.

    Use --item to compare two items as if they were runs. For example, --item 7:0 compares item 7 of a batch with its
    rerun.
    """
    with connect_to_runs(server, (a, b)) as (target, ids):
        compared = target.client.compare_runs(ids[0], ids[-1], ignore=ignore, items=items)
    shown = compared.every_difference if every else compared.differences
    if shown or output.format is not None:
        output.print_records((difference.to_dict() for difference in shown), DIFFERENCE)
    runs = {"A": compared.a, "B": compared.b}
    ends = [f"{name} {run.status.value} in {duration_text(run.duration)}" for name, run in runs.items()]
    note(("no differences: " if compared.is_same else "") + ", ".join(ends))
    if "step outputs" in compared.not_compared:
        note("this server does not return step outputs, so they are not compared")
    if repeated := len(compared.every_difference) - len(shown):
        places = "place repeats" if repeated == 1 else "places repeat"
        note(f"{repeated} more {places} these differences; to show them, use --all")
    if not compared.is_same:
        raise click.exceptions.Exit(ExitCode.FAILED)
