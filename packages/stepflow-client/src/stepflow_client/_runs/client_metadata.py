"""Changes a flow before it is stored, and restores the flow as its author wrote it. Pure.

Servers interpret `test` and `examples` too, each release in its own way, and reject flows because of expected outputs.
Runs do not need them, so flows are sent without them. A stored flow keeps its example inputs, in the form that every
release accepts.

The client adds one key to the flow's metadata, from which any client on any machine can restore the author's flow:

- every flow that is run has a tag, which identifies the client that runs it and gives the flow its own id;
- the flow of a rerun also has the id of the earlier run. Its kept steps are pinned, and the metadata has their
  definitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base.lazy import lazy_module
from ..flows.graph import steps_by_id

if TYPE_CHECKING:
    from ..types import StepDetails
    from . import pins
else:
    pins = lazy_module("stepflow_client._runs.pins")

# The key in a flow's metadata: its value is the tag, or for a rerun an object that contains the tag.
_KEY = "stepflow-client"


class Origin(NamedTuple):
    """The earlier run of a rerun, and the steps that are kept."""

    run_id: str
    """The id of the earlier run."""
    kept: Mapping[str, Any]
    """The outputs of the steps that are not executed again, by step id."""
    items: Sequence[int] = (0,)
    """The indexes, in the earlier run, of the items that are run again. They are not part of the flow."""


def add_tag(flow: dict[str, Any], tag: str, origin: Origin | None = None) -> dict[str, Any]:
    """Return a copy of a flow with a tag in its metadata, which gives the copy its own flow id.

    In the flow of a rerun, the kept steps of its origin are pinned.
    """
    metadata = flow.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        # The server rejects this flow.
        return flow
    added: Any = tag
    if origin is not None:
        steps = steps_by_id(flow)
        added = {"tag": tag, "rerun_of": origin.run_id, "steps": {name: steps[name] for name in origin.kept}}
        flow = pins.pinned_flow(flow, origin.kept)
    return {**flow, "metadata": {**(metadata or {}), _KEY: added}}


def restore_flow(flow: dict[str, Any]) -> dict[str, Any]:
    """Return a stored flow as its author wrote it: without the client's tag, and with the definitions of all steps."""
    metadata = flow.get("metadata")
    if not isinstance(metadata, dict) or _KEY not in metadata:
        return flow
    definitions = _get_definitions(metadata[_KEY])
    own = {key: value for key, value in metadata.items() if key != _KEY}
    written = {key: own if key == "metadata" else value for key, value in flow.items() if key != "metadata" or own}
    if definitions:
        steps = flow.get("steps")
        written["steps"] = [
            definitions.get(str(step.get("id")), step) if isinstance(step, Mapping) else step
            for step in (steps if isinstance(steps, list) else ())
        ]
    return written


def read_origin(flow: Mapping[str, Any]) -> Origin | None:
    """Return the origin of a rerun from its stored flow; None for any other flow."""
    metadata = flow.get("metadata")
    added = metadata.get(_KEY) if isinstance(metadata, Mapping) else None
    if not isinstance(added, Mapping) or not isinstance(added.get("rerun_of"), str):
        return None
    definitions, steps = _get_definitions(added), steps_by_id(flow)
    return Origin(
        added["rerun_of"], {name: pins.get_pinned_output(steps[name]) for name in definitions if name in steps}
    )


def mark_kept_steps(steps: Sequence[StepDetails], stored: Mapping[str, Any]) -> list[StepDetails]:
    """Return the steps of a run. Steps that a rerun keeps are marked and have the component of the author's flow."""
    origin = read_origin(stored)
    if origin is None:
        return list(steps)
    written = steps_by_id(restore_flow(dict(stored)))
    kept = {name: written[name].get("component") for name in origin.kept if name in written}
    return [
        replace(step, component=kept[step.step_id], is_kept=True) if step.step_id in kept else step for step in steps
    ]


def _get_definitions(added: Any) -> Mapping[str, Any]:
    steps = added.get("steps") if isinstance(added, Mapping) else None
    return steps if isinstance(steps, Mapping) else {}


def remove_cases(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow without its test cases and examples."""
    return {key: value for key, value in flow.items() if key not in ("test", "examples")}


def convert_to_stored_form(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow in the form in which it is stored: its test cases become examples, without expected outputs."""
    examples = collect_examples(flow)
    return remove_cases(flow) | ({"examples": examples} if examples else {})


def collect_examples(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the named inputs of a flow, as examples: those of its examples, then those of its test cases.

    Each has a name and an input, and a description if there is one. If several have the same name, only the first one
    is returned. Malformed examples are left out.
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
