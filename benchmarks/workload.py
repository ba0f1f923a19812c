"""The flow to run: the smallest one possible, so that the client dominates and not the flow."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]

CHUNK = 400
"""Maximum number of inputs in one run of `map`."""

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
    """Return the inputs of a batch, each a small object of mixed values, or of a single number."""
    if is_tiny:
        return [{"n": n} for n in range(count)]
    return [{"n": n, "name": f"item {n}", "score": n + 0.5, "tags": ["a", "b"], "open": True} for n in range(count)]


def large_input(size: int) -> JsonObject:
    """Return an input of at least this many bytes of JSON."""
    record = {"id": 123456, "name": "a name of some length", "values": [1.5, 2, 3.25], "note": "text " * 30}
    return {"records": [record] * (size // 240 + 1)}
