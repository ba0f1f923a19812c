"""`stepflow run`."""

from __future__ import annotations

from typing import Any

import click

from ..inputs.values import Values
from ..output.view import Output
from ..params.flow import (
    batch_options,
    cache_options,
    check_option,
    dry_run_option,
    flow_argument,
    history_options,
    key_option,
    stream_options,
    until_option,
    value_options,
)
from ..params.options import file_output_options, server_options, wait_options
from ..params.parsing import Command
from ..runs.job import Caching
from ..runs.wait import Wait
from ..server.connect import connect
from ..settings.resolve import ServerOptions

__all__ = ["command"]


@click.command("run", cls=Command)
@flow_argument
@dry_run_option
@key_option
@until_option
@cache_options
@value_options
@check_option
@batch_options
@stream_options
@history_options
@server_options(default="embedded")
@wait_options
@file_output_options
def command(
    flow: str,
    dry_run: bool,
    idempotency_key: str | None,
    until: str | None,
    caching: Caching,
    values: Values,
    inputs: str | None,
    max_concurrency: int | None,
    check: bool,
    streaming: dict[str, Any],
    about: dict[str, Any],
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
    if inputs is not None or any(streaming.values()):
        from ..runs.stream import stream_of

        stream = stream_of(inputs, output, wait, streaming)
    job = prepare(
        flow,
        values,
        inputs=inputs,
        max_concurrency=max_concurrency,
        check=check,
        is_stream=stream is not None,
        idempotency_key=idempotency_key,
        about=about,
        until=until,
    )
    caching.check(job)
    cache = None
    if caching.is_on:
        from ..runs.caching import open_cache

        cache = open_cache(caching, server, flow)
        if not dry_run and print_cached(cache, job, output):
            return
    with connect(server, flow=flow) as target:
        if dry_run:
            from ..runs.dry_run import dry_run as print_request

            print_request(target, job, output, flow, cache)
        elif stream is not None:
            from ..runs.stream import run_stream

            run_stream(target, job, stream, wait)
        else:
            run_job(target, job, wait, output, cache)
