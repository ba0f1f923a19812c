"""Flows of the server tests, and how a run is caught while it goes on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

ECHO, SLEEP, FAIL, PRESENT = "/python/echo", "/python/sleep", "/python/fail", "/python/present"
EVERYTHING = {"$input": "$"}


def one_step(component: str, step_input: Any = EVERYTHING, **more: Any) -> dict[str, Any]:
    """A flow that gives its input to one component."""
    step = {"id": "only", "component": component, "input": step_input}
    return {"steps": [step], "output": {"$step": "only"}, **more}


def unique(prefix: str) -> str:
    """A name no other flow has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def going_on(client: Any, seconds: float = 0.6, value: Any = "slept") -> AsyncIterator[str]:
    """Start a run that takes a while and return its id while it goes on."""
    name = unique("slow")
    slow = one_step(SLEEP, name=name)
    run_id = await client.submit(slow, {"seconds": seconds, "value": value})
    yield run_id
