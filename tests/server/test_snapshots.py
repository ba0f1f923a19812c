"""Snapshots of runs fetch only the requested parts, and fetch the parts of ended runs only once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, NotFoundError, StepflowRuntime

from tests.differences import has
from tests.fault_proxy import FaultProxy
from tests.server.conftest import open_client
from tests.server.flows import unique

pytestmark = pytest.mark.anyio


def failing(name: str) -> dict[str, Any]:
    """Return a flow whose second step fails if the input has no `text`; the third step reads the second."""
    steps = [
        {"id": "a", "component": "/python/echo", "input": {"message": "a"}},
        {"id": "b", "component": "/python/echo", "input": {"message": {"$input": "text"}, "after": {"$step": "a"}}},
        {"id": "c", "component": "/python/echo", "input": {"message": {"$step": "b"}}},
    ]
    return {"name": unique(name), "steps": steps, "output": {"$step": "c"}}


@pytest.fixture
def proxy(worker_runtime: StepflowRuntime) -> Iterator[FaultProxy]:
    with FaultProxy(worker_runtime.url) as opened:
        yield opened


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_ended_runs_are_fetched_once(kind: str, proxy: FaultProxy, release: str) -> None:
    async with open_client(kind, proxy.url) as other, open_client(kind, proxy.url) as client:
        run_id = await other.submit(failing("once"), {})
        await client.wait_run(run_id)
        sent = []

        async def read(*include: str) -> Any:
            before = proxy.requests
            snapshot = await client.snapshot(run_id, include=include)
            sent.append(proxy.requests - before)
            return snapshot

        state = await read()
        assert state.details.status == "failed"
        assert (state.items, state.steps, state.flow, state.arguments, state.account, state.counts) == (None,) * 6
        steps = await read("steps")
        assert [step.step_id for step in steps.steps] == ["a", "b", "c"]
        whole = await read("items", "steps", "flow", "arguments", "account", "counts")
        assert whole.account.cause == ("b" if has(release, "step_outputs") else whole.account.cause)
        assert whole.items[0].result.error.message
        assert [step["id"] for step in whole.flow["steps"]] == ["a", "b", "c"]
        assert whole.counts.total == 1
        assert whole.to_dict()["details"]["account"] == whole.account.to_dict()
        assert (await read("items", "steps", "flow", "arguments", "account")).account == whole.account
    if has(release, "step_outputs"):
        assert sent == [1, 1, 2, 0]
    assert sent[-1] == 0


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_explaining_a_failed_run_reuses_what_its_result_fetched(
    kind: str, proxy: FaultProxy, release: str
) -> None:
    async with open_client(kind, proxy.url) as client:
        result = await client.run(failing("explained"), {})
        before = proxy.requests
        account = await client.explain_run(result.run_id)
        assert (account.error.message, account.cause) == (result.error.message, result.error.step_id)
        if has(release, "step_outputs"):
            assert proxy.requests == before


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_running_runs_are_fetched_again(kind: str, worker_runtime: StepflowRuntime) -> None:
    step = {"id": "a", "component": "/python/sleep", "input": {"seconds": 0.5}}
    flow = {"name": unique("again"), "steps": [step], "output": {"$step": "a"}}
    async with open_client(kind, worker_runtime.url) as client:
        run_id = await client.submit(flow, {})
        assert (await client.snapshot(run_id, include="items")).items[0].result is None
        await client.wait_run(run_id)
        assert (await client.snapshot(run_id, include="items")).items[0].result.is_success


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_one_item_of_a_batch(kind: str, worker_runtime: StepflowRuntime, release: str) -> None:
    async with open_client(kind, worker_runtime.url) as client:
        run_id = await client.submit(failing("batch"), [{"text": "x"}, {}, {"text": "y"}])
        await client.wait_run(run_id)
        first = await client.snapshot(run_id, include="account")
        assert first.account.item_index == 1
        assert {step.item_index for step in first.steps} == {1}
        chosen = await client.snapshot(run_id, include=["account", "steps"], item_index=2)
        assert (chosen.account.item_index, chosen.account.kind) == (2, None)
        assert {step.item_index for step in chosen.steps} == {2}
        every = await client.snapshot(run_id)
        assert {step.item_index for step in every.steps} == {0, 1, 2}
        assert every.account.item_index == 1
        with pytest.raises(InvalidArgumentError, match="has no item 3; it has items 0 to 2"):
            await client.snapshot(run_id, item_index=3)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_unknown_run(kind: str, worker_runtime: StepflowRuntime) -> None:
    async with open_client(kind, worker_runtime.url) as client:
        with pytest.raises(NotFoundError):
            await client.snapshot("0197aaaa-0000-7000-8000-000000000000")
