"""Failed items of large runs name their step."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import StepflowClient, SyncStepflowClient

from tests.server.awaited import Awaited
from tests.server.flows import unique

pytestmark = pytest.mark.anyio

ITEMS = 1100
"""More items than a run may have for the client to fetch all steps at once."""
LOOKED_UP = 20
FLOW: dict[str, Any] = {
    "steps": [{"id": "greet", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "name"}}}],
    "output": {"$step": "greet"},
}


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_failed_items_of_large_runs_name_their_step(twin: str, server_url: str) -> None:
    client: Any = StepflowClient(server_url) if twin == "async" else Awaited(SyncStepflowClient(server_url))
    inputs = [{"name": "x"} if number % 10 else {} for number in range(ITEMS)]
    run_id = await client.submit({"name": unique("large"), **FLOW}, inputs)
    results = await client.get_results(run_id, timeout=60)
    failed = [place for place, result in enumerate(results) if result.is_failed]
    assert failed == list(range(0, ITEMS, 10))
    steps = [results[place].error.step_id for place in failed]
    assert steps[:LOOKED_UP] == ["greet"] * LOOKED_UP
    assert all("$.name not found" in results[place].error.message for place in failed)
    items = (await client.get_run_items(run_id)).items
    assert [items[place].result for place in failed] == [results[place] for place in failed]
    await (client.close() if twin == "sync" else client.aclose())
