"""Profiles: named servers and how to connect to them, stored in a TOML file. URLs never include passwords."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import ExitCode, Problem, suggest, usage

if TYPE_CHECKING:
    from pathlib import Path


class EnvironmentProxy(NamedTuple):
    """The proxy that the environment sets for a server."""

    url: str | None
    """The URL of the proxy without its password, or None if no proxy is used."""
    variable: str
    """The environment variable that sets the proxy."""
    why_not: str | None = None
    """If no proxy is used, the reason why the variable doesn't apply."""


def split_scheme_host_and_port(url: str) -> tuple[str, str, int]:
    """Split a server's URL into scheme, host and port. If the URL is just `host:port`, the scheme defaults to http.

    Raises:
        ValueError: If the URL isn't an http or https URL.
    """
    parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip().removeprefix('//')}")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("it is not an http or https URL")
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def find_environment_proxy(url: str) -> EnvironmentProxy | None:
    """Return the proxy that environment variables tell the client to use for a server.

    Returns:
        The proxy, or None if no variable sets one for the server.
    """
    try:
        scheme, host, _ = split_scheme_host_and_port(url)
    except ValueError:
        return None
    names = [name for kind in (scheme, "all") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())]
    variable = next((name for name in names if os.environ.get(name)), None)
    if variable is None:
        return None
    from stepflow_client import StepflowClientError, SyncStepflowClient
    from stepflow_client._base.text_formatting import format_url_without_credentials
    from stepflow_client._command import is_loopback

    try:
        with SyncStepflowClient(url) as client:
            proxy = client.proxy
    except StepflowClientError:
        # Don't report the invalid URL here. The client will do so when it connects.
        return EnvironmentProxy(format_url_without_credentials(os.environ[variable]), variable)
    if proxy is not None:
        return EnvironmentProxy(proxy, variable)
    why_not = "connections to this machine bypass it" if is_loopback(host) else f"NO_PROXY has {host}"
    return EnvironmentProxy(None, variable, why_not)


CONFIG_VARIABLE = "STEPFLOW_CONFIG_FILE"
_TOP_LEVEL_KEYS = ("current", "history", "target", "profiles")
DATABASE_SCHEMES = ("postgresql://", "postgres://")
"""URL prefixes accepted for the history database."""
_BOOL_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
# Timeout in seconds for a token command, which may prompt the user to log in.
_TOKEN_TIMEOUT_SECONDS = 120.0
TOKEN_KEYS = ("token_env", "token_file", "token_command")
"""The keys that specify where to get a token. A profile can have only one of them."""


class Profile(NamedTuple):
    """A server and how to connect to it. All keys except `url` are optional."""

    name: str
    folder: Path
    """The folder of the configuration file. File names in the profile are relative to it."""
    url: str
    token_env: str | None = None
    """The environment variable that contains the token."""
    token_file: str | None = None
    """The file that contains the token. Other users must not be able to read it."""
    token_command: tuple[str, ...] = ()
    """The command that prints the token."""
    timeout: float | None = None
    """The request timeout in seconds."""
    verify: bool = True
    """Whether to verify TLS certificates."""
    ca_file: str | None = None
    """The file with the CA certificates used to verify the server."""
    cert_file: str | None = None
    """The file with the client certificate."""
    key_file: str | None = None
    """The file with the client certificate's private key."""
    proxy: str | None = None
    """The URL of a proxy."""

    def read_token(self) -> str | None:
        """Read the token, or return None if the profile doesn't specify one.

        Raises:
            Problem: If there is no token to read, or if other users can read its file.
        """
        if self.token_env is not None:
            token = os.environ.get(self.token_env, "").strip()
            if not token:
                raise usage(f"profile {self.name}: the environment variable {self.token_env} contains no token")
            return token
        if self.token_file is not None:
            return self._read_token_file(self.resolve_path(self.token_file))
        return self._run_token_command(self.token_command) if self.token_command else None

    def _read_token_file(self, path: Path) -> str:
        file = f"profile {self.name}: the token file {path}"
        try:
            if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
                raise usage(f"profile {self.name}: others can read the token file {path}", f"chmod 600 {path}")
            token = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise usage(f"{file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise usage(f"{file} is not text") from None
        if not token:
            raise usage(f"{file} is empty")
        return token

    def _run_token_command(self, command: tuple[str, ...]) -> str:
        import subprocess

        name, seconds = f"profile {self.name}: the token command {command[0]}", _TOKEN_TIMEOUT_SECONDS
        # Leave stderr connected to the terminal, so that the command can prompt the user.
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace", timeout=seconds)
        except subprocess.TimeoutExpired:
            message = f"{name} did not end within {seconds:g} s"
            raise Problem(message, kind="authentication", exit_code=ExitCode.NO_SERVER) from None
        except OSError as error:
            raise usage(f"{name} cannot be run: {error.strerror}") from None
        token = done.stdout.strip()
        if done.returncode or not token:
            outcome = f"ended with exit code {done.returncode}" if done.returncode else "printed no token"
            raise Problem(f"{name} {outcome}", kind="authentication", exit_code=ExitCode.NO_SERVER)
        return token

    def resolve_path(self, name: str) -> Path:
        """Return the full path of a file mentioned in the profile."""
        from pathlib import Path

        return self.folder / Path(name).expanduser()

    def get_connection_settings(self) -> dict[str, Any]:
        """Return the client arguments that the profile sets, except for the URL and the token."""
        settings: dict[str, Any] = {}
        if self.timeout is not None:
            settings["timeout"] = self.timeout
        if self.ca_file is not None:
            settings["verify"] = str(self.resolve_path(self.ca_file))
        if not self.verify:
            settings["verify"] = False
        if self.cert_file is not None:
            files = [self.cert_file] if self.key_file is None else [self.cert_file, self.key_file]
            settings["cert"] = tuple(str(self.resolve_path(file)) for file in files)
        if self.proxy is not None:
            settings["proxy"] = self.proxy
        return settings


PROFILE_KEYS = tuple(name for name in Profile._fields if name not in ("name", "folder"))
"""The keys allowed in a profile."""


class Profiles(NamedTuple):
    """The profiles in a file. A profile isn't validated until it is used."""

    path: Path
    current: str | None = None
    """The name of the default profile."""
    tables: Mapping[str, Any] = {}
    """The keys and values of each profile, by profile name."""
    history: str | None = None
    """Whether to record runs (`on`, `off` or a database URL), or None if the file doesn't say."""
    target: str | None = None
    """The server release that flows target, or None if the file doesn't say."""

    def get_profile(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            Problem: If the profile doesn't exist, or if it contains an invalid key or value.
        """
        if not name:
            raise usage("a profile needs a name", f"the profiles are {', '.join(self.tables)}" if self.tables else None)
        if name not in self.tables:
            key = shlex.quote(f"profiles.{name}.url")
            new = f"it has no profiles; to create one, run 'stepflow config set {key} URL'"
            known = f"the profiles are {', '.join(self.tables)}" if self.tables else new
            raise usage(f"unknown profile {name} in {self.path}", suggest(name, self.tables) or known)
        return parse_profile(name, self.tables[name], self.path)


def get_config_path() -> Path:
    """Return the path of the configuration file, whether or not it exists.

    Raises:
        Problem: If the user has no home folder.
    """
    from pathlib import Path

    from stepflow_client._command import get_stepflow_user_folder

    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    try:
        return get_stepflow_user_folder("config") / "config.toml"
    except Exception as error:
        raise usage("this user has no home folder", f"set HOME, or point {CONFIG_VARIABLE} at a file") from error


def check_named_config_exists() -> None:
    """If the environment specifies a configuration file, check that it exists.

    Raises:
        Problem: If it doesn't exist.
    """
    path = os.path.expanduser(os.environ.get(CONFIG_VARIABLE, ""))
    if path and not os.path.exists(path):
        hint = f"unset {CONFIG_VARIABLE}, or write the file with 'stepflow config set'"
        raise usage(f"{CONFIG_VARIABLE} names {path}, which does not exist", hint)


def load_profiles(path: Path | None = None, *, missing_ok: bool = False) -> Profiles:
    """Load the profiles from a file. Return no profiles if the file doesn't exist.

    Args:
        path: The file. Defaults to the user's configuration file.
        missing_ok: Whether a file specified in the environment is allowed to be missing, for example because it is
            about to be created.

    Raises:
        Problem: If the environment specifies a file that doesn't exist, or if the file can't be read or isn't valid.
    """
    from stepflow_client import FlowFileError
    from stepflow_client._command import parse_toml

    if path is None and not missing_ok:
        check_named_config_exists()
    path = path or get_config_path()
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Profiles(path)
    except OSError as error:
        raise usage(f"{path} cannot be read: {error.strerror}") from None
    try:
        content = parse_toml(text, str(path))
    except FlowFileError as error:
        raise usage(error.message, error.hint or "fix it in an editor") from None
    for key in content:
        if key not in _TOP_LEVEL_KEYS:
            raise usage(f"{path}: unknown key {key}", suggest(key, _TOP_LEVEL_KEYS))
    current, tables = content.get("current"), content.get("profiles", {})
    history = content.get("history")
    if history is not None:
        history = parse_history_rejecting_password(str(history), f"{path}: history")
    if current is not None and not isinstance(current, str):
        raise usage(f"{path}: current must be the name of a profile, not {current!r}")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise usage(f"{path}: each profile must be a table, [profiles.NAME]")
    return Profiles(path, current, tables, history, content.get("target"))


def parse_history_setting(text: str, name: str) -> str:
    """Parse a history setting and return `on`, `off` or a database URL.

    Raises:
        Problem: If the setting is anything else.
    """
    if text.startswith(DATABASE_SCHEMES):
        return text
    if text.lower() not in _BOOL_WORDS:
        # Only show the scheme, because a URL may contain a password.
        raise usage(f"{name} must be on, off or postgresql://HOST/DATABASE, not {text.partition('://')[0]!r}")
    return "on" if _BOOL_WORDS[text.lower()] else "off"


def parse_history_rejecting_password(text: str, name: str) -> str:
    """Parse the value of `history` in the configuration file.

    Raises:
        Problem: If the value is invalid, or if it is a URL with a password. (The file must never contain passwords.)
    """
    value = parse_history_setting(text, name)
    if re.search(r"://[^/]*:[^/]*@|[?&](ssl)?password=", value):
        raise usage(f"{name} has a password", "set PGPASSWORD or PGPASSFILE, or use ~/.pgpass")
    return value


def parse_profile(name: str, table: Mapping[str, Any], path: Path) -> Profile:
    """Parse a profile's table.

    Raises:
        Problem: If the table is invalid. The message includes the file, the profile and the key.
    """
    where = f"{path}: profile {name}"
    for key, value in table.items():
        if key not in PROFILE_KEYS:
            hint = suggest(key, PROFILE_KEYS)
            if key in ("token", "password"):
                hint = "tokens are not written to the file; use token_env, token_file or token_command instead"
            raise usage(f"{where}: unknown key {key}", hint or f"the keys are {', '.join(PROFILE_KEYS)}")
        problem = _VALUE_CHECKS[key](value)
        if problem:
            raise usage(f"{where}: {key} must be {problem}")
    if "url" not in table:
        raise usage(f"{where}: url is missing")
    if sum(key in table for key in TOKEN_KEYS) > 1:
        raise usage(f"{where}: {', '.join(TOKEN_KEYS)} are mutually exclusive")
    if "key_file" in table and "cert_file" not in table:
        raise usage(f"{where}: key_file needs cert_file")
    values = dict(table)
    command = values.get("token_command")
    if command is not None:
        values["token_command"] = tuple(_split_token_command(command))
    return Profile(name=name, folder=path.parent, **values)


def _find_url_problem(value: Any) -> str | None:
    if not isinstance(value, str) or not value or any(letter.isspace() for letter in value):
        return "the URL of a server"
    try:
        split_scheme_host_and_port(value)
        secret = urlsplit(value if "//" in value else f"//{value}").password
    except ValueError:
        return "the http or https URL of a server"
    return "a URL without a password; a token belongs in token_env, token_file or token_command" if secret else None


def _find_timeout_problem(value: Any) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if is_number and 0 < value < 2_000_000 else "a positive number of seconds"


def _find_command_problem(value: Any) -> str | None:
    words = _split_token_command(value)
    return None if words and all(isinstance(word, str) for word in words) else "a command: a list of words, or text"


def _split_token_command(command: Any) -> list[Any]:
    """Return the words of a command, or an empty list if it isn't a list or text or has unmatched quotes."""
    if isinstance(command, str):
        with suppress(ValueError):
            return list(shlex.split(command))
    return list(command) if isinstance(command, list) else []


_VALUE_CHECKS: dict[str, Callable[[Any], str | None]] = {
    **dict.fromkeys(PROFILE_KEYS, lambda value: None if isinstance(value, str) and value else "a non-empty string"),
    "url": _find_url_problem,
    "timeout": _find_timeout_problem,
    "verify": lambda value: None if isinstance(value, bool) else "true or false",
    "token_command": _find_command_problem,
}
