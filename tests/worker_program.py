"""The worker of the server tests, with components that echo, sleep, fail and count executions.

It runs with the Python of a release's worker environment. Its argument is the protocol of that release's workers:
`http` (up to 0.11) or `grpc`.
"""

import asyncio
import os
import sys
from typing import Any

from stepflow_py.worker import StepflowServer

server = StepflowServer(include_builtins=False)


@server.component
def echo(input: Any) -> Any:
    """Return the input back."""
    return input


@server.component
async def sleep(input: dict[str, Any]) -> Any:
    """Sleep for `seconds`, then return `value`."""
    await asyncio.sleep(input["seconds"])
    return input.get("value")


@server.component
def fail(input: dict[str, Any]) -> Any:
    """Fail with `message` if there is one, otherwise return `value`."""
    if input.get("message") is not None:
        print(f"about to fail: {input['message']}", file=sys.stderr, flush=True)
        raise RuntimeError(input["message"])
    return input.get("value")


@server.component
def count(input: dict[str, Any]) -> Any:
    """Append the line `name` to the file `file`, then fail if `fails` is true, otherwise return `value`."""
    with open(input["file"], "a", encoding="utf-8") as file:
        file.write(f"{input['name']}\n")
    if input.get("fails"):
        raise RuntimeError(f"{input['name']} fails")
    return input.get("value")


@server.component
async def present(input: dict[str, Any]) -> Any:
    """Return `value` if the file `file` exists, after sleeping for `seconds`; otherwise fail, or return `missing`."""
    if not os.path.exists(input["file"]):  # noqa: ASYNC240 - a local file
        if "missing" in input:
            return input["missing"]
        raise RuntimeError(f"{input['file']} is missing")
    await asyncio.sleep(input.get("seconds", 0))
    return input.get("value")


def main(protocol: str) -> None:
    if protocol == "http":
        # The components are light, so one process is enough, and it starts faster.
        asyncio.run(server.run(workers=1))
    else:
        from stepflow_py.worker import main as program

        sys.argv = [sys.argv[0], "--max-concurrent", "32"]
        program.server = server
        program.main()


if __name__ == "__main__":
    main(sys.argv[1])
