"""A timeout limits the whole call, whether the server, a connection or the pool does not respond."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from stepflow_client import (
    AmbiguousRunError,
    RequestTimeoutError,
    RunTimeoutError,
    ServerConnectionError,
    ServerFaultError,
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient,
)

from tests.fault_proxy import FaultProxy, Script, answer
from tests.raw_server import BODY, OK, Conversation, RawServer
from tests.server.awaited import Awaited
from tests.server.flows import unique
from tests.timings import set_timings

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

LIMIT = 0.8
TOLERANCE = 15
"""Extra seconds that a call may take on a busy machine; one of them is for a last check of the run."""
CREATE = b"POST /api/v1/runs "
Call = Callable[[Any], Awaitable[Any]]


def flow(name: str) -> dict[str, Any]:
    return {"name": name, "steps": [], "output": {"$input": "$"}}


def silence_responses(within: bytes) -> Callable[[int], Script]:
    """Make every connection go silent instead of responding to a request."""
    return lambda number: Script(within=within, cut_answer=0, stall=True)


def never_respond(conversation: Conversation) -> None:
    """Accept requests and send nothing."""
    while conversation.read():
        pass


def trickle_responses(conversation: Conversation) -> None:
    """Send a response to each request byte by byte, but never the last byte."""
    while conversation.read():
        conversation.say(OK + b"content-length: %d\r\n\r\n" % len(BODY))
        for byte in BODY[:-1]:
            conversation.say(bytes([byte]))
            time.sleep(0.2)


def make_client(twin: str, url: str | list[str], **settings: Any) -> Any:
    return StepflowClient(url, **settings) if twin == "async" else Awaited(SyncStepflowClient(url, **settings))


async def close_client(client: Any) -> None:
    await (client.close() if isinstance(client, Awaited) else client.aclose())


async def expect_error(call: Awaitable[Any], most: float = LIMIT + TOLERANCE) -> StepflowClientError:
    """Return the error that a call raises in time."""
    started = time.monotonic()
    with pytest.raises(StepflowClientError) as caught:
        await call
    assert time.monotonic() - started < most
    return caught.value


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize(
    ("where", "kind", "runs"),
    [
        (b"GET /api/v1/health", RequestTimeoutError, 0),
        (b"POST /api/v1/flows", RequestTimeoutError, 0),
        (b"POST /api/v1/blobs", RequestTimeoutError, 0),
        (b" /api/v1/runs", AmbiguousRunError, 1),
    ],
    ids=["detecting the release", "checking the flow", "storing the flow", "creating the run and searching for it"],
)
@pytest.mark.parametrize("method", ["run", "submit"])
async def test_run_and_submit(
    twin: str, method: str, where: bytes, kind: type[StepflowClientError], runs: int, server_url: str, release: str
) -> None:
    name = unique("silent")
    with FaultProxy(server_url, silence_responses(where)) as proxy:
        client = make_client(twin, proxy.url)
        error = await expect_error(getattr(client, method)(flow(name), {"n": 1}, timeout=LIMIT))
        await close_client(client)
    assert type(error) is kind, error
    async with StepflowClient(server_url) as direct:
        assert len((await direct.list_runs(flow_name=name)).runs) == runs


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_creation_without_response_is_searched_for_once_more(twin: str, server_url: str, release: str) -> None:
    name = unique("unanswered")
    with FaultProxy(server_url, silence_responses(CREATE)) as proxy:
        client = make_client(twin, proxy.url, server_release=release)
        started = time.monotonic()
        try:
            run_id = (await client.run(flow(name), {"n": 1}, timeout=LIMIT)).run_id
        except RunTimeoutError as error:
            run_id = error.run_id
        assert time.monotonic() - started < LIMIT + TOLERANCE
        await close_client(client)
    async with StepflowClient(server_url) as direct:
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_creation_is_ambiguous_without_time_to_search_for_it(twin: str, server_url: str, release: str) -> None:
    name = unique("short")
    async with StepflowClient(server_url, server_release=release) as direct:
        await direct.store_flow(flow(name))
    cut = Script(within=CREATE, cut_request=40)
    with FaultProxy(server_url, lambda number: cut if number == 0 else Script()) as proxy:
        client = make_client(twin, proxy.url, server_release=release)
        await client.store_flow(flow(name))
        error = await expect_error(client.run(flow(name), {"n": 1}, timeout=0.2))
        await close_client(client)
        # The request may still be on its way, so it is not repeated, and the error does not deny that a run exists.
        assert sum(connection.request.count(CREATE) for connection in proxy.connections) == 1
    assert isinstance(error, AmbiguousRunError)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_long_retry_after_is_not_waited_for(twin: str, server_url: str, release: str) -> None:
    name = unique("busy")
    async with StepflowClient(server_url, server_release=release) as direct:
        flow_id = (await direct.store_flow(flow(name))).flow_id

        def script(number: int) -> Script:
            # Reject only the creation; let the search for the run through.
            return Script(answer=answer(503, retry_after=30)) if number == 0 else Script()

        with FaultProxy(server_url, script) as proxy:
            client = make_client(twin, proxy.url, server_release=release)
            error = await expect_error(client.create_run(flow_id, {"n": 1}))
            await close_client(client)
        assert (type(error), error.status_code) == (ServerFaultError, 503)
        assert getattr(error, "retry_after", None) == 30
        assert (await direct.list_runs(flow_name=name)).runs == []


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("where", [b"GET /api/v1/runs?", b"GET /api/v1/runs/"])
async def test_waiting_ends_although_the_server_is_silent(
    twin: str, where: bytes, server_url: str, running: str
) -> None:
    calls: list[Call] = [
        lambda client: client.wait_run(running, timeout=LIMIT),
        lambda client: client.get_result(running, timeout=LIMIT),
        lambda client: client.get_results(running, timeout=LIMIT),
    ]
    with FaultProxy(server_url, silence_responses(where)) as proxy:
        client = make_client(twin, proxy.url)
        for call in calls:
            error = await expect_error(call(client))
            assert (type(error), error.run_id) == (RunTimeoutError, running)
        await close_client(client)


@pytest.fixture
async def running(server_url: str, release: str) -> str:
    """Start a run that outlasts the tests."""
    step = {"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}, "passthrough": 1}}
    async with StepflowClient(server_url, server_release=release) as direct:
        return await direct.submit({"name": unique("nap"), "steps": [step], "output": {"$step": "nap"}}, {"ms": 60_000})


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_result_that_does_not_arrive(twin: str, server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server_release=release) as direct:
        run_id = await direct.submit(flow(unique("ended")), {"n": 1})
        await direct.wait_run(run_id, timeout=20)
    with FaultProxy(server_url, silence_responses(f"/runs/{run_id}/items".encode())) as proxy:
        client = make_client(twin, proxy.url, server_release=release)
        error = await expect_error(client.get_result(run_id, timeout=LIMIT))
        await close_client(client)
    assert (type(error), error.run_id) == (RunTimeoutError, run_id)
    assert "ended, but its result did not arrive in time" in error.message


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_response_that_trickles(twin: str, server_url: str, release: str, running: str) -> None:
    # Each byte arrives in time, but all of them would take minutes.
    with FaultProxy(server_url, lambda number: Script(delay=0.2, piece=1)) as proxy:
        client = make_client(twin, proxy.url, server_release=release)
        error = await expect_error(client.wait_run(running, timeout=LIMIT))
        await close_client(client)
    assert isinstance(error, RunTimeoutError)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_full_pool(twin: str, server_url: str, release: str, running: str) -> None:
    with FaultProxy(server_url) as proxy:
        client = make_client(twin, proxy.url, server_release=release, limits=httpx.Limits(max_connections=1))
        holding = asyncio.ensure_future(client.wait_run(running, timeout=60))
        while proxy.requests < 2:  # noqa: ASYNC110 - the server holds the second request of a wait
            await asyncio.sleep(0.01)
        error = await expect_error(client.get_run(running, timeout=LIMIT))
        assert isinstance(error, RequestTimeoutError)
        assert isinstance(await expect_error(client.wait_run(running, timeout=LIMIT)), RunTimeoutError)
        await close_client(client)
        with pytest.raises(StepflowClientError):
            await holding


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_an_unreachable_server(twin: str, release: str) -> None:
    client = make_client(twin, "http://127.0.0.1:9", server_release=release)
    run_id = "01900000-0000-7000-8000-000000000001"
    assert isinstance(await expect_error(client.wait_run(run_id, timeout=LIMIT)), ServerConnectionError)
    # Even without a timeout, the client does not wait for a server that it has never reached.
    assert isinstance(await expect_error(client.wait_run(run_id)), ServerConnectionError)
    await close_client(client)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_an_outage_at_the_beginning_of_a_wait(twin: str, server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server_release=release) as direct:
        run_id = await direct.submit(flow(unique("outage")), {"n": 1})
    outage_end = asyncio.get_running_loop().time() + 1.5

    def script(number: int) -> Script:
        return Script(refuse=time.monotonic() < began + 1.5)

    began = time.monotonic()
    with FaultProxy(server_url, script) as proxy:
        client = make_client(twin, proxy.url, server_release=release)
        result = await client.get_result(run_id, timeout=30)
        await close_client(client)
    assert result.output == {"n": 1}
    assert asyncio.get_running_loop().time() > outage_end


async def test_cancelling_the_run_of_a_cancelled_task_is_limited(
    server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, cancel_limit=0.5)
    step = {"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}, "passthrough": 1}}
    nap = {"name": unique("nap"), "steps": [step], "output": {"$step": "nap"}}
    with FaultProxy(server_url) as proxy:
        async with StepflowClient(proxy.url, server_release=release) as client:
            task = asyncio.ensure_future(client.run(nap, {"ms": 60_000}, on_cancel="cancel"))
            await asyncio.sleep(1.5)
            proxy.script = lambda number: Script(cut_answer=0, stall=True)
            proxy.drop_all()
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 0.5 + TOLERANCE


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("strategy", ["failover", "spread"])
@pytest.mark.parametrize("first", [never_respond, trickle_responses], ids=["silent", "trickling"])
async def test_the_first_server_of_a_list_does_not_respond(
    twin: str, strategy: str, first: Callable[[Conversation], None], server_url: str
) -> None:
    name = unique("second")
    with RawServer(first) as hung:
        client = make_client(twin, [hung.url, server_url], strategy=strategy, timeout=1)
        result = await client.run(flow(name), {"n": 1}, timeout=20)
        assert result.output == {"n": 1}
        assert len((await client.list_runs(flow_name=name, timeout=20)).runs) == 1
        await close_client(client)
