"""STEPFLOW_TIMEOUT and the timeout of a profile limit the total duration of each call."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.cli.command import Stepflow
from tests.raw_server import OK, RawServer
from tests.unit.http.test_whole_calls import respond_slowly

RUN_ID = "01900000-0000-7000-8000-000000000001"


@pytest.fixture(params=[True, False], ids=["healthy", "slow from the start"])
def slow_server(request: pytest.FixtureRequest, stepflow: Stepflow) -> Iterator[RawServer]:
    """A server that sends endless responses, one byte after another."""
    with RawServer(respond_slowly(OK + b"content-length: 1000000\r\n\r\n", is_healthy=request.param)) as server:
        stepflow.environment["STEPFLOW_URL"] = server.url
        yield server


@pytest.mark.parametrize("command", ["list-components", "runs list", f"runs get {RUN_ID}", "validate echo.yaml"])
def test_trickling_response_times_out(command: str, stepflow: Stepflow, slow_server: RawServer) -> None:
    started = time.monotonic()
    done = stepflow(*command.split(), STEPFLOW_TIMEOUT="1")
    assert time.monotonic() - started < 20
    assert done.code == 4, done
    # The limit applies to each call, not only to the last one.
    limits = re.findall(r"got no response from \S+ within (\S+) s", done.stderr)
    assert 0 < max(map(float, limits)) <= 1, done
    assert "to wait longer, set STEPFLOW_TIMEOUT" in done.stderr, done


@pytest.mark.parametrize("origin", ["environment", "profile"])
def test_health(origin: str, stepflow: Stepflow) -> None:
    with RawServer(respond_slowly(OK + b"content-length: 1000000\r\n\r\n", is_healthy=False)) as server:
        started = time.monotonic()
        if origin == "profile":
            stepflow("config", "set", "profiles.dev.url", server.url)
            stepflow("config", "set", "profiles.dev.timeout", "1")
            done = stepflow("health", "--profile", "dev")
        else:
            done = stepflow("health", "--url", server.url, STEPFLOW_TIMEOUT="1")
        assert time.monotonic() - started < 20
    assert done.code == 4, done
    assert "got no response" in done.stderr, done
