"""`progress=` of `run`, `map` and `wait_run` in both clients, on real servers of every release."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stepflow_client import NotFoundError, Progress, RunTimeoutError, StepflowRuntime

from tests.differences import has
from tests.server.flows import ECHO, EVERYTHING, FAIL, SLEEP, one_step, slow_run, unique

pytestmark = pytest.mark.anyio

UNKNOWN_RUN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def updates() -> list[Progress]:
    return []


def two_steps() -> dict[str, Any]:
    slow = {"id": "slow", "component": SLEEP, "input": EVERYTHING}
    quick = {"id": "quick", "component": ECHO, "input": {"$step": "slow"}}
    return {"name": unique("progress"), "steps": [slow, quick], "output": {"$step": "quick"}}


async def test_progress_of_a_run_from_start_to_end(client: Any, release: str, updates: list[Progress]) -> None:
    result = await client.run(two_steps(), {"seconds": 2.5, "value": 1}, progress=updates.append)
    assert result.output == 1
    last = updates[-1]
    assert (last.run_id, last.status, last.completed, last.failed, last.fraction) == (
        result.run_id, "completed", 1, 0, 1.0,
    )  # fmt: skip
    assert [each.is_finished for each in updates] == [False] * (len(updates) - 1) + [True]
    assert str(last).startswith("completed after ")
    if has(release, "events"):
        assert any(each.running_steps == ("slow",) for each in updates)
        assert {each.steps for each in updates[:-1]} == {2}
        parts = [each.fraction or 0.0 for each in updates]
        assert parts == sorted(parts)
        assert any("0/2 steps, at slow" in str(each) for each in updates)


async def test_progress_of_a_run_that_ends_immediately(client: Any, updates: list[Progress]) -> None:
    await client.run(one_step(ECHO), {"n": 1}, progress=updates.append)
    assert updates[-1].status == "completed"


async def test_a_failure_is_reported_and_returned(client: Any, updates: list[Progress]) -> None:
    result = await client.run(one_step(FAIL, {"message": "no"}), {}, progress=updates.append)
    assert result.is_failed
    assert (updates[-1].status, updates[-1].completed, updates[-1].failed) == ("failed", 0, 1)


async def test_the_items_of_a_batch_are_counted(client: Any, release: str, updates: list[Progress]) -> None:
    inputs = [{"seconds": 0.05 + 0.4 * (number // 2), "value": number} for number in range(6)]
    run_id = await client.submit(two_steps(), inputs)
    run = await client.wait_run(run_id, timeout=60, progress=updates.append)
    assert run.items.completed == 6
    assert (updates[-1].total, updates[-1].completed, updates[-1].fraction) == (6, 6, 1.0)
    done = [each.done for each in updates]
    assert done == sorted(done)
    if has(release, "events"):
        assert updates[0].total == 6


async def test_a_step_that_never_runs_is_not_waited_for(client: Any, release: str, updates: list[Progress]) -> None:
    flow = one_step(SLEEP)
    flow["steps"].append({"id": "unused", "component": ECHO, "input": 1})
    run_id = await client.submit(flow, [{"seconds": 0.0 if each else 3.0, "value": each} for each in range(3)])
    await client.wait_run(run_id, timeout=60, progress=updates.append)
    if has(release, "events"):
        assert 2 in [each.completed for each in updates[:-1]]


async def test_the_outcomes_of_map_are_counted(client: Any, updates: list[Progress]) -> None:
    outcomes = [
        each async for each in client.map(one_step(ECHO), list(range(30)), chunk_size=5, progress=updates.append)
    ]
    assert len(outcomes) == 30
    assert (updates[0].total, updates[0].done, updates[0].is_finished) == (30, 0, False)
    assert (updates[-1].status, updates[-1].completed, updates[-1].run_id) == ("completed", 30, None)


async def test_inputs_without_a_length(client: Any, updates: list[Progress]) -> None:
    inputs = (each for each in range(4))
    async for _ in client.map(one_step(FAIL, {"message": "no"}), inputs, progress=updates.append):
        pass
    assert (updates[0].total, updates[0].fraction) == (None, None)
    assert (updates[-1].status, updates[-1].total, updates[-1].failed) == ("failed", 4, 4)


class Refused(NotFoundError):
    """An error of the caller's that derives from one of the client's errors."""


@pytest.mark.parametrize("error", [ValueError, Refused])
async def test_an_exception_in_the_progress_function_ends_the_call(client: Any, error: type[Exception]) -> None:
    def raises(now: Progress) -> None:
        raise error("from the function")

    run_id = await client.submit(one_step(ECHO), 1)
    with pytest.raises(error, match="from the function"):
        await client.run(one_step(ECHO), 1, progress=raises)
    with pytest.raises(error, match="from the function"):
        await client.wait_run(run_id, progress=raises)
    with pytest.raises(error, match="from the function"):
        await anext(client.map(one_step(ECHO), [1], progress=raises))
    assert (await client.wait_run(run_id)).is_finished


async def test_errors_are_the_same_as_without_progress(client: Any, updates: list[Progress]) -> None:
    with pytest.raises(NotFoundError):
        await client.wait_run(UNKNOWN_RUN, progress=updates.append)
    assert updates == []


async def test_the_deadline_holds(client: Any, updates: list[Progress]) -> None:
    async with slow_run(client, seconds=4.0) as run_id:
        with pytest.raises(RunTimeoutError) as late:
            await client.wait_run(run_id, timeout=1.2, progress=updates.append)
        assert late.value.run_id == run_id
        assert not any(each.is_finished for each in updates)


async def test_a_deadline_between_two_updates_holds(
    client: Any, updates: list[Progress], monkeypatch: pytest.MonkeyPatch
) -> None:
    for twin in ("_async", "_sync"):
        monkeypatch.setattr(f"stepflow_client.{twin}.watching._IDLE_SECONDS", 60.0)
    async with slow_run(client, seconds=4.0) as run_id:
        with pytest.raises(RunTimeoutError):
            await client.wait_run(run_id, timeout=1.2, progress=updates.append)
        assert not any(each.is_finished for each in updates)


async def test_progress_reports_a_cancelled_run(client: Any, updates: list[Progress]) -> None:
    async with slow_run(client, seconds=4.0) as run_id:
        waiting = asyncio.ensure_future(client.wait_run(run_id, timeout=60, progress=updates.append))
        while not updates:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
        await client.cancel_run(run_id)
        await waiting
        assert updates[-1].is_finished


async def test_a_cancelled_call_reports_no_more_progress(client: Any, updates: list[Progress]) -> None:
    if hasattr(client, "client"):
        return
    async with slow_run(client, seconds=2.0) as run_id:
        waiting = asyncio.ensure_future(client.wait_run(run_id, progress=updates.append))
        while not updates:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        count = len(updates)
        assert (await client.wait_run(run_id)).status == "completed", "the run continues"
    assert len(updates) == count


async def test_a_runtime_reports_progress(worker_runtime: StepflowRuntime, updates: list[Progress]) -> None:
    result = await worker_runtime.run(one_step(ECHO), 1, progress=updates.append)
    assert (result.output, updates[-1].is_finished) == (1, True)
    assert (await worker_runtime.wait_run(result.run_id, progress=updates.append)).is_finished
