"""Why a server refuses its configuration: the place in the file, and what to change. Pure, except for the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .._base.text import near, nearest
from ..errors import FlowFileError
from ..flows.nodes import Node, node_of
from ..flows.source import FlowText
from .config import ServerConfig

_STORES = ("inMemory", "sqlite")
_KINDS = {"u64": "a whole number", "bool": "true or false", "f64": "a number", "map": "a mapping", "sequence": "a list"}
_PLACE = re.compile(r" at line (\d+) column \d+")
_Found = tuple[str, Node, str | None]
"""A message, its place, and a hint."""


def config_fault(reason: str, config: ServerConfig) -> FlowFileError | None:
    """Return a server's reason for refusing its configuration, as an error with a line; None if it is another reason.

    Args:
        reason: What the server reports, in one line.
        config: The configuration.
    """
    name = "the configuration" if config.path is None else str(config.path)
    try:
        root = node_of(config.document) if config.path is None else FlowText.read(config.path.read_bytes(), name).root
    except FlowFileError as unreadable:
        return unreadable if "Failed to parse config" in reason else None
    except OSError:
        return None
    reason = reason.rpartition("YAML: ")[2]
    for pattern, explain in _REASONS.items():
        if (match := re.search(pattern, reason)) is not None and (found := explain(match, root)) is not None:
            message, node, hint = found
            said = _PLACE.search(reason)
            line = node.line or (int(said[1]) if said is not None and config.path is not None else 0)
            where = f"{name}:{line}" if line else name
            error = FlowFileError(f"{where}: {message}", path=name, line=line or None)
            error.hint = hint
            return error
    return None


def _at(path: str | None, root: Node) -> Node:
    """Return the part of a configuration at a path such as `plugins.shop`."""
    node = root
    for part in (path or "").removesuffix(": ").split("."):
        node = node.get(part) or node
    return node


def _unknown_type(match: re.Match[str], root: Node) -> _Found:
    node = _at(match["path"], root)
    types = re.findall(r"`(\w+)`", match["types"])
    hint = near(match["word"], types, "the types are")
    return f"{_named(match)} has the unknown type {match['word']!r}", node.get("type") or node, hint


def _no_plugin(match: re.Match[str], root: Node) -> _Found | None:
    plugins = root.get("plugins")
    names = [*plugins.items] if plugins is not None else []
    for route, node in _rules(root):
        if node.value == match["word"]:
            return (
                f"route {route} leads to the plugin {node.value!r}, which does not exist",
                node,
                near(match["word"], names, "plugins"),
            )
    return None


def _rules(root: Node) -> Iterator[tuple[str, Node]]:
    """Yield the plugins that the routes name, each with its route."""
    routes = root.get("routes")
    for route, rules in routes.items.items() if routes is not None else ():
        for rule in rules.elements:
            if (plugin := rule.get("plugin")) is not None:
                yield route, plugin


def _wrong_store(match: re.Match[str], root: Node) -> _Found | None:
    node = root.get("storageConfig")
    kind = None if node is None else node.get("type")
    if node is None or kind is None:
        return None
    if kind.value not in _STORES:
        return (
            f"storageConfig has the unknown type {kind.value!r}",
            kind,
            near(str(kind.value), _STORES, "the types are"),
        )
    missing = kind.value == "sqlite" and node.get("databaseUrl") is None
    hint = "such as databaseUrl: sqlite:runs.db?mode=rwc"
    return ("storageConfig requires databaseUrl", node, hint) if missing else None


def _missing(match: re.Match[str], root: Node) -> _Found:
    node = _at(match["path"], root)
    return f"{_named(match)} requires {match['word']}", node, _instead(match["word"], node)


def _instead(key: str, node: Node) -> str | None:
    found = nearest(key, node.items)
    return f"write {key} instead of {found}" if found is not None else None


def _wrong_kind(match: re.Match[str], root: Node) -> _Found | None:
    if match["path"] is None and root.items:
        return None
    node = _at(match["path"], root)
    what = _KINDS.get(match["kind"], "a mapping")
    return f"{_named(match)} must be {what}", node, None


def _of_plugin(match: re.Match[str], root: Node) -> _Found | None:
    node = _at(f"plugins.{match['path']}", root)
    if "queueName" in match["rest"]:
        return f"plugins.{match['path']} requires queueName", node, _instead("queueName", node)
    return None


def _no_program(match: re.Match[str], root: Node) -> _Found | None:
    hint = "command is a program on PATH, or a path relative to the configuration"
    plugins = root.get("plugins")
    for name, node in plugins.items.items() if plugins is not None else ():
        command = node.get("command")
        if command is not None and command.value == match["word"]:
            return f"plugins.{name} cannot start {command.value!r}: there is no such program", command, hint
    return None


def _named(match: re.Match[str]) -> str:
    return (match["path"] or "the configuration").removesuffix(": ")


_PATH = r"^(?P<path>[\w.-]+: )?"
_REASONS: dict[str, Callable[[re.Match[str], Node], _Found | None]] = {
    _PATH + r"unknown variant `(?P<word>[^`]*)`, expected (?:one of )?(?P<types>.*)": _unknown_type,
    r"plugin not found: (?P<word>[^:]+)": _no_plugin,
    r"any variant of untagged enum StorageConfig": _wrong_store,
    _PATH + r"missing field `(?P<word>\w+)`": _missing,
    _PATH + r"invalid type: .*?, expected (?:a )?(?P<kind>\w+)": _wrong_kind,
    r"Failed to spawn gRPC worker: (?P<word>.*?): No such file": _no_program,
    r"Failed to (?:instantiate|initialize) plugin (?:for )?'?(?P<path>[\w-]+)'?(?P<rest>.*)": _of_plugin,
}
