"""Connections that fail between the client and a real server: nothing is lost, done twice, or left open."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest
from stepflow_client import (
    AmbiguousRunError,
    ConflictError,
    FlowResult,
    RetryPolicy,
    ServerConnectionError,
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient,
)

from tests import lost_answers
from tests.differences import has
from tests.fault_proxy import FaultProxy, Script, answer
from tests.releases import NEWEST
from tests.releases import number as number_of
from tests.server.awaited import Awaited
from tests.server.flows import unique
from tests.timings import set_timings

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

AT_ONCE = 24
LOOKED_AT = 50
"""Runs that are looked at first where a run is lost: few, so that looking costs little and going on is tested too."""
CREATE = b"POST /api/v1/runs "
Fault = Callable[[int], Script]


def flow(name: str) -> dict[str, Any]:
    """A flow that any server runs in no time: no component at all."""
    return {"name": name, "steps": [], "output": {"$input": "$"}}


def first(script: Script) -> Fault:
    """Return the first connection a script, and leave the others alone."""
    return lambda number: script if number == 0 else Script()


def made(twin: str, url: str, **settings: Any) -> Any:
    return StepflowClient(url, **settings) if twin == "async" else Awaited(SyncStepflowClient(url, **settings))


async def closed(client: Any) -> None:
    await (client.close() if isinstance(client, Awaited) else client.aclose())


async def hung_up(proxy: FaultProxy, twin: str) -> None:
    """Cut all connections and wait until the client knows: its next requests make new ones."""
    proxy.drop_all()
    if twin == "async":
        await settled(proxy.url)


@pytest.fixture(autouse=True)
async def threads() -> AsyncIterator[None]:
    """Enough threads for the blocking client of each proxy."""
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        yield


async def over_proxies(url: str, work: Callable[[FaultProxy, Any], Awaitable[None]], items: list[Any]) -> None:
    """Do something with each item, each through a proxy of its own, several at once."""
    todo = list(reversed(items))

    async def worker(proxy: FaultProxy) -> None:
        while todo:
            await work(proxy, todo.pop())

    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(url)) for _ in range(min(AT_ONCE, len(items)))]
        async with asyncio.TaskGroup() as group:
            for proxy in proxies:
                group.create_task(worker(proxy))


# Creating runs


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("direction", ["request", "answer"])
@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_cut_at_every_byte_of_a_creation(
    twin: str, direction: str, how: str, server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, searched_runs=LOOKED_AT)
    prefix = unique("cut")
    async with StepflowClient(server_url, server=release) as direct:
        with FaultProxy(server_url, first(Script(within=CREATE))) as proxy:
            client = made(twin, proxy.url, server=release)
            await client.submit(flow(f"{prefix}-9999"), {"n": 1})
            await closed(client)
            whole = proxy.connections[0]
        length = whole.sent if direction == "request" else whole.received
        assert length > 100
        offsets = list(range(length + 1))
        outcomes: dict[str, list[str]] = {}
        kinds: Counter[str] = Counter()

        async def attempt(proxy: FaultProxy, offset: int) -> None:
            cut = {f"cut_{direction}": offset}
            proxy.connections.clear()
            proxy.script = first(Script(within=CREATE, reset=how == "reset", **cut))  # type: ignore[arg-type]
            client = made(twin, proxy.url, server=release)
            name = f"{prefix}-{offset:04d}"
            try:
                outcomes[name] = [await client.submit(flow(name), {"n": offset})]
                kinds["given"] += 1
            except AmbiguousRunError as error:
                outcomes[name] = error.candidates
                kinds["ambiguous"] += 1
            except StepflowClientError as error:
                outcomes[name] = [] if error.run_id is None else [error.run_id]
                kinds[type(error).__name__] += 1
            finally:
                await closed(client)
            assert proxy.connections[0].faulted or offset >= length - 2, offset

        await over_proxies(server_url, attempt, offsets)
        runs: dict[str, list[str]] = {}
        for run in (await direct.list_runs()).runs:
            runs.setdefault(run.flow_name or "", []).append(run.run_id)
        wrong = {name: (ids, runs.get(name)) for name, ids in outcomes.items() if runs.get(name) != ids}
        assert not wrong
        assert kinds == {"given": len(offsets)}


@pytest.mark.parametrize(
    "script",
    [
        Script(refuse=True),
        Script(cut_answer=40, half_close=True, within=CREATE),
        Script(cut_request=40, half_close=True, within=CREATE),
        Script(answer=answer(502)),
        Script(answer=answer(503, retry_after=0)),
        Script(answer=answer(429, retry_after=0)),
        Script(answer=answer(408)),
        Script(instead=answer(502), within=CREATE),
        Script(instead=answer(503, body=b"reset reason: connection termination"), within=CREATE),
        Script(instead=answer(504, body=b'{"error": "upstream timed out"}'), within=CREATE),
        Script(instead=answer(502, body=b'{"code": 502, "message": "bad gateway"}'), within=CREATE),
        Script(instead=answer(408), within=CREATE),
        Script(instead=answer(200, body=b"<html>"), within=CREATE),
    ],
    ids=[
        *("refuse", "half an answer", "half a request", "502", "503", "429", "408"),
        *("502 of a run", "503 of a run", "504 of a run", "502 in JSON", "408 of a run", "a page"),
    ],
)
@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_one_failure_creates_one_run(twin: str, script: Script, server_url: str, release: str) -> None:
    name = unique("once")
    with FaultProxy(server_url) as proxy:
        client = made(twin, proxy.url, server=release)
        await client.submit(flow(name), {"n": 0})
        await hung_up(proxy, twin)
        proxy.script = lambda number: script if number == 1 else Script()
        run_id = await client.submit(flow(name), {"n": 1})
        await closed(client)
        assert proxy.faults == 1
    async with StepflowClient(server_url) as direct:
        runs = [run.run_id for run in (await direct.list_runs(flow_name=name)).runs]
        assert len(runs) == 2
        assert runs[0] == run_id
        assert (await direct.get_result(run_id)).output == {"n": 1}


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_silent_connection_is_given_up_in_time(twin: str, server_url: str, release: str) -> None:
    name = unique("silent")
    with FaultProxy(server_url, first(Script(within=CREATE, cut_answer=40, stall=True))) as proxy:
        client = made(twin, proxy.url, server=release, timeout=0.5)
        run_id = await client.submit(flow(name), {"n": 1})
        await closed(client)
        assert proxy.faults == 1
    async with StepflowClient(server_url) as direct:
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [run_id]


@pytest.mark.parametrize("deduplicate", [False, True])
@pytest.mark.parametrize("refusal", [answer(404), answer(401), answer(400)], ids=["404", "401", "400"])
async def test_a_lookup_that_is_refused_creates_no_second_run(
    refusal: bytes, deduplicate: bool, server_url: str, release: str
) -> None:
    name = unique("refused")
    async with StepflowClient(server_url, server=release) as direct:
        await direct.store_flow(flow(name))

        def script(number: int) -> Script:
            # What comes after the answer that is lost is answered by something else than the server.
            return Script(within=CREATE, cut_answer=0) if number == 0 else Script(answer=refusal)

        with FaultProxy(server_url, script) as proxy:
            async with StepflowClient(proxy.url, server=release) as client:
                with pytest.raises(AmbiguousRunError):
                    await client.run(flow(name), {"n": 1}, deduplicate=deduplicate)
        assert len((await direct.list_runs(flow_name=name)).runs) == 1


# Runs of other programs


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("cut", [Script(within=CREATE, cut_answer=0), Script(within=CREATE, cut_request=40)])
async def test_a_lost_run_of_a_flow_that_others_run_is_never_guessed(
    twin: str, cut: Script, server_url: str, release: str
) -> None:
    name = unique("foreign")
    async with StepflowClient(server_url, server=release) as other:
        flow_id = (await other.store_flow(flow(name))).flow_id
        theirs = await other.create_run(flow_id, {"who": "other"})
        with FaultProxy(server_url, first(cut)) as proxy:
            client = made(twin, proxy.url, server=release)
            with pytest.raises(AmbiguousRunError) as caught:
                await client.create_run(flow_id, {"who": "self"})
            await closed(client)
        runs = [run.run_id for run in (await other.list_runs(flow_name=name)).runs]
        assert sorted(caught.value.candidates) == sorted(runs)
        assert theirs.run_id in runs
        assert len(runs) == (2 if cut.cut_request is None else 1)


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_creation_that_left_no_run_at_all_is_sent_again(twin: str, server_url: str, release: str) -> None:
    name = unique("none")
    async with StepflowClient(server_url, server=release) as direct:
        flow_id = (await direct.store_flow(flow(name))).flow_id
        with FaultProxy(server_url, first(Script(within=CREATE, cut_request=40))) as proxy:
            client = made(twin, proxy.url, server=release)
            created = await client.create_run(flow_id, {"n": 1})
            await closed(client)
            assert proxy.faults == 1
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [created.run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("deduplicate", [False, True])
async def test_each_client_finds_its_own_run_of_a_flow(
    twin: str, deduplicate: bool, server_url: str, release: str
) -> None:
    same = flow(unique("shared"))
    async with StepflowClient(server_url, server=release) as other:
        with FaultProxy(server_url, first(Script(within=CREATE, cut_request=40))) as proxy:
            client = made(twin, proxy.url, server=release)
            for number in range(3):
                await other.run(same, {"who": "other", "number": number})
            # Nothing of this one arrives, while runs of the other client are all that there is to be seen.
            found = await client.run(same, {"who": "self"}, deduplicate=deduplicate)
            await closed(client)
            assert proxy.faults == 1
        assert found.output == {"who": "self"}
        assert len((await other.list_runs(flow_name=same["name"])).runs) == 4


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_lost_run_is_found_below_many_newer_ones(
    twin: str, server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, searched_runs=LOOKED_AT)
    name, others = unique("below"), unique("others")
    async with StepflowClient(server_url, server=release) as direct:
        other = (await direct.store_flow(flow(others))).flow_id

        def script(number: int) -> Script:
            # The answer is lost, and for a while nothing gets through.
            if number == 0:
                return Script(within=CREATE, cut_answer=0)
            return Script(refuse=not finished.is_set())

        finished = asyncio.Event()
        with FaultProxy(server_url, script) as proxy:
            client = made(twin, proxy.url, server=release, retry=RetryPolicy(max_attempts=1))
            creating = asyncio.ensure_future(client.submit(flow(name), {"n": 1}))
            while len(proxy.connections) < 2:  # noqa: ASYNC110 - the proxy has no event to wait for
                await asyncio.sleep(0.01)
            await asyncio.gather(*(direct.create_run(other, {"n": 2}) for _ in range(5 * LOOKED_AT)))
            finished.set()
            run_id = await creating
            await closed(client)
        assert [run.run_id for run in (await direct.list_runs(flow_name=name)).runs] == [run_id]


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("stored", ["by the call", "before"])
async def test_of_two_lost_calls_none_takes_the_run_of_the_other(
    twin: str, stored: str, server_url: str, release: str
) -> None:
    same = flow(unique("two"))
    async with StepflowClient(server_url, server=release) as direct:
        flow_id = (await direct.store_flow(same)).flow_id

        def script(number: int) -> Script:
            # One run is created and its answer lost, when the other request is gone too, which never arrives.
            cuts = [Script(within=CREATE, cut_answer=0, delay=0.3), Script(within=CREATE, cut_request=40)]
            return cuts[number] if number < 2 else Script()

        with FaultProxy(server_url) as proxy:
            client = made(twin, proxy.url, server=release)
            await client.submit(same, {"n": 2})
            await hung_up(proxy, twin)
            proxy.script = lambda number: script(number - 1)
            if stored == "before":
                calls = [client.create_run(flow_id, {"n": number}) for number in range(2)]
            else:
                calls = [client.submit(same, {"n": number}) for number in range(2)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            await closed(client)
        owners = {
            run.run_id: (await direct.get_result(run.run_id)).output["n"]
            for run in (await direct.list_runs(flow_name=same["name"])).runs
        }
        assert len(set(owners.values())) == len(owners), "one run for each call at most"
        for number, each in enumerate(found):
            if isinstance(each, AmbiguousRunError):
                assert set(each.candidates) >= {run_id for run_id, owner in owners.items() if owner == number}
            else:
                # That the other call has got its answer tells that the run left is this one's.
                assert owners[each if isinstance(each, str) else each.run_id] == number


async def test_the_run_of_a_cancelled_call_is_taken_by_no_other(server_url: str, release: str) -> None:
    same = flow(unique("taken"))

    def script(number: int) -> Script:
        cuts = [Script(within=CREATE, cut_answer=0, stall=True), Script(within=CREATE, cut_request=40)]
        return cuts[number] if number < 2 else Script()

    with FaultProxy(server_url) as proxy:
        async with StepflowClient(proxy.url, server=release) as client:
            await client.submit(same, {"n": 2})
            await hung_up(proxy, "async")
            proxy.script = lambda number: script(number - 1)
            calls = [asyncio.ensure_future(client.submit(same, {"n": number})) for number in range(2)]
            while sum(each.faulted for each in proxy.connections[1:3]) < 2:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
            # Which of them has got the connection that is silent?
            await asyncio.sleep(0.2)
            silent = calls[int(b'"n":1' in proxy.connections[1].request)]
            silent.cancel()
            found = await asyncio.gather(*calls, return_exceptions=True)
            runs = (await client.list_runs(flow_name=same["name"])).runs
            assert len(runs) == 2
            errors = [each for each in found if isinstance(each, AmbiguousRunError)]
            assert [each.candidates for each in errors] == [[runs[0].run_id]]
            assert silent.cancelled()
            # No later call can take it either: the flow has another id from now on.
            await hung_up(proxy, "async")
            later = len(proxy.connections)
            proxy.script = lambda number: Script(within=CREATE, cut_request=40) if number == later else Script()
            assert (await client.run(same, {"n": 3})).output == {"n": 3}
            assert len({run.flow_id for run in (await client.list_runs(flow_name=same["name"])).runs}) == 2


# Events


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize("direction", ["request", "answer"])
async def test_cut_at_every_byte_of_the_events(
    twin: str, direction: str, server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, event_first_pause=0.005)
    step = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": "x"}}
    events = {"name": unique("events"), "steps": [step], "output": {"$step": "a"}}
    async with StepflowClient(server_url, server=release) as direct:
        run_id = await direct.submit(events, [{"n": 1}, {"n": 2}])
        await direct.wait_run(run_id, timeout=20)
        uncut = [event async for event in direct.run_events(run_id)]
        if has(release, "events"):
            assert max(Counter(event.sequence_number for event in uncut).values()) > 1
        with FaultProxy(server_url) as proxy:
            client = made(twin, proxy.url, server=release)
            assert [event async for event in client.run_events(run_id)] == uncut
            await closed(client)
            whole = proxy.connections[0]
        length = whole.sent if direction == "request" else whole.received
        assert length > 100
        offsets = list(range(length + 1))

        async def attempt(proxy: FaultProxy, offset: int) -> None:
            proxy.connections.clear()
            cut = {f"cut_{direction}": offset}
            proxy.script = first(Script(**cut))  # type: ignore[arg-type]
            client = made(twin, proxy.url, server=release)
            found = [event async for event in client.run_events(run_id)]
            await closed(client)
            assert found == uncut, offset
            assert proxy.faults == 1 or offset >= length - 8, offset

        await over_proxies(server_url, attempt, offsets)


# Storms


def stormy(seed: int, share: float, reach: int) -> Fault:
    """Let a share of the connections fail: before a byte is passed on, or after some, up to a number."""
    chance = random.Random(seed)

    def script(number: int) -> Script:
        if chance.random() >= share:
            return Script()
        reset = chance.random() < 0.5
        kind = chance.randrange(3)
        if kind == 0:
            return Script(refuse=True)
        if kind == 1:
            return Script(cut_request=chance.randrange(reach), reset=reset)
        return Script(cut_answer=chance.randrange(reach), reset=reset)

    return script


TOLD_APART = ["deduplicate", "distinct flows", "not at all"]


@dataclass
class Storm:
    """What came of many calls at once through a proxy that fails a fifth of the connections."""

    name: str
    found: list[FlowResult | BaseException]
    requests: int
    connections: int
    faults: int


async def raise_storm(url: str, release: str, seed: int, calls: int, told_apart: str) -> Storm:
    name = unique("storm")
    with FaultProxy(url) as proxy:
        async with StepflowClient(proxy.url, server=release) as client:
            await client.store_flow(flow(name))
            proxy.script = stormy(seed, 0.2, 6000)
            # The connection that is there already is none that fails.
            before = len(proxy.connections)

            def one(number: int) -> Awaitable[FlowResult]:
                its = flow(f"{name}-{number}" if told_apart == "distinct flows" else name)
                return client.run(its, {"n": number}, deduplicate=told_apart == "deduplicate")

            found = await asyncio.gather(*(one(number) for number in range(calls)), return_exceptions=True)
        requests = proxy.requests - before
        return Storm(name, found, requests, len(proxy.connections), proxy.faults)


async def needed(url: str, release: str, told_apart: str) -> float:
    """Return how many requests a call needs where nothing fails."""
    calm, calls, name = 0, 20, unique("calm")
    with FaultProxy(url) as proxy:
        async with StepflowClient(proxy.url, server=release) as client:
            await client.store_flow(flow(name))
            calm = proxy.requests
            for number in range(calls):
                its = flow(f"{name}-{number}" if told_apart == "distinct flows" else name)
                await client.run(its, {"n": number}, deduplicate=told_apart == "deduplicate")
        return (proxy.requests - calm) / calls


@pytest.mark.parametrize("told_apart", TOLD_APART)
async def test_a_storm(told_apart: str, server_url: str, release: str, request: pytest.FixtureRequest) -> None:
    newest = number_of(release) >= number_of(NEWEST)
    calls = 2000 if newest and told_apart != "distinct flows" else 800
    each_needs = await needed(server_url, release, told_apart)

    async def once(seed: int, calls: int) -> None:
        storm = await raise_storm(server_url, release, seed, calls, told_apart)
        ratio = storm.requests / (each_needs * calls)
        lost = sum(not isinstance(each, FlowResult) for each in storm.found)
        print(
            f"{storm.connections} connections, {storm.faults} failed; {storm.requests} requests, {ratio:.2f} x those "
            f"needed; {lost} calls without a result; {psutil.Process().memory_info().rss / 2**20:.0f} MiB"
        )
        async with StepflowClient(server_url, server=release) as direct:
            # It is the newest; one run too many would show.
            every = (await direct.list_runs(limit=2 * calls)).runs
            runs = [run.run_id for run in every if (run.flow_name or "").startswith(storm.name)]
            await check_storm(direct, storm.found, runs)
        if told_apart != "not at all":
            assert (lost, len(runs)) == (0, calls)
        assert storm.faults >= 3
        assert lost <= storm.faults
        assert ratio <= 1.5
        if request.config.getoption("--transport") == "own":
            assert storm.connections <= 1.5 * 256
            assert storm.faults >= calls / 100

    # The first one fills what a process keeps; the second one leaves nothing.
    counts = []
    for seed, share in ((7, 4), (8, 1)):
        await once(seed, calls // share)
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[1] - counts[0] < calls / 4


async def check_storm(direct: StepflowClient, found: list[FlowResult | BaseException], runs: list[str]) -> None:
    """Every call has its own result and a run of its own, or cannot tell which of some runs is its own, or none."""
    results = {number: each for number, each in enumerate(found) if isinstance(each, FlowResult)}
    assert all(each.raise_for_failure().output == {"n": number} for number, each in results.items())
    lost = {number: each for number, each in enumerate(found) if number not in results}
    assert all(isinstance(each, AmbiguousRunError) for each in lost.values()), lost
    owned = {each.run_id for each in results.values()}
    assert len(owned) == len(results)
    owner: dict[int, str] = {}
    for run_id in set(runs) - owned:
        number = (await direct.get_result(run_id)).output["n"]
        # One run for a call at most, and a call whose result is known has no second one.
        assert number in lost
        assert number not in owner
        owner[number] = run_id
    unnamed = [number for number, run_id in owner.items() if run_id not in lost[number].candidates]  # type: ignore[attr-defined]
    assert unnamed == []


async def test_every_request_on_a_connection_of_its_own(server_url: str, release: str) -> None:
    calls, name = 150, unique("alone")
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=0)
    with FaultProxy(server_url, stormy(11, 0.2, 400)) as proxy:
        # Of 300 requests with 5 attempts each one in ten runs of this test would see a request fail for good.
        often = RetryPolicy(max_attempts=10)
        async with StepflowClient(proxy.url, server=release, limits=limits, retry=often) as client:

            async def one(number: int) -> Any:
                done = await client.run(flow(name), {"n": number}, deduplicate=True)
                return done.raise_for_failure().output

            found = await asyncio.gather(*(one(number) for number in range(calls)))
        print(f"{len(proxy.connections)} connections for {2 * calls} needed requests, {proxy.faults} failed")
    assert found == [{"n": number} for number in range(calls)]
    async with StepflowClient(server_url) as direct:
        assert len((await direct.list_runs(flow_name=name)).runs) == calls


# Events that do not come


async def test_a_completed_run_is_told_whole_though_streams_are_empty_at_first(
    server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has(release, "events"):
        pytest.skip("before 0.12 events are inferred from the run itself")
    set_timings(monkeypatch, event_first_pause=0.005)
    empty = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 0\r\n\r\n"
    step = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": "x"}}
    async with StepflowClient(server_url, server=release) as direct:
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
            async with StepflowClient(proxy.url, server=release) as client:
                assert [event async for event in client.run_events(run_id)] == uncut
        assert proxy.faults >= 2
        # And where they never come, nobody says that they were all.
        set_timings(monkeypatch, event_outage=0.3)
        with FaultProxy(server_url, lambda number: Script(within=b"/events?", instead=empty)) as proxy:
            async with StepflowClient(proxy.url, server=release) as client:
                with pytest.raises(ServerConnectionError, match="they end before the run does"):
                    [event async for event in client.run_events(run_id)]


async def test_whoever_takes_long_with_an_event_is_not_given_up_on(
    server_url: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_timings(monkeypatch, event_outage=0.5)
    async with StepflowClient(server_url, server=release) as direct:
        run_id = await direct.submit(flow(unique("handled")), [{"n": 1}, {"n": 2}])
        await direct.wait_run(run_id, timeout=20)
        uncut = [event async for event in direct.run_events(run_id)]
        slow, gone = Script(delay=0.5, piece=100), Script(refuse=True)
        with FaultProxy(server_url, lambda number: [slow, gone][number] if number < 2 else Script()) as proxy:
            async with StepflowClient(proxy.url, server=release) as client:
                found = []
                async for event in client.run_events(run_id):
                    found.append(event)
                    if len(found) == 1:
                        await asyncio.sleep(0.8)
                        # What is still to come is lost, and the next connection too.
                        proxy.drop_all()
        assert found == uncut


# Cancelling


async def test_a_cancel_that_was_done_although_its_answer_was_lost(server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server=release) as direct:
        messages = {"messages": [{"role": "user", "content": "x"}]}
        step = {"id": "a", "component": "/builtin/openai", "input": messages}
        run_id = await direct.submit({"name": unique("cancel"), "steps": [step], "output": {"$step": "a"}}, [1])
        with FaultProxy(server_url, first(Script(within=b"/cancel ", cut_answer=0))) as proxy:
            async with StepflowClient(proxy.url, server=release) as client:
                try:
                    run = await client.cancel_run(run_id)
                except ConflictError:
                    # It had failed before: there is no model to be asked.
                    run = await direct.get_run(run_id)
                    assert run.status.value == "failed"
                else:
                    assert run.status.value == "cancelled"


# Processes

FORKED = """
import json, os, sys
from stepflow_client import SyncStepflowClient

client = SyncStepflowClient(sys.argv[1], server=sys.argv[2])
ids = sys.argv[3:5]
client.get_run(ids[0])
child = os.fork()
own = ids[1] if child else ids[0]
wrong = sum(client.get_run(own).run_id != own for _ in range(50))
client.close()
if not child:
    os._exit(wrong != 0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or wrong)
"""


async def test_a_fork_and_its_parent_get_their_own_answers(server_url: str, release: str) -> None:
    async with StepflowClient(server_url, server=release) as direct:
        ids = [await direct.submit(flow(unique("fork")), {"n": number}) for number in range(2)]
    command = [sys.executable, "-c", FORKED, server_url, release, *ids]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


TAGGED = """
import os, sys
from stepflow_client import SyncStepflowClient

flow = {"name": sys.argv[3], "steps": [], "output": {"$input": "$"}}
client = SyncStepflowClient(sys.argv[1], server=sys.argv[2])
client.submit(flow, {"who": "before"})
child = os.fork()
wrong = sum(client.run(flow, {"who": child}).output != {"who": child} for _ in range(20))
client.close()
if not child:
    os._exit(wrong != 0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or wrong)
"""


async def test_a_fork_runs_flows_under_a_tag_of_its_own(server_url: str, release: str) -> None:
    name = unique("fork")
    chance = random.Random(7)

    def script(number: int) -> Script:
        return Script(within=CREATE, after=chance.randrange(3), cut_answer=0)

    with FaultProxy(server_url, script) as proxy:
        command = [sys.executable, "-c", TAGGED, proxy.url, release, name]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert proxy.faults > 10
    async with StepflowClient(server_url, server=release) as direct:
        runs = (await direct.list_runs(flow_name=name)).runs
    assert len(runs) == 41
    assert sorted(Counter(run.flow_id for run in runs).values()) == [20, 21]


@pytest.mark.parametrize("processes", [2, 3])
async def test_processes_that_run_one_flow_get_their_own_results(processes: int, server_url: str, release: str) -> None:
    report = await asyncio.to_thread(lost_answers.measure, server_url, unique("same"), processes=processes, calls=100)
    assert (report.wrong, report.errors) == ([], [])
    assert report.runs == report.calls
    assert report.cuts > report.calls / 10
    # What is cut is looked for, and then sent again or read; a call that is not cut is one request.
    assert report.creations <= report.calls + report.cuts
    if has(release, "background"):
        assert report.requests <= report.calls + 5 * report.cuts + 4 * processes


# Event loops


LOOPS = """
import asyncio, gc, sys, httpx
from stepflow_client import StepflowClient

client = StepflowClient(sys.argv[1], server=sys.argv[2], limits=httpx.Limits(max_connections=2))

async def calls():
    await asyncio.gather(*(client.list_runs(limit=1) for _ in range(6)))

for _ in range(3):
    asyncio.run(calls())
asyncio.run(client.aclose())
del client
gc.collect()
"""


async def test_a_client_works_in_one_event_loop_after_another(server_url: str, release: str) -> None:
    command = [sys.executable, "-c", LOOPS, server_url, release]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# Threads


async def test_closing_a_blocking_client_ends_the_calls_of_other_threads(server_url: str, release: str) -> None:
    with FaultProxy(server_url, lambda number: Script(within=b"GET /api/v1/runs", cut_answer=0, stall=True)) as proxy:
        client = SyncStepflowClient(proxy.url, server=release)
        calls = [asyncio.ensure_future(asyncio.to_thread(client.list_runs)) for _ in range(3)]
        while proxy.faults < 3:  # noqa: ASYNC110 - the proxy has no event to wait for
            await asyncio.sleep(0.01)
        client.close()
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        assert all(isinstance(each, StepflowClientError) for each in ended)


FIRST_CALLS = """
import sys, threading
from stepflow_client import SyncStepflowClient

barrier, failures = threading.Barrier(8), []

def work(number):
    barrier.wait()
    try:
        with SyncStepflowClient(sys.argv[1]) as client:
            run_id = client.submit({"name": sys.argv[2], "steps": [], "output": {"$input": "$"}}, {"n": number})
            assert client.get_result(run_id).output == {"n": number}
            assert client.get_run(run_id).run_id == run_id
            assert [event.type for event in client.run_events(run_id)][-1] == "run_completed"
    except BaseException as error:
        failures.append(repr(error))

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
sys.exit("\\n".join(failures) or 0)
"""


async def test_threads_may_make_their_first_calls_at_once(server_url: str) -> None:
    # In a process of its own, in which nothing is imported yet.
    for _ in range(3):
        command = [sys.executable, "-W", "error", "-c", FIRST_CALLS, server_url, unique("first")]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


# Nothing is left


@pytest.fixture
def own_connections(request: pytest.FixtureRequest) -> None:
    """For what only the client's own pool promises."""
    if request.config.getoption("--transport") != "own":
        pytest.skip("plain httpx leaves its connections to whoever forgets or cancels it")


def sockets(url: str) -> int:
    """Count the connections of this process to a server."""
    port = int(url.rpartition(":")[2])
    return sum(bool(each.raddr) and each.raddr.port == port for each in psutil.Process().net_connections("tcp"))


async def settled(url: str, *, most: int = 0) -> None:
    """Wait until no more connections are left; what was closed goes with the next turns of the loop."""
    for _ in range(200):
        if sockets(url) <= most:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{sockets(url)} connections are left")


def others() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@pytest.mark.usefixtures("own_connections")
@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_forgotten_client_leaves_nothing(twin: str, server_url: str, release: str) -> None:
    already, before = others(), sockets(server_url)
    client = made(twin, server_url, server=release)
    await asyncio.gather(*(client.run(flow(unique("forgotten")), {"n": number}) for number in range(20)))
    assert sockets(server_url) > before
    del client
    gc.collect()
    await settled(server_url, most=before)
    assert others() <= already


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_a_closed_client_leaves_nothing(twin: str, server_url: str, release: str) -> None:
    already, before = others(), sockets(server_url)
    client = made(twin, server_url, server=release)
    runs = [client.run(flow(unique("closed")), {"n": number}) for number in range(20)]
    await asyncio.gather(*runs)
    assert sockets(server_url) > before
    await closed(client)
    await settled(server_url, most=before)
    assert others() <= already


async def test_a_client_closed_while_it_works_leaves_nothing(server_url: str, release: str) -> None:
    chance = random.Random(3)
    already = others()
    with FaultProxy(server_url, lambda number: Script(delay=0.01)) as proxy:
        for _ in range(40):
            client = StepflowClient(proxy.url, server=release, retry=RetryPolicy(max_attempts=1))
            calls = [asyncio.ensure_future(client.health_check()) for _ in range(5)]
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice((0, 0, 0.003, 0.008, 0.015)))
            await client.aclose()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert all(not isinstance(each, BaseException) or isinstance(each, StepflowClientError) for each in done)
        await settled(proxy.url)
    assert others() <= already


@pytest.mark.usefixtures("own_connections")
async def test_tasks_cancelled_anywhere_leave_nothing(server_url: str, release: str) -> None:
    chance = random.Random(5)
    already = others()
    limits = httpx.Limits(max_connections=4)
    with FaultProxy(server_url, lambda number: Script(delay=0.002)) as proxy:
        client = StepflowClient(proxy.url, server=release, limits=limits, timeout=5)
        both = flow(unique("cancelled"))
        run_id = await client.submit(both, {"n": 0})

        async def events() -> None:
            async for _ in client.run_events(run_id):
                pass

        for round in range(60):
            works: list[Awaitable[Any]] = [client.run(both, {"n": round}, deduplicate=True) for _ in range(5)]
            works += [events(), client.get_result(run_id), client.store_flow(flow(unique("cancelled")))]
            tasks = [asyncio.ensure_future(work) for work in works]
            for task in tasks:
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                if chance.random() < 0.4:
                    await asyncio.sleep(chance.random() * 0.01)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # No slot of the pool was lost, and no connection gives another one's answer.
        found = await asyncio.gather(*(client.run(both, {"n": n}, deduplicate=True) for n in range(12)))
        assert [result.output for result in found] == [{"n": n} for n in range(12)]
        await settled(proxy.url, most=4)
        await client.aclose()
        await settled(proxy.url)
    assert others() <= already
