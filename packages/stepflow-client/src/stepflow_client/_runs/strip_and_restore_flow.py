"""Changes a flow before it is stored, and restores the author's version afterward.

Servers also read `test` and `examples` (each release slightly differently), and reject some flows because of their
expected outputs. Runs need neither `test` nor `examples`, so flows are sent without them. A stored flow keeps its
example inputs in a form that every release accepts.

The client adds one key to the flow's metadata, from which any client on any machine can restore the original:

- Every flow gets a tag when it's run. The tag identifies the client running the flow, and gives the tagged flow a
  different ID.
- A rerun's flow also records the earlier run's ID. Kept steps are pinned, with their original definitions saved in the
  metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..flows.graph import get_steps_by_id

if TYPE_CHECKING:
    from ..types import StepDetails

# Metadata key. The value is the tag or, for a rerun, an object containing the tag.
_METADATA_KEY = "stepflow-client"


class RerunOrigin(NamedTuple):
    """The origin of a rerun, and the steps it keeps."""

    run_id: str
    """The earlier run's ID."""
    kept: Mapping[str, Any]
    """Outputs of the steps that aren't executed again, by step ID."""
    items: Sequence[int] = (0,)
    """The items to run again, by their index in the earlier run. They aren't stored in the flow."""


def add_tag_to_flow(flow: dict[str, Any], tag: str, origin: RerunOrigin | None = None) -> dict[str, Any]:
    """Return a copy of a flow with a tag in its metadata, which gives the copy a different flow ID.

    If `origin` is set (for a rerun), the steps it keeps are pinned.
    """
    metadata = flow.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        # Leave invalid metadata alone: the server will reject the flow.
        return flow
    added: Any = tag
    if origin is not None:
        steps = get_steps_by_id(flow)
        added = {"tag": tag, "rerun_of": origin.run_id, "steps": {name: steps[name] for name in origin.kept}}
        from .pinned_steps import pinned_flow

        flow = pinned_flow(flow, origin.kept)
    return {**flow, "metadata": {**(metadata or {}), _METADATA_KEY: added}}


def restore_flow(flow: dict[str, Any]) -> dict[str, Any]:
    """Restore a stored flow to its author's version, without the tag and with all original step definitions."""
    metadata = flow.get("metadata")
    if not isinstance(metadata, dict) or _METADATA_KEY not in metadata:
        return flow
    definitions = _get_kept_step_definitions(metadata[_METADATA_KEY])
    own = {key: value for key, value in metadata.items() if key != _METADATA_KEY}
    written = {key: own if key == "metadata" else value for key, value in flow.items() if key != "metadata" or own}
    if definitions:
        steps = flow.get("steps")
        written["steps"] = [
            definitions.get(str(step.get("id")), step) if isinstance(step, Mapping) else step
            for step in (steps if isinstance(steps, list) else ())
        ]
    return written


def parse_rerun_origin(flow: Mapping[str, Any]) -> RerunOrigin | None:
    """Read a rerun's origin from its stored flow, or return None for any other flow."""
    metadata = flow.get("metadata")
    added = metadata.get(_METADATA_KEY) if isinstance(metadata, Mapping) else None
    if not isinstance(added, Mapping) or not isinstance(added.get("rerun_of"), str):
        return None
    definitions, steps = _get_kept_step_definitions(added), get_steps_by_id(flow)
    handling = {name: steps[name].get("onError") for name in definitions if name in steps}
    kept = {name: each.get("defaultValue") if isinstance(each, Mapping) else None for name, each in handling.items()}
    return RerunOrigin(added["rerun_of"], kept)


def mark_kept_step_details(steps: Sequence[StepDetails], stored: Mapping[str, Any]) -> list[StepDetails]:
    """Mark the steps kept by a rerun, and restore their original components."""
    origin = parse_rerun_origin(stored)
    if origin is None:
        return list(steps)
    written = get_steps_by_id(restore_flow(dict(stored)))
    kept = {name: written[name].get("component") for name in origin.kept if name in written}
    return [
        replace(step, component=kept[step.step_id], is_kept=True) if step.step_id in kept else step for step in steps
    ]


def _get_kept_step_definitions(added: Any) -> Mapping[str, Any]:
    steps = added.get("steps") if isinstance(added, Mapping) else None
    return steps if isinstance(steps, Mapping) else {}


def remove_cases(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow without its test cases and examples."""
    return {key: value for key, value in flow.items() if key not in ("test", "examples")}


def collect_examples(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Collect a flow's named inputs as examples: first from its own examples, then from its test cases.

    Each has a name, an input and possibly a description. If several share a name, only the first is returned. Malformed
    entries are skipped.
    """
    test = flow.get("test")
    groups = (flow.get("examples"), test.get("cases") if isinstance(test, Mapping) else None)
    examples: dict[str, dict[str, Any]] = {}
    for group in groups:
        for case in group if isinstance(group, (list, tuple)) else ():
            if isinstance(case, Mapping) and isinstance(case.get("name"), str) and "input" in case:
                description = case.get("description")
                more = {"description": description} if isinstance(description, str) else {}
                examples.setdefault(case["name"], {"name": case["name"], **more, "input": case["input"]})
    return list(examples.values())
