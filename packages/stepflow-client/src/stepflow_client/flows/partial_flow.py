"""Flows made of a part of a flow: up to a step, or one step alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._base.text import nearest_hint
from .._data.arguments import check_text
from .._data.flow_declarations import declared_schema
from .._data.values import merge_overrides
from ..errors import InvalidArgumentError
from .expressions import references
from .flow_argument import FlowSource, load_flow
from .graph import FlowSteps, reachable, steps_by_id


def require_step(flow: Mapping[str, Any], step: str) -> None:
    """Check that the flow has a step.

    Raises:
        InvalidArgumentError: If it does not. The hint names the most similar step, or all of them.
    """
    steps = steps_by_id(flow)
    if check_text(step, "step") not in steps:
        hint = nearest_hint(step, steps) or f"it has {', '.join(steps) or 'no steps'}"
        raise InvalidArgumentError(f"the flow has no step {step!r}", hint=hint)


def cut_flow(flow: Mapping[str, Any], step: str, overrides: Any = None) -> tuple[dict[str, Any], Any]:
    """Return a flow with a step and the steps that it reads, and the overrides of these steps.

    The output of the returned flow is the output of the step. A step that is overridden may read other steps.

    Raises:
        InvalidArgumentError: If the flow has no such step, or the overrides are malformed.
    """
    require_step(flow, step)
    steps, changes = steps_by_id(flow), merge_overrides(overrides) or {}
    reads = dict(FlowSteps(flow).reads)
    for name, change in changes.items():
        patch = change.get("value")
        given = references(patch.get("input")) if isinstance(patch, Mapping) else []
        reads[name] = reads.get(name, set()) | {each.step for each in given if each.step}
    needed = reachable([step], reads)
    cut = {
        **flow,
        "steps": [definition for name, definition in steps.items() if name in needed],
        "output": {"$step": step},
    }
    if isinstance(properties := declared_schema(flow), Mapping):
        # The output schema only applies to the whole flow.
        kept = {name: schema for name, schema in properties.items() if name != "output"}
        cut["schemas"] = {**flow["schemas"], "properties": kept}
    # Overrides of unknown steps are kept, so that they are rejected later.
    left = {name: change for name, change in changes.items() if name in needed or name not in steps}
    return cut, left or None


def flow_of_step(flow: FlowSource, step_id: str) -> dict[str, Any]:
    """Return a flow that executes one step alone, with the flow's input as the input of the step.

    Its output is the output of the step. The step's own input expression is not evaluated. The name differs from that
    of the given flow, so that their runs can be told apart.

    Example:
        ```python
        result = await client.run(flow_of_step("hello.yaml", "greeting"), {"user_prompt": "Hi"})
        ```

    Args:
        flow: A flow, or the path of its file.
        step_id: The id of the step.

    Raises:
        FlowFileError: If the file cannot be read.
        InvalidArgumentError: If the flow has no such step.
    """
    content = load_flow(flow)
    require_step(content, step_id)
    alone = {**steps_by_id(content)[step_id], "input": {"$input": "$"}}
    # The flow's schemas describe other inputs and outputs.
    kept: dict[str, Any] = {key: content[key] for key in ("description", "version", "metadata") if key in content}
    named = {"name": f"{content['name']}/{step_id}"} if isinstance(content.get("name"), str) else {}
    return {**named, **kept, "steps": [alone], "output": {"$step": step_id}}
