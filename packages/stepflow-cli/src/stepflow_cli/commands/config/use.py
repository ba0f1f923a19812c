"""`stepflow config use`."""

from __future__ import annotations

import os

import click

from ...completion.words import complete_profiles
from ...output.messages import note
from ...output.view import Column, Output, View
from ...params.options import output_options
from ...params.parsing import Command

__all__ = ["command"]

_USED = View(columns=(Column("profile"), Column("url"), Column("file")), name="profile")


@click.command("use", cls=Command)
@click.argument("name", metavar="NAME", shell_complete=complete_profiles)
@output_options
def command(name: str, output: Output) -> None:
    """Make a profile the current one.

    From then on commands use its server, unless a flag, STEPFLOW_URL or STEPFLOW_PROFILE names another one.
    """
    from ...settings.edit import changing, use_profile

    with changing() as profiles:
        name = use_profile(name, profiles)
        url = profiles.get(name).url
    if output.format or output.fields:
        output.record({"profile": name, "url": url, "file": str(profiles.path)}, _USED)
    else:
        note(f"commands now use {url}, by profile {name}")
    for variable in ("STEPFLOW_URL", "STEPFLOW_PROFILE"):
        if os.environ.get(variable):
            note(f"{variable} is set in this environment, and takes precedence over it")
            break
