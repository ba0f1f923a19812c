from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import httpx
from stepflow_client import SyncStepflowClient

answer = httpx.Response(200, json={"status": "healthy", "build": {}})
with SyncStepflowClient("http://server", transport=httpx.MockTransport(lambda request: answer)) as client:
    client.health_check()
"""


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", True), ("INFO", False), ("", False), ("nonsense", True), ("off", False), ("0", False)],
)
def test_the_log_is_shown_on_request(level: str, shown: bool) -> None:
    environment = {**os.environ, "STEPFLOW_LOG": level}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")
    assert ("stepflow.client: GET /health -> 200" in done.stderr) is shown
