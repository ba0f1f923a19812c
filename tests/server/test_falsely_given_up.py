"""`map` copes with servers that mark live runs as failed.

With a store in a file and a recovery check every second, a server marks some new runs of flows with sub-flows as
failed, and completes them later. `map` must not report such a run as lost, nor start a second run for its inputs. (If a
write to its store fails, the server itself may execute the sub-flow twice.)
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
    """Runs the flow on many inputs, while the server is killed and restarted once.

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

    async def run(self) -> None:
        async with StepflowClient(self._server.url) as client:
            async for outcome in client.map(MAPPING, itertools.repeat(NAPS, self._count), chunk_size=10):
                self.outcomes.append(outcome)
                if len(self.outcomes) == self._after:
                    await asyncio.to_thread(self._server.kill)
                    self.killed_at = datetime.now(UTC)
                    self._server.start()
                    await asyncio.to_thread(self._server.wait_ready)
            self.roots = [run async for run in client.iter_runs(roots_only=True)]

    def was_in_flight(self, run: RunDetails) -> bool:
        """Return whether the server was executing a run when it was killed."""
        assert run.created_at is not None
        # The server reports times in whole seconds.
        is_older = (self.killed_at - run.created_at).total_seconds() > -1
        return is_older and (run.completed_at is None or (run.completed_at - self.killed_at).total_seconds() > -1)

    def check(self) -> None:
        """Check that each input has one outcome and one run, and that only runs that never end are reported as lost."""
        assert sorted(outcome.index for outcome in self.outcomes) == list(range(self._count))
        assert sum(run.items.total for run in self.roots) == self._count, "an input was given to two runs"
        by_id = {run.run_id: run for run in self.roots}
        lost = [outcome for outcome in self.outcomes if not outcome.is_success]
        states = Counter((outcome.status.value, outcome.error and outcome.error.code) for outcome in self.outcomes)
        # If a server executes a run twice, its status may change after its end.
        print(f"runs: {dict(Counter(run.status.value for run in self.roots))}; outcomes: {dict(states)}")
        log = self._server.log.read_text(errors="replace")
        for outcome in lost:
            run = by_id[str(outcome.run_id)]
            # The run is really lost: by the kill, or because the server could not write to its store.
            assert run.status == "failed", outcome
            assert run.items.running > 0, outcome
            assert self.was_in_flight(run) or f"Run {run.run_id} failed" in log, outcome


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_no_live_run_is_reported_as_lost(server: DurableServer) -> None:
    batch = Batch(server, 400, after=150)
    await batch.run()
    batch.check()


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
async def test_no_live_run_of_1000_inputs_is_reported_as_lost(server: DurableServer) -> None:
    batch = Batch(server, 1_000, after=300)
    await batch.run()
    batch.check()
