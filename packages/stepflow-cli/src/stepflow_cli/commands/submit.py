"""`stepflow submit`."""

from __future__ import annotations

import click

from ..connect import connect
from ..flow_options import batch_options, flow_argument, value_options
from ..options import Wait, output_file_option, output_options, server_options, wait_options
from ..output import Column, Output, View
from ..parsing import Command
from ..settings import ServerOptions
from ..values import Values

__all__ = ["command"]

_RUN = View(columns=(Column("run_id", kind="id"),))


@click.command("submit", cls=Command)
@flow_argument
@value_options
@batch_options
@server_options(default="server")
@click.option("--detach", is_flag=True, help="Do not wait: print the id of the run and end.")
@wait_options
@output_file_option
@output_options
def command(
    flow: str,
    values: Values,
    inputs: str | None,
    max_concurrency: int | None,
    server: ServerOptions,
    detach: bool,
    wait: Wait,
    output: Output,
    output_file: str | None,
) -> None:
    """Run a flow on a server and print its output.

    As run, but on a server that goes on with the run when this command ends: Ctrl-C and --timeout only end the wait.
    """
    from ..batches import read_inputs, run_batch
    from ..running import prepare, run_job, start, to_file

    output = to_file(output, output_file)
    job = prepare(flow, values, inputs=inputs)
    batch = None if inputs is None else read_inputs(inputs, values.stdin_format)
    with connect(server, flow=flow) as target:
        if detach:
            run_id = start(target, job, [job.input] if batch is None else batch, max_concurrency=max_concurrency)
            output.record({"run_id": run_id}, _RUN, default="name")
        elif batch is None:
            run_job(target, job, wait, output)
        else:
            run_batch(target, job, batch, wait, output, max_concurrency=max_concurrency)
