"""Read an embedded server's configuration file, and check it for problems that the server itself doesn't report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output.messages import note

if TYPE_CHECKING:
    from pathlib import Path

# Files larger than this many bytes aren't checked.
_MAX_CHECKED_BYTES = 1024 * 1024
_MAX_NOTES = 5


def note_duplicate_config_keys(path: str) -> None:
    """Print a note about each duplicate mapping key in a configuration file. Servers silently use the last value.

    Args:
        path: The YAML or JSON file. If it can't be read, the server will report the error.
    """
    from stepflow_client._command import is_read_once

    if is_read_once(path):
        # If a file can only be read once, leave this check to the server, which rejects duplicate keys.
        return
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_CHECKED_BYTES + 1)
    except (OSError, ValueError):
        return
    repeated = find_duplicate_keys(text) if len(text) <= _MAX_CHECKED_BYTES else []
    for key, first, again in repeated[:_MAX_NOTES]:
        note(f"{path}:{again}: duplicate key {key}, first in line {first}; the last one is used")
    if len(repeated) > _MAX_NOTES:
        note(f"{path}: {len(repeated) - _MAX_NOTES} more duplicate keys")


def read_config_bytes_or_empty(path: str | Path | None) -> bytes:
    """Return a file's content, or b"" if it can't be read (the server will report the error)."""
    from stepflow_client._command import is_read_once

    if path is None or is_read_once(path):
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def find_recovery_warnings(path: str) -> list[tuple[str, str]]:
    """Return (problem, hint) pairs for settings that would prevent a server from recovering its runs."""
    from pathlib import Path

    from stepflow_client._command import ServerConfig, find_recovery_warnings

    # Don't read pipes. They can only be read once, and the server needs to do that.
    return [*find_recovery_warnings(ServerConfig(path=Path(path)).load_or_empty())] if Path(path).is_file() else []


def find_duplicate_keys(text: str) -> list[tuple[str, int, int]]:
    """Return duplicate mapping keys, each with the line numbers of its first occurrence and of the repeated one."""
    import yaml

    try:
        root = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    repeated: list[tuple[str, int, int]] = []
    seen: set[int] = set()
    nodes: list[Any] = [root]
    while nodes:
        node = nodes.pop()
        # An alias and its anchor are the same node object.
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                nodes.append(value)
                if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                    continue
                line = key.start_mark.line + 1
                if key.value in lines:
                    repeated.append((key.value, lines[key.value], line))
                lines.setdefault(key.value, line)
    return sorted(repeated, key=lambda occurrence: occurrence[2])
