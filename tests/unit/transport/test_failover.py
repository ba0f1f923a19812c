"""Failover between servers: which server gets a request, with which credentials."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from stepflow_api.api.run import list_runs
from stepflow_client import (
    InvalidArgumentError,
    RetryPolicy,
    ServerConnectionError,
    StepflowClient,
    SyncStepflowClient,
)
from stepflow_client._rules import operations_and_releases as api
from stepflow_client._sync.following import read_event_stream

from tests.scripted_server import Answer, decoded, listening, message
from tests.unit.both_twins import EVENT, HEALTH, TWINS, call

RUN = "01900000-0000-7000-8000-000000000001"
RUNS = {"runs": []}


class Servers:
    """Two servers that can be down or break connections."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.broken: set[str] = set()
        self.hosts: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.hosts.append(host)
        if host in self.down:
            raise httpx.ConnectError("refused")
        if host in self.broken:
            raise httpx.ReadError("reset")
        return httpx.Response(200, json=RUNS)


def client(servers: Servers, attempts: int = 1) -> SyncStepflowClient:
    return SyncStepflowClient(
        ["http://a", "http://b"],
        transport=httpx.MockTransport(servers),
        server_release="0.13",
        retry=RetryPolicy(max_attempts=attempts),
    )


def test_the_first_server_is_used_while_it_responds() -> None:
    servers = Servers()
    with client(servers) as failover:
        for _ in range(3):
            failover.list_runs()
    assert servers.hosts == ["a", "a", "a"]


def test_the_next_server_takes_over_and_stays_in_use() -> None:
    servers = Servers()
    servers.down = {"a"}
    with client(servers) as failover:
        failover.list_runs()
        servers.down = set()
        failover.list_runs()
    assert servers.hosts == ["a", "b", "b"]


def test_a_server_without_a_free_connection_is_skipped() -> None:
    hosts: list[str] = []

    def busy(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        if request.url.host == "a":
            raise httpx.PoolTimeout("in use")
        return httpx.Response(200, json=RUNS)

    with SyncStepflowClient(
        ["http://a", "http://b"], transport=httpx.MockTransport(busy), server_release="0.13"
    ) as failover:
        assert failover.list_runs().runs == []
    assert hosts == ["a", "b"]


def test_an_error_names_its_server() -> None:
    servers = Servers()
    servers.down, servers.broken = {"a"}, {"b"}
    with client(servers) as failover:
        with pytest.raises(ServerConnectionError, match="the connection to http://b broke"):
            failover.list_runs()
        servers.broken.clear()
        assert failover.list_runs().runs == []
        servers.down.add("b")
        with pytest.raises(ServerConnectionError, match="http://a cannot be reached"):
            failover.list_runs()


def test_a_broken_stream_names_its_server() -> None:
    servers = Servers()
    servers.down.add("a")
    with client(servers) as failover:
        failover.list_runs()
        servers.broken.add("b")
        request = api.get_run_events(RUN)
        events = read_event_stream(failover._connection, request, max_silence=5.0)
        with pytest.raises(ServerConnectionError, match="the connection to http://b broke"):
            next(events)


def test_a_server_that_is_down_is_skipped_for_a_while() -> None:
    servers = Servers()
    servers.down = {"a", "b"}
    with client(servers) as failover:
        with pytest.raises(ServerConnectionError):
            failover.list_runs()
        servers.down = {"a"}
        failover.list_runs()
        failover.list_runs()
    # After the first failure, both count as down and are tried in turn; then the one that responded comes first.
    assert servers.hosts[:2] == ["a", "b"]
    assert servers.hosts[-1] == "b"
    assert servers.hosts.count("a") <= 2


def test_a_retry_after_a_broken_connection_goes_to_another_server() -> None:
    servers = Servers()
    servers.broken = {"a"}
    with client(servers, attempts=2) as failover:
        failover.list_runs()
    assert servers.hosts == ["a", "b"]


def test_a_broken_connection_is_not_retried_without_attempts() -> None:
    servers = Servers()
    servers.broken = {"a"}
    with client(servers) as failover, pytest.raises(ServerConnectionError):
        failover.list_runs()
    assert servers.hosts == ["a"]


@pytest.mark.parametrize("urls", [[], ["http://a", "ftp://b"], [5]])
def test_invalid_server_lists_are_rejected(urls: list[str]) -> None:
    for kind in (StepflowClient, SyncStepflowClient):
        with pytest.raises(InvalidArgumentError):
            kind(urls)


# Credentials


class Bearer(httpx.Auth):
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = "Bearer token"
        yield request


def make_transport(twin: str, transport: str) -> Any:
    if transport == "own":
        return None
    return httpx.AsyncHTTPTransport(verify=False) if twin == "async" else httpx.HTTPTransport(verify=False)


def record_authorizations(headers: list[str]) -> Answer:
    """Respond, and record the authorization header of each request."""

    def answer(connection: socket.socket, head: bytes) -> None:
        headers.append(decoded(head).get("authorization", ""))
        body = HEALTH if b"/health " in head else RUNS
        connection.sendall(message(json.dumps(body).encode()))

    return answer


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("transport", ["own", "httpx"])
def test_each_server_gets_only_its_own_credentials(twin: str, transport: str) -> None:
    first: list[str] = []
    second: list[str] = []
    third: list[str] = []
    with (
        listening(record_authorizations(second)) as b,
        listening(record_authorizations(third)) as c,
    ):
        with listening(record_authorizations(first)) as a:
            urls = [f"http://me:one@127.0.0.1:{a}", f"http://you:two@127.0.0.1:{b}", f"http://127.0.0.1:{c}"]
            for order in (urls, urls[1:] + urls[:1], urls[2:] + urls[:2]):
                call(twin, make_transport(twin, transport), lambda client: client.list_runs(), order)
        # The first server is down now, so its requests go to the next one.
        call(twin, make_transport(twin, transport), lambda client: client.list_runs(), urls)
        call(twin, make_transport(twin, transport), lambda client: client.list_runs(), [urls[0], urls[2]])
    assert set(first) == {basic("me", "one")}
    assert set(second) == {basic("you", "two")}
    assert set(third) == {""}
    assert len(first) == 2
    assert len(second) == len(third) == 4


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("auth", ["token", lambda: "token", Bearer()], ids=["token", "callable", "httpx.Auth"])
def test_the_credentials_of_the_client_are_sent_to_every_server(twin: str, auth: Any) -> None:
    headers: list[str] = []
    with listening(record_authorizations(headers)) as b:
        with listening(record_authorizations(headers)) as a:
            urls = [f"http://me:one@127.0.0.1:{a}", f"http://127.0.0.1:{b}"]
            call(twin, None, lambda client: client.list_runs(), urls, auth=auth)
        call(twin, None, lambda client: client.list_runs(), urls, auth=auth)
    assert headers == ["Bearer token"] * 4


@pytest.mark.parametrize("twin", TWINS)
def test_the_generated_client_sends_the_credentials_of_the_server(twin: str) -> None:
    headers: list[str] = []
    with listening(record_authorizations(headers)) as port:
        urls = [f"http://me:one@127.0.0.1:{port}", "http://127.0.0.1:9"]
        if twin == "async":
            call(
                twin, None, lambda client: list_runs.asyncio_detailed(client=client.api), urls, server_release="0.13.0"
            )
        else:
            call(twin, None, lambda client: list_runs.sync_detailed(client=client.api), urls, server_release="0.13.0")
    assert headers == [basic("me", "one")]


@pytest.mark.parametrize("twin", TWINS)
def test_streams_have_the_credentials_of_their_server(twin: str) -> None:
    headers: list[str] = []

    def answer(connection: socket.socket, head: bytes) -> None:
        headers.append(decoded(head).get("authorization", ""))
        connection.sendall(message(f"data: {json.dumps(EVENT)}\n\n".encode(), content_type="text/event-stream"))

    with listening(answer) as port:
        urls = [f"http://me:one@127.0.0.1:{port}", "http://127.0.0.1:9"]
        assert len(call(twin, None, lambda client: client.run_events(RUN), urls, server_release="0.13.0")) == 1
    assert headers == [basic("me", "one")]
