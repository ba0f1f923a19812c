"""`stepflow validate`."""

from __future__ import annotations

from dataclasses import replace

import click

from ..context import current_session
from ..output.view import Output
from ..params.flow import flows_argument
from ..params.options import output_options, server_options
from ..params.parsing import Command
from ..server.connect import connect
from ..settings.resolve import ServerOptions

__all__ = ["command"]


@click.command("validate", cls=Command)
@flows_argument
@click.option("--strict", is_flag=True, help="A flow with warnings is invalid too.")
@server_options(default="embedded")
@output_options
def command(flows: list[str], strict: bool, server: ServerOptions, output: Output) -> None:
    """Validate flows and print the server's diagnostics.

    FLOW is a YAML or JSON file, - for standard input, or the id of a flow that the server has. Nothing is stored and
    nothing is run.

    A flow with a fatal error is refused by servers; one with other errors is accepted, but will likely fail. Both are
    invalid (exit code 3); warnings are allowed.
    """
    from ..inputs.flow import load_flow_or_id
    from ..records.diagnostics import DIAGNOSTICS, diagnostic_records

    contents = [(flow, load_flow_or_id(flow)) for flow in flows]
    with connect(server, flow=flows[0]) as target:
        validate = target.client.validate
        found = {flow: diagnostic_records(flow, validate(content).diagnostics) for flow, content in contents}
    records = [record for each in found.values() for record in each]
    as_table = output.format in (None, "table")
    if records or output.fields or not as_table:
        # The table of one flow's diagnostics does not name it in every line.
        columns = DIAGNOSTICS.columns[1:] if len(flows) == 1 else DIAGNOSTICS.columns
        output.records(records, replace(DIAGNOSTICS, columns=columns))
    _judge(found, strict, tell=as_table and not current_session().quiet)


def _judge(found: dict[str, list[dict[str, object]]], strict: bool, *, tell: bool) -> None:
    """Say which flows are valid, and fail if one is not."""
    from ..records.diagnostics import InvalidFlow, called, counted

    invalid, only_warned = [], True
    for flow, records in found.items():
        blocking = [record for record in records if strict or record["level"] in ("fatal", "error")]
        counts = counted(records)
        name = called(flow)
        if blocking:
            invalid.append(f"{name} is invalid: {counts}")
            only_warned = only_warned and all(record["level"] == "warning" for record in records)
        elif tell:
            click.echo(f"{name} is valid{f': {counts}' if counts else ''}", err=True)
    if invalid:
        raise InvalidFlow("; ".join(invalid), hint="without --strict, warnings are allowed" if only_warned else None)
