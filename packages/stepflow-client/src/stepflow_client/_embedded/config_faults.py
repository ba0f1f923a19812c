"""Explains why a server rejected its configuration: the line in the file, and what to change."""

from __future__ import annotations

import re

from .._base.text import near, nearest
from ..errors import FlowFileError
from ..flows.nodes import Node, to_node
from ..flows.source import FlowText
from .config import ServerConfig

_STORES = ("inMemory", "sqlite")
_TYPES = {"u64": "a whole number", "bool": "true or false", "f64": "a number", "map": "a mapping", "sequence": "a list"}
_LINE = re.compile(r" at line (\d+) column \d+")
_PATH = r"^(?P<path>[\w.-]+: )?"


def explain_config_error(reason: str, config: ServerConfig) -> FlowFileError | None:
    """Return an error with the line that made a server reject its configuration; None if the reason is another one.

    Args:
        reason: The server's message, in one line.
        config: The configuration.
    """
    name = "the configuration" if config.path is None else str(config.path)
    try:
        root = to_node(config.document) if config.path is None else FlowText.read(config.path.read_bytes(), name).root
    except FlowFileError as unreadable:
        return unreadable if "Failed to parse config" in reason else None
    except OSError:
        return None
    reason = reason.rpartition("YAML: ")[2]
    fault = _explain(reason, root)
    if fault is None:
        return None
    message, node, hint = fault
    reported = _LINE.search(reason)
    line = node.line or (int(reported[1]) if reported is not None and config.path is not None else 0)
    error = FlowFileError(f"{name}:{line}: {message}" if line else f"{name}: {message}", path=name, line=line or None)
    error.hint = hint
    return error


def _explain(reason: str, root: Node) -> tuple[str, Node, str | None] | None:
    """Return a message, the node that it is about, and a hint."""
    plugins = root.get("plugins")
    if match := re.search(_PATH + r"unknown variant `(?P<word>[^`]*)`, expected (?:one of )?(?P<types>.*)", reason):
        node, name = _locate(match["path"], root)
        hint = near(match["word"], re.findall(r"`(\w+)`", match["types"]), "the types are")
        return f"{name} has the unknown type {match['word']!r}", node.get("type") or node, hint
    if match := re.search(r"plugin not found: ([^:]+)", reason):
        routes = root.get("routes")
        for route, rules in routes.items.items() if routes is not None else ():
            for rule in rules.elements:
                plugin = rule.get("plugin")
                if plugin is not None and plugin.value == match[1]:
                    hint = near(match[1], [*plugins.items] if plugins is not None else [], "plugins")
                    return f"route {route} leads to the plugin {match[1]!r}, which does not exist", plugin, hint
    if "any variant of untagged enum StorageConfig" in reason:
        store = root.get("storageConfig")
        kind = store.get("type") if store is not None else None
        if store is not None and kind is not None and kind.value not in _STORES:
            hint = near(str(kind.value), _STORES, "the types are")
            return f"storageConfig has the unknown type {kind.value!r}", kind, hint
        if store is not None and kind is not None and kind.value == "sqlite" and store.get("databaseUrl") is None:
            return "storageConfig requires databaseUrl", store, "such as databaseUrl: sqlite:runs.db?mode=rwc"
    if match := re.search(_PATH + r"missing field `(?P<key>\w+)`", reason):
        node, name = _locate(match["path"], root)
        return f"{name} requires {match['key']}", node, _suggest_spelling(match["key"], node)
    if match := re.search(_PATH + r"invalid type: .*?, expected (?:a )?(?P<type>\w+)", reason):
        if match["path"] is None and root.items:
            return None
        node, name = _locate(match["path"], root)
        return f"{name} must be {_TYPES.get(match['type'], 'a mapping')}", node, None
    if match := re.search(r"Failed to spawn gRPC worker: (.*?): No such file", reason):
        for name, node in plugins.items.items() if plugins is not None else ():
            command = node.get("command")
            if command is not None and command.value == match[1]:
                hint = "command is a program on PATH, or a path relative to the configuration"
                return f"plugins.{name} cannot start {command.value!r}: there is no such program", command, hint
    match = re.search(r"Failed to (?:instantiate|initialize) plugin (?:for )?'?([\w-]+)'?.*queueName", reason)
    if match is not None:
        node, name = _locate(f"plugins.{match[1]}", root)
        return f"{name} requires queueName", node, _suggest_spelling("queueName", node)
    return None


def _locate(path: str | None, root: Node) -> tuple[Node, str]:
    """Return the node at a path such as `plugins.shop: `, as far as it exists, and its name in messages."""
    path = (path or "").removesuffix(": ")
    node = root
    for part in path.split("."):
        node = node.get(part) or node
    return node, path or "the configuration"


def _suggest_spelling(key: str, node: Node) -> str | None:
    similar = nearest(key, node.items)
    return f"write {key} instead of {similar}" if similar is not None else None
