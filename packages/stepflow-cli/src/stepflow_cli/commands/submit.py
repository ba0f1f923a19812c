"""`stepflow submit`."""

from __future__ import annotations

from typing import Any

import click

from ..errors import usage
from ..inputs.values import Values
from ..output.view import Column, Output, View
from ..params.flow import (
    batch_options,
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
from ..runs.wait import Wait
from ..server.connect import connect
from ..settings.resolve import ServerOptions

__all__ = ["command"]

_RUN = View(columns=(Column("run_id", kind="id"),))


@click.command("submit", cls=Command)
@flow_argument
@dry_run_option
@key_option
@until_option
@value_options
@check_option
@batch_options
@stream_options
@history_options
@server_options(default="server")
@click.option("--detach", is_flag=True, help="Do not wait: print the run's id and exit.")
@wait_options
@file_output_options
def command(
    flow: str,
    dry_run: bool,
    idempotency_key: str | None,
    until: str | None,
    values: Values,
    inputs: str | None,
    max_concurrency: int | None,
    check: bool,
    streaming: dict[str, Any],
    about: dict[str, Any],
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
    from ..params.fields import check_known
    from ..runs.execute import naming, prepare, run_job, start

    if detach:
        check_known(output.fields, _RUN)
        if any(streaming.values()):
            raise usage("--detach starts one run of all inputs: it has no use for the options of a batch that streams")
        if server.local or server.config is not None:
            raise usage("--detach leaves no run behind on an embedded server, which ends with the command")
    stream = None
    if not detach and (inputs is not None or any(streaming.values())):
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
    with connect(server, flow=flow) as target:
        if dry_run:
            from ..runs.dry_run import dry_run as print_request

            print_request(target, job, output, flow)
        elif detach:
            run_id = start(target, job)
            with naming(target, run_id):
                output.record({"run_id": run_id}, _RUN, default="name")
        elif stream is not None:
            from ..runs.stream import run_stream

            run_stream(target, job, stream, wait)
        else:
            run_job(target, job, wait, output)
