"""Many simultaneous calls get their own results although a fifth of the connections fail."""

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


def random_faults(seed: int, share: float, reach: int) -> Fault:
    """Return a script that fails a share of the connections after up to `reach` bytes."""
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


DISTINGUISHED_BY = ["private_copy", "distinct flows", "not at all"]


@dataclass
class Storm:
    """The outcomes of many simultaneous calls through a proxy that fails a fifth of the connections."""

    name: str
    outcomes: list[FlowResult | BaseException]
    requests: int
    connections: int
    faults: int


async def run_storm(url: str, release: str, seed: int, calls: int, distinguished_by: str) -> Storm:
    name = unique("storm")
    with FaultProxy(url) as proxy:
        async with StepflowClient(proxy.url, server_release=release) as client:
            await client.store_flow(flow(name))
            proxy.script = random_faults(seed, 0.2, 6000)
            # The existing connection does not fail.
            before = len(proxy.connections)

            def one(number: int) -> Awaitable[FlowResult]:
                own_flow = flow(f"{name}-{number}" if distinguished_by == "distinct flows" else name)
                return client.run(own_flow, {"n": number}, private_copy=distinguished_by == "private_copy")

            outcomes = await asyncio.gather(*(one(number) for number in range(calls)), return_exceptions=True)
        requests = proxy.requests - before
        return Storm(name, outcomes, requests, len(proxy.connections), proxy.faults)


async def requests_per_call(url: str, release: str, distinguished_by: str) -> float:
    """Return the number of requests that a call needs without faults."""
    calm, calls, name = 0, 20, unique("calm")
    with FaultProxy(url) as proxy:
        async with StepflowClient(proxy.url, server_release=release) as client:
            await client.store_flow(flow(name))
            calm = proxy.requests
            for number in range(calls):
                own_flow = flow(f"{name}-{number}" if distinguished_by == "distinct flows" else name)
                await client.run(own_flow, {"n": number}, private_copy=distinguished_by == "private_copy")
        return (proxy.requests - calm) / calls


@pytest.mark.parametrize("distinguished_by", DISTINGUISHED_BY)
async def test_a_storm(distinguished_by: str, server_url: str, release: str, request: pytest.FixtureRequest) -> None:
    calls = 800
    needed = await requests_per_call(server_url, release, distinguished_by)

    async def once(seed: int, calls: int) -> None:
        storm = await run_storm(server_url, release, seed, calls, distinguished_by)
        ratio = storm.requests / (needed * calls)
        lost = sum(not isinstance(each, FlowResult) for each in storm.outcomes)
        print(
            f"{storm.connections} connections, {storm.faults} failed; {storm.requests} requests, {ratio:.2f} x those "
            f"needed; {lost} calls without a result; {psutil.Process().memory_info().rss / 2**20:.0f} MiB"
        )
        async with StepflowClient(server_url, server_release=release) as direct:
            # The storm's runs are the newest, so the list would include a duplicate run.
            every = (await direct.list_runs(limit=2 * calls)).runs
            runs = [run.run_id for run in every if (run.flow_name or "").startswith(storm.name)]
            await check_storm(direct, storm.outcomes, runs)
        if distinguished_by != "not at all":
            assert (lost, len(runs)) == (0, calls)
        assert storm.faults >= 3
        assert lost <= storm.faults
        assert ratio <= 1.5
        if request.config.getoption("--transport") == "own":
            assert storm.connections <= 1.5 * 256
            assert storm.faults >= calls / 100

    # The first storm fills caches; the second must not leak.
    counts = []
    for seed, share in ((7, 4), (8, 1)):
        await once(seed, calls // share)
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[1] - counts[0] < calls / 4


async def check_storm(direct: StepflowClient, outcomes: list[FlowResult | BaseException], runs: list[str]) -> None:
    """Check that each call has its own result and run, or an AmbiguousRunError that lists its run if it exists."""
    results = {number: each for number, each in enumerate(outcomes) if isinstance(each, FlowResult)}
    assert all(each.raise_for_failure().output == {"n": number} for number, each in results.items())
    lost = {number: each for number, each in enumerate(outcomes) if number not in results}
    assert all(isinstance(each, AmbiguousRunError) for each in lost.values()), lost
    owned = {each.run_id for each in results.values()}
    assert len(owned) == len(results)
    owner: dict[int, str] = {}
    for run_id in set(runs) - owned:
        number = (await direct.get_result(run_id)).output["n"]
        # Each call has at most one run, and a call with a result has no second run.
        assert number in lost
        assert number not in owner
        owner[number] = run_id
    unnamed = [number for number, run_id in owner.items() if run_id not in lost[number].candidates]  # type: ignore[attr-defined]
    assert unnamed == []


async def test_every_request_on_its_own_connection(server_url: str, release: str) -> None:
    calls, name = 150, unique("alone")
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=0)
    with FaultProxy(server_url, random_faults(11, 0.2, 400)) as proxy:
        # With 5 attempts for each of 300 requests, one in ten runs of this test would fail.
        often = RetryPolicy(max_attempts=10)
        async with StepflowClient(proxy.url, server_release=release, limits=limits, retry=often) as client:

            async def one(number: int) -> Any:
                done = await client.run(flow(name), {"n": number}, private_copy=True)
                return done.raise_for_failure().output

            outcomes = await asyncio.gather(*(one(number) for number in range(calls)))
        print(f"{len(proxy.connections)} connections for {2 * calls} needed requests, {proxy.faults} failed")
    assert outcomes == [{"n": number} for number in range(calls)]
    async with StepflowClient(server_url) as direct:
        assert len((await direct.list_runs(flow_name=name)).runs) == calls
