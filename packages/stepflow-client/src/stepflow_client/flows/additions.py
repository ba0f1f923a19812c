"""What the client adds to a flow before it is stored, and the flow as its author wrote it. Pure.

All of it is under one key of the flow's metadata, so that any client, on any machine, gets back the author's flow:

- every flow that is run has a tag, which identifies the client that runs it, and gives the flow an id of its own;
- the flow of a rerun also names the earlier run. Its kept steps are pinned, and the metadata has their definitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .graph import steps_by_id
from .pins import pinned_flow, pinned_output

__all__ = ["Origin", "as_written", "kept_components", "origin_of", "tagged"]

_KEY = "stepflow-client"
"""The key in a flow's metadata: its value is the tag, or for a rerun an object that contains the tag."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that a rerun comes from, and what the rerun keeps of it."""

    run_id: str
    """The id of the earlier run."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """The outputs of the steps that are not executed again, by step id."""
    items: Sequence[int] = (0,)
    """The indexes, in the earlier run, of the items that are run again. They are not part of the flow."""


def tagged(flow: dict[str, Any], tag: str, origin: Origin | None = None) -> dict[str, Any]:
    """Return a copy of a flow with a tag in its metadata, which gives the copy a flow id of its own.

    Args:
        flow: The flow as its author wrote it.
        tag: The tag.
        origin: The origin of a rerun: its kept steps are pinned in the copy. None if the flow is not run again.
    """
    metadata = flow.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        # The server rejects this flow.
        return flow
    added: Any = tag
    if origin is not None:
        steps = steps_by_id(flow)
        added = {"tag": tag, "rerun_of": origin.run_id, "steps": {name: steps[name] for name in origin.kept}}
        flow = pinned_flow(flow, origin.kept)
    return {**flow, "metadata": {**(metadata or {}), _KEY: added}}


def as_written(flow: dict[str, Any]) -> dict[str, Any]:
    """Return a stored flow as its author wrote it: without the client's tag, and with the definitions of all steps."""
    metadata = flow.get("metadata")
    if not isinstance(metadata, dict) or _KEY not in metadata:
        return flow
    definitions = _definitions(metadata[_KEY])
    left = {key: value for key, value in metadata.items() if key != _KEY}
    written = {key: left if key == "metadata" else value for key, value in flow.items() if key != "metadata" or left}
    if definitions:
        steps = [each if (name := _id(each)) is None else definitions.get(name, each) for each in _steps(flow)]
        written["steps"] = steps
    return written


def origin_of(flow: Mapping[str, Any]) -> Origin | None:
    """Return the origin of a rerun from the flow that is stored for it; None for any other flow."""
    metadata = flow.get("metadata")
    added = metadata.get(_KEY) if isinstance(metadata, Mapping) else None
    if not isinstance(added, Mapping) or not isinstance(added.get("rerun_of"), str):
        return None
    definitions, steps = _definitions(added), steps_by_id(flow)
    return Origin(added["rerun_of"], {name: pinned_output(steps[name]) for name in definitions if name in steps})


def kept_components(flow: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the author's components of the steps that a rerun keeps, by step id; empty for any other flow."""
    origin = origin_of(flow)
    if origin is None:
        return {}
    written = steps_by_id(as_written(dict(flow)))
    return {name: written[name].get("component") for name in origin.kept if name in written}


def _definitions(added: Any) -> Mapping[str, Any]:
    found = added.get("steps") if isinstance(added, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _steps(flow: Mapping[str, Any]) -> Sequence[Any]:
    found = flow.get("steps")
    return found if isinstance(found, list) else []


def _id(step: Any) -> str | None:
    found = step.get("id") if isinstance(step, Mapping) else None
    return found if isinstance(found, str) else None
