"""`stepflow mcp serve` as a process."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from tests.cli.command import FORKED, Stepflow, fork_environment

TOKEN = "a-token-of-the-test"


class Process:
    """A `stepflow mcp serve` process that exchanges JSON-RPC messages, one per line."""

    def __init__(self, arguments: list[str], stepflow: Stepflow, token: str = TOKEN) -> None:
        self.process = subprocess.Popen(
            [str(FORKED), "mcp", "serve", *arguments],
            env={**stepflow.environment, **fork_environment(), "STEPFLOW_MCP_TOKEN": token},
            cwd=stepflow.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, method: str, id: int | None = None, **params: Any) -> None:
        assert self.process.stdin is not None
        message = {"jsonrpc": "2.0", "method": method, "params": params, **({} if id is None else {"id": id})}
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert message["jsonrpc"] == "2.0"
        return message

    def begin(self, version: str = "2025-06-18") -> dict[str, Any]:
        """Initialize the session and return the server's response."""
        info = {"name": "raw", "version": "1"}
        response = self.request("initialize", 0, protocolVersion=version, capabilities={"roots": {}}, clientInfo=info)
        self.send("notifications/initialized")
        return response

    def request(self, method: str, id: int, **params: Any) -> dict[str, Any]:
        self.send(method, id, **params)
        response = self.read()
        assert response["id"] == id
        return response["result"]  # type: ignore[no-any-return]

    def call(self, id: int, name: str, **arguments: Any) -> dict[str, Any]:
        return self.request("tools/call", id, name=name, arguments=arguments)

    def url(self) -> str:
        """Wait for the printed URL and return it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if match := re.search(r"http://\S+/mcp", line):
                self.process.stderr.readline()
                return match[0]
        raise AssertionError(f"it has printed no URL, and ended with {self.process.wait()}")
