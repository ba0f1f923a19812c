"""`map` on 200,000 inputs returns one outcome for each, in constant memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import psutil
import pytest
from stepflow_client import LogConfig, Outcome, StepflowClient, StepflowRuntime, SyncStepflowClient

from tests import releases

pytestmark = [pytest.mark.anyio, pytest.mark.exhaustive]

COUNT, WARM = 200_000, 20_000
NOOP: dict[str, Any] = {"steps": [], "output": {"$input": "n"}}
MAX, MAX_GROWTH = 150 << 20, 20 << 20
"""Maximum bytes above the start, and above the usage after the first 20,000 inputs."""


@pytest.fixture
def url(release: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a separate server, because a server never frees the memory of runs."""
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
    with StepflowRuntime.start(log_config=LogConfig(level="error", forward=False)) as runtime:
        yield runtime.url


def memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


class OutcomeTracker:
    """Tracks the inputs with an outcome and the memory usage."""

    def __init__(self) -> None:
        self.received = bytearray(COUNT)
        self.start, self.warm = memory(), 0

    def add(self, outcome: Outcome) -> None:
        assert outcome.output == outcome.index
        assert not self.received[outcome.index]
        self.received[outcome.index] = 1
        if outcome.index == WARM:
            self.warm = memory()

    def check(self) -> None:
        assert sum(self.received) == COUNT
        end = memory()
        print(f"{(end - self.start) / 2**20:.1f} MiB above the start, {(end - self.warm) / 2**20:.1f} since {WARM:,}")
        assert end - self.start < MAX
        assert end - self.warm < MAX_GROWTH


def inputs() -> Iterator[dict[str, int]]:
    return ({"n": number} for number in range(COUNT))


async def test_200_000_inputs(url: str) -> None:
    tracker = OutcomeTracker()
    async with StepflowClient(url) as client, aclosing(client.map(NOOP, inputs())) as outcomes:
        async for outcome in outcomes:
            tracker.add(outcome)
    tracker.check()


def test_200_000_inputs_of_the_sync_client(url: str) -> None:
    tracker = OutcomeTracker()
    with SyncStepflowClient(url) as client:
        for outcome in client.map(NOOP, inputs()):
            tracker.add(outcome)
    tracker.check()
