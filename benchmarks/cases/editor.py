"""How long an editor waits for the language server (over stdio) after an edit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.workload import steps_in_order

CASE = "editor"
TIME = "wait after an edit, ms"
COMPLETION, HOVER, DIAGNOSTICS = "completion", "hover", "diagnostics"
_URI = "file:///flow.yaml"


def measure(bench: Bench) -> None:
    """Measure completion, hover and diagnostics after edits to flows with 100 and 500 steps."""
    for steps in (100, 500):
        with _Server() as server:
            text = steps_in_order(steps)
            server.notify("didOpen", textDocument={"uri": _URI, "languageId": "yaml", "version": 0, "text": text})
            server.wait("textDocument/publishDiagnostics", 0)
            for _ in bench.count_rounds(11, 3):
                for way, seconds in server.edited(steps).items():
                    bench.results.add(CASE, TIME, f"{steps} steps", way, seconds * 1000)


class _Server:
    """A language server with a single open flow."""

    def __init__(self) -> None:
        command = [Path(sys.executable).with_name("stepflow"), "lsp"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._id = self._version = 0
        self.request("initialize", processId=None, rootUri=None, capabilities={})

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.request("shutdown")
        self._send("exit")
        self._process.wait(60)

    def edited(self, steps: int) -> dict[str, float]:
        """Edit the first step, and return how long the editor waits for each response about the last one."""
        before = "  - {id: s0, component: /builtin/create_messages, input: {user_prompt: "
        letter = {"start": {"line": 1, "character": len(before)}, "end": {"line": 1, "character": len(before) + 1}}
        last = {"line": steps, "character": len(before) + len(str(steps - 1)) - 1 + len("{$step: ")}
        found = dict[str, float]()
        for way in (COMPLETION, HOVER, DIAGNOSTICS):
            self._version += 1
            change = {"range": letter, "text": "ab"[self._version % 2]}
            started = time.perf_counter()
            document = {"uri": _URI, "version": self._version}
            self.notify("didChange", textDocument=document, contentChanges=[change])
            if way == DIAGNOSTICS:
                self.wait("textDocument/publishDiagnostics", self._version)
            else:
                self.request(f"textDocument/{way}", textDocument={"uri": _URI}, position=last)
            found[way] = time.perf_counter() - started
        return found

    def request(self, method: str, **params: Any) -> None:
        self._id += 1
        self._send(method, id=self._id, params=params or None)
        while self._read().get("id") != self._id:
            pass

    def notify(self, name: str, **params: Any) -> None:
        self._send(f"textDocument/{name}", params=params)

    def wait(self, method: str, version: int) -> None:
        """Wait for a notification about a specific version of the flow."""
        while (message := self._read()).get("method") != method or message["params"]["version"] != version:
            pass

    def _send(self, method: str, **message: Any) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", "method": method, **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        stream, length = self._process.stdout, 0
        assert stream is not None
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return dict(json.loads(stream.read(length)))
