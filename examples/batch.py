"""Run one flow on many inputs, two at a time, to see that a bad input only affects its own item."""

from __future__ import annotations

import asyncio
from typing import Any

from stepflow_client import StepflowRuntime

FLOW: dict[str, Any] = {
    "name": "salutations",
    "steps": [
        {
            "id": "salutation",
            "component": "/builtin/create_messages",
            "input": {"system_instructions": "Write a salutation.", "user_prompt": {"$input": "guest"}},
        }
    ],
    "output": {"$step": "salutation"},
}
GUESTS: list[dict[str, Any]] = [{"guest": "Ada"}, {"guset": "a slip of the pen"}, {"guest": "Grace"}]


async def main() -> None:
    """Submit the batch, wait, then look at the results and the run as a whole."""
    async with StepflowRuntime.start() as runtime:
        handle = await runtime.start_run(FLOW, GUESTS, max_concurrency=2)
        for given, result in zip(GUESTS, await handle.results(timeout=60), strict=True):
            if result.is_success:
                print(f"{given}: {result.output['messages'][-1]['content']}")
            else:
                print(f"{given}: {result.error.code}, {result.error.message}")

        run = await handle.details()
        print(f"{run.flow_name} {run.status}: {run.items.completed} completed, {run.items.failed} failed")


if __name__ == "__main__":
    asyncio.run(main())
