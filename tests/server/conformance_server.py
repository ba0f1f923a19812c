"""Starts the released server binary for the conformance tests, without using the client."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import stepflow_orchestrator

BINARY = Path(stepflow_orchestrator.__file__).parent / "bin" / "stepflow-server"
BUILTIN: dict[str, Any] = {
    "plugins": {"builtin": {"type": "builtin"}},
    "routes": {"/builtin": [{"plugin": "builtin"}]},
}
# A plugin whose worker never connects, and a plugin whose component has no description.
BROKEN_PLUGIN: dict[str, Any] = {
    "plugins": {
        **BUILTIN["plugins"],
        "absent": {"type": "grpc", "queueName": "absent"},
        "mock": {"type": "mock", "components": {"/silent": {"input_schema": {}, "output_schema": {}, "behaviors": {}}}},
    },
    "routes": {**BUILTIN["routes"], "/absent": [{"plugin": "absent"}], "/mock": [{"plugin": "mock"}]},
}


@contextmanager
def running_server(config: dict[str, Any], start_timeout: float = 20.0) -> Iterator[str]:
    """Run a server and yield the URL of its API; kill the server afterwards."""
    process = subprocess.Popen(
        [BINARY, "--port", "0", "--config-stdin", "--log-level", "warn"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as stdin:
        stdin.write(json.dumps(config))
    output: list[str] = []
    port: list[int] = []
    port_known = threading.Event()

    def drain() -> None:
        # Read until the server exits, because a full pipe would block it.
        for line in process.stdout or ():
            output.append(line)
            if not port and line.startswith('{"port"'):
                port.append(json.loads(line)["port"])
                port_known.set()
        port_known.set()

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        port_known.wait(start_timeout)
        assert port, f"the server did not start: {''.join(output)[-2000:]}"
        yield f"http://127.0.0.1:{port[0]}/api/v1"
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        process.stdout.close()
