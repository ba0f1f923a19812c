"""Finds the flow files in folders: the one rule that `validate`, `test` and the pytest plugin share.

Its suffix and its top-level keys make a file a flow. It need not parse: a broken flow file is
found too, so that it can be reported.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

FLOW_SUFFIXES = (".yaml", ".yml", ".json")
"""The suffixes of flow files."""

# A flow contains at least one of these.
_MARKS = (b"steps", b"output", b"stepflow.org")
_BLOCK_KEY = re.compile(r"""^["']?([\w-]+)["']?[ \t]*:""", re.MULTILINE)
_FLOW_KEY = re.compile(r"""["'{,\s]([\w-]+)["']?\s*:""")
_DECLARED = re.compile(r"""^["']?schema["']?\s*:\s*["']?https?://stepflow\.org/schemas/\S*flow""", re.MULTILINE)


def find_flow_files(folder: str | PathLike[str]) -> Iterator[Path]:
    """Yield the flow files in a folder and below it, in order; hidden folders and `node_modules` are skipped."""
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        yield from (path for name in sorted(names) if is_flow_file(path := Path(inside, name)))


def is_flow_file(path: Path) -> bool:
    """Return whether a file is a flow, by its name and its top-level keys: `steps`, `output`, or the flow schema.

    Hidden files, server configurations and files that cannot be read are not.
    """
    if path.name.startswith(".") or path.suffix.lower() not in FLOW_SUFFIXES or is_config_name(path.name):
        return False
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:
        return False
    return any(mark in content for mark in _MARKS) and is_flow_text(content.decode("utf-8-sig", "replace"))


def is_config_name(name: str) -> bool:
    """Return whether a file is a server configuration, by its name, such as `stepflow-config.yml`."""
    path = Path(name)
    return path.stem.replace("_", "-").startswith("stepflow-config") and path.suffix.lower() in FLOW_SUFFIXES


def is_flow_text(text: str) -> bool:
    """Return whether a text, which need not parse, is a flow by its top-level keys."""
    # Most texts end here, the large ones above all.
    if not text.lstrip().startswith("{") and any(each[1] == "steps" for each in _BLOCK_KEY.finditer(text)):
        return True
    keys = find_top_level_keys(text)
    return "steps" in keys or ("output" in keys and "plugins" not in keys) or _DECLARED.search(text) is not None


def find_top_level_keys(text: str) -> set[str]:
    """Return the top-level keys; of a text in braces that is not JSON, all keys."""
    if not text.lstrip().startswith("{"):
        return set(_BLOCK_KEY.findall(text))
    try:
        return set(json.loads(text))
    except (ValueError, RecursionError):
        return set(_FLOW_KEY.findall(text))
