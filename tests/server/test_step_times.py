"""`get_run_steps(include_times=True)` in both clients, on real servers of every release."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import RequestTimeoutError

from tests.differences import has
from tests.server.flows import ECHO, EVERYTHING, FAIL, SLEEP, one_step, slow_run, unique

pytestmark = pytest.mark.anyio


async def run_with_times(client: Any, flow: Any, value: Any, **options: Any) -> Any:
    run_id = await client.submit(flow, value)
    await client.wait_run(run_id, timeout=30)
    return await client.get_run_steps(run_id, include_times=True, **options)


async def test_start_end_and_duration(client: Any, release: str) -> None:
    first = {"id": "first", "component": SLEEP, "input": EVERYTHING}
    second = {"id": "second", "component": ECHO, "input": {"$step": "first"}}
    flow = {"name": unique("timed"), "steps": [first, second], "output": {"$step": "second"}}
    slept, echoed = await run_with_times(client, flow, {"seconds": 0.2, "value": 1})
    if not has(release, "events"):
        assert [(step.started_at, step.completed_at, step.duration, step.attempts) for step in (slept, echoed)] == [
            (None, None, None, None)
        ] * 2
        return
    assert slept.duration >= 0.2
    assert slept.completed_at <= echoed.started_at
    assert (slept.completed_at - slept.started_at).total_seconds() == slept.duration
    assert (slept.attempts, echoed.attempts) == (1, 1)
    assert "<th" in slept._repr_html_()
    assert "seconds" in slept._repr_html_()


async def test_the_times_of_each_item(client: Any, release: str) -> None:
    inputs = [{"seconds": 0.05 * (3 - number), "value": number} for number in range(3)]
    steps = await run_with_times(client, one_step(SLEEP), inputs)
    assert [step.item_index for step in steps] == [0, 1, 2]
    if has(release, "events"):
        assert [step.duration >= 0.05 * (3 - step.item_index) for step in steps] == [True] * 3
        (one,) = await client.get_run_steps(steps.run_id, item_index=1, include_times=True)
        assert one == steps[1]


async def test_attempts_include_retries(client: Any, release: str) -> None:
    flow = one_step(FAIL, {"message": "no"})
    flow["steps"][0]["onError"] = {"action": "retry", "maxRetries": 2}
    (step,) = await run_with_times(client, flow, {})
    assert step.status == "failed"
    if has(release, "events"):
        assert step.attempts == 3
        assert step.duration == (step.completed_at - step.started_at).total_seconds()


async def test_a_running_step_has_a_start_and_no_end(client: Any, release: str) -> None:
    if not has(release, "events"):
        return
    async with slow_run(client, seconds=5.0) as run_id:
        steps: Any = []
        while not len(steps):
            steps = await client.get_run_steps(run_id, include_times=True)
        assert [(step.status, step.attempts, step.duration) for step in steps] == [("running", 1, None)]
        assert steps[0].started_at is not None


async def test_the_deadline_holds(client: Any, release: str) -> None:
    if not has(release, "events"):
        return
    run_id = await client.submit(one_step(ECHO), [{"n": number} for number in range(300)])
    await client.wait_run(run_id, timeout=30)
    with pytest.raises(RequestTimeoutError) as late:
        await client.get_run_steps(run_id, include_times=True, timeout=0.001)
    assert late.value.run_id == run_id


async def test_the_end_of_a_cancelled_run_is_not_waited_for(client: Any, release: str) -> None:
    if not has(release, "events"):
        return
    async with slow_run(client, seconds=3.0) as run_id:
        await client.cancel_run(run_id)
        steps = await client.get_run_steps(run_id, include_times=True)
        assert [step.completed_at for step in steps] == [None] * len(steps)
