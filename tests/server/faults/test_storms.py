"""Many calls at once while a fifth of the connections fails."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest
from stepflow_client import (
    AmbiguousRunError,
    FlowResult,
    RetryPolicy,
    StepflowClient,
)

from tests.fault_proxy import FaultProxy, Script
from tests.server.faults.proxied import (
    Fault,
    flow,
)
from tests.server.flows import unique

pytestmark = [pytest.mark.faults, pytest.mark.anyio]


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


TOLD_APART = ["private_copy", "distinct flows", "not at all"]


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
        async with StepflowClient(proxy.url, server_release=release) as client:
            await client.store_flow(flow(name))
            proxy.script = stormy(seed, 0.2, 6000)
            # The connection that is there already is none that fails.
            before = len(proxy.connections)

            def one(number: int) -> Awaitable[FlowResult]:
                its = flow(f"{name}-{number}" if told_apart == "distinct flows" else name)
                return client.run(its, {"n": number}, private_copy=told_apart == "private_copy")

            found = await asyncio.gather(*(one(number) for number in range(calls)), return_exceptions=True)
        requests = proxy.requests - before
        return Storm(name, found, requests, len(proxy.connections), proxy.faults)


async def needed(url: str, release: str, told_apart: str) -> float:
    """Return how many requests a call needs where nothing fails."""
    calm, calls, name = 0, 20, unique("calm")
    with FaultProxy(url) as proxy:
        async with StepflowClient(proxy.url, server_release=release) as client:
            await client.store_flow(flow(name))
            calm = proxy.requests
            for number in range(calls):
                its = flow(f"{name}-{number}" if told_apart == "distinct flows" else name)
                await client.run(its, {"n": number}, private_copy=told_apart == "private_copy")
        return (proxy.requests - calm) / calls


@pytest.mark.parametrize("told_apart", TOLD_APART)
async def test_a_storm(told_apart: str, server_url: str, release: str, request: pytest.FixtureRequest) -> None:
    calls = 800
    each_needs = await needed(server_url, release, told_apart)

    async def once(seed: int, calls: int) -> None:
        storm = await raise_storm(server_url, release, seed, calls, told_apart)
        ratio = storm.requests / (each_needs * calls)
        lost = sum(not isinstance(each, FlowResult) for each in storm.found)
        print(
            f"{storm.connections} connections, {storm.faults} failed; {storm.requests} requests, {ratio:.2f} x those "
            f"needed; {lost} calls without a result; {psutil.Process().memory_info().rss / 2**20:.0f} MiB"
        )
        async with StepflowClient(server_url, server_release=release) as direct:
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
        async with StepflowClient(proxy.url, server_release=release, limits=limits, retry=often) as client:

            async def one(number: int) -> Any:
                done = await client.run(flow(name), {"n": number}, private_copy=True)
                return done.raise_for_failure().output

            found = await asyncio.gather(*(one(number) for number in range(calls)))
        print(f"{len(proxy.connections)} connections for {2 * calls} needed requests, {proxy.faults} failed")
    assert found == [{"n": number} for number in range(calls)]
    async with StepflowClient(server_url) as direct:
        assert len((await direct.list_runs(flow_name=name)).runs) == calls
