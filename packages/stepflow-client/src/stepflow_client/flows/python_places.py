"""Where the parts of a flow are, if it is written in Python: a flow of `stepflow_client.authoring`."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from .expressions import Path
from .nodes import Node

if TYPE_CHECKING:
    from ..types.results import FlowError


class Place(Protocol):
    """A position in a Python file."""

    @property
    def file(self) -> str:
        """The path of the file."""
        ...

    @property
    def line(self) -> int:
        """The line, from 1."""
        ...

    @property
    def column(self) -> int:
        """The column, from 1."""
        ...

    @property
    def shown_file(self) -> str:
        """The path as it is shown."""
        ...


def get_places(flow: object) -> Mapping[Path, Place]:
    """Return the positions of the parts of a flow by their paths in it; empty if it is not written in Python."""
    return flow.places if hasattr(type(flow), "places") else {}  # type: ignore[attr-defined]


def get_component_schemas(flow: object) -> Mapping[str, tuple[Any, Any]]:
    """Return the input and output schemas of components by the types of the Python functions that a flow calls."""
    return flow.component_schemas if hasattr(type(flow), "component_schemas") else {}  # type: ignore[attr-defined]


def set_places(root: Node, flow: object) -> tuple[str, str]:
    """Set the positions of the nodes of a flow in its Python file, and return the text of the file and its name.

    Nodes that are written in other files have none. Both texts are empty for flows that are not written in Python.
    """
    places = get_places(flow)
    if not places:
        return "", ""
    whole = places[()]
    for path, place in sorted(places.items(), key=lambda entry: len(entry[0])):
        line, column = (place.line, place.column) if place.file == whole.file else (0, 0)
        node = root.at(*path)
        for each in node.walk() if node is not None else ():
            each.line, each.column = line, column
            each.keys = {name: key._replace(line=line, column=column) for name, key in each.keys.items()}
    return "".join(linecache.getlines(whole.file)), whole.shown_file


def add_place(error: FlowError | None, flow: object) -> FlowError | None:
    """Return an error whose hint also says where the failed step is written, if the flow is written in Python."""
    place = describe_place(flow, error.step_id) if error is not None else None
    if error is None or place is None or place in (error.hint or ""):
        return error
    return replace(error, hint="; ".join(filter(None, (error.hint, place))))


def describe_place(flow: object, step_id: str | None) -> str | None:
    """Return a sentence that says where a step, or the output, of a flow is written; None if that is not known."""
    path: Path = ("output",)
    what = "the output"
    if step_id is not None and get_places(flow):
        steps = flow.to_dict().get("steps", [])  # type: ignore[attr-defined]
        path = next((("steps", index) for index, step in enumerate(steps) if step["id"] == step_id), ())
        what = f"step {step_id!r}"
    place = get_places(flow).get(path) if path else None
    return f"{what} is written at {place.shown_file}:{place.line}" if place is not None else None
