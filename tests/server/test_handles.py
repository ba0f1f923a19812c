"""Run handles of both clients: typed results, event streams and pickling, on every release."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import BaseModel
from stepflow_client import (
    ExecutionStatus,
    InvalidArgumentError,
    NotFoundError,
    OutputTypeError,
    RunTimeoutError,
    StepflowRuntime,
    SyncStepflowClient,
)

from tests.server.flows import ECHO, one_step, slow_run

pytestmark = pytest.mark.anyio

FLOW = one_step(ECHO, {"text": {"$input": "$.who"}}, name="handled")


class Greeting(BaseModel):
    text: str


class Other(BaseModel):
    number: int


async def test_a_handle_keeps_the_type_of_the_output(client: Any) -> None:
    handle = await client.start_run(FLOW, {"who": "Ada"}, output_type=Greeting)
    assert (await handle.result(timeout=30)).unwrap() == Greeting(text="Ada")
    assert [each.unwrap() for each in await handle.results()] == [Greeting(text="Ada")]
    with pytest.raises(OutputTypeError):
        await client.handle(handle, Other).result()


async def test_a_handle_reads_its_run(client: Any) -> None:
    handle = await client.start_run(FLOW, {"who": "Ada"})
    assert (await handle.wait(timeout=30)).status is ExecutionStatus.COMPLETED
    assert (await handle.details()).run_id == handle.run_id
    assert [item.index for item in await handle.items()] == [0]
    assert (await handle.flow()).flow["name"] == "handled"
    assert (await handle.arguments()).run_id == handle.run_id
    async with handle.events() as events:
        received = [event async for event in events]
    assert received[-1].type == "run_completed"
    assert events.cursor == received[-1].cursor


async def test_objects_with_a_run_id_are_accepted_as_runs(client: Any) -> None:
    handle = await client.start_run(FLOW, {"who": "Ada"})
    result = await client.get_result(handle)
    for with_run_id in (handle, result, await client.get_run(handle), await client.get_run(result)):
        assert (await client.get_run(with_run_id)).run_id == handle.run_id
    with pytest.raises(InvalidArgumentError, match="a run ID must be a UUID"):
        await client.get_run(object())


async def test_a_handle_cancels_and_deletes(client: Any) -> None:
    async with slow_run(client, seconds=2.0) as run_id:
        handle = client.handle(run_id)
        with pytest.raises(RunTimeoutError) as caught:
            await handle.result(timeout=0.3)
        assert client.handle(caught.value) == handle
        assert (await handle.cancel()).run_id == run_id
    await handle.wait(timeout=30)
    await handle.delete()
    with pytest.raises(NotFoundError):
        await client.handle("01900000-0000-7000-8000-000000000001").delete()


async def test_progress_of_a_handle(client: Any) -> None:
    updates: list[Any] = []
    handle = await client.start_run(FLOW, {"who": "Ada"})
    result = await handle.result(timeout=30, progress=updates.append)
    assert result.is_success
    assert updates[-1].status == "completed"


def test_a_pickled_handle_reads_the_same_run(worker_runtime: StepflowRuntime) -> None:
    with SyncStepflowClient(worker_runtime.url) as client:
        handle = client.start_run(FLOW, {"who": "Ada"}, output_type=Greeting)
        unpickled = pickle.loads(pickle.dumps(handle))
        assert unpickled == handle
        assert unpickled.run_id in repr(unpickled)
        with unpickled.client:
            assert unpickled.result(timeout=30).unwrap() == Greeting(text="Ada")
