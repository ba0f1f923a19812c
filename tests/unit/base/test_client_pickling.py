"""Clients are pickled and copied as their settings, and the copies work."""

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
COPY_METHODS: dict[str, Callable[[Any], Any]] = {
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


class RecordingTransport(httpx.MockTransport):
    """A picklable transport whose copies all send to SERVER."""

    def __init__(self) -> None:
        super().__init__(SERVER)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (RecordingTransport, ())


def call_and_close(client: Any, operation: Callable[[Any], Any]) -> Any:
    """Call an existing client, then close it."""
    if isinstance(client, SyncStepflowClient):
        with client:
            return operation(client)

    async def main() -> Any:
        async with client:
            return await operation(client)

    return asyncio.run(main())


def sent_request(client: Any) -> httpx.Request:
    """Call the client and return the request it sends."""
    SERVER.requests.clear()
    assert call_and_close(client, lambda client: client.get_run(RUN_ID)).run_id == RUN_ID
    return SERVER.requests[-1]


def all_settings() -> dict[str, Any]:
    return {
        "base_url": "https://server.example",
        "timeout": httpx.Timeout(3.0, connect=1.0),
        "headers": {"x-tenant": "letters"},
        "auth": token,
        "verify": False,
        "cert": None,
        "proxy": None,
        "limits": httpx.Limits(max_connections=3),
        "transport": RecordingTransport(),
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
@pytest.mark.parametrize("method", COPY_METHODS)
def test_copies_keep_every_setting(twin: str, method: str) -> None:
    settings = all_settings()
    assert set(settings) == set(inspect.signature(CLIENTS[twin]).parameters)
    client = COPY_METHODS[method](CLIENTS[twin](**settings))
    assert type(client) is CLIENTS[twin]
    assert client.url == "https://server.example"
    assert client._connection.timeout[:2] == (1.0, 3.0)
    assert client._connection.dialect.inner._policy == RetryPolicy(max_attempts=2)
    assert client._services.creator.exact_integers is False
    assert client._recorder.history.path == Path("/nowhere/history.db")
    request = sent_request(client)
    assert request.url == f"https://server.example/api/v1/runs/{RUN_ID}"
    assert request.headers["x-tenant"] == "letters"
    assert request.headers["authorization"] == "Bearer from-a-callable"
    # The release is copied, so the client does not need to detect it.
    assert len(SERVER.requests) == 1


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("method", COPY_METHODS)
def test_copies_keep_credentials(twin: str, method: str) -> None:
    def authorization(**settings: Any) -> str:
        client = CLIENTS[twin](**{"base_url": URL, **settings}, transport=RecordingTransport(), server_release="0.13")
        return sent_request(COPY_METHODS[method](client)).headers.get("authorization", "")

    assert authorization(auth="text-token") == "Bearer text-token"
    assert authorization(auth=("ann", "secret")) == "Basic YW5uOnNlY3JldA=="
    assert authorization(base_url="http://ann:secret@server:7840") == "Basic YW5uOnNlY3JldA=="
    signed = CLIENTS[twin](URL, auth=Signed(), transport=RecordingTransport(), server_release="0.13")
    assert sent_request(COPY_METHODS[method](signed)).headers["x-signed"] == "yes"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("method", COPY_METHODS)
def test_copies_do_not_share_services(twin: str, method: str) -> None:
    client = CLIENTS[twin](URL)
    parts = ("keyed_runs", "follower", "watcher", "cached_runs")
    services = {name: getattr(client._services, name) for name in parts}
    duplicate = COPY_METHODS[method](client)
    assert duplicate.url == client.url
    # A copy that shared them would send through the connections of the original.
    assert all(getattr(duplicate._services, name) is not part for name, part in services.items())


@pytest.mark.parametrize("twin", TWINS)
def test_runtime_state_is_not_pickled(twin: str) -> None:
    client = CLIENTS[twin](URL, transport=RecordingTransport())
    before = pickle.dumps(client)
    call_and_close(client, lambda client: client.store_flow({"steps": [], "output": 1}))
    # The pickle contains no stored flow, detected release or closed state.
    assert pickle.dumps(client) == before
    assert sent_request(pickle.loads(before))
    assert sent_request(copy.copy(client))


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", [dict, httpx.Headers])
def test_changing_settings_after_construction_has_no_effect(twin: str, kind: type) -> None:
    headers, servers = kind({"x-tenant": "letters"}), [URL, "http://other:7840"]
    client = CLIENTS[twin](servers, headers=headers, transport=RecordingTransport(), server_release="0.13")
    headers["x-tenant"] = "changed"
    servers.clear()
    assert sent_request(pickle.loads(pickle.dumps(client))).headers["x-tenant"] == "letters"


class TenantClient(SyncStepflowClient):
    def __init__(self, tenant: str) -> None:
        super().__init__(URL, headers={"x-tenant": tenant}, transport=RecordingTransport(), server_release="0.13")
        self.tenant = [tenant]


class AsyncTenantClient(StepflowClient):
    def __init__(self, tenant: str) -> None:
        super().__init__(URL, headers={"x-tenant": tenant}, transport=RecordingTransport(), server_release="0.13")
        self.tenant = [tenant]


@pytest.mark.parametrize("kind", [TenantClient, AsyncTenantClient])
@pytest.mark.parametrize("method", COPY_METHODS)
def test_copies_of_a_subclass_keep_its_attributes(kind: Any, method: str) -> None:
    client = kind("letters")
    duplicate = COPY_METHODS[method](client)
    assert type(duplicate) is kind
    assert duplicate.tenant == ["letters"]
    assert (duplicate.tenant is client.tenant) == (method == "copy")
    assert sent_request(duplicate).headers["x-tenant"] == "letters"


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
def test_unpicklable_settings_can_be_copied(twin: str, settings: dict[str, Any]) -> None:
    client = CLIENTS[twin](**settings)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(client)
    # A copy stays in the process and shares the setting.
    assert copy.deepcopy(client).url == copy.copy(client).url == client.url


@pytest.mark.parametrize("twin", TWINS)
def test_picklers_that_pickle_functions_by_value_work(twin: str) -> None:
    class ByValue(pickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if inspect.isfunction(value) and value.__name__ == "<lambda>":
                return (eval, ("lambda: 'by-value'",))
            return NotImplemented

    client = CLIENTS[twin](URL, auth=lambda: "here", transport=RecordingTransport(), server_release="0.13")
    buffer = io.BytesIO()
    ByValue(buffer).dump(client)
    assert sent_request(pickle.loads(buffer.getvalue())).headers["authorization"] == "Bearer by-value"
