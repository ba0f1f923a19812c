"""`stepflow run`, `stepflow submit` and `stepflow batch`."""

from __future__ import annotations

import re

import click

from ..output.printing import FORMATS
from ..params.click_commands import Command
from ..params.flow_run_options import (
    INPUT_FORMATS,
    batch_conflicts,
    batch_options,
    cache_options,
    detach_option,
    rounds_option,
    run_conflicts,
    run_options,
)
from ..params.options import (
    WAITING,
    file_output_options,
    group_options,
    make_file_output_options,
    running_server_options,
    server_options,
    wait_options,
)
from ..runs.run_options import RunOptions

_RUN_ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_RUN_MAIN = (
    "--input --input-json --example --var --set --reuse --from --url --config --watch --output --format --detach "
    "--timeout"
)
_SUBMIT_MAIN = "--input --input-json --example --var --set --idempotency-key --url --output --format --detach --timeout"


@click.command("submit", cls=Command, main_options=_SUBMIT_MAIN, conflicts=run_conflicts)
@group_options(
    "options", RunOptions, *run_options, running_server_options, detach_option, wait_options, file_output_options
)
def submit_command(options: RunOptions) -> None:
    """This works like 'run', but never starts a server. The run continues after the command exits: --timeout and, by
    default, Ctrl-C only end the wait.
    """
    from ..runs.run_dispatch import execute_run_command

    # Submitted runs ignore the project's server configuration. Set `reads_project` so that a note points this out.
    execute_run_command(options._replace(server=options.server._replace(reads_project=True)))


@click.command("run", cls=Command, main_options=_RUN_MAIN, conflicts=run_conflicts)
@group_options(
    "options",
    RunOptions,
    *run_options,
    cache_options,
    server_options(default="embedded", reads_project=True),
    rounds_option,
    detach_option,
    WAITING.option("--ui", "Open the run's page and serve it until Ctrl-C."),
    wait_options,
    file_output_options,
)
def run_command(options: RunOptions) -> None:
    """FLOW can be a YAML or JSON file, MODULE:FUNCTION for a flow in Python, - to read standard input, or the ID of a
    flow on the server. Pass the input with an option, or pipe it in as JSON. If the flow needs no input, it's null.

    The output is printed as JSON. Use -o to print the whole result, even if the run fails. For many inputs, use
    'stepflow batch'.

    The run is recorded in your history (see 'stepflow history --help').

    With --cache, cached results are printed without a server (unless FLOW is an ID) and aren't recorded.

    With --watch, an embedded server stays up and restarts when its configuration changes. Standard input isn't read.

    With --detach, the server must already be running. By default, the command uses the server started by 'stepflow
    serve'.

    With --ui, the run's page opens immediately. An embedded server keeps running until you press Ctrl-C. The result is
    printed when the run ends. See 'stepflow ui'.
    """
    from ..runs.run_dispatch import execute_run_command

    if not options.watch:
        execute_run_command(options)
        return
    from ..file_watching import check_no_stdin, iter_watched_files, keeping_embedded_server, rerun_on_changes

    flow, values, server = options.flow, options.values, options.server
    check_no_stdin([flow, *values.value_files])
    watched = options._replace(values=values._replace(reads_stdin=False))
    with keeping_embedded_server(server, flow) as open_round:

        def run_round() -> None:
            with open_round() as session_options:
                execute_run_command(watched._replace(server=session_options))

        rerun_on_changes(run_round, lambda: [*iter_watched_files(flow, server), *values.value_files], noise=_RUN_ID)


_BATCH_MAIN = (
    "--output --format --retry --resume --retry-failed --limit --sample --input-format --on-bad-line --var --set "
    "--max-concurrency --url --config"
)


@click.command("batch", cls=Command, main_options=_BATCH_MAIN, conflicts=batch_conflicts)
@group_options(
    "options",
    RunOptions,
    *batch_options,
    server_options(default="embedded", reads_project=True),
    detach_option,
    wait_options,
    make_file_output_options(dict.fromkeys((*FORMATS, *INPUT_FORMATS))),
)
def batch_command(options: RunOptions) -> None:
    """INPUTS can be a file with one input per line (.jsonl), a CSV or Parquet file, a list in a YAML or JSON file, or -
    to read JSON lines from standard input. For FLOW, see 'stepflow run'.

    The command prints one record per input, in input order: a JSON line with the output or error. Up to 400 inputs
    share one run, except with -o csv or -O. Larger batches are split.

    With -O FILE, each record is written when its run ends, and a journal is kept next to the file.

    With --detach, all inputs become one run on a server, and the command prints its ID. --on-interrupt cancel also
    cancels the runs when --timeout expires.
    """
    from ..runs.run_dispatch import execute_run_command

    execute_run_command(options)
