"""`stepflow runs report`."""

from __future__ import annotations

import click

from ...errors import usage
from ...output.view import Output, open_in_browser, write_document
from ...params.options import file_option, option_in, server_options
from ...params.parsing import Command
from ...params.runs import read_run_ids, runs_argument
from ...runs.find import whole_ids
from ...server.connect import connect
from ...settings.server_choice import ServerOptions


@click.command("report", cls=Command)
@runs_argument
@server_options(default="server")
@file_option("Write the page to this file, - for standard output.")
@option_in("--open", "show", is_flag=True, section="Output", help="Show the file in the browser; needs --output.")
def command(runs: tuple[str, ...], server: ServerOptions, output: str | None, show: bool) -> None:
    """It has the flow's graph coloured by status, a timeline, the steps, the errors in groups, and outputs that fold;
    of a batch the latency of the items too. Two runs stand side by side. A run that has not ended is shown as far as it
    came. Input, variables and overrides come from the history, where the run was started on this machine; servers
    before 0.12 tell input and overrides themselves. Values of secret variables are ***, as far as they are known: the
    flow's defaults, and the environment variables that it names.

    Servers before 0.12 tell no times of steps. The graph needs the extra stepflow-client[draw].
    """
    if show and output in (None, "-"):
        raise usage("--open shows a file", "name it with -O FILE")
    Output(path=output).check()
    ids = read_run_ids(runs)
    from stepflow_client.drawing import gather, report_page

    with connect(server) as target:
        reports = [gather(target.client, run_id) for run_id in whole_ids(target.client, ids)]
    write_document(report_page(reports).encode(), output)
    if show:
        open_in_browser(str(output))
