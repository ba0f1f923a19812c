"""`stepflow runs report`."""

from __future__ import annotations

from pathlib import PurePath

import click

from ...errors import usage
from ...output.view import Output, open_in_browser, write_document
from ...params.options import OUTPUT, file_option, needs, running_server_options
from ...params.parsing import Command
from ...params.runs import runs_argument
from ...runs.find import connect_to_runs
from ...settings.server_choice import ServerOptions


@click.command("report", cls=Command, conflicts=[needs("--open", "--output")])
@runs_argument
@running_server_options
@file_option("Write the page to this file, - for standard output.")
@OUTPUT.option("--open", "Show the file in the browser; needs --output.", to="show")
def command(ids: list[str], server: ServerOptions, output: str | None, show: bool) -> None:
    """The page has the flow's graph coloured by status, a timeline, the steps, the errors in groups, and outputs that
    fold. For a batch it also has the latency of the items. Pass two runs to compare them. An unfinished run shows its
    current state.

    Input, variables and overrides come from the history, if the run was started on this machine, or from the server if
    it reports them. Values of secret variables are ***, as far as they are known: the flow's defaults, and the
    environment variables that it names.

    The graph needs the extra stepflow-client[draw].
    """
    Output(path=output).check()
    ending = PurePath(output or "").suffix.lower()
    if ending not in ("", ".html", ".htm"):
        raise usage(f"{output}: a report is a page in HTML, not {ending}", "name a file that ends in .html")
    from stepflow_client.drawing import gather, report_page

    with connect_to_runs(server, ids) as (target, ids):
        reports = [gather(target.client, run_id) for run_id in ids]
    write_document(report_page(reports).encode(), output)
    if show:
        open_in_browser(str(output))
