"""`stepflow history list`."""

from __future__ import annotations

import click

from ...output.view import Output
from ...params.history import history_filters
from ...params.options import output_options
from ...params.parsing import Command
from ...records.history import print_entries

__all__ = ["command"]


@click.command("list", cls=Command)
@history_filters
@output_options
def command(filters: dict[str, object], output: Output) -> None:
    """List the recorded runs, newest first.

    STATUS is the last one that a command on this machine has seen; - means that none has asked since the start.
    """
    print_entries(filters, output)
