"""An embedded server under supervision: its log, its components and a restart after a crash."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from stepflow_client import LogConfig, RestartPolicy, ServerConnectionError, StepflowRuntime

HELLO = Path(__file__).with_name("hello.yaml")


def report(exit_code: int, last_lines: list[str]) -> None:
    """Report that the server exited by itself."""
    print(f"the server ended with {exit_code}; {len(last_lines)} lines of its log are at hand")


def wait_for_restart(runtime: StepflowRuntime, seconds: float = 20) -> None:
    """Wait until the server has restarted and responds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if runtime.restarts and runtime.sync_client.health_check().status == "healthy":
                return
        except ServerConnectionError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the server did not come back")


def main() -> None:
    """Start, look around, crash, recover, stop."""
    # This logger also gets the server's own lines, but here we only care about errors.
    logging.getLogger("stepflow").setLevel(logging.CRITICAL)
    with StepflowRuntime.start(
        log_config=LogConfig(level="info"),
        restart_policy=RestartPolicy.ON_FAILURE,
        on_crash=report,
    ) as runtime:
        client = runtime.sync_client
        print(
            "components:",
            ", ".join(sorted(component.name for component in client.list_components(include_schemas=False))),
        )
        print(client.run(HELLO, {"name": "Ada"}).output["messages"][-1]["content"])

        if runtime.pid is not None:
            os.kill(runtime.pid, signal.SIGKILL)
        wait_for_restart(runtime)
        print("restarts:", runtime.restarts)
        print(client.run(HELLO, {"name": "Grace"}).output["messages"][-1]["content"])

    print("alive:", runtime.is_alive)
    print("last line of the log:", runtime.get_recent_logs(1)[0].level)


if __name__ == "__main__":
    main()
