"""Flows of the server tests, and how a run is caught while it goes on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.differences import has

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
async def going_on(client: Any, release: str, seconds: float = 0.6, value: Any = "slept") -> AsyncIterator[str]:
    """Start a run that takes a while and return its id while it goes on."""
    name = unique("slow")
    slow = one_step(SLEEP, name=name)
    submitted = asyncio.ensure_future(client.submit(slow, {"seconds": seconds, "value": value}))
    if has(release, "background"):
        run_id = await submitted
    else:
        # The request that creates the run is held until it ends.
        found: list[Any] = []
        while not found:
            await asyncio.sleep(0.01)
            found = (await client.list_runs(flow_name=name)).runs
        run_id = found[0].run_id
    try:
        yield run_id
    finally:
        await submitted
