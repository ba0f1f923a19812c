"""Pins steps of a flow to known outputs, for tests without slow or paid steps, and for reruns.

There are two ways; the first one leaves the flow unchanged:

- by overrides, with a component that returns its input (`/builtin/noop`, 0.13);
- by a derived flow, on every release: the step fails at once, and its error handling returns the output. Reruns use
  this one: the pins are part of what is stored, so they survive a crash of the server and are seen by every client.

Only steps of the flow itself can be pinned, not those of sub-flows that `map` and `iterate` run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["PIN_COMPONENT", "pin_overrides", "pinned_flow", "pinned_output"]

PIN_COMPONENT = "/builtin/create_messages"
"""The component of steps that `pinned_flow` pins. It is on every release, and fails immediately without input."""


def pin_overrides(outputs: Mapping[str, Any], *, component: str = "/builtin/noop") -> dict[str, Any]:
    """Return overrides with which each of these steps returns the given output without being executed.

    An override is a JSON merge patch: nulls in objects delete keys, and objects are merged into those of the old input.
    A list is replaced as a whole, so the output is put in a list, and two nulls remove keywords of the old input that
    would take precedence.

    Args:
        outputs: Outputs by step id; any JSON values.
        component: A component that returns its input. Default `/builtin/noop`, which 0.13 has.
    """
    return {step: {"component": component, "input": _exact(output)} for step, output in outputs.items()}


def _exact(output: Any) -> dict[str, Any]:
    return {"$literal": None, "$if": None, "$coalesce": [{"$literal": output}]}


def pinned_flow(flow: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow in which each of these steps returns the given output; works on servers of 0.9 to 0.13.

    Store it with the client's own methods, which preserve its integers. The configuration must route `/builtin`.

    Args:
        flow: The flow; it is not changed.
        outputs: Outputs by step id; any JSON values.

    Raises:
        InvalidArgumentError: If the flow has no step with one of these ids.
    """
    steps = flow.get("steps") or []
    known = {step.get("id") for step in steps if isinstance(step, Mapping)}
    for step_id in outputs:
        if step_id not in known:
            raise InvalidArgumentError(f"the flow has no step {step_id!r} to pin")
    pinned = [
        _pinned_step(step, outputs[step["id"]]) if isinstance(step, Mapping) and step.get("id") in outputs else step
        for step in steps
    ]
    return {**flow, "steps": pinned}


def _pinned_step(step: Mapping[str, Any], output: Any) -> dict[str, Any]:
    """Return a step that fails immediately, because its component lacks its required input, and returns its default."""
    kept = {key: step[key] for key in ("id", "mustExecute", "metadata") if key in step}
    on_error = {"action": "useDefault", "defaultValue": output}
    return {**kept, "component": PIN_COMPONENT, "onError": on_error}


def pinned_output(step: Mapping[str, Any]) -> Any:
    """Return the output of a step that `pinned_flow` has pinned."""
    on_error = step.get("onError")
    return on_error.get("defaultValue") if isinstance(on_error, Mapping) else None
