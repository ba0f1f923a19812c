"""`stepflow submit`."""

from __future__ import annotations

import click

from ..params.flow import detach_option, job_conflicts, job_options
from ..params.options import file_output_options, running_server_options, together, wait_options
from ..params.parsing import Command
from ..runs.job import Launch

_MAIN = "--input --input-json --example --var --set --idempotency-key --url --output --format --detach --timeout"


@click.command("submit", cls=Command, main_options=_MAIN, conflicts=job_conflicts)
@together("asked", Launch, job_options, running_server_options, detach_option, wait_options, file_output_options)
def command(asked: Launch) -> None:
    """The same as 'run', but it never starts a server: the run continues when this command ends, so Ctrl-C and
    --timeout only end the wait.
    """
    from ..runs.launch import launch

    launch(asked)
