"""Flows of the server tests, and a run that takes a while."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

ECHO, SLEEP, FAIL, PRESENT = "/python/echo", "/python/sleep", "/python/fail", "/python/present"
EVERYTHING = {"$input": "$"}


def one_step(component: str, step_input: Any = EVERYTHING, **more: Any) -> dict[str, Any]:
    """Return a flow that passes its input to one component."""
    step = {"id": "only", "component": component, "input": step_input}
    return {"steps": [step], "output": {"$step": "only"}, **more}


def unique(prefix: str) -> str:
    """Return a unique flow name."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def slow_run(client: Any, seconds: float = 0.6, value: Any = "slept") -> AsyncIterator[str]:
    """Start a run that sleeps, and yield its ID while it is running."""
    name = unique("slow")
    slow = one_step(SLEEP, name=name)
    run_id = await client.submit(slow, {"seconds": seconds, "value": value})
    yield run_id
