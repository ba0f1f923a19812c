"""Edits the configuration file in place, leaving comments and everything else as they are."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Problem, suggest, usage
from ..inputs.command_line_values import parse_assigned_value
from ..inputs.file_io import converting_write_errors
from .profiles import PROFILE_KEYS, TOKEN_KEYS, Profiles, parse_history_rejecting_password, parse_profile
from .server_choice import check_valid_release

# Keys that don't belong to a profile.
_TOP_LEVEL_KEYS = ("current", "history", "target")
_SECRET_KEYS = ("token", "password", "api_key", "secret", "auth", "authorization")


@dataclass(frozen=True)
class SettingPath:
    """The location of a value in the file."""

    profile: str | None
    """The profile's name, or None for `current`, `history` and `target`."""
    key: str | None
    """The key, or None for a whole profile."""

    def __str__(self) -> str:
        if self.profile is None:
            return self.key or ""
        return f"profiles.{self.profile}" + (f".{self.key}" if self.key else "")


def parse_setting_key(key: str, profile: str | None, profiles: Profiles) -> SettingPath:
    """Find the setting that a key on the command line refers to.

    The key may be `current`, `history`, `target`, `profiles.NAME.KEY`, `profiles.NAME`, or a key of the selected
    profile.

    Args:
        key: The key as the user typed it.
        profile: The profile passed with `--profile`. Defaults to the current profile.
        profiles: The contents of the file.

    Raises:
        Problem: If there is no such key. The hint suggests the most similar one.
    """
    if key.startswith("profiles."):
        if profile is not None:
            raise usage(f"{key} and --profile both name a profile; use only one of them")
        rest = key.removeprefix("profiles.")
        # A profile name may contain dots.
        name, dot, own_key = rest.rpartition(".")
        if rest and (rest in profiles.tables or not dot):
            return SettingPath(rest, None)
        if not name:
            raise usage(f"{key} names no profile", "use profiles.NAME.KEY")
        if own_key not in PROFILE_KEYS:
            raise _build_unknown_key_problem(own_key, key, PROFILE_KEYS)
        return SettingPath(name, own_key)
    if key in _TOP_LEVEL_KEYS and profile is None:
        return SettingPath(None, key)
    if key not in PROFILE_KEYS:
        raise _build_unknown_key_problem(key, key, [*PROFILE_KEYS, *_TOP_LEVEL_KEYS])
    current = profile or profiles.current
    if current is None:
        hint = f"use profiles.dev.{key}, for a profile dev; to make it the default, run 'stepflow config use dev'"
        raise usage(f"{key} belongs to a profile, and none is named", hint)
    return SettingPath(current, key)


def _build_unknown_key_problem(key: str, whole: str, known: Sequence[str]) -> Problem:
    if key in _SECRET_KEYS:
        message = f"{whole} cannot be set: tokens are never written to the file, where others could find them"
        hint = "name its source: token_env (a variable), token_file (a file) or token_command (a command)"
        return usage(message, hint)
    return usage(f"unknown key {whole}", suggest(key, known) or f"the keys are {', '.join(known)}")


def change_setting(path: SettingPath, text: str, profiles: Profiles) -> Any:
    """Parse the new value of a setting from text, save it, and return it.

    Raises:
        Problem: If the value is invalid, or if the file can't be changed.
    """
    if path.profile is None and path.key == "history":
        history = parse_history_rejecting_password(text, "history")
        return _save_top_level_setting("history", {"on": True, "off": False}.get(history, history), profiles)
    if path.profile is None and path.key == "target":
        check_valid_release(text, "target")
        return _save_top_level_setting("target", text, profiles)
    if path.profile is None:
        return make_profile_current(text, profiles)
    if not path.profile:
        raise usage("a profile needs a name", "use profiles.NAME.KEY")
    if path.key is None:
        raise usage(f"{path} is a profile, not a key", f"its keys are {', '.join(PROFILE_KEYS)}")
    name, key = path.profile, path.key
    is_json = key in ("timeout", "verify") or (key == "token_command" and text.lstrip().startswith("["))
    value = parse_assigned_value(text) if is_json else text
    table = profiles.tables.get(name)
    if table is None and key != "url":
        words = shlex.quote(f"profiles.{name}.url")
        hint = suggest(name, profiles.tables) or f"set its url first: stepflow config set {words} URL"
        raise usage(f"unknown profile {name} in {profiles.path}", hint)
    changed = {**(table or {}), key: value}
    other = next((token_key for token_key in TOKEN_KEYS if token_key in changed and token_key != key), None)
    if key in TOKEN_KEYS and other is not None:
        hint = f"stepflow config unset {shlex.quote(f'profiles.{name}.{other}')}"
        raise usage(f"profile {name} reads its token from {other}", hint)
    parse_profile(name, changed, profiles.path)

    def set_in_document(document: Any) -> None:
        import tomlkit
        from tomlkit.items import InlineTable

        if "profiles" not in document:
            document["profiles"] = tomlkit.table(is_super_table=True)
        tables = document["profiles"]
        if name not in tables:
            tables[name] = tomlkit.inline_table() if isinstance(tables, InlineTable) else tomlkit.table()
        tables[name][key] = value

    _edit_config_file(profiles.path, set_in_document)
    return value


def _save_top_level_setting(key: str, value: Any, profiles: Profiles) -> Any:
    _edit_config_file(profiles.path, lambda document: document.update({key: value}))
    return value


def remove_setting(path: SettingPath, profiles: Profiles) -> None:
    """Remove a setting or a whole profile from the file.

    Raises:
        Problem: If it isn't in the file, or if the profile would be invalid without it.
    """
    table = profiles.tables.get(path.profile or "", {})
    if path.profile is None:
        there = getattr(profiles, path.key or "") is not None
    else:
        there = path.profile in profiles.tables and path.key in (None, *table)
    if not there:
        near = suggest(path.profile or "", profiles.tables) if path.profile not in (None, *profiles.tables) else None
        raise usage(f"{path} is not in {profiles.path}", near)
    if path.key == "url":
        words = shlex.quote(f"profiles.{path.profile}")
        raise usage("a profile needs a url", f"to remove the whole profile: stepflow config unset {words}")
    if path.key is not None and path.profile is not None:
        parse_profile(path.profile, {key: each for key, each in table.items() if key != path.key}, profiles.path)

    def remove_from_document(document: Any) -> None:
        if path.profile is None:
            del document[path.key]
            return
        tables: Any = document["profiles"]
        if path.key is not None:
            del tables[path.profile][path.key]
            return
        del tables[path.profile]
        if not tables:
            del document["profiles"]
        if document.get("current") == path.profile:
            del document["current"]

    _edit_config_file(profiles.path, remove_from_document)


def make_profile_current(name: str, profiles: Profiles) -> str:
    """Make a profile the current profile and return its name.

    Raises:
        Problem: If the profile doesn't exist, or if it is invalid.
    """
    profiles.get_profile(name)
    return str(_save_top_level_setting("current", name, profiles))


def _edit_config_file(path: Path, edit: Callable[[Any], None]) -> None:
    """Edit the file (following symbolic links) and make it readable only by its owner.

    Args:
        path: The file.
        edit: Called with the tomlkit document, which it changes.
    """
    import tomllib

    import tomlkit
    from stepflow_client._stores.atomic_file_writes import write_file

    if path.exists() and not path.is_file():
        # Don't replace a device, for example.
        raise usage(f"{path} is not a regular file, so it is not changed", "point STEPFLOW_CONFIG_FILE at a file")
    before: bytes | None = None
    try:
        before = path.read_bytes() if path.exists() else None
        document = tomlkit.parse((before or b"").decode("utf-8-sig"))
        edit(document)
        changed = tomlkit.dumps(document).lstrip("\n")
        is_done = tomllib.loads(changed) == document.unwrap()
    except OSError as error:
        raise usage(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        changed, is_done = "", False
    if not is_done:
        # Raise an error instead of losing content, for example if a table is split into several parts.
        raise usage(f"{path} is written in a way that cannot be edited here", "edit it in an editor")
    with converting_write_errors(str(path)):
        path.resolve().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(path, changed.encode(), expected_content=before, mode=0o600)
