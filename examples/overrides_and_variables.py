"""One flow, many ways to run it: variables from a mapping and from the environment, and steps changed for one run."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from stepflow_client import InvalidArgumentError, StepflowRuntime

FLOW: dict[str, Any] = {
    "name": "weather-report",
    "schemas": {
        "type": "object",
        "properties": {
            "variables": {
                "type": "object",
                "properties": {
                    "style": {"type": "string", "default": "Plain words.", "env_var": "REPORT_STYLE"},
                },
            }
        },
    },
    "steps": [
        {
            "id": "report",
            "component": "/builtin/create_messages",
            "input": {"system_instructions": {"$variable": "style"}, "user_prompt": {"$input": "place"}},
        }
    ],
    "output": {"$step": "report", "path": "$.messages"},
}


async def main() -> None:
    """Show what each source does, and which takes precedence."""
    async with StepflowRuntime.start() as runtime:
        place = {"place": "Lisbon"}
        stored = await runtime.client.store_flow(FLOW)
        declared = await runtime.client.get_flow_variables(stored.flow_id)
        for name, variable in declared.variables.items():
            print(f"variable {name}: default {variable.default!r}, from {variable.env_var}")

        result = await runtime.run(FLOW, place)
        print("the flow's default:", result.output[0]["content"])

        result = await runtime.run(FLOW, place, variables={"style": "As a sonnet."})
        print("given:             ", result.output[0]["content"])

        os.environ["REPORT_STYLE"] = "As a telegram."
        result = await runtime.run(FLOW, place, variables_from_env=True)
        print("from environment:  ", result.output[0]["content"])

        # Merged left to right: the second only changes what it mentions.
        house = {"report": {"input": {"system_instructions": "House style.", "user_prompt": "Porto"}}}
        today = {"report": {"input": {"system_instructions": "Today's style."}}}
        result = await runtime.run(FLOW, place, [house, today])
        print("overridden:        ", *(message["content"] for message in result.output))

        try:
            await runtime.run(FLOW, place, {"no_such_step": {"input": {}}})
        except InvalidArgumentError as error:
            print(f"refused: {error}")


if __name__ == "__main__":
    asyncio.run(main())
