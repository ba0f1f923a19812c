"""Builds an embedded server's configuration (from a file, a dict or the default), and explains why it was rejected."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .._base.suggestions import find_nearest, suggest_or_list
from .._data.arguments import file_path
from .._data.json_encoding import Builder, DataObject, build_if_builder, is_data_object
from .._data.wire import check_json
from ..errors import FlowFileError, FlowFileNotFoundError, InvalidArgumentError
from ..flows.reading import load_file, read_file_bytes
from ..flows.syntax_tree import FlowText, Node, to_node

# Current servers reject routes in the old form with this message. Older servers accept the new form but ignore it.
_REJECTED_ROUTE_MESSAGE = "Invalid prefix"
_FIRST_RELEASE_WITH_PREFIXES = (0, 13)
# Maximum number of bytes to read from a configuration file.
_MAX_FILE_BYTES = 16 * 1024 * 1024
_VARIABLE_REFERENCE = re.compile(r"\$\{(\w+)")
# Plugin types whose workers take tasks from a queue, wherever the workers run.
_QUEUE_PLUGIN_TYPES = frozenset({"grpc", "nats"})


ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | DataObject | Builder
"""A configuration: a file path, a mapping, an object such as `stepflow_py`'s `StepflowConfig`, or a builder of one."""

# The default for `recovery.checkIntervalSecs`.
_SAFE_CHECK_SECONDS = 30
# Maximum number of unfinished runs that a server resumes on startup and at each later check. The server's own defaults
# are 100 and 10.
_RECOVERY_LIMITS = {"maxStartupRecovery": 10_000, "maxClaimsPerCheck": 10_000}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A server configuration: either a file that the server reads itself, or a document that is sent to its stdin."""

    path: Path | None = None
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    fallback: Mapping[str, Any] | None = field(default=None, repr=False)
    """Another document to try if the server rejects a route in `document`."""

    def arguments(self) -> list[str]:
        """Return the server's command-line arguments."""
        return ["--config-stdin"] if self.path is None else ["--config", str(self.path)]

    def encode_for_stdin(self) -> bytes | None:
        """Return the bytes to send to the server's stdin, or None if the server reads a file."""
        return None if self.document is None else json.dumps(self.document).encode()

    def get_fallback_config_for_error(self, message: str) -> ServerConfig | None:
        """Return the configuration to try next if a server failed with this message, or None if there is none."""
        is_used = self.fallback is not None and _REJECTED_ROUTE_MESSAGE in message
        return ServerConfig(document=self.fallback) if is_used else None

    def load(self) -> dict[str, Any]:
        """Return the configuration as a new dict. A key that isn't a string is replaced by its JSON text.

        Raises:
            FlowFileError: If the file can't be read, or isn't a valid configuration file.
        """
        if self.path is None:
            return dict(json.loads(json.dumps(self.document)))
        return _parse_config_text(_read_config_text(self.path), self.path)

    def load_or_empty(self) -> dict[str, Any]:
        """Return the configuration as a dict, or an empty one if it can't be read."""
        with suppress(FlowFileError):
            return self.load()
        return {}

    def find_env_variables(self) -> frozenset[str]:
        """Return the environment variables that the configuration uses, as `${NAME}` or `${NAME:-default}`."""
        with suppress(FlowFileError):
            text = json.dumps(self.document) if self.path is None else _read_config_text(self.path)
            return frozenset(_VARIABLE_REFERENCE.findall(text))
        return frozenset()


def build_server_config(config: ConfigSource) -> ServerConfig:
    """Check a configuration and return it as a `ServerConfig`.

    Raises:
        InvalidArgumentError: If the configuration's type isn't supported.
        FlowFileError: If the file can't be read.
    """
    if isinstance(config, (str, os.PathLike)):
        return _build_config_from_path(config)
    try:
        config = build_if_builder(config)
    except Exception as error:
        raise InvalidArgumentError(f"{type(config).__name__} failed to build a configuration: {error}") from error
    if not isinstance(config, Mapping) and not is_data_object(config):
        forms = "a path, a mapping, a builder or an object like StepflowConfig"
        raise InvalidArgumentError(f"config must be {forms}, not {type(config).__name__}")
    document = check_json(config, "config")
    if not isinstance(document, dict):
        raise InvalidArgumentError(f"config must be a mapping from name to value, not {type(config).__name__}")

    def without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if value is not None}

    # An object's fields include ones that aren't set, so drop any that are null.
    hook = None if isinstance(config, Mapping) else without_nulls
    return ServerConfig(document=json.loads(json.dumps(document), object_hook=hook))


def build_default_config(release: tuple[int, int] | None, allow_load_file: bool = False) -> ServerConfig:
    """Return the default configuration for a release, which provides the builtin components under `/builtin`."""
    older, newer = (build_builtin_config(prefixes, allow_load_file) for prefixes in (False, True))
    if release is None:
        return ServerConfig(document=older, fallback=newer)
    return ServerConfig(document=newer if release >= _FIRST_RELEASE_WITH_PREFIXES else older)


def is_read_once(path: str | os.PathLike[str]) -> bool:
    """Return whether a path can only be read once, because it's a pipe, a device or a file descriptor."""
    if Path(path).parts[:2] in (("/", "dev"), ("/", "proc")):
        # Even if `/dev/fd/3` is a regular file, it's a descriptor of this process that the server doesn't inherit.
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _build_config_from_path(source: str | os.PathLike[str]) -> ServerConfig:
    try:
        # Use an absolute path. Workers start in the file's folder, and the server gets that folder wrong for a relative
        # path.
        path = file_path(source, "config").expanduser().absolute()
    except (OSError, RuntimeError) as error:
        # Either the working folder was deleted, or there is no home folder for `~`.
        reason = "the working folder was deleted" if isinstance(error, OSError) else error
        raise FlowFileError(f"the configuration file {source} cannot be found: {reason}", path=str(source)) from None
    if not is_read_once(path):
        _read_config_text(path)
        return ServerConfig(path=path)
    try:
        document = load_file(path)
    except FlowFileError as error:
        if error.line is not None:
            use = "use a regular file for anything that JSON cannot represent"
            error.hint = f"a pipe is passed to the server as JSON; {use}"
        raise
    if not isinstance(document, dict):
        raise FlowFileError(f"the configuration {path} is not a mapping", path=str(path))
    return ServerConfig(document=document)


def build_builtin_config(use_prefix_routes: bool, allow_load_file: bool = False) -> dict[str, Any]:
    """Return the default configuration with the builtin components.

    Args:
        use_prefix_routes: Whether to write routes as prefixes. Older servers require patterns instead.
        allow_load_file: Whether to let flows read any file that the server can read.
    """
    rule: dict[str, Any] = {"plugin": "builtin"}
    if not use_prefix_routes:
        routes: dict[str, Any] = {"/builtin/{*component}": [rule]}
        if not allow_load_file:
            # Older servers ignore `componentDeny`, but an exact route takes precedence over a pattern.
            routes["/builtin/load_file"] = []
    else:
        routes = {"/builtin": [rule if allow_load_file else {**rule, "componentDeny": ["/load_file"]}]}
    return {
        "plugins": {"builtin": {"type": "builtin"}},
        "routes": routes,
        # The server only evaluates conditions on step results at its next check (by default every 30 s, for just 10
        # runs).
        "recovery": {"checkIntervalSecs": 1, **_RECOVERY_LIMITS},
    }


@dataclass(frozen=True, slots=True)
class WorkerPlugins:
    """The plugins in a configuration that have worker processes."""

    started: frozenset[str]
    """Plugins with a queue whose workers are started by the server."""

    external: frozenset[str]
    """Plugins with a queue whose workers are started elsewhere and connect to the server."""

    started_by_queue_name: Mapping[str, str] = field(default_factory=dict)

    others: tuple[str, ...] = ()
    """Plugins without a queue that start a process, such as MCP servers."""


def find_worker_plugins(config: Mapping[str, Any]) -> WorkerPlugins:
    """Return the configuration's plugins that have workers."""
    section = config.get("plugins")
    entries = section.items() if isinstance(section, Mapping) else ()
    plugins = {name: plugin for name, plugin in entries if isinstance(plugin, Mapping)}
    queued = {name for name, plugin in plugins.items() if plugin.get("type") in _QUEUE_PLUGIN_TYPES}
    commands = {name for name, plugin in plugins.items() if "command" in plugin}
    started = queued & commands
    queues = {str(plugins[name].get("queueName", name)): name for name in started}
    return WorkerPlugins(frozenset(started), frozenset(queued - started), queues, tuple(commands - started))


def find_store_path(config: Mapping[str, Any]) -> Path | None:
    """Return the path of the SQLite store that the configuration uses, or None if it uses another kind of store."""
    url = _find_database_url(config.get("storageConfig"))
    if url is None or not url.startswith("sqlite:") or "${" in url:
        return None
    name, _, query = url.removeprefix("sqlite:").removeprefix("//").partition("?")
    if name in ("", ":memory:") or "mode=memory" in query:
        return None
    return Path(unquote(name)).absolute()


def find_recovery_warnings(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield problems with run recovery for an on-disk store, each with a hint.

    If a server checks for abandoned runs too often, it marks runs that it is still executing as failed, completes them
    seconds later, and starts some nested flows twice. We have never seen this with the default interval or with an
    in-memory store.
    """
    recovery = config.get("recovery") or {}
    if find_store_path(config) is None or not isinstance(recovery, Mapping) or recovery.get("enabled") is False:
        return
    seconds = recovery.get("checkIntervalSecs")
    if isinstance(seconds, int | float) and seconds < _SAFE_CHECK_SECONDS:
        setting = f"recovery.checkIntervalSecs is {seconds:g}, with a store in a file"
        risk = "the server may mistake running runs for abandoned ones and execute parts of them twice"
        hint = f"remove the setting: the default is {_SAFE_CHECK_SECONDS} s"
        yield f"{setting}: below {_SAFE_CHECK_SECONDS} s, {risk}", hint
    if missing := [f"{name}: {limit}" for name, limit in _RECOVERY_LIMITS.items() if name not in recovery]:
        limits = "only 100 unfinished runs when it starts, and 10 at each later check"
        yield f"after a crash, the server resumes {limits}", f"add recovery: {{{', '.join(missing)}}}"


def _find_database_url(store: object) -> str | None:
    """Return the first database URL in a store's configuration, or None if there is none."""
    if not isinstance(store, Mapping):
        return None
    url = store.get("databaseUrl")
    if isinstance(url, str):
        return url
    return next((nested for part in store.values() if (nested := _find_database_url(part)) is not None), None)


def _read_config_text(path: Path) -> str:
    try:
        return read_file_bytes(path)[:_MAX_FILE_BYTES].decode("utf-8", "replace")
    except FlowFileNotFoundError as error:
        message = f"the configuration file {path} does not exist"
        raise FlowFileNotFoundError(message, path=str(path), hint=error.hint) from None


def _parse_config_text(text: str, path: Path) -> dict[str, Any]:
    import yaml

    value = None
    if text.lstrip().startswith("{"):
        # Try JSON first, because PyYAML rejects some JSON that the server accepts (if it contains tabs).
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
    try:
        value = yaml.load(text, _make_lenient_yaml_loader()) if value is None else value  # noqa: S506 - it is a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "it cannot be read"
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        where = f" (line {line}, column {column})" if mark else ""
        message = f"the configuration file {path} is neither YAML nor JSON: {what}{where}"
        raise FlowFileError(message, path=str(path), line=line, column=column) from error
    if not isinstance(value, dict):
        raise FlowFileError(f"the configuration file {path} is not a mapping", path=str(path))
    return value


@lru_cache
def _make_lenient_yaml_loader() -> Any:
    """Return a YAML loader as lenient as the server's. It accepts any key and tag and reads dates as text."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            self.flatten_mapping(node)
            mapping = {}
            for key_node, value_node in node.value:
                key = self.construct_object(key_node, deep=True)
                name = key if isinstance(key, str) else json.dumps(key, default=str)
                mapping[name] = self.construct_object(value_node, deep=deep)
            return mapping

        def construct_tagged(self, node: Any) -> Any:
            if isinstance(node, yaml.MappingNode):
                return self.construct_mapping(node, deep=True)
            if isinstance(node, yaml.SequenceNode):
                return self.construct_sequence(node, deep=True)
            return node.value

    Loader.add_constructor(None, Loader.construct_tagged)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_tagged)
    return Loader


_STORE_TYPES = ("inMemory", "sqlite")
_TYPES = {"u64": "a whole number", "bool": "true or false", "f64": "a number", "map": "a mapping", "sequence": "a list"}
_LINE_AND_COLUMN = re.compile(r" at line (\d+) column \d+")
_KEY_PATH = r"^(?P<path>[\w.-]+: )?"


def build_rejection_error(reason: str, config: ServerConfig) -> FlowFileError | None:
    """Return an error that points to the line that a server rejected, or None if the server failed for another reason.

    Args:
        reason: The server's message, on one line.
        config: The configuration.
    """
    path, name = config.path, "the configuration" if config.path is None else str(config.path)
    try:
        root = to_node(config.document) if path is None else FlowText.from_bytes(path.read_bytes(), name).root
    except FlowFileError as unreadable:
        # Servers accept some things that flow files can't contain, such as keys that are mappings.
        if not (document := config.load_or_empty()):
            return unreadable if "Failed to parse config" in reason else None
        root = to_node(document)
    except OSError:
        return None
    reason = reason.rpartition("YAML: ")[2]
    fault = _explain_rejection(reason, root)
    if fault is None:
        return None
    message, node, hint = fault
    reported = _LINE_AND_COLUMN.search(reason)
    line = node.line or (int(reported[1]) if reported is not None and path is not None else 0)
    message = f"{name}:{line}: {message}" if line else f"{name}: {message}"
    return FlowFileError(message, path=name, line=line or None, hint=hint)


def _explain_rejection(reason: str, root: Node) -> tuple[str, Node, str | None] | None:
    """Return a message, the node it's about, and a hint. Return None if the reason is unknown."""
    plugins = root.get("plugins")
    if match := re.search(_KEY_PATH + r"unknown variant `(?P<word>[^`]*)`, expected (?:one of )?(?P<types>.*)", reason):
        node, name = _find_node_at_path(match["path"], root)
        hint = suggest_or_list(match["word"], re.findall(r"`(\w+)`", match["types"]), "the types are")
        return f"{name} has the unknown type {match['word']!r}", node.get("type") or node, hint
    if match := re.search(r"plugin not found: ([^:]+)", reason):
        for route, rules in root.items_at("routes").items():
            for rule in rules.elements:
                plugin = rule.get("plugin")
                if plugin is not None and plugin.value == match[1]:
                    hint = suggest_or_list(match[1], [*plugins.items] if plugins is not None else [], "plugins")
                    return f"route {route} refers to the plugin {match[1]!r}, which does not exist", plugin, hint
    if "any variant of untagged enum StorageConfig" in reason:
        store = root.get("storageConfig")
        kind = store.get("type") if store is not None else None
        if kind is not None and kind.value not in _STORE_TYPES:
            hint = suggest_or_list(str(kind.value), _STORE_TYPES, "the types are")
            return f"storageConfig has the unknown type {kind.value!r}", kind, hint
        if store is not None and kind is not None and kind.value == "sqlite" and store.get("databaseUrl") is None:
            return "storageConfig requires databaseUrl", store, "such as databaseUrl: sqlite:runs.db?mode=rwc"
    if match := re.search(_KEY_PATH + r"missing field `(?P<key>\w+)`", reason):
        node, name = _find_node_at_path(match["path"], root)
        return f"{name} requires {match['key']}", node, _suggest_spelling(match["key"], node)
    if match := re.search(_KEY_PATH + r"invalid type: .*?, expected (?:a )?(?P<type>\w+)", reason):
        if match["path"] is None and root.items:
            return None
        node, name = _find_node_at_path(match["path"], root)
        return f"{name} must be {_TYPES.get(match['type'], 'a mapping')}", node, None
    if match := re.search(r"Failed to spawn gRPC worker: (.*?): No such file", reason):
        for name, node in plugins.items.items() if plugins is not None else ():
            command = node.get("command")
            if command is not None and command.value == match[1]:
                hint = "command is a program on PATH, or a path relative to the configuration"
                return f"plugins.{name} cannot start {command.value!r}: program not found", command, hint
    match = re.search(r"Failed to (?:instantiate|initialize) plugin (?:for )?'?([\w-]+)'?.*queueName", reason)
    if match is not None:
        node, name = _find_node_at_path(f"plugins.{match[1]}", root)
        return f"{name} requires queueName", node, _suggest_spelling("queueName", node)
    return None


def _find_node_at_path(path: str | None, root: Node) -> tuple[Node, str]:
    """Follow a path such as `plugins.shop: ` as far as possible.

    Return the last node, along with its name for messages.
    """
    path = (path or "").removesuffix(": ")
    node = root
    for part in path.split("."):
        node = node.get(part) or node
    return node, path or "the configuration"


def _suggest_spelling(key: str, node: Node) -> str | None:
    similar = find_nearest(key, node.items)
    return f"write {key} instead of {similar}" if similar is not None else None
