"""`stepflow run`."""

from __future__ import annotations

import click

from ..inputs.values import Values
from ..output.view import Output
from ..params.flow import batch_options, check_option, dry_run_option, flow_argument, value_options
from ..params.options import file_output_options, server_options, wait_options
from ..params.parsing import Command
from ..runs.wait import Wait
from ..server.connect import connect
from ..settings.resolve import ServerOptions

__all__ = ["command"]


@click.command("run", cls=Command)
@flow_argument
@dry_run_option
@value_options
@check_option
@batch_options
@server_options(default="embedded")
@wait_options
@file_output_options
def command(
    flow: str,
    dry_run: bool,
    values: Values,
    inputs: str | None,
    max_concurrency: int | None,
    check: bool,
    server: ServerOptions,
    wait: Wait,
    output: Output,
) -> None:
    """Run a flow and print its output.

    FLOW is a YAML or JSON file, - for standard input, or the id of a flow that the server has. The input is what an
    option gives, else the JSON that is piped into the command, else null.

    The output is printed as JSON; with -o the whole result is printed, even for failed runs.

    With --inputs, all inputs are run as one batch, and a line of JSON is printed for each, in their order.
    """
    from ..runs.dry_run import dry_run as print_request
    from ..runs.execute import prepare, run_job

    job = prepare(flow, values, inputs=inputs, max_concurrency=max_concurrency, check=check)
    with connect(server, flow=flow) as target:
        if dry_run:
            print_request(target, job, output, flow)
            return
        run_job(target, job, wait, output)
