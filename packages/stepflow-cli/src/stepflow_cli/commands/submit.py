"""`stepflow submit`."""

from __future__ import annotations

import click

from ..errors import usage
from ..output.view import Column, Output, View
from ..params.flow import job_options
from ..params.options import file_output_options, server_options, wait_options
from ..params.parsing import Command
from ..runs.job import JobOptions
from ..runs.wait import Wait
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

__all__ = ["command"]

_RUN = View(columns=(Column("run_id", kind="id"),))


@click.command("submit", cls=Command)
@job_options
@server_options(default="server")
@click.option("--detach", is_flag=True, help="Do not wait: print the run's id and exit.")
@wait_options
@file_output_options
def command(
    given: JobOptions,
    server: ServerOptions,
    detach: bool,
    wait: Wait,
    output: Output,
) -> None:
    """Like 'run', but on a server that continues the run when this command ends: Ctrl-C and --timeout only end the
    wait.

    With --inputs and --output FILE.jsonl, .csv or .parquet, inputs are read and records written during the batch, as by
    'run'.
    """
    from ..output.columns import check_known
    from ..runs.execute import naming, prepare, run_job, start

    if detach:
        check_known(output.fields, _RUN)
        if any(given.streaming.values()):
            raise usage("--detach starts one run of all inputs: it has no use for the options of a batch that streams")
        if server.local or server.config is not None:
            raise usage("--detach leaves no run behind on an embedded server, which ends with the command")
    stream = None
    if not detach and given.is_batch:
        from ..runs.stream import stream_of

        stream = stream_of(given, output, wait)
    job = prepare(given, is_stream=stream is not None)
    with connect(server, flow=given.flow) as target:
        if given.dry_run:
            from ..runs.dry_run import dry_run as print_request

            print_request(target, job, output, given.flow)
        elif detach:
            run_id = start(target, job)
            with naming(target, run_id):
                output.record({"run_id": run_id}, _RUN, default="name")
        elif stream is not None:
            from ..runs.stream import run_stream

            run_stream(target, job, stream, wait)
        else:
            run_job(target, job, wait, output)
