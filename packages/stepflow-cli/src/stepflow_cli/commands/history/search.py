"""`stepflow history search`."""

from __future__ import annotations

import click

from ...output.view import Output
from ...params.history import history_filters
from ...params.options import output_options
from ...params.parsing import Command
from ...records.history import print_entries

__all__ = ["command"]


@click.command("search", cls=Command)
@click.argument("text", metavar="TEXT")
@history_filters
@output_options
def command(text: str, filters: dict[str, object], output: Output) -> None:
    """List the recorded runs that contain a text, newest first.

    TEXT is searched in id, server, flow, input, variables, overrides, labels and note, ignoring case. The exit code is
    0 even if nothing is found.
    """
    print_entries(filters | {"text": text}, output)
