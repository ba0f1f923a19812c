"""Run a flow without asyncio, and tell a failed run from an unreachable server.

Uses the server at STEPFLOW_URL, or else an embedded one.
"""

from __future__ import annotations

import os
from pathlib import Path

from stepflow_client import RunFailedError, StepflowClientError, StepflowRuntime, SyncStepflowClient

HELLO = Path(__file__).with_name("hello.yaml")


def greet(client: SyncStepflowClient, name: str) -> None:
    """Run the flow once."""
    result = client.run(HELLO, {"name": name}, timeout=30)
    print(result.raise_for_failure().output["messages"][-1]["content"])


def main() -> None:
    """Choose the server, and report errors in one line."""
    try:
        if "STEPFLOW_URL" in os.environ:
            with SyncStepflowClient.from_env() as client:
                greet(client, "World")
        else:
            with StepflowRuntime.start() as runtime:
                greet(runtime.sync_client, "World")
    except RunFailedError as error:
        raise SystemExit(f"the run failed: {error}") from error
    except StepflowClientError as error:
        raise SystemExit(f"the run could not be made: {error}") from error


if __name__ == "__main__":
    main()
