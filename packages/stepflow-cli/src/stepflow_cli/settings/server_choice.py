"""Choose the server that a command uses and the release that its flows target."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import usage
from .profiles import Profiles, check_named_config_exists, load_profiles, parse_history_setting

if TYPE_CHECKING:
    from stepflow_client.flows.project import Project

    from .profiles import Profile

DEFAULT_PORT = 7837
"""The default port for `stepflow serve`. Copied from the client, because importing the client is slow."""
DEFAULT_URL = f"http://localhost:{DEFAULT_PORT}"

Default = Literal["embedded", "server"]
"""A command's default server: either an embedded one or the one at `DEFAULT_URL`."""


class Setting(NamedTuple):
    """A setting's value and origin."""

    name: str
    value: Any
    """A JSON value. For a token, this is where the token comes from, never the token itself."""
    origin: str
    """E.g. `flag --url`, `environment variable STEPFLOW_URL`, `profile prod in FILE`, `@last` or `default`."""


class ServerOptions(NamedTuple):
    """The server options from the command line."""

    url: str | None = None
    profile: str | None = None
    local: bool = False
    config: str | None = None
    """The configuration file for the embedded server. Implies `local`."""
    default: Default = "embedded"
    reads_project: bool = False
    """Whether an embedded server may use the project's configuration, which lets it start the programs named there."""
    may_stop_on_exit: bool = True
    """Whether the server may stop when the command exits, as an embedded server does."""

    run_server: Setting | None = None
    """The URL of the server where an existing run lives, for commands that refer to a run such as `@last`."""

    @property
    def has_server_option(self) -> bool:
        """Whether the command line specifies a server."""
        return bool(self.url or self.profile or self.local or self.config is not None or self.run_server)


@dataclass(eq=False, repr=False)
class ServerChoice:
    """The server that a command uses, along with all the related settings."""

    url: Setting
    """The server's URL, or None for an embedded server."""
    profile: Profile | None
    """The profile in use, if any."""
    settings: tuple[Setting, ...]
    """All settings with their origins, for display."""
    options: ServerOptions
    flow: str | None
    """The flow file. Its project or folder may contain a server configuration."""

    @cached_property
    def embedded_config(self) -> Setting:
        """The configuration file for the embedded server.

        None means that only the builtin components are used.

        Raises:
            FlowFileError: If a folder contains two configuration files, or if the project file is invalid or names a
                file that doesn't exist.
        """
        from stepflow_client.flows.project import find_server_config, require_existing_file

        from ..inputs.flow_loading import load_project_settings

        if self.options.config is not None:
            return Setting("config", self.options.config, "flag --config")
        project = load_project_settings(self.flow) if self.options.reads_project else None
        if project is not None and project.config is not None:
            path = require_existing_file(project, "config", project.config)
            return Setting("config", str(path), str(project.file))
        folder = None if self.flow in (None, "-") else Path(str(self.flow)).parent
        file = find_server_config(*([] if folder is None else [folder]), Path())
        origin = "the working folder" if file is not None and file.parent == Path() else "the flow's folder"
        return Setting("config", file and str(file), origin if file else "default")

    @property
    def ignored_config_message(self) -> str | None:
        """A one-line message saying that an embedded server's configuration is ignored, or None if it isn't ignored.

        Users who explicitly choose a server know that it has its own configuration, so they don't need this message.
        """
        is_submitted = self.options.reads_project and not self.options.may_stop_on_exit
        if not is_submitted or self.url.origin != "default" or self.embedded_config.value is None:
            return None
        named = f"{self.embedded_config.value} ({format_setting_origin(self.embedded_config.origin)})"
        return f"{named} is not used: it configures an embedded server, and {self.url_without_password} has its own"

    @property
    def url_without_password(self) -> str:
        """The server's URL with any user name and password removed."""
        from stepflow_client._base.text_formatting import format_url_without_credentials

        return format_url_without_credentials(str(self.url.value))

    @property
    def explanation(self) -> str:
        """A one-line description of the server and of how it was chosen."""
        if not self.is_embedded:
            return f"server {self.url_without_password} ({format_setting_origin(self.url.origin)})"
        config = self.embedded_config
        named = f"{config.value} ({format_setting_origin(config.origin)})" if config.value else "the builtin components"
        return f"embedded server ({format_setting_origin(self.url.origin)}) with {named}"

    @property
    def is_embedded(self) -> bool:
        """Whether the command starts its own server."""
        return self.url.value is None

    @property
    def credentials_description(self) -> str | None:
        """A description of the credentials that the command sends (never the credentials themselves), if any."""
        token = next((setting for setting in self.settings if setting.name == "token"), None)
        if token is not None and token.value is not None:
            where = token.origin if token.value == "environment" else f"{token.origin} ({token.value})"
            return f"the token from {where}"
        return "the user and password in the URL" if "@" in str(self.url.value) else None


def choose_server(options: ServerOptions, flow: str | None = None, *, profiles: Profiles | None = None) -> ServerChoice:
    """Choose the server for a command.

    The first of these that is set wins: `--local` (or `--config`), `--url`, the run's server, STEPFLOW_URL, a profile
    (from `--profile`, from STEPFLOW_PROFILE, or the current one in the configuration file). Otherwise the command's
    default applies.

    Args:
        options: The server options from the command line.
        flow: A flow file, `-`, or a flow ID. The file's project or folder may contain a configuration for the embedded
            server.
        profiles: The profiles. By default, they're read from the user's configuration file if needed.

    Raises:
        Problem: If the settings conflict, or if a profile doesn't exist or is invalid.
    """
    _check_server_options(options)
    profile = chosen = None
    if options.local or options.config is not None:
        url = Setting("url", None, "flag --local" if options.local else "flag --config")
    elif options.url:
        url = Setting("url", _expand_local_alias(options.url), "flag --url")
    elif options.run_server is not None:
        url, profiles = options.run_server, profiles or load_profiles()
        urls = {name: list_equivalent_urls(str(table.get("url"))) for name, table in profiles.tables.items()}
        profile = next((profiles.get_profile(name) for name, aliases in urls.items() if url.value in aliases), None)
    elif os.environ.get("STEPFLOW_URL"):
        url = Setting("url", _expand_local_alias(os.environ["STEPFLOW_URL"]), _variable_origin("STEPFLOW_URL"))
    else:
        name, origin = options.profile, "flag --profile"
        if not name:
            name, origin = os.environ.get("STEPFLOW_PROFILE"), _variable_origin("STEPFLOW_PROFILE")
        profiles = profiles or load_profiles()
        if not name:
            name, origin = profiles.current, f"current in {profiles.path}"
        if name:
            profile, chosen = profiles.get_profile(name), Setting("profile", name, origin)
            url = Setting("url", profile.url, f"profile {name} in {profiles.path}")
        else:
            url = Setting("url", DEFAULT_URL if options.default == "server" else None, "default")
    # STEPFLOW_TOKEN is meant for the server in STEPFLOW_URL, so don't send it to a run's server.
    is_for_other = options.run_server is not None and os.environ.get("STEPFLOW_URL")
    token = None if is_for_other else os.environ.get("STEPFLOW_TOKEN")
    settings = {"url": url, "profile": chosen or Setting("profile", None, "default")}
    if url.value is not None:
        defaults = {"token": None, "timeout": 30.0, "verify": True}
        for key in (*defaults, "ca_file", "cert_file", "key_file", "proxy"):
            settings[key] = Setting(key, defaults.get(key), "default")
        if token:
            settings["token"] = Setting("token", "environment", _variable_origin("STEPFLOW_TOKEN"))
    if profile is not None and profiles is not None:
        origin = f"profile {profile.name} in {profiles.path}"
        for key, value in profiles.tables[profile.name].items():
            if key.startswith("token_"):
                source = f"{key.removeprefix('token_')}: {value if isinstance(value, str) else ' '.join(value)}"
                settings["token"] = Setting("token", source, origin)
            elif key != "url":
                settings[key] = Setting(key, value, origin)
    if url.value is not None and os.environ.get("STEPFLOW_TIMEOUT"):
        settings["timeout"] = Setting("timeout", os.environ["STEPFLOW_TIMEOUT"], _variable_origin("STEPFLOW_TIMEOUT"))
    return ServerChoice(url, profile, tuple(settings.values()), options, flow)


def list_equivalent_urls(url: str) -> list[str]:
    """Return all URLs under which the history may have recorded this server, or an empty list if the URL is invalid."""
    from stepflow_client import StepflowClientError
    from stepflow_client._command import list_server_aliases, parse_url

    try:
        return list_server_aliases(str(parse_url(url)))
    except StepflowClientError:
        return []


def format_setting_origin(origin: str) -> str:
    """Format a setting's origin for messages, e.g. `from --url`, `from profile prod` or `default`."""
    if origin.startswith("profile "):
        return f"from {origin.partition(' in ')[0]}"
    for kind in ("flag ", "environment variable "):
        origin = origin.removeprefix(kind)
    return origin if origin == "default" else f"from {origin}"


def _expand_local_alias(url: str) -> str:
    return DEFAULT_URL if url.strip().lower() == "local" else url


def _check_server_options(options: ServerOptions) -> None:
    for flag, value in (("--url", options.url), ("--profile", options.profile), ("--config", options.config)):
        if value is not None and not value.strip():
            # This is most likely an unset shell variable. Fail rather than silently using a different server.
            raise usage(f"{flag} is empty", "leave it out, or set the shell variable it uses")
    check_named_config_exists()
    if history := os.environ.get("STEPFLOW_HISTORY", "").strip():
        parse_history_setting(history, "STEPFLOW_HISTORY")
    for variable in ("STEPFLOW_URL", "STEPFLOW_PROFILE"):
        if os.environ.get(variable, "-").isspace():
            raise usage(f"the environment variable {variable} is blank", "unset it, or set it to a value")
    local = "--local" if options.local else "--config" if options.config is not None else None
    named = "--url" if options.url else "--profile" if options.profile else None
    if local and named:
        raise usage(f"{local} starts an embedded server and {named} names a different one; use only one of them")
    if options.url and options.profile:
        raise usage("--url and --profile both name a server; use only one of them")
    if options.profile and os.environ.get("STEPFLOW_URL"):
        # Don't silently pick one, or the command could run on the wrong server.
        raise usage("--profile and the environment variable STEPFLOW_URL both name a server", "unset STEPFLOW_URL")


def _variable_origin(name: str) -> str:
    return f"environment variable {name}"


TARGET_VARIABLE = "STEPFLOW_TARGET"


def get_target_release_setting(
    profiles: Profiles | None = None, *, flag: str | None = None, project: Project | None = None
) -> Setting:
    """Return the setting for the release that flows target. None means all releases.

    Args:
        profiles: The contents of the configuration file. By default, the file is read from disk if needed.
        flag: The value of --target.
        project: The flow's project.

    Raises:
        Problem: If the release is invalid or the configuration file can't be read.
    """
    if flag is not None:
        setting = Setting("target", flag, "flag --target")
    elif text := os.environ.get(TARGET_VARIABLE, "").strip():
        setting = Setting("target", text, f"environment variable {TARGET_VARIABLE}")
    elif project is not None and project.target is not None:
        setting = Setting("target", project.target, str(project.file))
    else:
        profiles = load_profiles() if profiles is None else profiles
        is_set = profiles.target is not None
        setting = Setting("target", profiles.target, str(profiles.path) if is_set else "default")
    if setting.value is not None:
        check_valid_release(setting.value, setting.origin.removeprefix("flag ").removeprefix("environment variable "))
    return setting


def check_valid_release(value: Any, where: str) -> None:
    """Check that a value is a valid release. Error messages use `where` to say where the value came from.

    Raises:
        Problem: If the release is invalid.
    """
    from stepflow_client._rules.operations_and_releases import TARGET_RANGE, parse_checkable_release

    if parse_checkable_release(value) is None:
        hint = "to check for all of them, leave it out" if isinstance(value, str) else 'write it as text: "0.13"'
        raise usage(f"{where}: target must be a release from {TARGET_RANGE}, not {value!r}", hint)
