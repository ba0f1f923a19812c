"""`stepflow flows get`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from ...connect import connect
from ...options import file_output_options, server_options
from ...output import Column, Output, View
from ...parsing import Command
from ...settings import ServerOptions

if TYPE_CHECKING:
    from stepflow_client.types import StoredFlow

__all__ = ["command"]

_FLOW = View(
    columns=(
        Column("flow_id", kind="id"),
        Column("name"),
        Column("description"),
        Column("steps"),
        Column("variables"),
        Column("examples"),
    ),
    name="flow_id",
)
_EXAMPLES = View(columns=(Column("name"), Column("description"), Column("input")), name="name")


@click.command("get", cls=Command)
@click.argument("flow_id", metavar="FLOW_ID")
@click.option("--examples", is_flag=True, help="Print the examples, and the inputs of the test cases, instead.")
@server_options(default="server")
@file_output_options
def command(flow_id: str, examples: bool, server: ServerOptions, output: Output) -> None:
    """Print a flow that is stored on a server.

    As YAML, which 'stepflow run' takes; with -o json as JSON, with -o table its outline. Keys that the server does not
    know are not in it.
    """
    from ...flow_files import in_reading_order

    with connect(server) as target:
        stored = target.client.get_flow(flow_id)
    if examples:
        output.records([each.model_dump(mode="json") for each in stored.examples], _EXAMPLES, default="yaml")
    elif output.format in ("table", "name"):
        output.record(_outline(stored), _FLOW)
    elif output.fields:
        output.record({"flow_id": flow_id, **in_reading_order(stored.flow)}, _FLOW, default="yaml")
    else:
        dataclasses.replace(output, value_format=output.document_format).value(in_reading_order(stored.flow))


def _outline(stored: StoredFlow) -> dict[str, Any]:
    from ...flow_files import declared_variables, step_ids

    flow = stored.flow
    return {
        "flow_id": stored.flow_id,
        "name": flow.get("name"),
        "description": flow.get("description"),
        "steps": step_ids(flow),
        "variables": list(declared_variables(flow)),
        "examples": [each.name for each in stored.examples],
    }
