"""`stepflow config set`."""

from __future__ import annotations

import click

from ...completion.words import complete_config_keys
from ...output.view import Column, Output, View
from ...params.options import changed_profile_option, output_options
from ...params.parsing import Command

__all__ = ["command"]

_CHANGED = View(columns=(Column("name"), Column("value"), Column("file")), name="name")


@click.command("set", cls=Command)
@click.argument("key", metavar="KEY", shell_complete=complete_config_keys)
@click.argument("value", metavar="VALUE")
@changed_profile_option
@output_options
def command(key: str, value: str, profile: str | None, output: Output) -> None:
    """Set a key of a profile, whether runs are recorded, or for which servers flows are checked.

    KEY is profiles.NAME.KEY, or a KEY alone for the profile that --profile names, else for the current one. A profile
    is made by setting its url.

    'stepflow config set history off' keeps commands from recording runs in the history. 'stepflow config set target
    0.13' leaves out what only other releases refuse when flows are checked, as 'stepflow validate --target' does.

    A token is never written into the file: token_env names a variable that holds it, token_file a file that others
    cannot read, token_command a command that prints it. Comments in the file are kept.
    """
    from ...settings.edit import changing, parse_key, set_value

    with changing() as profiles:
        place = parse_key(key, profile, profiles)
        stored = set_value(place, value, profiles)
    if output.format or output.fields:
        output.record({"name": str(place), "value": stored, "file": str(profiles.path)}, _CHANGED)
