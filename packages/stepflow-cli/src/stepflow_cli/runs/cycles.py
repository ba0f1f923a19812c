"""Steps that depend on each other in a cycle; servers only report that one is undefined. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["cycle_in"]


def cycle_in(flow: Mapping[str, Any]) -> list[str]:
    """Return the ids of the steps in a cycle, with the first repeated at the end; empty if there is no cycle.

    Args:
        flow: The flow. Malformed parts are ignored.
    """
    steps = [step for step in flow.get("steps") or () if isinstance(step, dict)]
    needs = {str(step.get("id")): list(dict.fromkeys(_referred(step))) for step in steps}
    done: set[str] = set()
    for first in needs:
        # Each level is a step with an iterator over its dependencies that are not visited yet.
        path, levels = [first], [iter(needs[first])]
        while levels:
            following = next(levels[-1], None)
            if following is None:
                levels.pop()
                done.add(path.pop())
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following in needs and following not in done:
                path.append(following)
                levels.append(iter(needs[following]))
    return []


def _referred(step: Mapping[str, Any]) -> Iterator[str]:
    left: list[Any] = [step]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(value.get("$step"), str):
                yield value["$step"]
            left.extend(each for key, each in value.items() if key != "$literal")
        elif isinstance(value, list):
            left.extend(value)
