"""A server whose store fails while it creates a run responds with 500, but may still execute the run."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from stepflow_client import ServerFaultError

from tests.unit.both_twins import FLOW, RUN_ID, SUMMARY, TWINS, Server, call_with_handler

FAULT = {"error": {"code": 500, "message": "journal write failed", "status": "INTERNAL"}}


def failing_server(status: int, **items: int) -> Server:
    """Return a server that fails to create a run, then lists one."""
    server = Server()
    counts = dict.fromkeys(("total", "completed", "running", "failed", "cancelled"), 0) | items
    server.responses["POST /runs"] = httpx.Response(500, json=FAULT)
    server.responses["GET /runs"] = httpx.Response(
        200, json={"runs": [{**SUMMARY, "status": status, "items": counts}] if items else []}
    )
    return server


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("status", "items"),
    [(1, {"total": 1, "running": 1}), (2, {"total": 1, "completed": 1}), (3, {"total": 1, "failed": 1})],
)
def test_an_executing_run_is_found_despite_the_error(twin: str, status: int, items: dict[str, int]) -> None:
    server = failing_server(status, **items)
    assert call_with_handler(twin, server, lambda client: client.submit(FLOW, {"n": 1})) == RUN_ID
    assert (server.request_lines.count("POST /runs"), server.request_lines.count("GET /runs")) == (1, 1)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("status", "items"), [(1, {}), (3, {"total": 1, "running": 1}), (1, {"total": 0}), (3, {"total": 0})]
)
@pytest.mark.parametrize("call", ["submit", "run", "create_run"])
def test_a_run_that_is_not_executing_is_ignored(twin: str, status: int, items: dict[str, int], call: str) -> None:
    server = failing_server(status, **items)
    flow: Any = "f" if call == "create_run" else FLOW
    with pytest.raises(ServerFaultError, match="journal write failed"):
        call_with_handler(twin, server, lambda client: getattr(client, call)(flow, {"n": 1}))
    # The server is done with the request, so waiting is pointless; only the caller can decide whether to retry.
    assert (server.request_lines.count("POST /runs"), server.request_lines.count("GET /runs")) == (1, 1)


@pytest.mark.parametrize("twin", TWINS)
def test_the_run_of_a_lost_response_is_found_without_readable_counts(twin: str) -> None:
    server = Server()
    server.responses["GET /runs"] = httpx.Response(200, json={"runs": [{**SUMMARY, "items": None}]})

    def losing(request: httpx.Request) -> httpx.Response:
        response = server(request)
        if server.request_lines[-1] == "POST /runs":
            raise httpx.ReadError("cut")
        return response

    assert call_with_handler(twin, losing, lambda client: client.submit(FLOW, {"n": 1})) == RUN_ID
