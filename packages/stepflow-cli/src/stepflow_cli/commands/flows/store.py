"""`stepflow flows store`."""

from __future__ import annotations

from typing import Any

import click

from ...context import current_session
from ...output.view import Column, Output, View
from ...params.flow import flows_argument
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...server.connect import connect
from ...settings.resolve import ServerOptions

__all__ = ["command"]

_STORED = View(
    columns=(Column("flow"), Column("flow_id", kind="id"), Column("name")),
    name="flow_id",
    fields=("diagnostics",),
)


@click.command("store", cls=Command)
@flows_argument
@server_options(default="server")
@output_options
def command(flows: list[str], server: ServerOptions, output: Output) -> None:
    """Store flows on a server and print their ids.

    FLOW is a YAML or JSON file, or - for standard input. The same flow has the same id on every server of 0.10 or
    newer.

    Diagnostics are printed on standard error. If the server refuses a flow, the others are still stored, and the exit
    code is 3.
    """
    from stepflow_client import InvalidFlowError

    from ...inputs.flow import load_flow_file
    from ...records.diagnostics import InvalidFlow, called, diagnostic_records

    contents = [(flow, load_flow_file(flow)) for flow in flows]
    records: list[dict[str, Any]] = []
    refused: dict[str, list[dict[str, Any]]] = {}
    with connect(server) as target:
        for flow, content in contents:
            try:
                stored = target.client.store_flow(content)
            except InvalidFlowError as error:
                refused[flow] = _tell(diagnostic_records(flow, error.diagnostics))
                continue
            found = _tell(diagnostic_records(flow, stored.diagnostics))
            records.append({"flow": flow, "flow_id": stored.flow_id, "name": content.get("name"), "diagnostics": found})
    if records or not refused:
        output.records(records, _STORED, default="name")
    if refused:
        found = [record for each in refused.values() for record in each]
        names = ", ".join(map(called, refused))
        raise InvalidFlow(f"the server refuses {names}", found)


def _tell(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from ...records.diagnostics import print_diagnostics

    if not current_session().json_errors:
        print_diagnostics(found)
    return found
