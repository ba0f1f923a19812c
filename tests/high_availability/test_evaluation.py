"""An evaluation spread over two servers with one store loses and repeats no run when one server is killed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import StepflowClient
from stepflow_client.evaluation import Variant, evaluate, exact

from tests.durable import DurableServer, sleeping

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

CASES, CHUNK, KILLED_AFTER = 40, 5, 15


async def test_an_evaluation_continues_after_a_server_is_killed(
    servers: tuple[DurableServer, DurableServer], tmp_path: Path
) -> None:
    a, b = servers

    def kill(progress: Any) -> None:
        if progress.done >= KILLED_AFTER:
            a.kill()

    cases = [{"n": number, "ms": 500, "expected": {"n": number}} for number in range(CASES)]
    async with StepflowClient([a.url, b.url], strategy="spread") as client:
        report = await evaluate(
            client,
            sleeping("evaluated"),
            cases,
            variants={"one": Variant(), "two": Variant()},
            scores=[exact("n")],
            journal=tmp_path / "eval",
            chunk_size=CHUNK,
            progress=kill,
        )
        runs = (await client.list_runs(flow_name="evaluated")).runs
    items = list(report)
    assert Counter(item.variant for item in items) == {"one": CASES, "two": CASES}
    assert [item.error for item in items if not item.is_success] == []
    assert all(item.scores == {"exact.n": True} for item in items)
    assert len(runs) == 2 * CASES // CHUNK
    assert {item.run_id for item in items} == {run.run_id for run in runs}
    assert {run.orchestrator_id for run in runs} == {"a", "b"}
