"""Positions of a flow's parts in the Python code that defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .expressions import Path

if TYPE_CHECKING:
    from ..types.results import FlowError


def get_python_places_by_path(flow: object) -> Mapping[Path, Any]:
    """Return the positions of a flow's parts (`authoring.Place`), keyed by path, or an empty mapping if the flow isn't
    written in Python."""
    return flow.places if hasattr(type(flow), "places") else {}  # type: ignore[attr-defined]


def add_python_place_to_error(error: FlowError | None, flow: object) -> FlowError | None:
    """Add the failed step's location to an error's hint, if the flow is written in Python."""
    place = describe_python_place(flow, error.step_id) if error is not None else None
    if error is None or place is None or place in (error.hint or ""):
        return error
    return replace(error, hint="; ".join(filter(None, (error.hint, place))))


def describe_python_place(flow: object, step_id: str | None) -> str | None:
    """Return a phrase that says where in the Python code a step is defined, or None if unknown.

    If `step_id` is None, the phrase describes the flow's output.
    """
    places, what = get_python_places_by_path(flow), "the output" if step_id is None else f"step {step_id!r}"
    path: Path = ("output",)
    if step_id is not None and places:
        steps = flow.to_dict().get("steps", [])  # type: ignore[attr-defined]
        path = next((("steps", index) for index, step in enumerate(steps) if step["id"] == step_id), ("steps", -1))
    place = places.get(path)
    return f"{what} is written at {place.shown_file}:{place.line}" if place is not None else None
