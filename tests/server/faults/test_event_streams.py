"""Event streams that are cut, empty or late still deliver every event once and in order."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from stepflow_client import (
    ServerConnectionError,
    StepflowClient,
)

from tests.fault_proxy import FaultProxy, Script
from tests.server.faults.proxied import (
    close_client,
    flow,
    make_client,
    on_first_connection,
    run_through_proxies,
)
from tests.server.flows import unique
from tests.timings import set_timings

pytestmark = [pytest.mark.faults, pytest.mark.anyio, pytest.mark.usefixtures("needs_events")]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("direction", ["request", "answer"])
async def test_cut_at_every_byte_of_the_events(
    twin: str, direction: str, server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, event_first_pause=0.005)
    step = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": "x"}}
    events = {"name": unique("events"), "steps": [step], "output": {"$step": "a"}}
    async with StepflowClient(server_url, server_release=release) as direct:
        run_id = await direct.submit(events, [{"n": 1}, {"n": 2}])
        await direct.wait_run(run_id, timeout=20)
        uncut = [event async for event in direct.run_events(run_id)]
        assert max(Counter(event.sequence_number for event in uncut).values()) > 1
        with FaultProxy(server_url) as proxy:
            client = make_client(twin, proxy.url, server_release=release)
            assert [event async for event in client.run_events(run_id)] == uncut
            await close_client(client)
            whole = proxy.connections[0]
        length = whole.sent if direction == "request" else whole.received
        assert length > 100
        # A third of the bytes for the blocking client, which is generated from the other one.
        offsets = list(range(0, length + 1, 1 if twin == "async" else 3))

        async def attempt(proxy: FaultProxy, offset: int) -> None:
            proxy.connections.clear()
            cut = {f"cut_{direction}": offset}
            proxy.script = on_first_connection(Script(**cut))  # type: ignore[arg-type]
            client = make_client(twin, proxy.url, server_release=release)
            received = [event async for event in client.run_events(run_id)]
            await close_client(client)
            assert received == uncut, offset
            assert proxy.faults == 1 or offset >= length - 8, offset

        await run_through_proxies(server_url, attempt, offsets)


async def test_all_events_of_a_completed_run_arrive_although_the_first_streams_are_empty(
    server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, event_first_pause=0.005)
    empty = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 0\r\n\r\n"
    step = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": "x"}}
    async with StepflowClient(server_url, server_release=release) as direct:
        flow_id = {"name": unique("empty"), "steps": [step], "output": {"$step": "a"}}
        run_id = await direct.submit(flow_id, {"n": 1})
        await direct.wait_run(run_id, timeout=20)
        uncut = [event async for event in direct.run_events(run_id)]
        left = 4

        def script(number: int) -> Script:
            nonlocal left
            left -= 1
            return Script(within=b"/events?", instead=empty) if left > 0 else Script()

        with FaultProxy(server_url, script) as proxy:
            async with StepflowClient(proxy.url, server_release=release) as client:
                assert [event async for event in client.run_events(run_id)] == uncut
        assert proxy.faults >= 2
        # If the events never arrive, the client does not claim that the stream is complete.
        set_timings(monkeypatch, event_outage=0.3)
        with FaultProxy(server_url, lambda number: Script(within=b"/events?", instead=empty)) as proxy:
            async with StepflowClient(proxy.url, server_release=release) as client:
                with pytest.raises(ServerConnectionError, match="it ended before the run"):
                    [event async for event in client.run_events(run_id)]


async def test_a_slow_consumer_does_not_count_as_an_outage(
    server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, event_outage=0.5)
    async with StepflowClient(server_url, server_release=release) as direct:
        run_id = await direct.submit(flow(unique("handled")), [{"n": 1}, {"n": 2}])
        await direct.wait_run(run_id, timeout=20)
        uncut = [event async for event in direct.run_events(run_id)]
        slow, gone = Script(delay=0.5, piece=100), Script(refuse=True)
        with FaultProxy(server_url, lambda number: [slow, gone][number] if number < 2 else Script()) as proxy:
            async with StepflowClient(proxy.url, server_release=release) as client:
                received = []
                async for event in client.run_events(run_id):
                    received.append(event)
                    if len(received) == 1:
                        await asyncio.sleep(0.8)
                        # Lose the remaining events and the next connection.
                        proxy.drop_all()
        assert received == uncut
