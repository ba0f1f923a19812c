"""Runs that a server gives up while it is executing them: with a store in a file, and looks every second.

Within a second after their creation, such a server marks some runs as failed whose flow has a flow inside, and
completes them later. `map` must report none of them as lost, and none of their inputs may be executed twice.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from stepflow_client import Outcome, StepflowClient
from stepflow_client.types import RunDetails

from tests.durable import DurableServer
from tests.server.test_lost_runs import MAPPING

pytestmark = pytest.mark.anyio

NAPS = {"items": [{"ms": 20}] * 4}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DurableServer]:
    started = DurableServer(tmp_path, recovery={"checkIntervalSecs": 1}, connections=64)
    started.start()
    try:
        started.wait_ready()
        yield started
    finally:
        started.kill()


class Batch:
    """Runs the flow on many inputs, while the server is killed once and started again.

    Args:
        server: The server.
        count: The number of inputs.
        after: The number of outcomes after which the server is killed.
    """

    def __init__(self, server: DurableServer, count: int, after: int) -> None:
        self._server, self._count, self._after = server, count, after
        self.outcomes: list[Outcome] = []
        self.killed_at = datetime.max.replace(tzinfo=UTC)
        self.roots: list[RunDetails] = []
        self.below: Counter[str | None] = Counter()
        """The number of runs that steps created, by the run at the top."""

    async def run(self) -> None:
        async with StepflowClient(self._server.url) as client:
            async for outcome in client.map(MAPPING, itertools.repeat(NAPS, self._count), chunk_size=10):
                self.outcomes.append(outcome)
                if len(self.outcomes) == self._after:
                    await asyncio.to_thread(self._server.kill)
                    self.killed_at = datetime.now(UTC)
                    self._server.start()
                    await asyncio.to_thread(self._server.wait_ready)
            async for run in client.iter_runs():
                if run.parent_run_id is None:
                    self.roots.append(run)
                else:
                    self.below[run.root_run_id] += 1

    def was_in_flight(self, run: RunDetails) -> bool:
        """Return whether the server was executing a run when it was killed."""
        assert run.created_at is not None
        # The server's times of runs are whole seconds.
        is_older = (self.killed_at - run.created_at).total_seconds() > -1
        return is_older and (run.completed_at is None or (run.completed_at - self.killed_at).total_seconds() > -1)

    def check(self) -> None:
        """Nothing but what was in flight at the kill is lost; everything else was executed once."""
        assert sorted(outcome.index for outcome in self.outcomes) == list(range(self._count))
        assert sum(run.items.total for run in self.roots) == self._count, "an input was given to two runs"
        by_id = {run.run_id: run for run in self.roots}
        lost = [outcome for outcome in self.outcomes if not outcome.is_success]
        states = Counter((outcome.status.value, outcome.error and outcome.error.code) for outcome in self.outcomes)
        print(f"{len(self.roots)} runs; outcomes: {dict(states)}")
        for outcome in lost:
            run = by_id[str(outcome.run_id)]
            assert self.was_in_flight(run), outcome
            assert (run.status, run.items.running) == ("failed", run.items.total), outcome
        for run in self.roots:
            if not self.was_in_flight(run):
                assert (run.status, self.below[run.run_id]) == ("completed", run.items.total)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_no_live_run_is_reported_as_lost(server: DurableServer) -> None:
    batch = Batch(server, 400, after=150)
    await batch.run()
    batch.check()


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
async def test_none_of_5000_inputs_is_reported_as_lost(server: DurableServer) -> None:
    batch = Batch(server, 5_000, after=1_500)
    await batch.run()
    batch.check()
