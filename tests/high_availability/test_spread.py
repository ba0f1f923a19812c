"""Runs spread over two servers with one store are balanced, and none is lost or repeated when one server is killed."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import Outcome, StepflowClient, SyncStepflowClient

from tests.durable import DurableServer, sleeping

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

ITEMS, CHUNK, KILLED_AFTER = 120, 5, 15
NOOP: dict[str, Any] = {"name": "noop", "steps": [], "output": {"$input": "n"}}


def inputs(milliseconds: int) -> list[dict[str, int]]:
    return [{"n": number, "ms": milliseconds} for number in range(ITEMS)]


async def count_runs_by_server(client: StepflowClient, name: str) -> Counter[str | None]:
    runs = (await client.list_runs(flow_name=name)).runs
    assert {run.status.value for run in runs} == {"completed"}
    return Counter(run.orchestrator_id for run in runs)


async def test_new_runs_are_balanced(servers: tuple[DurableServer, DurableServer]) -> None:
    urls = [server.url for server in servers]
    async with StepflowClient(urls, strategy="spread") as client:
        for number in range(10):
            assert (await client.run(NOOP, {"n": number})).output == number
        assert await count_runs_by_server(client, "noop") == {"a": 5, "b": 5}
        results = await asyncio.gather(*(client.run(sleeping("at-once"), {"n": n, "ms": 300}) for n in range(20)))
        assert [result.output["n"] for result in results] == list(range(20))
        at_once = await count_runs_by_server(client, "at-once")
        assert at_once.total() == 20
        assert abs(at_once["a"] - at_once["b"]) <= 2
        async with aclosing(client.map(sleeping("batch"), inputs(100), chunk_size=CHUNK)) as outcomes:
            assert sorted([outcome.index async for outcome in outcomes]) == list(range(ITEMS))
        counts = await count_runs_by_server(client, "batch")
        print(f"\n{ITEMS // CHUNK} chunks: {dict(counts)}")
        assert counts.total() == ITEMS // CHUNK
        assert min(counts.values()) >= ITEMS // CHUNK // 4


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_the_other_server_takes_over_the_share_of_a_killed_server(
    servers: tuple[DurableServer, DurableServer], tmp_path: Path, twin: str
) -> None:
    a, b = servers
    outcomes: list[Outcome] = []
    options: dict[str, Any] = {"chunk_size": CHUNK, "journal": tmp_path / "journal"}

    def record(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == KILLED_AFTER:
            a.kill()

    def run_all() -> None:
        with SyncStepflowClient([a.url, b.url], strategy="spread") as blocking:
            for outcome in blocking.map(sleeping("batch"), inputs(1000), **options):
                record(outcome)

    async with StepflowClient(b.url) as other:
        if twin == "sync":
            await asyncio.to_thread(run_all)
        else:
            async with (
                StepflowClient([a.url, b.url], strategy="spread") as client,
                aclosing(client.map(sleeping("batch"), inputs(1000), **options)) as stream,
            ):
                async for outcome in stream:
                    record(outcome)
        assert sorted(outcome.index for outcome in outcomes) == list(range(ITEMS))
        assert [outcome.error for outcome in outcomes if not outcome.is_success] == []
        assert all(outcome.output["n"] == outcome.index for outcome in outcomes)
        runs = (await other.list_runs(flow_name="batch")).runs
        assert len(runs) == ITEMS // CHUNK
        assert {outcome.run_id for outcome in outcomes} == {run.run_id for run in runs}
        waited = [outcome for outcome in outcomes if (outcome.duration or 0) > 20]
        counts = await count_runs_by_server(other, "batch")
        print(f"\nof {ITEMS} inputs {len(waited)} waited for the take-over: {dict(counts)}")
        # Only the runs of the killed server wait for the take-over.
        assert 0 < len(waited) <= 4 * CHUNK
        assert outcomes[-len(waited) :] == waited
    assert not [thread for thread in threading.enumerate() if thread.name == "stepflow-client-call"]
