"""Shortens a flow to the part up to one of its steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._data.expressions import references
from .._data.values import merge_overrides
from .graph import FlowSteps, reachable, steps_by_id
from .rerun import check_step

__all__ = ["flow_until"]


def flow_until(flow: Mapping[str, Any], step: str, overrides: Any = None) -> tuple[dict[str, Any], Any]:
    """Return a flow that consists of a step and the steps it reads, and the overrides for it.

    The output of the returned flow is the output of the step.

    Args:
        flow: The flow; it is not changed.
        step: The id of the step.
        overrides: Changes to steps, as for `run`. A changed step may read other steps.

    Returns:
        The shorter flow, and the overrides without those of removed steps.

    Raises:
        InvalidArgumentError: If the flow has no such step, or the overrides are malformed.
    """
    check_step(flow, step)
    steps, changes = steps_by_id(flow), merge_overrides(overrides) or {}
    reads = dict(FlowSteps(flow).reads)
    for name, change in changes.items():
        patch = change.get("value")
        given = references(patch.get("input")) if isinstance(patch, Mapping) else []
        reads[name] = reads.get(name, set()) | {each.step for each in given if each.step}
    needed = reachable([step], reads)
    cut = {**flow, "steps": [each for name, each in steps.items() if name in needed], "output": {"$step": step}}
    schemas = flow.get("schemas")
    properties = schemas.get("properties") if isinstance(schemas, Mapping) else None
    if isinstance(schemas, Mapping) and isinstance(properties, Mapping):
        # The output schema only applies to the whole flow.
        kept = {name: schema for name, schema in properties.items() if name != "output"}
        cut["schemas"] = {**schemas, "properties": kept}
    # Overrides of unknown steps are kept, so that they are rejected later.
    left = {name: change for name, change in changes.items() if name in needed or name not in steps}
    return cut, left or None
