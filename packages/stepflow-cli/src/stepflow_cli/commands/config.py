"""`stepflow config`: settings and where they come from."""

from __future__ import annotations

import os
from typing import Any

import click
from stepflow_client._base.text_formatting import format_url_without_credentials

from ..errors import Problem, suggest, usage
from ..output.colors_and_escaping import escape
from ..output.messages import note
from ..output.printing import Output
from ..output.record_views import View, columns
from ..params.click_commands import LazyGroup
from ..params.options import (
    changed_profile_option,
    lazy_complete,
    option,
    output_options,
    record_options,
    running_server_options,
)
from ..settings.profiles import load_profiles
from ..settings.server_choice import ServerOptions

command = LazyGroup(
    "config",
    aliases={"show": "list", "rm": "unset"},
    help="""
    Profiles are stored in config.toml in your configuration folder, or in the TOML file named by STEPFLOW_CONFIG_FILE:

    \b
      current = "prod"
      [profiles.prod]
      url = "https://stepflow.example.com"
      token_command = ["pass", "show", "stepflow"]

    A profile can contain url; token_env, token_file or token_command; timeout (seconds); verify (true or false);
    ca_file; cert_file; key_file; and proxy. --url or STEPFLOW_URL replaces the profile. STEPFLOW_TIMEOUT overrides its
    timeout, but its token and proxy override the environment.

    Above the profiles, set history = false to stop recording runs (like STEPFLOW_HISTORY=off), or set history =
    "postgresql://HOST/NAME" to record them in a database. To check flows for a specific release, set target = "0.13"
    (like --target or STEPFLOW_TARGET).
    """,
)

_SETTING_VIEW = View(columns("name", "value", "origin"), name="name", folds=True)


@command.command("list")
@option("--show-origin", "Also show where each value comes from.")
@running_server_options
@output_options
def _list_effective_settings(show_origin: bool, server: ServerOptions, output: Output) -> None:
    """Show the settings in effect, such as the server that commands use.

    This includes the environment and this command's flags. Tokens are never shown, only their source.
    """
    from ..settings.list_settings import abbreviate_home_folder, list_settings

    settings = list_settings(server)
    records = [setting._asdict() for setting in settings]
    if output.format in (None, "table"):
        records = [{name: abbreviate_home_folder(value) for name, value in record.items()} for record in records]
    if show_origin or output.fields:
        output.print_records(records, _SETTING_VIEW)
    else:
        for record in records:
            del record["origin"]
        output.print_records(records, _SETTING_VIEW._replace(columns=_SETTING_VIEW.columns[:2]))
    if any(setting.name == "url" and setting.origin == "default" for setting in settings):
        note("no server is set: run, batch, test, eval, validate, infer, components and repl start an embedded one")


@command.command("get")
@click.argument("key", metavar="KEY", shell_complete=lazy_complete("setting_names"))
@running_server_options
@record_options
def _print_setting(key: str, server: ServerOptions, output: Output) -> None:
    """Print one setting.

    For the value in effect, use a KEY from 'stepflow config list' (url, profile, token, timeout, history, target and so
    on). For a value in the file, use current, profiles.NAME or profiles.NAME.KEY.

    If KEY isn't set, the exit code is 1. Tokens are never shown, only their source.
    """
    from ..settings.edit_config_file import parse_setting_key
    from ..settings.list_settings import list_settings

    value: Any
    if key == "current" or key.startswith("profiles."):
        profiles = load_profiles()
        path, origin = parse_setting_key(key, None, profiles), str(profiles.path)
        if path.profile is None:
            value = profiles.current
        else:
            value = profiles.tables.get(path.profile)
            for name in {"url", "proxy"} & set(value or ()):
                value = {**value, name: format_url_without_credentials(str(value[name]))}
            if value is not None and path.key is not None:
                value = value.get(path.key)
        if value is None:
            is_unknown = path.profile not in (None, *profiles.tables)
            near = suggest(path.profile or "", profiles.tables) if is_unknown else None
            raise Problem(f"{path} is not set in {origin}", kind="not_set", hint=near)
    else:
        settings = {setting.name: setting for setting in list_settings(server)}
        if key not in settings:
            known = [*settings, "current"]
            raise usage(f"unknown setting {key}", suggest(key, known) or f"the settings are {', '.join(known)}")
        _, value, origin = settings[key]
        if value is None:
            raise Problem(f"{key} is not set", kind="not_set")
    if output.format in ("table", "name"):
        output.print_record({"name": key, "value": value, "origin": origin}, _SETTING_VIEW)
    elif output.format is None and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        output.write(escape(str(value)) + "\n")
    else:
        output.print_value(value)


_CHANGED_SETTING_VIEW = View(columns("name", "value", "file"), name="name")


@command.command("set")
@click.argument("key", metavar="KEY", shell_complete=lazy_complete("config_keys"))
@click.argument("value", metavar="VALUE")
@changed_profile_option
@record_options
def _change_setting(key: str, value: str, profile: str | None, output: Output) -> None:
    """Set a profile key, the history, or the release to check flows for.

    KEY is profiles.NAME.KEY, current, history, target, or just KEY to change the --profile or the current profile. To
    create a profile, set its url.

    history is on, off or the URL of a database that several hosts can share: postgresql://HOST/NAME. After 'stepflow
    config set target 0.13', flow checks ignore problems that only affect other releases, as with 'stepflow validate
    --target'.

    Tokens are never written to the file. Instead, name an environment variable (token_env), a file that others can't
    read (token_file), or a command that prints the token (token_command). Comments in the file are kept.
    """
    from ..settings.edit_config_file import change_setting, parse_setting_key

    profiles = load_profiles(missing_ok=True)
    path = parse_setting_key(key, profile, profiles)
    stored = change_setting(path, value, profiles)
    if output.format:
        output.print_record({"name": str(path), "value": stored, "file": str(profiles.path)}, _CHANGED_SETTING_VIEW)


_REMOVED_SETTING_VIEW = View(columns("name", "file"), name="name")


@command.command("unset")
@click.argument("key", metavar="KEY", shell_complete=lazy_complete("config_keys"))
@changed_profile_option
@record_options
def _remove_setting(key: str, profile: str | None, output: Output) -> None:
    """Remove a profile key or an entire profile.

    KEY is profiles.NAME.KEY, profiles.NAME for the entire profile, current, history, target, or just KEY. If you remove
    the current profile, no profile is current.
    """
    from ..settings.edit_config_file import parse_setting_key, remove_setting

    profiles = load_profiles(missing_ok=True)
    path = parse_setting_key(key, profile, profiles)
    remove_setting(path, profiles)
    if output.format:
        output.print_record({"name": str(path), "file": str(profiles.path)}, _REMOVED_SETTING_VIEW)


_USED_PROFILE_VIEW = View(columns("profile", "url", "file"), name="profile")


@command.command("use")
@click.argument("name", metavar="NAME", shell_complete=lazy_complete("profiles"))
@record_options
def _use_profile(name: str, output: Output) -> None:
    """Make a profile the current one.

    Commands then use its server, unless a flag, STEPFLOW_URL or STEPFLOW_PROFILE selects a different one.
    """
    from ..settings.edit_config_file import make_profile_current

    profiles = load_profiles(missing_ok=True)
    name = make_profile_current(name, profiles)
    url = profiles.get_profile(name).url
    if output.format:
        output.print_record({"profile": name, "url": url, "file": str(profiles.path)}, _USED_PROFILE_VIEW)
    else:
        note(f"commands now use {url} (profile {name})")
    for variable in ("STEPFLOW_URL", "STEPFLOW_PROFILE"):
        if os.environ.get(variable):
            note(f"{variable} is set in the environment and takes precedence")
            break
