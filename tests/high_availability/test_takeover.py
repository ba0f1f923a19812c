"""If one of two servers with one store is killed, the other takes over its runs: `make test-ha`.

A killed server keeps its leases for about a minute; then the other server takes over its runs and executes them again.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from stepflow_client import StepflowClient, SyncStepflowClient

from tests.durable import DurableServer, sleeping

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

RUNS, IN_THREADS = 12, 4
SECONDS = 3.0
IDS_KNOWN = 1.5
"""Seconds after which every call knows the ID of its run."""


def build_input(number: int, seconds: float = SECONDS) -> dict[str, int]:
    return {"n": number, "ms": int(seconds * 1000) + 20 * number}


async def attempts(client: StepflowClient, run_id: str) -> list[tuple[int, datetime]]:
    """Return the attempts at a run's step, with their times."""
    events: list[Any] = [event async for event in client.run_events(run_id)]
    return [(event.attempt, event.timestamp) for event in events if event.type == "step_started"]


async def test_the_other_server_takes_over(servers: tuple[DurableServer, DurableServer]) -> None:
    a, b = servers
    flow = sleeping("shared")
    with ThreadPoolExecutor(IN_THREADS) as pool, SyncStepflowClient([a.url, b.url]) as blocking:
        async with StepflowClient([a.url, b.url]) as client, StepflowClient(b.url) as other:
            followed = await client.submit(flow, build_input(0))
            undisturbed = await other.submit(flow, build_input(1, 6))

            async def follow() -> list[Any]:
                return [event async for event in client.run_events(followed)]

            first = [asyncio.ensure_future(client.run(flow, build_input(number))) for number in range(RUNS)]
            first += [
                asyncio.wrap_future(pool.submit(blocking.run, flow, build_input(number)))  # type: ignore[list-item]
                for number in range(RUNS, RUNS + IN_THREADS)
            ]
            events, elsewhere = asyncio.ensure_future(follow()), asyncio.ensure_future(other.wait_run(followed))
            await asyncio.sleep(IDS_KNOWN)
            running = (await other.list_runs("running")).runs
            assert sorted(run.orchestrator_id or "" for run in running) == ["a"] * (1 + RUNS + IN_THREADS) + ["b"]
            a.kill()
            killed = datetime.now(UTC)

            # Only the runs of the killed server have to wait for the take-over.
            assert (await asyncio.wait_for(client.run(flow, build_input(99, 0)), 10)).output["n"] == 99
            assert (await other.get_result(undisturbed, timeout=10)).output["n"] == 1
            results = await asyncio.gather(*first)
            live, waited = await events, await elsewhere

            assert [result.is_success for result in results] == [True] * len(results)
            assert [result.output["n"] for result in results] == list(range(RUNS + IN_THREADS))
            assert waited.status.value == "completed"
            assert live[-1].type == "run_completed"
            assert live == [event async for event in other.run_events(followed)]
            runs = (await other.list_runs()).runs
            assert {run.run_id for run in runs} >= {followed, undisturbed, *(result.run_id for result in results)}
            assert len(runs) == len(results) + 3
            assert {run.status.value for run in runs} == {"completed"}
            assert [number for number, _ in await attempts(other, undisturbed)] == [1]
            again = []
            for run_id in [followed, *(result.run_id for result in results)]:
                (one, _), (two, taken_over) = await attempts(other, run_id)
                assert (one, two) == (1, 2)
                again.append((taken_over - killed).total_seconds())
    ended = max((run.completed_at - killed).total_seconds() for run in runs if run.completed_at is not None)
    print(f"\ntaken over {min(again):.1f} to {max(again):.1f} s after the kill, all ended after {ended:.1f} s")
    # The other server does not take over too early, because the first one might only be slow.
    assert 20 < min(again) < 120


async def test_a_server_that_restarts_soon_resumes_its_own_runs(servers: tuple[DurableServer, DurableServer]) -> None:
    a, b = servers
    flow = sleeping("shared")
    async with StepflowClient([a.url, b.url]) as client, StepflowClient(b.url) as other:
        await client.store_flow(flow)
        calls = [asyncio.ensure_future(client.run(flow, build_input(number))) for number in range(RUNS)]
        await asyncio.sleep(IDS_KNOWN)
        a.kill()
        killed = datetime.now(UTC)
        a.start()
        results = await asyncio.gather(*calls)
        reported = (datetime.now(UTC) - killed).total_seconds()
        assert [result.output["n"] for result in results] == list(range(RUNS))
        runs = (await other.list_runs()).runs
        assert len(runs) == RUNS
        ended = max((run.completed_at - killed).total_seconds() for run in runs if run.completed_at is not None)
        print(f"\nall ended {ended:.1f} s after the kill, and all results were known after {reported:.1f} s")
        # Meanwhile the client polls the other server, which does not notice the end of runs that it does not own.
        assert reported - ended < 4
        assert {(run.status.value, run.orchestrator_id) for run in runs} == {("completed", "a")}
        for run in runs:
            assert [number for number, _ in await attempts(other, run.run_id)] == [1, 2]
