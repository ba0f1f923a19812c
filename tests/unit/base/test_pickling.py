"""Clients travel between processes as their settings, and are usable there."""

from __future__ import annotations

import asyncio
import copy
import inspect
import io
import pickle
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import RetryPolicy, StepflowClient, SyncStepflowClient
from stepflow_client.history import History

from tests.unit.both_twins import RUN_ID, TWINS, URL, Server

CLIENTS: dict[str, type] = {"async": StepflowClient, "sync": SyncStepflowClient}
WAYS: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {protocol}": lambda client, protocol=protocol: pickle.loads(pickle.dumps(client, protocol))
       for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}  # fmt: skip


def token() -> str:
    return "from-a-callable"


class Signed(httpx.Auth):
    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["x-signed"] = "yes"
        yield request


SERVER = Server()


class Recorded(httpx.MockTransport):
    """A transport that can be pickled: what its copies send is seen by the server of this module."""

    def __init__(self) -> None:
        super().__init__(SERVER)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (Recorded, ())


def ask(client: Any, operation: Callable[[Any], Any]) -> Any:
    """Call a client that is there already, and close it."""
    if isinstance(client, SyncStepflowClient):
        with client:
            return operation(client)

    async def main() -> Any:
        async with client:
            return await operation(client)

    return asyncio.run(main())


def sent(client: Any) -> httpx.Request:
    """Return the request that a client sends."""
    SERVER.requests.clear()
    assert ask(client, lambda client: client.get_run(RUN_ID)).run_id == RUN_ID
    return SERVER.requests[-1]


def every_setting() -> dict[str, Any]:
    return {
        "base_url": "https://server.example",
        "timeout": httpx.Timeout(3.0, connect=1.0),
        "headers": {"x-tenant": "letters"},
        "auth": token,
        "verify": False,
        "cert": None,
        "proxy": None,
        "limits": httpx.Limits(max_connections=3),
        "transport": Recorded(),
        "server_release": "0.13.0",
        "strategy": "spread",
        "retry": RetryPolicy(max_attempts=2),
        "exact_integers": False,
        "max_response_bytes": 2**20,
        "history": History("/nowhere/history.db"),
        "idempotency_scope": "ticket",
        "event_hooks": {"request": [print]},
    }


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("way", WAYS)
def test_every_setting_travels(twin: str, way: str) -> None:
    settings = every_setting()
    assert set(settings) == set(inspect.signature(CLIENTS[twin]).parameters)
    client = WAYS[way](CLIENTS[twin](**settings))
    assert type(client) is CLIENTS[twin]
    assert client.url == "https://server.example"
    assert client._connection.timeout[:2] == (1.0, 3.0)
    assert client._connection.dialect.inner._policy == RetryPolicy(max_attempts=2)
    assert client._services.creator.exact_integers is False
    assert client._recorder.history.path == Path("/nowhere/history.db")
    request = sent(client)
    assert request.url == f"https://server.example/api/v1/runs/{RUN_ID}"
    assert request.headers["x-tenant"] == "letters"
    assert request.headers["authorization"] == "Bearer from-a-callable"
    # Nobody asked what the server is: its release has travelled.
    assert len(SERVER.requests) == 1


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("way", WAYS)
def test_credentials_travel(twin: str, way: str) -> None:
    def authorization(**settings: Any) -> str:
        client = CLIENTS[twin](**{"base_url": URL, **settings}, transport=Recorded(), server_release="0.13")
        return sent(WAYS[way](client)).headers.get("authorization", "")

    assert authorization(auth="text-token") == "Bearer text-token"
    assert authorization(auth=("ann", "secret")) == "Basic YW5uOnNlY3JldA=="
    assert authorization(base_url="http://ann:secret@server:7840") == "Basic YW5uOnNlY3JldA=="
    signed = CLIENTS[twin](URL, auth=Signed(), transport=Recorded(), server_release="0.13")
    assert sent(WAYS[way](signed)).headers["x-signed"] == "yes"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("way", WAYS)
def test_what_a_client_has_made_for_its_own_use_does_not_travel(twin: str, way: str) -> None:
    client = CLIENTS[twin](URL)
    parts = ("keyed_runs", "follower", "watcher", "cached_runs")
    made = {name: getattr(client._services, name) for name in parts}
    again = WAYS[way](client)
    assert again.url == client.url
    # A copy that shared them would send through the connections of the first.
    assert all(getattr(again._services, name) is not part for name, part in made.items())


@pytest.mark.parametrize("twin", TWINS)
def test_what_a_client_knows_and_holds_stays_behind(twin: str) -> None:
    client = CLIENTS[twin](URL, transport=Recorded())
    before = pickle.dumps(client)
    ask(client, lambda client: client.store_flow({"steps": [], "output": 1}))
    # Nothing of the flow, the server's release or the end of the client is in the pickle.
    assert pickle.dumps(client) == before
    assert sent(pickle.loads(before))
    assert sent(copy.copy(client))


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", [dict, httpx.Headers])
def test_settings_are_those_of_the_beginning(twin: str, kind: type) -> None:
    headers, servers = kind({"x-tenant": "letters"}), [URL, "http://other:7840"]
    client = CLIENTS[twin](servers, headers=headers, transport=Recorded(), server_release="0.13")
    headers["x-tenant"] = "changed"
    servers.clear()
    assert sent(pickle.loads(pickle.dumps(client))).headers["x-tenant"] == "letters"


class TenantClient(SyncStepflowClient):
    def __init__(self, tenant: str) -> None:
        super().__init__(URL, headers={"x-tenant": tenant}, transport=Recorded(), server_release="0.13")
        self.tenant = [tenant]


class AsyncTenantClient(StepflowClient):
    def __init__(self, tenant: str) -> None:
        super().__init__(URL, headers={"x-tenant": tenant}, transport=Recorded(), server_release="0.13")
        self.tenant = [tenant]


@pytest.mark.parametrize("kind", [TenantClient, AsyncTenantClient])
@pytest.mark.parametrize("way", WAYS)
def test_a_subclass_travels_with_its_attributes(kind: Any, way: str) -> None:
    client = kind("letters")
    twin = WAYS[way](client)
    assert type(twin) is kind
    assert twin.tenant == ["letters"]
    assert (twin.tenant is client.tenant) == (way == "copy")
    assert sent(twin).headers["x-tenant"] == "letters"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    "settings",
    [
        {"auth": lambda: "token"},
        {"base_url": "https://a", "verify": ssl.create_default_context()},
        {"transport": httpx.MockTransport(lambda request: httpx.Response(200))},
    ],
    ids=["callable", "context", "transport"],
)
def test_a_setting_that_cannot_be_pickled_can_be_copied(twin: str, settings: dict[str, Any]) -> None:
    client = CLIENTS[twin](**settings)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(client)
    # A copy stays in the process and shares the setting.
    assert copy.deepcopy(client).url == copy.copy(client).url == client.url


@pytest.mark.parametrize("twin", TWINS)
def test_a_pickler_of_functions_by_value_is_not_hindered(twin: str) -> None:
    class ByValue(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if inspect.isfunction(value) and value.__name__ == "<lambda>":
                return (eval, ("lambda: 'by-value'",))
            return NotImplemented

    client = CLIENTS[twin](URL, auth=lambda: "here", transport=Recorded(), server_release="0.13")
    buffer = io.BytesIO()
    ByValue(buffer).dump(client)
    assert sent(pickle.loads(buffer.getvalue())).headers["authorization"] == "Bearer by-value"
