"""Follow a run as it executes, leave, and pick up where you left off."""

from __future__ import annotations

import asyncio
from pathlib import Path

from stepflow_client import StepflowRuntime
from stepflow_client.events import RunCompletedEvent, StepCompletedEvent, StepStartedEvent

FAN_OUT = Path(__file__).with_name("fan_out.yaml")


async def main() -> None:
    """Read up to the first step, save the cursor, and continue from there."""
    async with StepflowRuntime.start() as runtime:
        handle = await runtime.start_run(FAN_OUT, {"names": ["Ada", "Grace", "Edsger"]})

        async with handle.events() as events:
            async for event in events:
                print("before:", event.type)
                if isinstance(event, StepStartedEvent):
                    break

        # The cursor is a string, so you can store it or use it in another process.
        async for event in handle.events(after=events.cursor, include_results=True):
            match event:
                case StepCompletedEvent():
                    print(f"after: {event.step_id} {event.status} with {event.output['successful']} results")
                case RunCompletedEvent():
                    print(f"after: the run is {event.status}")
                case _:
                    print("after:", event.type)


if __name__ == "__main__":
    asyncio.run(main())
