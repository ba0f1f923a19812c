"""The bridge between the client's transports and httpx: challenge credentials, streams, errors, cancellation."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import httpx
import pytest
import respx
from stepflow_api.api.run import get_run_events, list_runs
from stepflow_client import RunTimeoutError, ServerConnectionError, StepflowClient, SyncStepflowClient

from tests.unit.both_twins import TWINS, call

RUN = "01900000-0000-7000-8000-000000000001"
FRAMES = "".join(
    f"data: {json.dumps({'sequenceNumber': number, 'event': {name: {'runId': RUN}}})}\n\n"
    for number, name in enumerate(("RunCreated", "RunCompleted"))
)
EVENT = f"data: {json.dumps({'sequenceNumber': 1, 'timestamp': 't', 'event': {}})}\n\n"


class Challenge(httpx.Auth):
    """Sends credentials only after a 401 response, as digest authentication does."""

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code == 401:
            request.headers["authorization"] = f"Answer {response.headers['www-authenticate']}"
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        flow = self.sync_auth_flow(request)
        response = yield next(flow)
        try:
            yield flow.send(response)
        except StopIteration:
            return


def add_routes(router: respx.Router, **where: str) -> respx.Router:
    """Add the routes of a server whose events are public and whose other responses require credentials."""
    events = {"text": FRAMES, "headers": {"content-type": "text/event-stream"}}
    router.get(path__regex="/events$", **where).respond(**events)
    router.get(headers={"authorization": "Answer 42"}, **where).respond(json={"runs": []})
    router.get(**where).respond(401, headers={"www-authenticate": "42"})
    return router


def transport_to(router: respx.Router) -> httpx.MockTransport:
    return httpx.MockTransport(router.handler)


def settings(**more: Any) -> dict[str, Any]:
    return {
        "base_url": "http://server",
        "transport": transport_to(add_routes(respx.Router())),
        "server_release": "0.13",
        **more,
    }


def test_credentials_may_answer_a_challenge() -> None:
    async def count_runs() -> int:
        async with StepflowClient(**settings(auth=Challenge())) as client:
            return len((await client.list_runs()).runs)

    assert asyncio.run(count_runs()) == 0
    with SyncStepflowClient(**settings(auth=Challenge())) as client:
        assert client.list_runs().runs == []


@pytest.mark.parametrize("auth", [Challenge(), lambda: "token"], ids=["httpx.Auth", "callable"])
def test_streams_also_send_credentials(auth: Any) -> None:
    async def follow() -> list[str]:
        async with StepflowClient(**settings(auth=auth)) as client:
            return [event.type async for event in client.run_events(RUN)]

    assert asyncio.run(follow()) == ["run_created", "run_completed"]
    with SyncStepflowClient(**settings(auth=auth)) as client:
        assert [event.type for event in client.run_events(RUN)] == ["run_created", "run_completed"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (httpx.ConnectError, httpx.ConnectError),
        (httpx.ReadTimeout, httpx.ReadTimeout),
        (httpx.ReadError, httpx.ReadError),
        (httpx.RemoteProtocolError, httpx.RemoteProtocolError),
    ],
)
def test_the_generated_client_raises_httpx_errors(
    failure: type[httpx.TransportError], expected: type[httpx.TransportError]
) -> None:
    broken = respx.Router()
    broken.route().mock(side_effect=failure("no"))
    with SyncStepflowClient(**settings(transport=transport_to(broken))) as client, pytest.raises(expected):
        list_runs.sync(client=client.api)
    with SyncStepflowClient(**settings(transport=transport_to(broken))) as client, pytest.raises(expected):
        next(get_run_events.sync(RUN, client=client.api))
    with SyncStepflowClient(**settings()) as client:
        assert list_runs.sync_detailed(client=client.api).status_code == 401


class Truncated(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream of events that fails after the first event."""

    def __init__(self, failure: httpx.TransportError) -> None:
        self._failure = failure

    def __iter__(self) -> Iterator[bytes]:
        yield EVENT.encode()
        raise self._failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield EVENT.encode()
        raise self._failure


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("failure", [httpx.ReadTimeout("silent"), httpx.ReadError("broken")])
def test_generated_streams_yield_events_before_they_fail(twin: str, failure: httpx.TransportError) -> None:
    router = respx.Router()
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Truncated(failure))
    router.get(f"/api/v1/runs/{RUN}/events").mock(return_value=answer)
    numbers = []

    def follow(client: Any) -> None:
        for event in get_run_events.sync(RUN, client=client.api):
            numbers.append(event.sequence_number)

    async def follow_async(client: Any) -> None:
        async for event in get_run_events.asyncio(RUN, client=client.api):
            numbers.append(event.sequence_number)

    with pytest.raises(type(failure)):
        call(twin, transport_to(router), follow if twin == "sync" else follow_async, server_release="0.13")
    assert numbers == [1]


class NeverEnding:
    """A server whose run does not end; records cancellations and whether the creation asked to wait for the end."""

    def __init__(self) -> None:
        self.cancelled = self.may_hold = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        if path == "/blobs":
            return httpx.Response(200, json={"blobId": "f"})
        if path == "/flows":
            return httpx.Response(200, json={"flowId": "f", "stored": False})
        self.cancelled = self.cancelled or path.endswith("/cancel")
        if (request.method, path) == ("POST", "/runs"):
            self.may_hold = "wait" in json.loads(request.content)
        summary = {"runId": RUN, "flowId": "f", "status": 1, "items": {"total": 1}}
        return httpx.Response(200, json={"summary": summary, "results": [], "runs": []})


@pytest.mark.parametrize("method", ["run", "map"])
@pytest.mark.parametrize(("on_cancel", "cancelled"), [("cancel", True), ("detach", False)])
def test_a_cancelled_task_cancels_the_run_only_on_request(method: str, on_cancel: Any, cancelled: bool) -> None:
    server = NeverEnding()

    async def collect_outcomes(client: StepflowClient) -> list[Any]:
        return [outcome async for outcome in client.map({"steps": []}, [1], on_cancel=on_cancel)]

    async def give_up() -> None:
        async with StepflowClient(**settings(transport=httpx.MockTransport(server))) as client:
            called = client.run({"steps": []}, 1, on_cancel=on_cancel) if method == "run" else collect_outcomes(client)
            running = asyncio.ensure_future(called)
            await asyncio.sleep(0.2)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(give_up())
    assert server.cancelled is cancelled
    # The client needs the run id early: a run cannot be cancelled while the server holds the response to its creation.
    assert server.may_hold is not cancelled


@pytest.mark.parametrize("broken", [httpx.ConnectError, httpx.ReadError])
def test_several_servers_from_an_event_loop(broken: type[httpx.TransportError]) -> None:
    router = respx.Router()
    router.route(host="a").mock(side_effect=broken("no"))
    router.get("http://b/api/v1/runs").respond(json={"runs": []})
    add_routes(router, host="b")

    async def read_types() -> list[str]:
        options = settings(transport=transport_to(router), base_url=["http://a", "http://b"])
        async with StepflowClient(**options) as client:
            await client.list_runs()
            return [event.type async for event in client.run_events(RUN)]

    assert asyncio.run(read_types()) == ["run_created", "run_completed"]
    assert [call.request.url.host for call in router.calls] == ["a", "b", "b"]


def test_a_stream_is_read_from_another_server() -> None:
    router = respx.Router()
    router.route(host="a").mock(side_effect=httpx.ConnectError("no"))
    add_routes(router, host="b")
    options = settings(transport=transport_to(router), base_url=["http://a", "http://b"])
    with SyncStepflowClient(**options) as client:
        assert [event.type for event in client.run_events(RUN)] == ["run_created", "run_completed"]
    with SyncStepflowClient(**{**options, "base_url": ["http://a"]}) as client, pytest.raises(ServerConnectionError):
        client.list_runs()


class Dripping(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives in pieces, each in time for a read timeout."""

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(400):
            time.sleep(0.05)
            yield b" "

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(400):
            await asyncio.sleep(0.05)
            yield b" "


@pytest.mark.parametrize("twin", TWINS)
def test_the_deadline_holds_with_any_transport(twin: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Dripping()))
    started = time.monotonic()
    with pytest.raises(RunTimeoutError):
        call(twin, transport, lambda client: client.wait_run(RUN, timeout=0.3), server_release="0.13.0")
    assert time.monotonic() - started < 15
