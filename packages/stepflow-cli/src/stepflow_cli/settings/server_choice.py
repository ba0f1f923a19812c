"""Which server a command uses, and the origin of that choice: a flag, the environment, a profile or the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import usage

if TYPE_CHECKING:
    from .profiles import Profile, Profiles

DEFAULT_PORT = 7837
"""The port of `stepflow serve`. It equals the client's default, which would take longer to import."""
DEFAULT_URL = f"http://localhost:{DEFAULT_PORT}"

Default = Literal["embedded", "server"]
"""The default for a command: an embedded server, or the server at `DEFAULT_URL`."""


class ServerOptions(NamedTuple):
    """The server options of the command line."""

    url: str | None = None
    profile: str | None = None
    local: bool = False
    config: str | None = None
    """The embedded server's configuration file; it implies `local`."""
    default: Default = "embedded"
    reads_project: bool = False
    """Whether an embedded server may have the configuration that the project names."""
    may_end: bool = True
    """Whether the server may end with the command, as an embedded one does."""

    @property
    def is_named(self) -> bool:
        """Whether an option names the server."""
        return bool(self.url or self.profile or self.local or self.config is not None)


class Setting(NamedTuple):
    """A value and its origin."""

    name: str
    value: Any
    """A JSON value; for a token, its source, never the token itself."""
    origin: str
    """`flag --url`, `environment variable STEPFLOW_URL`, `profile prod in FILE`, or `default`."""


class Settings(NamedTuple):
    """The server that a command uses, and its settings."""

    url: Setting
    """The value is None for an embedded server."""
    profile: Profile | None
    """The profile, if the server comes from one."""
    settings: tuple[Setting, ...]
    """All settings with their origins, for display."""

    @property
    def is_embedded(self) -> bool:
        """Whether the command starts its own server."""
        return self.url.value is None

    @property
    def credentials(self) -> str | None:
        """The kind of credentials that are sent, never the credentials themselves; None for none."""
        token = next((each for each in self.settings if each.name == "token"), None)
        if token is not None and token.value is not None:
            where = token.origin if token.value == "environment" else f"{token.origin} ({token.value})"
            return f"the token of {where}"
        return "the user and password in the URL" if "@" in str(self.url.value) else None


def resolve(
    options: ServerOptions, *, profiles: Profiles | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Determine which server a command uses.

    `--local` (or `--config`) takes precedence, then `--url`, STEPFLOW_URL, a profile (`--profile`, STEPFLOW_PROFILE,
    the file's current one), and the default.

    Args:
        options: The server options of the command line.
        profiles: The profiles; None reads the user's file if it is needed.
        environ: The environment; None for the process's own.

    Raises:
        Problem: If settings contradict each other, or a profile is missing or wrong.
    """
    environ = os.environ if environ is None else environ
    _check(options, environ)
    if options.local or options.config is not None:
        origin = "flag --local" if options.local else "flag --config"
        return _settings(Setting("url", None, origin), None, environ)
    if options.url:
        return _settings(Setting("url", _address(options.url), "flag --url"), None, environ)
    if environ.get("STEPFLOW_URL"):
        return _settings(Setting("url", _address(environ["STEPFLOW_URL"]), _variable("STEPFLOW_URL")), None, environ)
    name, origin = options.profile, "flag --profile"
    if not name:
        name, origin = environ.get("STEPFLOW_PROFILE"), _variable("STEPFLOW_PROFILE")
    if profiles is None:
        from .profiles import load

        profiles = load()
    if not name:
        name, origin = profiles.current, f"current in {profiles.path}"
    if name:
        profile = profiles.get(name)
        chosen = Setting("profile", name, origin)
        url = Setting("url", profile.url, _of_profile(profile, profiles))
        return _settings(url, profile, environ, chosen, profiles)
    return _settings(Setting("url", DEFAULT_URL if options.default == "server" else None, "default"), None, environ)


def _address(url: str) -> str:
    """Return a URL; the word `local` stands for that of `stepflow serve`."""
    return DEFAULT_URL if url.strip().lower() == "local" else url


def _check(options: ServerOptions, environ: Mapping[str, str]) -> None:
    for flag, value in (("--url", options.url), ("--profile", options.profile), ("--config", options.config)):
        if value is not None and not value.strip():
            # Most likely a shell variable that is not set; the command must not run on another server because of that.
            raise usage(f"{flag} is empty", "leave it out, or set the shell variable that it is given")
    local = "--local" if options.local else "--config" if options.config is not None else None
    named = "--url" if options.url else "--profile" if options.profile else None
    if local and named:
        raise usage(f"{local} starts an embedded server and {named} names another one; give one of them")
    if options.url and options.profile:
        raise usage("--url and --profile both name a server; give one of them")
    if options.profile and environ.get("STEPFLOW_URL"):
        # Neither may silently win: the command could run on the wrong server.
        raise usage("--profile and the environment variable STEPFLOW_URL both name a server", "unset STEPFLOW_URL")


def _variable(name: str) -> str:
    return f"environment variable {name}"


def _of_profile(profile: Profile, profiles: Profiles) -> str:
    return f"profile {profile.name} in {profiles.path}"


def _settings(
    url: Setting,
    profile: Profile | None,
    environ: Mapping[str, str],
    chosen: Setting | None = None,
    profiles: Profiles | None = None,
) -> Settings:
    """Collect the other settings: the token's source, the timeout, and the profile's TLS settings."""
    found: dict[str, Setting] = {"url": url, "profile": chosen or Setting("profile", None, "default")}
    if url.value is not None:
        found["token"] = Setting("token", None, "default")
        found["timeout"] = Setting("timeout", 30.0, "default")
        for key in ("verify", "ca_file", "cert_file", "key_file", "proxy"):
            found[key] = Setting(key, True if key == "verify" else None, "default")
        if environ.get("STEPFLOW_TOKEN"):
            found["token"] = Setting("token", "environment", _variable("STEPFLOW_TOKEN"))
    if profile is not None and profiles is not None:
        origin = _of_profile(profile, profiles)
        table = profiles.tables[profile.name]
        for key, value in table.items():
            if key.startswith("token_"):
                source = f"{key.removeprefix('token_')}: {value if isinstance(value, str) else ' '.join(value)}"
                found["token"] = Setting("token", source, origin)
            elif key != "url":
                found[key] = Setting(key, value, origin)
    if url.value is not None and environ.get("STEPFLOW_TIMEOUT"):
        found["timeout"] = Setting("timeout", environ["STEPFLOW_TIMEOUT"], _variable("STEPFLOW_TIMEOUT"))
    return Settings(url, profile, tuple(found.values()))
