"""The flow to run, as small as possible so that the client's time dominates."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]

CHUNK = 400
"""Maximum number of inputs in one of `map`'s runs."""

FLOW: JsonObject = {
    "name": "echo",
    "steps": [{"id": "echo", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "echo"},
}
SLEEP: JsonObject = {
    "name": "sleep",
    "steps": [{"id": "sleep", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}}],
    "output": {"$step": "sleep"},
}
INPUT: JsonObject = {"name": "World", "n": 1}


def batch_input(count: int, is_tiny: bool = False) -> list[JsonObject]:
    """Return the inputs of a batch: small objects with mixed values, or just one number if `is_tiny`."""
    if is_tiny:
        return [{"n": n} for n in range(count)]
    return [{"n": n, "name": f"item {n}", "score": n + 0.5, "tags": ["a", "b"], "open": True} for n in range(count)]


def large_input(size: int) -> JsonObject:
    """Return an input with at least this many bytes of JSON."""
    record = {"id": 123456, "name": "a name of some length", "values": [1.5, 2, 3.25], "note": "text " * 30}
    return {"records": [record] * (size // 240 + 1)}


def steps_in_order(steps: int, *, is_reversed: bool = False) -> str:
    """Return a YAML flow with one line per step, where each step reads the one before it."""
    lines = [
        f"  - {{id: s{number}, component: /builtin/create_messages, input: {{user_prompt: {{$step: s{number - 1}}}}}}}"
        for number in range(1, steps)
    ]
    lines.insert(0, "  - {id: s0, component: /builtin/create_messages, input: {user_prompt: a}}")
    listed = "\n".join(reversed(lines) if is_reversed else lines)
    return f"steps:\n{listed}\noutput: {{$step: s{steps - 1}}}\n"
