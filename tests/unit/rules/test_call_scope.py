"""The timeout of a call applies to each of its requests."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from stepflow_client import NOT_GIVEN, ConflictError, InvalidArgumentError, StepflowClient
from stepflow_client._http.settings import MAX_TIMEOUT, Timeouts
from stepflow_client._rules.deadlines import call_scope, current_deadline, current_timeouts

from tests.unit.both_twins import CALLS, TWINS, Server, call_with_handler
from tests.unit.http.test_whole_calls import Limited

CLIENT, CALL = 1.0, 500.0
"""The client's timeout and the longer timeout of the call, in seconds."""
LIMITED = sorted(
    name for name in CALLS if "Default: the client's timeout.\n" in (getattr(StepflowClient, name).__doc__ or "")
)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", LIMITED)
def test_every_request_of_a_call_has_its_timeout(twin: str, name: str) -> None:
    server = Server()
    # The run has ended, so it cannot be cancelled.
    with suppress(ConflictError):
        call_with_handler(twin, server, lambda client: CALLS[name](Limited(client, CALL)), timeout=CLIENT)
    assert server.requests
    assert {request: seconds for request, seconds in _read_timeouts(server).items() if seconds < CALL / 2} == {}


UNLIMITED = sorted({*LIMITED, "submit", "start_run", "find_run", "compare_runs", "explain_run"} & CALLS.keys())


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", UNLIMITED)
def test_none_removes_the_limit_of_every_request(twin: str, name: str) -> None:
    server = Server()
    with suppress(ConflictError):
        call_with_handler(twin, server, lambda client: CALLS[name](Limited(client, None)), timeout=CLIENT)
    assert server.requests
    assert {request: seconds for request, seconds in _read_timeouts(server).items() if seconds < CALL} == {}


@pytest.mark.parametrize("twin", TWINS)
def test_additional_requests_of_a_call_have_its_timeout(twin: str) -> None:
    server = Server()
    call_with_handler(
        twin, server, lambda client: client.health_check(include_workers=True, timeout=CALL), timeout=CLIENT
    )
    assert {request for request, seconds in _read_timeouts(server).items() if seconds > CALL / 2} == {
        "GET /health",
        "GET /components",
    }


def _read_timeouts(server: Server) -> dict[str, float]:
    times = [request.extensions["timeout"]["read"] for request in server.requests]
    return dict(zip(server.request_lines, times, strict=True))


def test_a_nested_call_has_its_own_timeout_within_the_outer_deadline() -> None:
    assert current_timeouts() is None
    with call_scope(100):
        assert current_timeouts() == Timeouts(*[100.0] * 5)
        outer = current_deadline()
        with call_scope(200):
            assert current_timeouts() == Timeouts(*[200.0] * 5)
            assert current_deadline() == outer
        with call_scope(NOT_GIVEN):
            assert current_timeouts() == Timeouts(*[100.0] * 5)
        with call_scope(None):
            assert current_timeouts() == Timeouts(*[MAX_TIMEOUT] * 4)
            assert current_deadline() == outer
        with call_scope(200, limits_requests=False):
            assert current_timeouts() == Timeouts(*[100.0] * 5)
        with call_scope(50):
            assert (current_deadline() or 0) < time.monotonic() + 51
        assert current_deadline() == outer
    assert (current_timeouts(), current_deadline()) == (None, None)


def test_an_httpx_timeout_limits_requests_only() -> None:
    phases: Any = httpx.Timeout(5, read=10)
    with call_scope(phases):
        assert current_timeouts() == Timeouts(5, 10, 5, 5)
        assert current_deadline() is None


@pytest.mark.parametrize("timeout", [0, -1, "soon", True])
def test_an_invalid_timeout_is_refused(timeout: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        call_scope(timeout)
    with pytest.raises(InvalidArgumentError, match="timeout"):
        call_scope(timeout, limits_requests=False)
    assert current_timeouts() is None
