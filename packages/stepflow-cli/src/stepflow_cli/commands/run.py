"""`stepflow run`."""

from __future__ import annotations

import click

from ..output.view import Output
from ..params.flow import cache_options, job_options
from ..params.options import file_output_options, server_options, wait_options
from ..params.parsing import Command
from ..runs.job import Caching, JobOptions
from ..runs.wait import Wait
from ..server.connect import connect
from ..settings.server_choice import ServerOptions

__all__ = ["command"]


@click.command("run", cls=Command)
@job_options
@cache_options
@server_options(default="embedded")
@wait_options
@file_output_options
def command(
    given: JobOptions,
    caching: Caching,
    server: ServerOptions,
    wait: Wait,
    output: Output,
) -> None:
    """FLOW is a YAML or JSON file, - for standard input, or the id of a flow that the server has. The input comes from
    an option, else it is the JSON piped into the command, else null.

    The output is printed as JSON; with -o the whole result is printed, even for failed runs.

    With --inputs, all inputs are run as one batch, and a line of JSON is printed for each, in their order.

    If --output FILE.jsonl, .csv or .parquet is given too, inputs are read and records written during the batch, in the
    order in which inputs end. A journal is kept beside the file: --resume continues an interrupted batch, and
    --retry-failed runs the failed inputs of a finished one again.

    The run is recorded in the history of this user: see 'stepflow history --help'.

    With --cache, a result that is there is printed without asking the server, and nothing is recorded.
    """
    from ..runs.execute import prepare, print_cached, run_job

    stream = None
    if given.is_batch:
        from ..runs.stream import stream_of

        stream = stream_of(given, output, wait)
    job = prepare(given, is_stream=stream is not None)
    caching.check(job)
    cache = None
    if caching.is_on:
        from ..runs.caching import open_cache

        cache = open_cache(caching, server, given.flow)
        if not given.dry_run and print_cached(cache, job, output):
            return
    with connect(server, flow=given.flow) as target:
        if given.dry_run:
            from ..runs.dry_run import dry_run as print_request

            print_request(target, job, output, given.flow, cache)
        elif stream is not None:
            from ..runs.stream import run_stream

            run_stream(target, job, stream, wait)
        else:
            run_job(target, job, wait, output, cache)
