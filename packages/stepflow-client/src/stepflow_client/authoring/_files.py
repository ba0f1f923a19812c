"""Writes flows as files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._data.yaml_writer import write_yaml
from ..flows import expressions
from ._places import Place


def yaml_of(flow: Mapping[str, Any], places: Mapping[expressions.Path, Place]) -> str:
    """Return a flow as YAML, with a comment before each step that names its position in Python.

    The comments have the name of the file only: they are the same wherever the flow is written.
    """
    parts = []
    for key, each in flow.items():
        if key == "steps":
            parts.append("steps:\n")
            for index, step in enumerate(each):
                place = places["steps", index]
                parts.append(f"# {os.path.basename(place.file)}:{place.line}\n{write_yaml([step])}")
        else:
            parts.append(write_yaml({key: each}))
    return "".join(parts)
