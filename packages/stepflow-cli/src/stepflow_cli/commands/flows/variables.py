"""`stepflow flows variables`."""

from __future__ import annotations

from typing import Any

import click

from ...output.view import Column, Output, View
from ...params.flow import flow_argument
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...server.connect import connect
from ...settings.resolve import ServerOptions

__all__ = ["command"]

_VARIABLES = View(
    columns=(
        Column("name"),
        Column("required", kind="status"),
        Column("default"),
        Column("type"),
        Column("env_var"),
        Column("is_secret", title="SECRET", kind="status"),
        Column("description"),
    ),
    name="name",
    fields=("value_schema",),
    folds=True,
)


@click.command("variables", cls=Command)
@flow_argument
@server_options(default="server")
@output_options
def command(flow: str, server: ServerOptions, output: Output) -> None:
    """List the variables that a flow declares.

    FLOW is a YAML or JSON file, - for standard input, or the id of a flow on a server. A server is needed only for an
    id. Defaults of secret variables are not shown.

    With --env-variables, 'run' reads a variable that has no ENV_VAR from STEPFLOW_VAR_<NAME>.
    """
    from stepflow_client.flows.file import is_flow_id

    from ...inputs.flow import declared_variables, load_flow_file

    if is_flow_id(flow):
        with connect(server) as target:
            content = target.client.get_flow(flow).flow
    else:
        content = load_flow_file(flow)
    output.records([_record(name, each) for name, each in declared_variables(content).items()], _VARIABLES)


def _record(name: str, declared: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "required": declared["required"],
        "default": None if declared["is_secret"] else declared["default"],
        "type": declared["value_schema"].get("type"),
        "env_var": declared["env_var"],
        "is_secret": declared["is_secret"],
        "description": declared["description"],
        "value_schema": _without_secret(declared),
    }


_VALUES = ("default", "const", "enum", "examples", "example")
"""The keywords of a schema that hold values."""


def _without_secret(declared: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = declared["value_schema"]
    return {key: value for key, value in schema.items() if key not in _VALUES} if declared["is_secret"] else schema
