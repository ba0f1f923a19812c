"""Editing the configuration file. Everything else in it, including comments, stays as written."""

from __future__ import annotations

import errno
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import nearest, usage
from .profiles import KEYS, Profiles, check_profile, config_path, load
from .target import check_target

__all__ = ["Place", "changing", "parse_key", "plain_name", "set_value", "unset_value", "use_profile"]

_TOP = ("current", "history", "target")
"""The keys that do not belong to a profile."""
_SECRETS = ("token", "password", "api_key", "secret", "auth", "authorization")


@dataclass(frozen=True)
class Place:
    """The position of a value in the file."""

    profile: str | None
    """None for `current`, `history` and `target`."""
    key: str | None
    """None for a whole profile."""

    def __str__(self) -> str:
        if self.profile is None:
            return self.key or ""
        return f"profiles.{self.profile}" + (f".{self.key}" if self.key else "")


def parse_key(key: str, profile: str | None, profiles: Profiles) -> Place:
    """Return the place that a key names.

    That is `current`, `history`, `target`, `profiles.NAME.KEY`, `profiles.NAME`, or a key of a profile.

    Args:
        key: The key as given on the command line.
        profile: The profile given with --profile; by default the current one.
        profiles: The contents of the file.

    Raises:
        Problem: If there is no such key; the hint suggests the nearest.
    """
    if key.startswith("profiles."):
        return _parse_dotted(key.removeprefix("profiles."), key, profile, profiles)
    if key in _TOP and profile is None:
        return Place(None, key)
    if key not in KEYS:
        raise _unknown(key, key, [*KEYS, *_TOP])
    name = profile or profiles.current
    if name is None:
        raise usage(f"{key} belongs to a profile, and none is named", f"write profiles.NAME.{key}, or add --profile")
    return Place(name, key)


def _parse_dotted(rest: str, whole: str, profile: str | None, profiles: Profiles) -> Place:
    if profile is not None:
        raise usage(f"{whole} and --profile both name a profile; give one of them")
    # Profile names may contain dots.
    if (name := plain_name(rest, profiles)) in profiles.tables:
        return Place(name, None)
    name, dot, key = rest.rpartition(".")
    whole_name = plain_name(rest, profiles)
    if whole_name and (not dot or whole_name != rest):
        return Place(whole_name, None)
    if not whole_name:
        raise usage(f"{whole} names no profile", "it is profiles.NAME.KEY")
    if key not in KEYS:
        raise _unknown(key, whole, KEYS)
    if not (name := plain_name(name, profiles)):
        raise usage(f"{whole} names no profile", "it is profiles.NAME.KEY")
    return Place(name, key)


def plain_name(text: str, profiles: Profiles) -> str:
    """Return the name of the profile that a text names, either as it is or quoted as in the file.

    Args:
        text: The text as given on the command line.
        profiles: The contents of the file; a name that is in it with its quotes is taken as it is.
    """
    if text in profiles.tables or len(text) < 2 or text[0] not in "\"'" or text[-1] != text[0] or "\n" in text:
        return text
    import tomllib

    try:
        parsed = tomllib.loads(f"{text} = 0")
    except ValueError:
        return text
    (name, value), *_ = parsed.items()
    # `"a"."b"` is two names.
    return name if value == 0 else text


def _unknown(key: str, whole: str, known: list[str] | tuple[str, ...]) -> Exception:
    if key in _SECRETS:
        return usage(
            f"{whole} cannot be set: a token is never written into the file, where others could find it",
            "name its source: token_env (a variable), token_file (a file) or token_command (a command)",
        )
    return usage(f"there is no key {whole}", nearest(key, known) or f"the keys are {', '.join(known)}")


def set_value(place: Place, text: str, profiles: Profiles) -> Any:
    """Set a key to the value that a text stands for, and return the value.

    Raises:
        Problem: If the value is wrong, or the file cannot be changed.
    """
    if place.key == "history" and place.profile is None:
        return _set_history(text, profiles)
    if place.key == "target" and place.profile is None:
        return _set_target(text, profiles)
    if place.profile is None:
        return use_profile(text, profiles)
    if not place.profile:
        raise usage("a profile has a name", "it is profiles.NAME.KEY")
    if place.key is None:
        raise usage(f"{place} is a profile, not a key", f"its keys are {', '.join(KEYS)}")
    name, key, value = place.profile, place.key, _value(place.key, text)
    table = profiles.tables.get(name)
    if table is None and key != "url":
        words = shlex.quote(f"profiles.{name}.url")
        hint = nearest(name, profiles.tables) or f"set its url first: stepflow config set {words} URL"
        raise usage(f"there is no profile {name} in {profiles.path}", hint)
    _check(place, {**(table or {}), key: value}, profiles)

    def edit(document: Any) -> None:
        import tomlkit
        from tomlkit.items import InlineTable

        if "profiles" not in document:
            document["profiles"] = tomlkit.table(is_super_table=True)
        tables = document["profiles"]
        if name not in tables:
            inline = isinstance(tables, InlineTable)
            tables[name] = tomlkit.inline_table() if inline else tomlkit.table()
        tables[name][key] = value

    _change(profiles.path, edit)
    return value


def _set_history(text: str, profiles: Profiles) -> bool:
    words = {"on": True, "true": True, "off": False, "false": False}
    if text.lower() not in words:
        raise usage(f"history is on or off, not {text!r}")

    def edit(document: Any) -> None:
        document["history"] = words[text.lower()]

    _change(profiles.path, edit)
    return words[text.lower()]


def _set_target(text: str, profiles: Profiles) -> str:
    check_target(text, "target")

    def edit(document: Any) -> None:
        document["target"] = text

    _change(profiles.path, edit)
    return text


def _check(place: Place, table: Mapping[str, Any], profiles: Profiles) -> None:
    """Raise if the value would make the profile wrong."""
    sources = [each for each in ("token_env", "token_file", "token_command") if each in table]
    if place.key in sources and len(sources) > 1:
        other = next(each for each in sources if each != place.key)
        raise usage(
            f"profile {place.profile} takes its token from {other}",
            f"stepflow config unset {shlex.quote(f'profiles.{place.profile}.{other}')}",
        )
    check_profile(place.profile or "", table, profiles.path)


def _value(key: str, text: str) -> Any:
    """Return the value that a text stands for, for a key."""
    from ..inputs.values import read_scalar

    if key in ("timeout", "verify") or (key == "token_command" and text.lstrip().startswith("[")):
        return read_scalar(text)
    return text


def unset_value(place: Place, profiles: Profiles) -> None:
    """Remove a key or a whole profile from the file.

    Raises:
        Problem: If it does not exist, or the profile would be wrong without it.
    """
    table = profiles.tables.get(place.profile or "", {})
    if place.profile is None:
        there = getattr(profiles, place.key or "") is not None
    else:
        there = place.profile in profiles.tables and place.key in (None, *table)
    if not there:
        near = nearest(place.profile or "", profiles.tables) if place.profile not in (None, *profiles.tables) else None
        raise usage(f"{place} is not in {profiles.path}", near)
    if place.key == "url":
        words = shlex.quote(f"profiles.{place.profile}")
        raise usage("a profile has a url", f"to remove the whole profile: stepflow config unset {words}")
    if place.key is not None and place.profile is not None:
        check_profile(place.profile, {key: each for key, each in table.items() if key != place.key}, profiles.path)

    def edit(document: Any) -> None:
        if place.profile is None:
            del document[place.key]
            return
        tables: Any = document["profiles"]
        if place.key is not None:
            del tables[place.profile][place.key]
            return
        del tables[place.profile]
        if not tables:
            del document["profiles"]
        if document.get("current") == place.profile:
            del document["current"]

    _change(profiles.path, edit)


def use_profile(name: str, profiles: Profiles) -> str:
    """Make a profile the current one and return its name.

    Raises:
        Problem: If there is none of this name or it is wrong.
    """
    name = plain_name(name, profiles)
    profiles.get(name)

    def edit(document: Any) -> None:
        document["current"] = name

    _change(profiles.path, edit)
    return name


@contextmanager
def changing() -> Iterator[Profiles]:
    """Yield the current profiles, to check and change them in the block. Other processes cannot change them meanwhile.

    Raises:
        Problem: If the file cannot be read or written.
    """
    path = config_path()
    try:
        with _alone_in(path.resolve().parent):
            yield load(path)
    except OSError as error:
        raise usage(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Lock the file against other processes that change it: of two concurrent changes, one would be lost."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _change(path: Path, edit: Callable[[Any], None]) -> None:
    """Change the file atomically. If it is a symbolic link, its target is changed.

    Args:
        path: The file.
        edit: Makes the change in a tomlkit document or in plain dicts.
    """
    import tomllib

    import tomlkit

    if path.exists() and not path.is_file():
        # A device, for example, which the new file would replace.
        raise usage(f"{path} is no regular file, and is not changed", "STEPFLOW_CONFIG_FILE names another file")
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    wanted = tomllib.loads(text)
    edit(wanted)
    try:
        document = tomlkit.parse(text)
        edit(document)
        changed = tomlkit.dumps(document).lstrip("\n")
        is_done = tomllib.loads(changed) == wanted
    except (ValueError, LookupError, TypeError, RecursionError):
        changed, is_done = text, False
    if not is_done:
        # For example tables that are split up. None of their contents may be lost.
        raise usage(f"{path} is written in a way that cannot be changed here", "change it with an editor")
    _write(path.resolve(), changed)


def _write(path: Path, text: str) -> None:
    # A new file that only its owner can read; it replaces the old one when it is complete.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
