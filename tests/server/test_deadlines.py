"""A timeout bounds the whole call, whatever is silent: the server, a connection, or the pool."""

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
LATE = 15
"""Seconds more that a call may take on a busy machine; a second of them is for a last look at a run."""
CREATE = b"POST /api/v1/runs "
Call = Callable[[Any], Awaitable[Any]]


def flow(name: str) -> dict[str, Any]:
    return {"name": name, "steps": [], "output": {"$input": "$"}}


def silent(within: bytes) -> Callable[[int], Script]:
    """Let every connection fall silent where the response to a request is due."""
    return lambda number: Script(within=within, cut_answer=0, stall=True)


def talk_silent(conversation: Conversation) -> None:
    """Accept requests and send nothing."""
    while conversation.read():
        pass


def talk_slowly(conversation: Conversation) -> None:
    """Send a response to each request byte by byte, but never its end."""
    while conversation.read():
        conversation.say(OK + b"content-length: %d\r\n\r\n" % len(BODY))
        for byte in BODY[:-1]:
            conversation.say(bytes([byte]))
            time.sleep(0.2)


def made(twin: str, url: str | list[str], **settings: Any) -> Any:
    return StepflowClient(url, **settings) if twin == "async" else Awaited(SyncStepflowClient(url, **settings))


async def closed(client: Any) -> None:
    await (client.close() if isinstance(client, Awaited) else client.aclose())


async def refused(call: Awaitable[Any], most: float = LIMIT + LATE) -> StepflowClientError:
    """Return the error that a call ends with in time."""
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
    ids=["recognising", "checking the flow", "storing the flow", "creating the run and looking for it"],
)
@pytest.mark.parametrize("method", ["run", "submit"])
async def test_run_and_submit(
    twin: str, method: str, where: bytes, kind: type[StepflowClientError], runs: int, server_url: str, release: str
) -> None:
    name = unique("silent")
    with FaultProxy(server_url, silent(where)) as proxy:
        client = made(twin, proxy.url)
        error = await refused(getattr(client, method)(flow(name), {"n": 1}, timeout=LIMIT))
        await closed(client)
    assert type(error) is kind, error
    async with StepflowClient(server_url) as direct:
        assert len((await direct.list_runs(flow_name=name)).runs) == runs


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_creation_that_is_not_answered_is_looked_for_once_more(
    twin: str, server_url: str, release: str
) -> None:
    name = unique("unanswered")
    with FaultProxy(server_url, silent(CREATE)) as proxy:
        client = made(twin, proxy.url, server_release=release)
        started = time.monotonic()
        try:
            run_id = (await client.run(flow(name), {"n": 1}, timeout=LIMIT)).run_id
        except RunTimeoutError as error:
            run_id = error.run_id
        assert time.monotonic() - started < LIMIT + LATE
        await closed(client)
    async with StepflowClient(server_url) as direct:
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_no_time_is_left_to_tell_that_there_is_no_run(twin: str, server_url: str, release: str) -> None:
    name = unique("short")
    async with StepflowClient(server_url, server_release=release) as direct:
        await direct.store_flow(flow(name))
    cut = Script(within=CREATE, cut_request=40)
    with FaultProxy(server_url, lambda number: cut if number == 0 else Script()) as proxy:
        client = made(twin, proxy.url, server_release=release)
        await client.store_flow(flow(name))
        error = await refused(client.run(flow(name), {"n": 1}, timeout=0.2))
        await closed(client)
        # The request may still be on its way: it is not sent again, and nobody says that there is no run.
        assert sum(connection.request.count(CREATE) for connection in proxy.connections) == 1
    assert isinstance(error, AmbiguousRunError)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_server_that_wants_much_time_is_not_waited_for(twin: str, server_url: str, release: str) -> None:
    name = unique("busy")
    async with StepflowClient(server_url, server_release=release) as direct:
        flow_id = (await direct.store_flow(flow(name))).flow_id

        def script(number: int) -> Script:
            # Only the creation is turned away; the search for a run is answered.
            return Script(answer=answer(503, retry_after=30)) if number == 0 else Script()

        with FaultProxy(server_url, script) as proxy:
            client = made(twin, proxy.url, server_release=release)
            error = await refused(client.create_run(flow_id, {"n": 1}))
            await closed(client)
        assert (type(error), error.status_code) == (ServerFaultError, 503)
        assert getattr(error, "retry_after", None) == 30
        assert (await direct.list_runs(flow_name=name)).runs == []


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("where", [b"GET /api/v1/runs?", b"GET /api/v1/runs/"])
async def test_waiting_for_a_run(twin: str, where: bytes, server_url: str, running: str) -> None:
    calls: list[Call] = [
        lambda client: client.wait_run(running, timeout=LIMIT),
        lambda client: client.get_result(running, timeout=LIMIT),
        lambda client: client.get_results(running, timeout=LIMIT),
    ]
    with FaultProxy(server_url, silent(where)) as proxy:
        client = made(twin, proxy.url)
        for call in calls:
            error = await refused(call(client))
            assert (type(error), error.run_id) == (RunTimeoutError, running)
        await closed(client)


@pytest.fixture
async def running(server_url: str, release: str) -> str:
    """A run that goes on for longer than the tests."""
    step = {"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}, "passthrough": 1}}
    async with StepflowClient(server_url, server_release=release) as direct:
        return await direct.submit({"name": unique("nap"), "steps": [step], "output": {"$step": "nap"}}, {"ms": 60_000})


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_result_that_does_not_come(twin: str, server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server_release=release) as direct:
        run_id = await direct.submit(flow(unique("ended")), {"n": 1})
        await direct.wait_run(run_id, timeout=20)
    with FaultProxy(server_url, silent(f"/runs/{run_id}/items".encode())) as proxy:
        client = made(twin, proxy.url, server_release=release)
        error = await refused(client.get_result(run_id, timeout=LIMIT))
        await closed(client)
    assert (type(error), error.run_id) == (RunTimeoutError, run_id)
    assert "ended, but its result did not arrive in time" in error.message


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_an_answer_that_drips(twin: str, server_url: str, release: str, running: str) -> None:
    # Each byte comes in time, and all of them would take minutes.
    with FaultProxy(server_url, lambda number: Script(delay=0.2, piece=1)) as proxy:
        client = made(twin, proxy.url, server_release=release)
        error = await refused(client.wait_run(running, timeout=LIMIT))
        await closed(client)
    assert isinstance(error, RunTimeoutError)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_pool_that_is_full(twin: str, server_url: str, release: str, running: str) -> None:
    with FaultProxy(server_url) as proxy:
        client = made(twin, proxy.url, server_release=release, limits=httpx.Limits(max_connections=1))
        holding = asyncio.ensure_future(client.wait_run(running, timeout=60))
        while proxy.requests < 2:  # noqa: ASYNC110 - the second request of a wait is the one that is held
            await asyncio.sleep(0.01)
        error = await refused(client.get_run(running, timeout=LIMIT))
        assert isinstance(error, RequestTimeoutError)
        assert isinstance(await refused(client.wait_run(running, timeout=LIMIT)), RunTimeoutError)
        await closed(client)
        with pytest.raises(StepflowClientError):
            await holding


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_server_that_is_not_there(twin: str, release: str) -> None:
    client = made(twin, "http://127.0.0.1:9", server_release=release)
    run_id = "01900000-0000-7000-8000-000000000001"
    assert isinstance(await refused(client.wait_run(run_id, timeout=LIMIT)), ServerConnectionError)
    # Without a timeout, nobody waits for a server that has never been there.
    assert isinstance(await refused(client.wait_run(run_id)), ServerConnectionError)
    await closed(client)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_an_outage_at_the_beginning_of_a_wait(twin: str, server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server_release=release) as direct:
        run_id = await direct.submit(flow(unique("outage")), {"n": 1})
    back = asyncio.get_running_loop().time() + 1.5

    def script(number: int) -> Script:
        return Script(refuse=time.monotonic() < began + 1.5)

    began = time.monotonic()
    with FaultProxy(server_url, script) as proxy:
        client = made(twin, proxy.url, server_release=release)
        result = await client.get_result(run_id, timeout=30)
        await closed(client)
    assert result.output == {"n": 1}
    assert asyncio.get_running_loop().time() > back


async def test_cancelling_a_cancelled_task_s_run_takes_no_longer_than_a_moment(
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
            assert time.monotonic() - started < 0.5 + LATE


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("strategy", ["failover", "spread"])
@pytest.mark.parametrize("first", [talk_silent, talk_slowly], ids=["silent", "trickling"])
async def test_the_first_server_of_a_list_does_not_respond(
    twin: str, strategy: str, first: Callable[[Conversation], None], server_url: str
) -> None:
    name = unique("second")
    with RawServer(first) as hung:
        client = made(twin, [hung.url, server_url], strategy=strategy, timeout=1)
        result = await client.run(flow(name), {"n": 1}, timeout=20)
        assert result.output == {"n": 1}
        assert len((await client.list_runs(flow_name=name, timeout=20)).runs) == 1
        await closed(client)
