"""Logging: STEPFLOW_LOG, retries at level INFO, and no import of `logging` by the client."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import httpx
import pytest
from stepflow_client import RetryPolicy, SyncStepflowClient

PROGRAM = """
import httpx
from stepflow_client import SyncStepflowClient

response = httpx.Response(200, json={"status": "healthy", "build": {}})
with SyncStepflowClient("http://server", transport=httpx.MockTransport(lambda request: response)) as client:
    client.health_check()
"""


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", True), ("INFO", False), ("nonsense", True), ("off", False)],
)
def test_the_log_is_shown_on_request(level: str, shown: bool) -> None:
    environment = {**os.environ, "STEPFLOW_LOG": level}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")
    assert ("stepflow.client: GET /health -> 200" in done.stderr) is shown


def test_only_retries_are_logged_at_info(caplog: pytest.LogCaptureFixture) -> None:
    statuses = [503, 502, 200, 200]

    def server(request: httpx.Request) -> httpx.Response:
        return httpx.Response(statuses.pop(0), json={"status": "healthy", "build": {}})

    policy = RetryPolicy(first_delay=0)
    with (
        caplog.at_level(logging.INFO, "stepflow.client"),
        SyncStepflowClient("http://server", transport=httpx.MockTransport(server), retry=policy) as client,
    ):
        client.health_check()
        client.health_check()
    assert [record.getMessage() for record in caplog.records] == [
        "GET /health: status 503; retrying in 0.00 s",
        "GET /health: status 502; retrying in 0.00 s",
    ]


WARNS = """
import sys
from stepflow_client._base.logging import logger, listening_to_warnings

messages = []
with listening_to_warnings(messages.append):
    logger.warning("run %s is lost", 7)
logger.warning("nobody listens")
assert messages == ["run 7 is lost"], messages
assert "logging" not in sys.modules

import logging

logger.warning("not on standard error: there is no handler")
logging.basicConfig(format="%(name)s %(filename)s %(message)s")
logger.warning("seen")
"""


def test_warnings_do_not_import_logging() -> None:
    done = subprocess.run([sys.executable, "-c", WARNS], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "stepflow.client <string> seen\n")
