"""`stepflow list-components`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..output.messages import note
from ..output.view import Column, Output, View
from ..params.options import formatted_output, server_options
from ..params.parsing import Command
from ..server.connect import connect, listed_components
from ..settings.server_choice import ServerOptions

if TYPE_CHECKING:
    from stepflow_client import ComponentList

__all__ = ["command"]

_COMPONENTS = View(
    columns=(Column("name", kind="id"), Column("path", kind="id"), Column("plugin"), Column("description")),
    name="name",
    fields=("input_schema", "output_schema"),
)


def _switch(name: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an option that takes true or false; without a value it means true."""
    return click.option(name, type=bool, is_flag=False, flag_value="true", metavar="[true|false]", help=help)


@click.command("list-components", cls=Command)
@_switch("--schemas", "Also print their schemas. [default: true for json, jsonl and yaml, else false]")
@_switch("--hide-unreachable", "Leave out components that no route leads to, where routes are known. [default: true]")
@server_options(default="embedded")
@formatted_output(pretty="table")
def command(schemas: bool | None, hide_unreachable: bool | None, server: ServerOptions, output: Output) -> None:
    """PATH is what a step names as its `component`. Servers do not report it; for an embedded server it is known from
    the configuration.
    """
    if schemas and output.format in (None, "table") and not output.fields:
        note("a table has no room for schemas: -o json prints them")
    if schemas is None:
        schemas = output.format in ("json", "jsonl", "yaml") or any("schema" in field for field in output.fields)
    with connect(server) as target:
        listed = listed_components(target, schemas=schemas)
        output.records(
            _records(listed, schemas, hide_unreachable is not False and target.runtime is not None), _COMPONENTS
        )
    for failed in listed.failed_plugins:
        note(f"the plugin {failed.plugin} could not be asked: {failed.error}")


def _records(listed: ComponentList, schemas: bool, hide_unreachable: bool) -> Iterator[Mapping[str, Any]]:
    for component in sorted(listed, key=lambda each: (each.plugin or "", each.name)):
        if hide_unreachable and component.path is None:
            continue
        record = component.model_dump(mode="json")
        if not schemas:
            del record["input_schema"], record["output_schema"]
        yield record
