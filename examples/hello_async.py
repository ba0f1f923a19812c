"""Run a flow and print its output.

Uses the server at STEPFLOW_URL, or else an embedded one.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from stepflow_client import StepflowClient, StepflowExecutor, StepflowRuntime

HELLO = Path(__file__).with_name("hello.yaml")


async def greet(executor: StepflowExecutor, name: str) -> None:
    """Run the flow on any executor: a client or an embedded server."""
    result = await executor.run(HELLO, {"name": name})
    if result.is_success:
        print(result.output["messages"][-1]["content"])
    elif result.error is not None:
        print(f"failed at {result.error.step_id}: {result.error.message}")


async def main() -> None:
    """Choose the server."""
    if "STEPFLOW_URL" in os.environ:
        async with StepflowClient.from_env() as client:
            await greet(client, "World")
    else:
        async with StepflowRuntime.start() as runtime:
            await greet(runtime, "World")


if __name__ == "__main__":
    asyncio.run(main())
