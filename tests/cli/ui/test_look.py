"""What all pages share: their look, their size, and how the process ends."""

from __future__ import annotations

import signal
from typing import Any

import httpx
from stepflow_client import StepflowRuntime

from tests.cli.ui.process import StartUi

FLOW: dict[str, Any] = {
    "name": "drawn",
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


def test_it_ends_in_silence_after_it_drew_a_graph(start_ui: StartUi, newest_server: StepflowRuntime) -> None:
    flow_id = newest_server.sync_client.store_flow(FLOW).flow_id
    ui = start_ui(newest_server.url)
    with ui.browser() as browser:
        assert "<svg" in browser.get(f"/flows/{flow_id}").text.partition("<main")[2]
    ui.process.send_signal(signal.SIGINT)
    assert ui.process.wait(timeout=60) == 0
    assert ui.process.stderr is not None
    assert "Exception" not in ui.process.stderr.read()
