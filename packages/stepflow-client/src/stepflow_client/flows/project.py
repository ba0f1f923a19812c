"""Finds a project's flow files, and reads its settings from `stepflow.toml` or `pyproject.toml` (`[tool.stepflow]`)."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from .._base.suggestions import suggest_nearest
from .._base.text_formatting import cut
from .._data.toml_reader import parse_toml
from .._rules.operations_and_releases import TARGET_RANGE, parse_checkable_release
from ..errors import FlowFileError

FLOW_SUFFIXES = (".yaml", ".yml", ".json")
"""File name suffixes of flow files."""

# Every flow file contains at least one of these.
_FLOW_FILE_MARKERS = (b"steps", b"output", b"stepflow.org")
_BLOCK_KEY = re.compile(r"""^["']?([\w-]+)["']?[ \t]*:""", re.MULTILINE)
_FLOW_KEY = re.compile(r"""["'{,\s]([\w-]+)["']?\s*:""")
_FLOW_SCHEMA_LINE = re.compile(r"""^["']?schema["']?\s*:\s*["']?https?://stepflow\.org/schemas/\S*flow""", re.MULTILINE)


def find_flow_files(folder: str | PathLike[str]) -> Iterator[Path]:
    """Yield the flow files in a folder and its subfolders, in order, skipping hidden folders and `node_modules`."""
    return filter(is_flow_file, find_possible_flow_files(folder))


def find_possible_flow_files(folder: str | PathLike[str]) -> Iterator[Path]:
    """Yield the files that could be flows, judging by their names, in the same order as `find_flow_files`."""
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        yield from (Path(inside, name) for name in sorted(names) if _is_flow_file_name(name))


def is_flow_file(path: Path) -> bool:
    """Return whether a file is a flow, based on its name and top-level keys (`steps`, `output` or the flow schema).

    Hidden files, server configurations and unreadable files are never flows.
    """
    try:
        content = path.read_bytes() if _is_flow_file_name(path.name) and path.is_file() else b""
    except OSError:
        return False
    return any(mark in content for mark in _FLOW_FILE_MARKERS) and is_flow_text(content.decode("utf-8-sig", "replace"))


def _is_flow_file_name(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(FLOW_SUFFIXES) and not is_server_config_name(name)


def is_server_config_name(name: str) -> bool:
    """Return whether a file name looks like that of a server configuration, e.g. `stepflow-config.yml`."""
    path = Path(name)
    return path.stem.replace("_", "-").startswith("stepflow-config") and path.suffix.lower() in FLOW_SUFFIXES


def is_flow_text(text: str) -> bool:
    """Return whether the text has a flow's top-level keys, even if it isn't valid YAML or JSON."""
    # Fast path: this is enough to recognize most flow files and nearly all large ones.
    if not text.lstrip().startswith("{") and any(key[1] == "steps" for key in _BLOCK_KEY.finditer(text)):
        return True
    keys = find_top_level_keys(text)
    return "steps" in keys or ("output" in keys and "plugins" not in keys) or _FLOW_SCHEMA_LINE.search(text) is not None


def find_top_level_keys(text: str) -> set[str]:
    """Return the text's top-level keys, or all of its keys if it starts with a brace but isn't valid JSON."""
    if not text.lstrip().startswith("{"):
        return set(_BLOCK_KEY.findall(text))
    try:
        return set(json.loads(text))
    except (ValueError, RecursionError):
        return set(_FLOW_KEY.findall(text))


_PROJECT_FILES = (("stepflow.toml", ()), ("pyproject.toml", ("tool", "stepflow")))
CONFIG_NAMES = ("stepflow-config.yml", "stepflow-config.yaml", "stepflow_config.yml", "stepflow_config.yaml")
_MAX_FILE_BYTES = 1024 * 1024
_MAX_COMPONENT_BYTES = 16 * 1024 * 1024
# The keys allowed in each table.
_TABLE_KEYS = {
    "": ("flows", "components", "target", "config", "test", "validate"),
    "test": ("config",),
    "validate": ("select", "ignore", "fail-on", "type-check"),
}
_LEVELS = ("fatal", "error", "warning")
_USER_KEYS = {"url", "server", "servers", "profile", "profiles", "token", "auth", "headers", "proxy", "command", "env"}


class CheckRules(NamedTuple):
    """How to check a project's flows."""

    select: tuple[str, ...] = ()
    """Rules to apply. If empty, all rules apply."""
    ignore: tuple[str, ...] = ()
    """Rules to skip."""
    fail_on: str | None = None
    """The lowest level that makes a flow invalid, or None if not set."""
    type_check: bool = False
    """Whether to also check types throughout the flow."""


class Project(NamedTuple):
    """A project's settings. If there is no project file, every setting has its default value.

    Paths are relative if the project folder is inside the working directory, and absolute otherwise.
    """

    file: Path | None = None
    """Path to the project file."""
    flows: tuple[Path, ...] = ()
    """Flow files, or folders containing them."""
    components: Path | None = None
    """File that lists the components flows may use, as written by `stepflow components lock`."""
    target: str | None = None
    """The server release that the flows target."""
    config: Path | None = None
    """Configuration for the embedded server."""
    test_config: Path | None = None
    """Configuration for the embedded server in tests."""
    rules: CheckRules = CheckRules()


def find_project(start: str | os.PathLike[str] | None = None) -> Project:
    """Return the settings of the project a flow belongs to.

    The search for a project file starts in the flow's folder and moves up. It stops at the first file with Stepflow
    settings, at a repository root or the user's home folder, or before entering a world-writable folder such as `/tmp`,
    because anyone could have put a file there.

    Args:
        start: A flow file or a folder. Defaults to the working directory.

    Raises:
        FlowFileError: If the file can't be read, a key is unknown, or a value is invalid.
    """
    try:
        folder = Path(os.path.abspath(start or ""))
    except FileNotFoundError:
        # The working directory has been deleted.
        return Project()
    if start is not None and not folder.is_dir():
        folder = folder.parent
    here, home = Path.cwd(), os.path.expanduser("~")
    for parent in (folder, *folder.parents):
        if parent != folder and _is_world_writable(parent):
            break
        project = _read_project(parent.relative_to(here) if parent.is_relative_to(here) else parent)
        if project is not None:
            return project
        if str(parent) == home or os.path.lexists(parent / ".git"):
            break
    return Project()


def _is_world_writable(folder: Path) -> bool:
    try:
        return os.name == "posix" and bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return True


def _read_project(folder: Path) -> Project | None:
    for name, keys in _PROJECT_FILES:
        file = folder / name
        if not file.is_file():
            continue
        try:
            with file.open("rb") as opened:
                content = opened.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise _make_error(file, f"{file} cannot be read: {error.strerror}") from None
        if len(content) > _MAX_FILE_BYTES:
            raise _make_error(file, f"{file} is larger than 1 MiB")
        if keys and b"stepflow" not in content:
            continue
        facts: Any = parse_toml(content, str(file))
        for key in keys:
            facts = facts.get(key) if isinstance(facts, dict) else None
        if facts is not None:
            return _ProjectReader(file).parse_settings(facts)
    return None


class _ProjectReader:
    """Validates the settings in a project file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def parse_settings(self, facts: Any) -> Project:
        """Return the validated settings.

        Raises:
            FlowFileError: If a key is unknown or a value is invalid.
        """
        facts = self._check_table("", facts)
        test, validate = (self._check_table(name, facts.get(name, {})) for name in ("test", "validate"))
        target, fail_on = facts.get("target"), validate.get("fail-on")
        if target is not None and parse_checkable_release(target) is None:
            hint = None if isinstance(target, str) else 'write it as text: "0.13"'
            raise self._make_value_error("target", f"a release from {TARGET_RANGE}", target, hint)
        if fail_on is not None and fail_on not in _LEVELS:
            raise self._make_value_error("fail-on", "fatal, error or warning", fail_on)
        type_check = validate.get("type-check", False)
        if not isinstance(type_check, bool):
            raise self._make_value_error("type-check", "true or false", type_check)
        select, ignore = (self._parse_texts(key, validate) for key in ("select", "ignore"))
        return Project(
            file=self._file,
            flows=tuple(self._parse_path("flows", text) for text in self._parse_texts("flows", facts)),
            components=self._parse_path("components", facts["components"]) if "components" in facts else None,
            target=target,
            config=self._parse_path("config", facts["config"]) if "config" in facts else None,
            test_config=self._parse_path("test.config", test["config"]) if "config" in test else None,
            rules=CheckRules(select, ignore, fail_on, type_check),
        )

    def _check_table(self, name: str, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._make_value_error(name or "stepflow", "a table", value)
        for key in value:
            if key in _TABLE_KEYS[name]:
                continue
            hint = suggest_nearest(key, _TABLE_KEYS[name]) or f"the keys are {', '.join(_TABLE_KEYS[name])}"
            if not name and key in _USER_KEYS:
                hint = "a project file cannot name servers or credentials; use your own profile: stepflow config "
                hint += "set profiles.NAME.url URL"
            elif name and key in _TABLE_KEYS[""]:
                hint = f"move {key} to the top level, out of {name}"
            raise _make_error(self._file, f"{self._file}: unknown key {f'{name}.{key}' if name else key}", hint)
        return value

    def _parse_texts(self, key: str, table: Mapping[str, Any]) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
            raise self._make_value_error(key, "a list of strings", value)
        return tuple(value)

    def _parse_path(self, key: str, value: Any) -> Path:
        """Return the path to a file or folder inside the project."""
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise self._make_value_error(key, "a path", value)
        is_outside = ".." in PurePosixPath(value).parts + PureWindowsPath(value).parts
        if is_outside or value.startswith(("/", "\\", "~")) or PureWindowsPath(value).drive:
            raise self._make_value_error(key, "a path in the project's folder", value, "write it relative to this file")
        path, folder = self._file.parent / value, os.path.realpath(self._file.parent)
        if not Path(os.path.realpath(path)).is_relative_to(folder):
            message = f"{self._file}: {key}: {value} points outside the project's folder"
            raise _make_error(self._file, message, "it must not be a link to another folder")
        return path

    def _make_value_error(self, key: str, wanted: str, value: Any, hint: str | None = None) -> FlowFileError:
        return _make_error(self._file, f"{self._file}: {key} must be {wanted}, not {cut(repr(value), 80)}", hint)


def _make_error(file: Path, message: str, hint: str | None = None) -> FlowFileError:
    return FlowFileError(message, path=str(file), hint=hint)


def require_existing_file(project: Project, key: str, path: Path) -> Path:
    """Return the path to a file named in the project settings, after checking that it exists.

    Raises:
        FlowFileError: If the file doesn't exist, or the component list is larger than 16 MiB.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        hint = "to write it, run 'stepflow components lock'" if key == "components" else None
        raise _make_error(path, f"{path}, which {project.file} names as {key}, {what}", hint)
    if key == "components" and path.stat().st_size > _MAX_COMPONENT_BYTES:
        raise _make_error(path, f"{path} is larger than 16 MiB")
    return path


def find_server_config(*folders: Path) -> Path | None:
    """Return the embedded server's configuration file from the first folder that has one.

    Raises:
        FlowFileError: If a folder contains two such files.
    """
    for folder in folders:
        configs = [name for name in CONFIG_NAMES if (folder / name).is_file()]
        if len(configs) > 1:
            where = "the working folder" if folder == Path() else folder
            message = f"{where} has both {configs[0]} and {configs[1]}"
            raise _make_error(folder / configs[0], message, "name one with --config, or remove the other")
        if configs:
            return folder / configs[0]
    return None
