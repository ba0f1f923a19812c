"""`stepflow flows get`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...output.view import Column, Output, View
from ...params.options import file_output_options, server_options
from ...params.parsing import Command
from ...server.connect import connect
from ...settings.resolve import ServerOptions

if TYPE_CHECKING:
    pass

__all__ = ["command"]

_EXAMPLES = View(columns=(Column("name"), Column("description"), Column("input")), name="name")


@click.command("get", cls=Command)
@click.argument("flow_id", metavar="FLOW_ID")
@click.option("--examples", is_flag=True, help="Print the examples, and the inputs of the test cases, instead.")
@server_options(default="server")
@file_output_options
def command(flow_id: str, examples: bool, server: ServerOptions, output: Output) -> None:
    """Print a flow that is stored on a server.

    It is printed as YAML, which 'stepflow run' accepts; with -o json as JSON, with -o table as an outline. Keys that
    the server does not know are missing.
    """
    from ...records.flows import print_flow

    with connect(server) as target:
        stored = target.client.get_flow(flow_id)
    if examples:
        output.records([each.model_dump(mode="json") for each in stored.examples], _EXAMPLES, default="yaml")
    else:
        print_flow(stored, output)
