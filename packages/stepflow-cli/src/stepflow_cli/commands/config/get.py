"""`stepflow config get`."""

from __future__ import annotations

from typing import Any

import click

from ...completion.words import complete_settings
from ...errors import Problem, nearest, printable, usage
from ...exit_codes import ExitCode
from ...output.view import Column, Output, View
from ...params.options import output_options, server_options
from ...params.parsing import Command
from ...settings.resolve import ServerOptions

__all__ = ["command"]

_SETTING = View(columns=(Column("name"), Column("value"), Column("origin")), name="name")


@click.command("get", cls=Command)
@click.argument("key", metavar="KEY", shell_complete=complete_settings)
@server_options(default="server")
@output_options
def command(key: str, server: ServerOptions, output: Output) -> None:
    """Print one setting.

    KEY is one that 'stepflow config list' shows: url, profile, token, timeout, history, target and so on, with the
    value in effect. Or it is a key of the file: current, profiles.NAME, or profiles.NAME.KEY.

    The exit code is 1 if it is not set. A token is never shown, only its source.
    """
    value, origin = (
        _of_file(key, server) if key == "current" or key.startswith("profiles.") else _in_effect(key, server)
    )
    if output.format in ("table", "name") or output.fields:
        output.record({"name": key, "value": value, "origin": origin}, _SETTING)
    elif output.format is None and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        output.write(printable(str(value)) + "\n")
    else:
        output.value(value)


def _in_effect(key: str, server: ServerOptions) -> tuple[Any, str]:
    from ...settings.display import settings_in_effect

    settings = {each.name: each for each in settings_in_effect(server)}
    if key not in settings:
        known = [*settings, "current"]
        raise usage(f"there is no setting {key}", nearest(key, known) or f"the settings are {', '.join(known)}")
    if settings[key].value is None:
        raise _not_set(key)
    return settings[key].value, settings[key].origin


def _of_file(key: str, server: ServerOptions) -> tuple[Any, str]:
    from ...settings.edit import parse_key
    from ...settings.profiles import load

    profiles = load()
    place = parse_key(key, None, profiles)
    if place.profile is None:
        value: Any = profiles.current
    else:
        table = profiles.tables.get(place.profile)
        shown = table and {name: _without_password(name, each) for name, each in table.items()}
        value = shown if shown is None or place.key is None else shown.get(place.key)
    if value is None:
        raise _not_set(str(place), str(profiles.path))
    return value, str(profiles.path)


def _without_password(key: str, value: Any) -> Any:
    from ...settings.urls import without_password

    return without_password(value) if key in ("url", "proxy") and isinstance(value, str) else value


def _not_set(key: str, file: str | None = None) -> Problem:
    where = f" in {file}" if file else ""
    return Problem(f"{key} is not set{where}", kind="not_set", exit_code=ExitCode.FAILED)
