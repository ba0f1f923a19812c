"""Several servers as one."""

from __future__ import annotations

import httpx
import pytest
from stepflow_client import InvalidArgumentError, RetryPolicy, ServerConnectionError, StepflowClient, SyncStepflowClient

RUN = "01900000-0000-7000-8000-000000000001"
RUNS = {"runs": []}


class Servers:
    """Two servers; each can be down, or break connections."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.broken: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.asked.append(host)
        if host in self.down:
            raise httpx.ConnectError("refused")
        if host in self.broken:
            raise httpx.ReadError("reset")
        return httpx.Response(200, json=RUNS)


def client(servers: Servers, attempts: int = 1) -> SyncStepflowClient:
    return SyncStepflowClient(
        ["http://a", "http://b"],
        transport=httpx.MockTransport(servers),
        server="0.13",
        retry=RetryPolicy(max_attempts=attempts),
    )


def test_the_first_server_is_used_while_it_answers() -> None:
    servers = Servers()
    with client(servers) as both:
        for _ in range(3):
            both.list_runs()
    assert servers.asked == ["a", "a", "a"]


def test_the_next_one_takes_over_and_keeps_the_work() -> None:
    servers = Servers()
    servers.down = {"a"}
    with client(servers) as both:
        both.list_runs()
        servers.down = set()
        both.list_runs()
    assert servers.asked == ["a", "b", "b"]


def test_a_server_that_is_down_is_left_alone_for_a_while() -> None:
    servers = Servers()
    servers.down = {"a", "b"}
    with client(servers) as both:
        with pytest.raises(ServerConnectionError):
            both.list_runs()
        servers.down = {"a"}
        both.list_runs()
        both.list_runs()
    # Both rest after the first failure, so both are tried in turn; then the one that answered comes first.
    assert servers.asked[:2] == ["a", "b"]
    assert servers.asked[-1] == "b"
    assert servers.asked.count("a") <= 2


def test_after_a_broken_connection_the_repeated_request_goes_elsewhere() -> None:
    servers = Servers()
    servers.broken = {"a"}
    with client(servers, attempts=2) as both:
        both.list_runs()
    assert servers.asked == ["a", "b"]


def test_a_broken_connection_is_not_repeated_where_that_is_not_allowed() -> None:
    servers = Servers()
    servers.broken = {"a"}
    with client(servers) as both, pytest.raises(ServerConnectionError):
        both.list_runs()
    assert servers.asked == ["a"]


@pytest.mark.parametrize("urls", [[], ["http://a", "ftp://b"], [5]])
def test_what_is_no_list_of_servers(urls: list[str]) -> None:
    for kind in (StepflowClient, SyncStepflowClient):
        with pytest.raises(InvalidArgumentError):
            kind(urls)
