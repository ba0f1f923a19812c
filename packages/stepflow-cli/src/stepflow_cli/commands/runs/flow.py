"""`stepflow runs flow`."""

from __future__ import annotations

import click

from ...connect import connect
from ...flow_files import in_reading_order, step_ids
from ...options import file_output_options, server_options
from ...output import Column, Output, View
from ...parsing import Command
from ...run_arguments import run_argument
from ...settings import ServerOptions

__all__ = ["command"]

_FLOW = View(
    columns=(Column("flow_id", kind="id"), Column("name"), Column("steps")),
    name="flow_id",
    fields=("description", "version", "schemas", "output", "test", "examples", "metadata"),
)


@click.command("flow", cls=Command)
@run_argument
@server_options(default="server")
@file_output_options
def command(run_id: str, server: ServerOptions, output: Output) -> None:
    """Print the flow of a run, as YAML unless another format is asked for.

    It is the flow as the server keeps it: without comments, and without keys that the server does not know. Its
    examples are with flows get.
    """
    with connect(server) as target:
        stored = target.client.get_run_flow(run_id)
    record = in_reading_order(stored.flow)
    if output.format in ("table", "name"):
        record |= {"flow_id": stored.flow_id, "name": stored.flow.get("name"), "steps": step_ids(stored.flow)}
    elif output.fields:
        # No part of the flow itself, which can be run as it is printed.
        record["flow_id"] = stored.flow_id
    output.record(record, _FLOW, default=output.document_format)
