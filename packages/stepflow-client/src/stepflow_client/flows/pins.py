"""Pins: steps of a flow that give a known output and are not executed. Pure.

Only the steps of the flow itself can be pinned, not those of a sub-flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["pin_overrides", "pinned_flow"]


def pin_overrides(outputs: Mapping[str, Any], *, component: str = "/builtin/noop") -> dict[str, Any]:
    """Return overrides by which steps give these outputs.

    An override is a JSON merge patch: a null in an object removes a key, and objects are merged into what is there. So
    the output stands in a list, which is replaced as a whole, and stronger keywords of the old input are removed.

    Args:
        outputs: The outputs by step id, any JSON values.
        component: A component that returns its input; `/builtin/noop` is there from release 0.13 on.
    """
    return {
        step: {"component": component, "input": {"$literal": None, "$if": None, "$coalesce": [{"$literal": output}]}}
        for step, output in outputs.items()
    }


def pinned_flow(flow: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a flow whose steps give these outputs; for every release (0.9 to 0.13).

    A pinned step fails at once, as its component lacks its input, and its default is the output.

    Args:
        flow: The flow; builtin components must be at `/builtin` on its server.
        outputs: The outputs by step id, any JSON values.
    """
    steps = [
        _pinned(step, outputs[step["id"]]) if isinstance(step, Mapping) and step.get("id") in outputs else step
        for step in flow.get("steps") or []
    ]
    return {**flow, "steps": steps}


def _pinned(step: Mapping[str, Any], output: Any) -> dict[str, Any]:
    return {
        **{key: step[key] for key in ("id", "mustExecute", "metadata") if key in step},
        "component": "/builtin/create_messages",
        "onError": {"action": "useDefault", "defaultValue": output},
    }
