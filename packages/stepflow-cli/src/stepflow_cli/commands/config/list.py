"""`stepflow config list`."""

from __future__ import annotations

import click

from ...output.messages import note
from ...output.view import Column, Output, View
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...settings.resolve import ServerOptions, Setting

__all__ = ["command"]

_SETTINGS = View(columns=(Column("name"), Column("value"), Column("origin")), name="name", folds=True)


@click.command("list", cls=Command)
@click.option("--show-origin", is_flag=True, help="Also show where each value comes from.")
@server_options(default="server")
@output_options
def command(show_origin: bool, server: ServerOptions, output: Output) -> None:
    """Show the settings in effect: the server that commands use, and all others.

    They take the environment and the flags of this command into account. A token is never shown, only its source;
    without a url, an embedded server is used.
    """
    from ...settings.display import home_as_tilde, settings_in_effect

    found = settings_in_effect(server)
    if output.format in (None, "table"):
        found = [Setting(each.name, home_as_tilde(each.value), home_as_tilde(each.origin)) for each in found]
    records = [{"name": each.name, "value": each.value, "origin": each.origin} for each in found]
    if show_origin or output.fields:
        output.records(records, _SETTINGS)
    else:
        for record in records:
            del record["origin"]
        output.records(records, _SETTINGS._replace(columns=_SETTINGS.columns[:2]))
    by_default = any(each.name == "url" and each.origin == "default" for each in found)
    if by_default:
        note("run, validate, list-components and repl start an embedded server, as none is named")
