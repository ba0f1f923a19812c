"""`stepflow batch`."""

from __future__ import annotations

import click

from ..output.view import FORMATS
from ..params.flow import INPUT_FORMATS, batch_conflicts, batch_options, detach_option
from ..params.options import file_output, grouped, server_options, wait_options
from ..params.parsing import Command
from ..runs.run_options import RunOptions

_MAIN = (
    "--output --format --retry --resume --retry-failed --limit --sample --input-format --on-bad-line --var --set "
    "--max-concurrency --url --config"
)


@click.command("batch", cls=Command, main_options=_MAIN, conflicts=batch_conflicts)
@grouped(
    "options",
    RunOptions,
    *batch_options,
    server_options(default="embedded", reads_project=True),
    detach_option,
    wait_options,
    file_output(dict.fromkeys((*FORMATS, *INPUT_FORMATS))),
)
def command(options: RunOptions) -> None:
    """INPUTS is a file with an input on each line (.jsonl), a CSV or Parquet file, a list in a YAML or JSON file, or -
    for JSON lines on standard input. FLOW is a file, MODULE:FUNCTION, - or an id, as for 'stepflow run'.

    Each input gets a record: its output, or why it failed. Records are printed as lines of JSON, in the order of the
    inputs. Up to 400 inputs are one run; more are split into several.

    With -O FILE, records are written while the batch runs, in the order in which inputs end, and a journal is kept
    beside the file: --resume continues an interrupted batch, and --retry-failed runs the failed inputs of a finished
    one again.

    With --detach, all inputs become one run of a server, and its id is printed.
    """
    from ..runs.execute import execute

    execute(options)
