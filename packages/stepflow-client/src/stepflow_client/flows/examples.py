"""The example inputs in a flow file, and the flow without them.

Servers interpret `test` and `examples` too, each release in its own way, and refuse flows because of expected outputs.
Runs need neither, so flows are sent without them. A stored flow keeps its example inputs, in the form that every
release accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["as_stored", "examples_of", "without_cases"]


def without_cases(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow without its test cases and examples."""
    return {key: value for key, value in flow.items() if key not in ("test", "examples")}


def as_stored(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow in the form in which it is stored: its test cases become examples, without expected outputs."""
    examples = examples_of(flow)
    return without_cases(flow) | ({"examples": examples} if examples else {})


def examples_of(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the named inputs of a flow, as examples: those of its examples, then those of its test cases.

    Each has a name and an input, and a description if there is one. Of several with the same name, only the first is
    returned; what is malformed is left out.
    """
    test = flow.get("test")
    groups = (flow.get("examples"), test.get("cases") if isinstance(test, Mapping) else None)
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        for each in group if isinstance(group, (list, tuple)) else ():
            if isinstance(each, Mapping) and isinstance(each.get("name"), str) and "input" in each:
                found.setdefault(each["name"], _example(each))
    return list(found.values())


def _example(each: Mapping[str, Any]) -> dict[str, Any]:
    example = {"name": each["name"], "description": each.get("description"), "input": each["input"]}
    if not isinstance(example["description"], str):
        del example["description"]
    return example
