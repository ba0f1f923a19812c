"""Dependencies between the steps of a flow. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["reads_of", "steps_behind", "steps_by_id"]


def steps_by_id(flow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the steps of a flow by their ids, in the order of the flow."""
    steps = flow.get("steps")
    listed = steps if isinstance(steps, (list, tuple)) else []
    return {step["id"]: step for step in listed if isinstance(step, Mapping) and isinstance(step.get("id"), str)}


def reads_of(value: Any, keyword: str) -> set[str]:
    """Return the names that an expression may read with a keyword (`$step`, `$input`, `$variable`), in any branch."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (list, tuple)):
            waiting.extend(each)
        elif isinstance(each, Mapping) and "$literal" not in each:
            if keyword in each:
                found.add(str(each[keyword]))
            waiting.extend(each.values())
    return found


def steps_behind(flow: Mapping[str, Any], chosen: Iterable[str]) -> set[str]:
    """Return the chosen steps and all steps that read them, directly or through other steps."""
    reads = {name: reads_of(step.get("input"), "$step") for name, step in steps_by_id(flow).items()}
    behind, grown = set[str](), set(chosen)
    while grown:
        behind |= grown
        grown = {name for name, read in reads.items() if name not in behind and read & behind}
    return behind
