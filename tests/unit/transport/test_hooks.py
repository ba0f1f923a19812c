"""Headers and event hooks apply to every request, from each method and from the generated client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from stepflow_api.api.run import get_run
from stepflow_client import (
    ConflictError,
    InvalidArgumentError,
    RequestTimeoutError,
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient,
)

from tests.raw_server import RawServer
from tests.unit.both_twins import CALLS, FLOW, RUN_ID, TWINS, URL, Server, call_with_handler

both = pytest.mark.parametrize("twin", TWINS)
GENERATED = {
    "async": lambda client: get_run.asyncio_detailed(RUN_ID, client=client.api),
    "sync": lambda client: get_run.sync_detailed(RUN_ID, client=client.api),
}


def operation_of(twin: str, name: str) -> Any:
    return GENERATED[twin] if name == "api" else CALLS[name]


@both
@pytest.mark.parametrize("name", [*sorted(CALLS), "api"])
def test_every_request_of_a_view_has_its_headers(twin: str, name: str) -> None:
    server = Server()
    operation = operation_of(twin, name)
    with suppress(ConflictError):
        view = {"headers": {"X-Tenant": "a"}}
        call_with_handler(twin, server, lambda client: operation(client.with_options(**view)), headers={"x-b": "c"})
    assert server.requests
    assert {(each.headers.get("x-tenant"), each.headers.get("x-b")) for each in server.requests} == {("a", "c")}


@both
@pytest.mark.parametrize("name", [*sorted(CALLS), "api"])
def test_every_request_passes_the_hooks(twin: str, name: str) -> None:
    server = Server()
    sent: list[httpx.Request] = []
    received: list[httpx.Response] = []

    def mark(request: httpx.Request) -> None:
        request.headers["x-number"] = str(len(sent))
        sent.append(request)

    hooks = {"request": [mark], "response": [received.append]}
    with suppress(ConflictError):
        call_with_handler(twin, server, operation_of(twin, name), event_hooks=hooks)
    assert [each.headers["x-number"] for each in server.requests] == [str(number) for number in range(len(sent))]
    assert [(each.method, each.url) for each in sent] == [(each.method, each.url) for each in server.requests]
    assert [each.request for each in received] == sent
    assert all(each.elapsed >= timedelta(0) for each in received)
    read = [each.json() for each in received if each.headers.get("content-type") == "application/json"]
    assert all(isinstance(each, dict) for each in read)


def test_views_share_connections_and_stored_flows() -> None:
    server = Server()
    with SyncStepflowClient(URL, transport=httpx.MockTransport(server), server_release="0.13.0") as client:
        client.run(FLOW, 1)
        view = client.with_options(headers={"x-tenant": "a"}).with_options(headers={"x-trace": "b"}, timeout=9)
        view.run(FLOW, 2)
        client.run(FLOW, 3)
        assert server.request_lines == ["POST /flows", "POST /blobs", *["POST /runs"] * 3]
        headers = [(each.headers.get("x-tenant"), each.headers.get("x-trace")) for each in server.requests]
        assert headers == [(None, None)] * 3 + [("a", "b"), (None, None)]
        view.close()
        with pytest.raises(StepflowClientError, match="the client is closed"):
            client.health_check()


def test_a_view_with_other_headers_waits_for_components_itself() -> None:
    server = Server()
    server.responses["GET /components"] = httpx.Response(200, json={"components": [{"path": "/x", "plugin": "python"}]})
    flow = {"steps": [{"id": "a", "component": "/python/x"}], "output": {"$step": "a"}}
    with SyncStepflowClient(URL, transport=httpx.MockTransport(server), server_release="0.13.0") as client:
        for each in (client, client.with_options(headers={"x-tenant": "a"}), client.with_options(timeout=9)):
            each.run(flow, 1, wait_for_components=5)
    listed = [each for each in server.requests if each.url.path.endswith("/components")]
    assert [each.headers.get("x-tenant") for each in listed] == [None, "a"]


@pytest.mark.parametrize("headers", [{"a b": "c"}, {"a": 1}, ["a"], {"a": "b\n"}])
def test_invalid_headers_are_refused(headers: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="header"):
        SyncStepflowClient(URL).with_options(headers=headers)


def test_hooks_may_be_coroutine_functions_and_see_each_attempt() -> None:
    statuses: list[int] = []
    responses = iter([503, 503, 200])

    async def record(response: httpx.Response) -> None:
        await asyncio.sleep(0)
        statuses.append(response.status_code)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(next(responses), json={"runs": []})

    hooks = {"response": [record]}
    assert (
        list(
            call_with_handler(
                "async", answer, lambda client: client.list_runs(), server_release="0.13", event_hooks=hooks
            )
        )
        == []
    )
    assert statuses == [503, 503, 200]


@both
def test_an_exception_in_a_hook_fails_the_call(twin: str) -> None:
    def refuse(response: httpx.Response) -> None:
        response.raise_for_status()

    def fail(request: httpx.Request) -> None:
        raise OSError("no disk")

    for hooks, cause, message in (
        ({"request": [fail]}, OSError, "the request hook .*fail.* failed: OSError: no disk"),
        ({"response": [refuse]}, httpx.HTTPStatusError, "the response hook .*refuse.* failed: HTTPStatusError"),
    ):
        with pytest.raises(StepflowClientError, match=message) as caught:
            call_with_handler(
                twin, lambda request: httpx.Response(503), lambda client: client.get_run(RUN_ID), event_hooks=hooks
            )
        assert isinstance(caught.value.__cause__, cause)


def test_a_hanging_hook_times_out() -> None:
    async def hang(request: httpx.Request) -> None:
        await asyncio.sleep(60)

    with pytest.raises(RequestTimeoutError, match=r"the request hook .*hang.* did not return in time"):
        call_with_handler(
            "async", Server(), lambda client: client.get_run(RUN_ID, timeout=0.1), event_hooks={"request": [hang]}
        )


def test_the_sync_client_refuses_coroutine_functions() -> None:
    async def hook(request: httpx.Request) -> None: ...

    with pytest.raises(InvalidArgumentError, match="is a coroutine function") as caught:
        call_with_handler("sync", Server(), lambda client: client.get_run(RUN_ID), event_hooks={"request": [hook]})
    assert caught.value.hint == "pass plain functions to SyncStepflowClient"


@pytest.mark.parametrize("hooks", [{"requests": []}, {"request": print}, {"request": ["print"]}, [print]])
def test_invalid_hooks_are_refused(hooks: Any) -> None:
    for kind in (StepflowClient, SyncStepflowClient):
        with pytest.raises(InvalidArgumentError, match="event_hooks"):
            kind(URL, event_hooks=hooks)


def test_hooks_see_requests_over_the_clients_own_connections() -> None:
    headers: list[Mapping[str, str]] = []
    body = b'{"runs": []}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    def talk(conversation: Any) -> None:
        while head := conversation.read():
            assert b"x-trace: 1" in head
            conversation.say(answer)

    def mark(request: httpx.Request) -> None:
        request.headers["x-trace"] = "1"
        headers.append(dict(request.headers))

    with (
        RawServer(talk) as server,
        SyncStepflowClient(server.url, auth="token", server_release="0.13", event_hooks={"request": [mark]}) as client,
    ):
        assert list(client.list_runs()) == []
    assert [each["authorization"] for each in headers] == ["Bearer token"]
