"""A server with a durable store is killed while runs are in progress and restarted: each run ends exactly once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import (
    AmbiguousRunError,
    FlowResult,
    StepflowClient,
    SyncStepflowClient,
)

from tests import workers
from tests.durable import DurableServer, sleeping
from tests.server.flows import SLEEP, one_step

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

RUNS = 50
SECONDS = 5.0
IDS_KNOWN = 1.8
"""Seconds after which every call knows the ID of its run, unless the machine is busy."""
IDS_UNKNOWN = 0.2
"""Seconds after which the server still holds the responses with the IDs."""
DOWN = 0.7


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DurableServer]:
    started = DurableServer(tmp_path)
    started.start()
    try:
        started.wait_ready()
        yield started
    finally:
        started.kill()


def build_input(number: int) -> dict[str, int]:
    return {"n": number, "ms": int(SECONDS * 1000) + 20 * number}


class CreatedRuns(logging.Handler):
    """Counts the responses with the ID of a new run in the clients' log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith("POST /runs -> 200")


@pytest.fixture
def created_runs() -> Iterator[CreatedRuns]:
    logger, handler = logging.getLogger("stepflow.client"), CreatedRuns()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


class Crash(threading.Thread):
    """Kills a server once some runs are in progress, and restarts it.

    Args:
        server: The server.
        runs: Minimum number of runs in progress.
        after: Minimum seconds before the kill.
        down: Seconds between the kill and the restart.
        created: If given, the kill also waits until the clients know the IDs of that many runs.
    """

    def __init__(
        self,
        server: DurableServer,
        runs: int = RUNS,
        *,
        after: float = IDS_KNOWN,
        down: float = DOWN,
        created: CreatedRuns | None = None,
    ) -> None:
        super().__init__(name="crash")
        self._server, self._runs, self._after, self._down = server, runs, after, down
        self._created = created
        self.in_flight = 0
        """Number of runs in progress when the server was killed."""

    def run(self) -> None:
        time.sleep(self._after)
        give_up = time.monotonic() + SECONDS
        if self._created is not None:
            while self._created.count < self._runs and time.monotonic() < give_up:
                time.sleep(0.02)
            # A response is logged just before the client reads it.
            time.sleep(0.2)
        with SyncStepflowClient(self._server.url) as client:
            while self.in_flight < self._runs and time.monotonic() < give_up:
                self.in_flight = len(client.list_runs("running").runs)
        self._server.kill()
        time.sleep(self._down)
        self._server.start()


def check(server: DurableServer, results: list[FlowResult]) -> None:
    """Check that every call has its own result and one run."""
    assert [result.is_success for result in results] == [True] * len(results)
    assert [result.output["n"] for result in results] == list(range(len(results)))
    check_runs(server, len(results))


def check_runs(server: DurableServer, count: int) -> None:
    """Check that there is one run per call, and that all have completed."""
    with SyncStepflowClient(server.url) as client:
        runs = client.list_runs().runs
    names = Counter(run.flow_name for run in runs)
    assert sum(names.values()) == count, names
    assert {run.status.value for run in runs} == {"completed"}


@pytest.mark.parametrize("shared", [True, False], ids=["one flow", "flows of their own"])
async def test_async_runs_survive_a_crash(shared: bool, server: DurableServer, created_runs: CreatedRuns) -> None:
    crash = Crash(server, created=created_runs)
    async with StepflowClient(server.url) as client:
        for number in range(1 if shared else RUNS):
            await client.store_flow(sleeping(f"slow-{number}"))
        calls = [client.run(sleeping(f"slow-{0 if shared else number}"), build_input(number)) for number in range(RUNS)]
        crash.start()
        results = await asyncio.gather(*calls)
    crash.join(30)
    assert created_runs.count >= crash.in_flight == RUNS
    check(server, results)


def test_sync_runs_survive_a_crash(server: DurableServer, created_runs: CreatedRuns) -> None:
    crash = Crash(server, created=created_runs)
    with SyncStepflowClient(server.url) as client, ThreadPoolExecutor(RUNS) as pool:
        client.store_flow(sleeping("slow"))
        calls = [pool.submit(client.run, sleeping("slow"), build_input(number)) for number in range(RUNS)]
        crash.start()
        results = [call.result(60) for call in calls]
    crash.join(30)
    assert created_runs.count >= crash.in_flight == RUNS
    check(server, results)


@pytest.mark.parametrize("distinguished_by", ["private_copy", "flows of their own", "not at all"])
async def test_runs_survive_a_crash_that_loses_the_responses(distinguished_by: str, server: DurableServer) -> None:
    own_flows = distinguished_by == "flows of their own"
    crash = Crash(server, after=IDS_UNKNOWN)
    async with StepflowClient(server.url) as client:
        for number in range(RUNS if own_flows else 1):
            await client.store_flow(sleeping(f"slow-{number}"))

        async def one(number: int) -> FlowResult:
            flow = sleeping(f"slow-{number if own_flows else 0}")
            return await client.run(flow, build_input(number), private_copy=distinguished_by == "private_copy")

        calls = [one(number) for number in range(RUNS)]
        crash.start()
        results = await asyncio.gather(*calls, return_exceptions=True)
        crash.join(30)
        assert crash.in_flight == RUNS
        if distinguished_by != "not at all":
            check(server, results)  # type: ignore[arg-type]
            return
        # All runs look alike, so the client cannot assign them to calls; the error lists the candidates.
        assert {type(each) for each in results} <= {AmbiguousRunError, FlowResult}
        lost = {number: each for number, each in enumerate(results) if isinstance(each, AmbiguousRunError)}
        assert len(lost) > RUNS / 2
        owner = {}
        for run in (await client.list_runs()).runs:
            owner[(await client.get_result(run.run_id, timeout=30)).output["n"]] = run.run_id
        assert [number for number, each in lost.items() if owner[number] not in each.candidates] == []
        outputs = {number: each.output["n"] for number, each in enumerate(results) if isinstance(each, FlowResult)}
        assert all(number == output for number, output in outputs.items())
    check_runs(server, RUNS)


async def test_more_runs_than_a_server_resumes_by_default_survive_a_crash(tmp_path: Path) -> None:
    server = DurableServer(tmp_path, recovery={"maxStartupRecovery": 10_000, "maxClaimsPerCheck": 10_000})
    server.start()
    try:
        server.wait_ready()
        async with StepflowClient(server.url) as client:
            flow = sleeping("many")
            run_ids = await asyncio.gather(*(client.submit(flow, {"n": n, "ms": 15_000}) for n in range(1_000)))
            # By default, a server resumes 100 runs. (On a busy machine, the first runs end before the last is created.)
            assert len((await client.list_runs("running")).runs) > 200
            server.kill()
            server.start()
            server.wait_ready()
            await asyncio.gather(*(client.wait_run(each, timeout=60) for each in run_ids))
        check_runs(server, 1_000)
    finally:
        server.kill()


async def test_events_resume_after_a_crash(server: DurableServer) -> None:
    async with StepflowClient(server.url) as client:
        run_id = await client.submit(sleeping("followed"), [build_input(0), build_input(1)])
        crash = Crash(server, 1)
        crash.start()
        live = [event async for event in client.run_events(run_id)]
        crash.join(30)
        assert live == [event async for event in client.run_events(run_id)]
        assert live[-1].type == "run_completed"
        assert [result.output["n"] for result in await client.get_results(run_id)] == [0, 1]


# Older servers

OLD = "0.11.1"


async def test_an_older_server_resumes_runs(tmp_path: Path) -> None:
    server = DurableServer(tmp_path, OLD, components=workers.config(OLD))
    server.start()
    try:
        server.wait_ready()
        client = StepflowClient(server.url)
        slow = one_step(SLEEP, name="slow")

        async def run(number: int) -> Any:
            return await client.run(slow, {"seconds": 3, "value": number}, private_copy=True)

        async def wait() -> Any:
            await asyncio.sleep(IDS_KNOWN / 2)
            return await client.wait_run((await client.list_runs(limit=1)).runs[0].run_id)

        crash = Crash(server, 3, down=0.0)
        calls = [run(0), run(1), run(2), wait()]
        crash.start()
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 40)
        crash.join(30)
        assert crash.in_flight == 3
        runs = (await client.list_runs()).runs
        await client.aclose()
        assert len(runs) == 3
        assert [each.output for each in results[:3]] == [0, 1, 2]
        assert results[3].status.value == "completed"
    finally:
        server.kill()
