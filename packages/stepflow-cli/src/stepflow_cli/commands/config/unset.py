"""`stepflow config unset`."""

from __future__ import annotations

import click

from ...completion.words import complete_config_keys
from ...output.view import Column, Output, View
from ...params.options import changed_profile_option, output_options
from ...params.parsing import Command

__all__ = ["command"]

_REMOVED = View(columns=(Column("name"), Column("file")), name="name")


@click.command("unset", cls=Command)
@click.argument("key", metavar="KEY", shell_complete=complete_config_keys)
@changed_profile_option
@output_options
def command(key: str, profile: str | None, output: Output) -> None:
    """Remove a key of a profile, or a whole profile.

    KEY is profiles.NAME.KEY, profiles.NAME for the whole profile, current, history, or a KEY alone, as for 'config
    set'. If the current profile is removed, there is no current one.
    """
    from ...settings.edit import changing, parse_key, unset_value

    with changing() as profiles:
        place = parse_key(key, profile, profiles)
        unset_value(place, profiles)
    if output.format or output.fields:
        output.record({"name": str(place), "file": str(profiles.path)}, _REMOVED)
