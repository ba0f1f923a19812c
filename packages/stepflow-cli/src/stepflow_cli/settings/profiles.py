"""Profiles: named servers and their credentials, in a TOML file of the user; server URLs without passwords."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import ExitCode, Problem, suggest, usage

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class EnvironmentProxy:
    """The environment's proxy settings for one server."""

    url: str | None
    """The proxy that is used, without its password; None if none is used."""
    variable: str
    """The variable that names a proxy for such servers."""
    why_not: str | None = None
    """Why the proxy is not used, if it is not."""


def split_url(url: str) -> tuple[str, str, int]:
    """Return the scheme, host and port of a server's URL; `host:port` counts as http.

    Raises:
        ValueError: If the URL has none.
    """
    parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip().removeprefix('//')}")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("it is not an http or https URL")
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def find_environment_proxy(url: str) -> EnvironmentProxy | None:
    """Return the proxy that the environment's proxy variables give for a server, as the client reads them.

    Returns:
        None if no variable names a proxy for it.
    """
    try:
        scheme, host, _ = split_url(url)
    except ValueError:
        return None
    names = [name for kind in (scheme, "all") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())]
    variable = next((name for name in names if os.environ.get(name)), None)
    if variable is None:
        return None
    from stepflow_client import StepflowClientError, SyncStepflowClient
    from stepflow_client._base.text import without_password
    from stepflow_client._command import is_loopback

    try:
        with SyncStepflowClient(url) as client:
            proxy = client.proxy
    except StepflowClientError:
        # The value is not the URL of a proxy; connecting will report that.
        return EnvironmentProxy(without_password(os.environ[variable]), variable)
    if proxy is not None:
        return EnvironmentProxy(proxy, variable)
    why_not = "a server on this machine is asked directly" if is_loopback(host) else f"NO_PROXY has {host}"
    return EnvironmentProxy(None, variable, why_not)


CONFIG_VARIABLE = "STEPFLOW_CONFIG_FILE"
_TOP = ("current", "history", "target", "profiles")
DATABASES = ("postgresql://", "postgres://")
"""The beginnings of URLs of databases that a history can be in."""
_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
# Seconds that a token command may take; it may ask a person to log in.
_TOKEN_SECONDS = 120.0
TOKEN_KEYS = ("token_env", "token_file", "token_command")
"""The keys that name the source of a token."""


class Profile(NamedTuple):
    """A server and how to connect to it; every key except `url` is optional."""

    name: str
    folder: Path
    """The folder of the configuration file; file names in a profile are relative to it."""
    url: str
    token_env: str | None = None
    """The environment variable that holds the token."""
    token_file: str | None = None
    """The file that holds the token; it must not be readable by other users."""
    token_command: tuple[str, ...] = ()
    """The command that prints the token."""
    timeout: float | None = None
    """Seconds for each request."""
    verify: bool = True
    """Whether to verify an https server's certificate."""
    ca_file: str | None = None
    """The CA certificates to verify an https server with."""
    cert_file: str | None = None
    """The client certificate."""
    key_file: str | None = None
    """The private key of the client certificate."""
    proxy: str | None = None
    """The URL of a proxy."""

    def read_token(self) -> str | None:
        """Read the token; None if the profile gives no source for one.

        Raises:
            Problem: If the source has no token, or other users can read its file.
        """
        if self.token_env is not None:
            token = os.environ.get(self.token_env, "").strip()
            if not token:
                raise usage(f"profile {self.name}: the environment variable {self.token_env} holds no token")
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

        name, seconds = f"profile {self.name}: the token command {command[0]}", _TOKEN_SECONDS
        # Its standard error stays the terminal's, because it may prompt there.
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, errors="replace", check=False, timeout=seconds
            )
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
        """Return the path of a file named in the profile."""
        from pathlib import Path

        return self.folder / Path(name).expanduser()

    def get_client_settings(self) -> dict[str, Any]:
        """Return the client arguments that the profile sets, except the URL and the token."""
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


KEYS = tuple(name for name in Profile._fields if name not in ("name", "folder"))
"""The keys a profile may have."""


class Profiles(NamedTuple):
    """The profiles of a file, unchecked; a profile is checked when it is used."""

    path: Path
    current: str | None = None
    """The profile that is used by default."""
    tables: Mapping[str, Any] = {}
    """The keys and values of each profile, by its name."""
    history: str | None = None
    """Whether runs are recorded: `on`, `off` or the URL of a database; None if the file does not say."""
    target: str | None = None
    """The release of the servers that flows are for; None if the file does not say."""

    def get(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            Problem: If there is none of this name, or one of its keys or values is invalid.
        """
        if not name:
            raise usage("a profile has a name", f"the profiles are {', '.join(self.tables)}" if self.tables else None)
        if name not in self.tables:
            key = shlex.quote(f"profiles.{name}.url")
            new = f"it has no profiles; 'stepflow config set {key} URL' makes one"
            known = f"the profiles are {', '.join(self.tables)}" if self.tables else new
            raise usage(f"there is no profile {name} in {self.path}", suggest(name, self.tables) or known)
        return parse_profile(name, self.tables[name], self.path)


def config_path() -> Path:
    """Return the path of the configuration file, whether it exists or not.

    Raises:
        Problem: If the user has no home folder.
    """
    from pathlib import Path

    from stepflow_client._command import user_folder

    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    try:
        return user_folder("config") / "config.toml"
    except Exception as error:
        raise usage("this user has no home folder", f"set HOME, or {CONFIG_VARIABLE} to a file") from error


def check_config_file(environ: Mapping[str, str]) -> None:
    """Check that the configuration file exists, if the environment names one.

    Raises:
        Problem: If it does not.
    """
    path = os.path.expanduser(environ.get(CONFIG_VARIABLE, ""))
    if path and not os.path.exists(path):
        raise usage(
            f"{CONFIG_VARIABLE} names {path}, which does not exist",
            f"unset {CONFIG_VARIABLE}, or write the file with 'stepflow config set'",
        )


def load_profiles(path: Path | None = None, *, may_miss: bool = False) -> Profiles:
    """Load the profiles; there are none if the file does not exist.

    Args:
        path: The file; None for the user's.
        may_miss: Whether the file that the environment names may be missing, because it is going to be written.

    Raises:
        Problem: If the environment names a file that does not exist, the file cannot be read, or it is not TOML of the
            expected form.
    """
    from stepflow_client import FlowFileError
    from stepflow_client._command import parse_toml

    if path is None and not may_miss:
        check_config_file(os.environ)
    path = path or config_path()
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
        if key not in _TOP:
            raise usage(f"{path}: unknown key {key}", suggest(key, _TOP))
    current, tables = content.get("current"), content.get("profiles", {})
    history = content.get("history")
    if history is not None:
        history = parse_stored_history(str(history), f"{path}: history")
    if current is not None and not isinstance(current, str):
        raise usage(f"{path}: current is the name of a profile, not {current!r}")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise usage(f"{path}: each profile is a table, [profiles.NAME]")
    return Profiles(path, current, tables, history, content.get("target"))


def parse_history_value(text: str, name: str) -> str:
    """Return `on`, `off` or the URL of a database that a text is.

    Raises:
        Problem: If it is none of them.
    """
    if text.startswith(DATABASES):
        return text
    if text.lower() not in _WORDS:
        # Without the rest of a URL, which may have a password.
        raise usage(f"{name} is on, off or postgresql://HOST/DATABASE, not {text.partition('://')[0]!r}")
    return "on" if _WORDS[text.lower()] else "off"


def parse_stored_history(text: str, name: str) -> str:
    """Return the value of `history` in the file.

    Raises:
        Problem: If it is invalid, or a URL with a password, which the file never contains.
    """
    value = parse_history_value(text, name)
    if re.search(r"://[^/]*:[^/]*@|[?&](ssl)?password=", value):
        raise usage(f"{name} has a password", "set PGPASSWORD or PGPASSFILE, or use ~/.pgpass")
    return value


def parse_profile(name: str, table: Mapping[str, Any], path: Path) -> Profile:
    """Return the profile for a table of keys and values.

    Raises:
        Problem: If one is invalid; the message names the file, the profile and the key.
    """
    where = f"{path}: profile {name}"
    for key, value in table.items():
        if key not in KEYS:
            hint = suggest(key, KEYS)
            if key in ("token", "password"):
                hint = "a token is not written into the file; name its source: token_env, token_file or token_command"
            raise usage(f"{where}: unknown key {key}", hint or f"the keys are {', '.join(KEYS)}")
        problem = _CHECKS[key](value)
        if problem:
            raise usage(f"{where}: {key} is {problem}")
    if "url" not in table:
        raise usage(f"{where}: url is missing")
    if sum(key in table for key in TOKEN_KEYS) > 1:
        raise usage(f"{where}: {', '.join(TOKEN_KEYS)} are mutually exclusive")
    if "key_file" in table and "cert_file" not in table:
        raise usage(f"{where}: key_file needs cert_file")
    values = dict(table)
    command = values.get("token_command")
    if command is not None:
        values["token_command"] = tuple(_split_command(command))
    return Profile(name=name, folder=path.parent, **values)


def _check_url(value: Any) -> str | None:
    from urllib.parse import urlsplit

    if not isinstance(value, str) or not value or any(letter.isspace() for letter in value):
        return "the URL of a server"
    try:
        split_url(value)
        secret = urlsplit(value if "//" in value else f"//{value}").password
    except ValueError:
        return "the http or https URL of a server"
    return "a URL without a password; a token belongs in token_env, token_file or token_command" if secret else None


def _check_timeout(value: Any) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if is_number and 0 < value < 2_000_000 else "a positive number of seconds"


def _check_command(value: Any) -> str | None:
    words = _split_command(value)
    return None if words and all(isinstance(word, str) for word in words) else "a command: a list of words, or text"


def _split_command(command: Any) -> list[Any]:
    """Return the words of a command; none if its quotes are not closed, or it is neither a list nor text."""
    if isinstance(command, str):
        with suppress(ValueError):
            return list(shlex.split(command))
    return list(command) if isinstance(command, list) else []


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    **dict.fromkeys(KEYS, lambda value: None if isinstance(value, str) and value else "text that is not empty"),
    "url": _check_url,
    "timeout": _check_timeout,
    "verify": lambda value: None if isinstance(value, bool) else "true or false",
    "token_command": _check_command,
}
