"""Positions of a flow's parts in the Python code that defines it."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .expressions import Path

if TYPE_CHECKING:
    from ..types.results import FlowError
    from .syntax_tree import Node


def get_python_places_by_path(flow: object) -> Mapping[Path, Any]:
    """Return the positions of a flow's parts (`authoring.Place`), keyed by path, or an empty mapping if the flow isn't
    written in Python."""
    return flow.places if hasattr(type(flow), "places") else {}  # type: ignore[attr-defined]


def set_python_positions(root: Node, flow: object) -> tuple[str, str]:
    """Set the positions of a flow's nodes in its Python file, and return that file's text and name.

    Nodes defined in other files get no position. Both strings are empty if the flow isn't written in Python.
    """
    places = get_python_places_by_path(flow)
    if not places:
        return "", ""
    whole = places[()]
    for path, place in sorted(places.items(), key=lambda entry: len(entry[0])):
        line, column = (place.line, place.column) if place.file == whole.file else (0, 0)
        node = root.at(*path)
        for part in node.walk() if node is not None else ():
            part.line, part.column = line, column
            part.keys = {name: key._replace(line=line, column=column) for name, key in part.keys.items()}
    return "".join(linecache.getlines(whole.file)), whole.shown_file


def add_python_place_to_hint(error: FlowError | None, flow: object) -> FlowError | None:
    """Add the failed step's location to an error's hint, if the flow is written in Python."""
    place = describe_python_place_of_step(flow, error.step_id) if error is not None else None
    if error is None or place is None or place in (error.hint or ""):
        return error
    return replace(error, hint="; ".join(filter(None, (error.hint, place))))


def describe_python_place_of_step(flow: object, step_id: str | None) -> str | None:
    """Describe where a flow's step is written in Python (or its output, without a step), or return None if unknown."""
    places, what = get_python_places_by_path(flow), "the output" if step_id is None else f"step {step_id!r}"
    path: Path = ("output",)
    if step_id is not None and places:
        steps = flow.to_dict().get("steps", [])  # type: ignore[attr-defined]
        path = next((("steps", index) for index, step in enumerate(steps) if step["id"] == step_id), ("steps", -1))
    place = places.get(path)
    return f"{what} is written at {place.shown_file}:{place.line}" if place is not None else None
