"""Run a flow on every record in a table, as a job that can be killed and restarted at any time.

Uses the server at STEPFLOW_URL, or else an embedded one, whose runs are lost when it stops.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stepflow_client import StepflowRuntime, SyncStepflowClient

FLOW = Path(__file__).with_name("hello.yaml")


def guests() -> Iterator[dict[str, Any]]:
    """Yield the inputs on demand (made up here)."""
    return ({"id": f"guest-{number}", "name": f"Guest {number}"} for number in range(1_000))


def batch(client: SyncStepflowClient, folder: Path) -> None:
    """Answer each input once. After a crash, the same call continues where the last one stopped."""
    failed = count = 0
    with open(folder / "greetings.jsonl", "w", encoding="utf-8") as file:
        for outcome in client.map(FLOW, guests(), journal=folder / "greetings.journal"):
            file.write(json.dumps(outcome.to_dict()) + "\n")
            count, failed = count + 1, failed + (not outcome.is_success)
    print(f"{count} guests greeted, {failed} failures")


def main() -> None:
    """Choose the server and a folder. To continue after a crash, use a folder that stays."""
    with tempfile.TemporaryDirectory() as folder:
        if url := os.environ.get("STEPFLOW_URL"):
            with SyncStepflowClient(url) as client:
                batch(client, Path(folder))
            return
        with StepflowRuntime.start() as runtime, SyncStepflowClient(runtime.url) as client:
            batch(client, Path(folder))


if __name__ == "__main__":
    main()
