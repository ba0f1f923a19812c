"""Every operation of the async and blocking clients, on real servers of every release.

Behavior may differ between releases only as listed in tests/differences.py.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from stepflow_api.api.blob import get_blob, store_blob
from stepflow_api.api.component import list_components
from stepflow_api.api.flow import delete_flow, get_flow, get_flow_variables, store_flow
from stepflow_api.api.health import health_check
from stepflow_api.api.run import (
    cancel_run,
    create_run,
    delete_run,
    get_run,
    get_run_events,
    get_run_flow,
    get_run_items,
    get_run_step,
    get_run_steps,
    list_runs,
)
from stepflow_api.errors import ApiError
from stepflow_api.models import CreateRunRequest, RunStatus, StoreBlobRequest, StoreFlowRequest
from stepflow_client import (
    ConflictError,
    ErrorCode,
    ExecutionStatus,
    InvalidArgumentError,
    InvalidFlowError,
    InvalidRequestError,
    NotFoundError,
    RunTimeoutError,
    StepflowRuntime,
    UnsupportedByServerError,
)
from stepflow_client.events import StepCompletedEvent

from tests import releases
from tests.differences import DIFFERENCES, has
from tests.server.awaited import Awaited
from tests.server.flows import ECHO, EVERYTHING, FAIL, SLEEP, one_step, slow_run, unique

pytestmark = pytest.mark.anyio

UNKNOWN_RUN = "00000000-0000-4000-8000-000000000000"
UNKNOWN_HASH = "0" * 64


@pytest.fixture
def other(worker_runtime: StepflowRuntime) -> Any:
    """A second client, which has not cached the flows that the first has stored."""
    return Awaited(worker_runtime.sync_client)


async def run_to_end(client: Any, flow: Any, input: Any = None, **options: Any) -> str:
    """Run a flow to its end and return the run's ID."""
    run_id: str = await client.submit(flow, input, **options)
    await client.wait_run(run_id, timeout=20)
    return run_id


# The server


async def test_server_info(client: Any, release: str, worker_runtime: StepflowRuntime) -> None:
    info = await client.server_info()
    assert info.release == release
    assert info.url == worker_runtime.url
    assert info.capabilities["events"] is has(release, "events")
    health = await client.health_check()
    assert (health.status, health.version, health.build is None) == (
        ("healthy", None, False) if has(release, "events") else ("healthy", release, True)
    )


# Flows


async def test_a_flow_is_stored_read_and_deleted(client: Any, other: Any) -> None:
    flow = one_step(
        ECHO,
        name=unique("stored"),
        description="Says it again",
        metadata={"a": 1, "b": 2, "c": 3},
        examples=[{"name": "first", "description": "One", "input": {"n": 1}}],
    )
    stored = await client.store_flow(flow)
    assert {each.level for each in stored.diagnostics} <= {"error", "warning"}
    assert (await other.store_flow(flow)).flow_id == stored.flow_id

    read = await client.get_flow(stored.flow_id)
    assert read.flow_id == stored.flow_id
    assert read.flow["name"] == flow["name"]
    assert read.flow["metadata"] == {"a": 1, "b": 2, "c": 3}
    assert [(each.name, each.input) for each in read.examples] == [("first", {"n": 1})]

    await client.delete_flow(stored.flow_id)
    assert (await client.run(flow, {"n": 1})).output == {"n": 1}


async def test_unknown_and_invalid_flows(client: Any) -> None:
    for call in (client.get_flow, client.get_flow_variables, client.create_run):
        with pytest.raises(NotFoundError) as unknown:
            await call(UNKNOWN_HASH)
        assert unknown.value.status_code == 404
    with pytest.raises(InvalidFlowError, match="only") as refused:
        await client.store_flow(one_step(ECHO, {"$step": "only"}))
    assert refused.value.diagnostics[0].level == "fatal"
    with pytest.raises(InvalidArgumentError):
        await client.get_flow("")


# Runs


async def test_the_life_of_a_run_with_its_items_and_steps(client: Any, release: str) -> None:
    name = unique("whole")
    flow = {
        "name": name,
        "steps": [
            {"id": "first", "component": ECHO, "input": {"n": {"$input": "n"}}},
            {"id": "second", "component": ECHO, "input": {"was": {"$step": "first", "path": "n"}}},
        ],
        "output": {"$step": "second"},
    }
    stored = await client.store_flow(flow)
    created = await client.create_run(stored.flow_id, {"n": 5})
    assert created.flow_id == stored.flow_id
    run = await client.wait_run(created.run_id)
    assert run == await client.get_run(created.run_id)
    assert (run.status, run.flow_name, run.is_finished) == (ExecutionStatus.COMPLETED, name, True)
    assert (run.root_run_id, run.parent_run_id) == (run.run_id, None)
    assert (run.items.total, run.items.completed, run.items.failed) == (1, 1, 0)
    assert run.created_at <= run.completed_at

    (item,) = (await client.get_run_items(run.run_id)).items
    assert (item.index, item.status, item.result.output) == (0, ExecutionStatus.COMPLETED, {"was": 5})

    steps = (await client.get_run_steps(run.run_id)).steps
    assert [(step.step_id, step.status, step.item_index) for step in steps] == [
        ("first", ExecutionStatus.COMPLETED, 0),
        ("second", ExecutionStatus.COMPLETED, 0),
    ]
    step = await client.get_run_step(run.run_id, "second")
    assert (step.step_id, step.status) == ("second", ExecutionStatus.COMPLETED)
    if has(release, "step_outputs"):
        assert [step.output for step in steps] == [{"n": 5}, {"was": 5}]
        assert step.output == {"was": 5}
    with pytest.raises(NotFoundError):
        await client.get_run_step(run.run_id, "third")

    assert (await client.get_run_flow(run.run_id)).flow["name"] == name
    await client.delete_run(run.run_id)


async def test_missing_inputs_and_scalar_values(client: Any) -> None:
    values: list[Any] = [None, 0, "", False, [], {}, "text", {"a": None}]
    for value in values:
        result = await client.run(one_step(ECHO), [value])
        assert result.is_success
        assert result.output == value
        assert type(result.output) is type(value)
    assert (await client.run(one_step(ECHO))).output is None


async def test_unknown_runs(client: Any) -> None:
    calls = (
        client.get_run,
        client.get_run_items,
        client.get_run_steps,
        client.get_run_flow,
        client.cancel_run,
        client.delete_run,
        client.wait_run,
    )
    for call in calls:
        with pytest.raises(NotFoundError) as unknown:
            await call(UNKNOWN_RUN)
        assert unknown.value.status_code == 404
        with pytest.raises(InvalidArgumentError):
            await call("no-id")
    with pytest.raises(NotFoundError):
        await client.get_run_step(UNKNOWN_RUN, "only")


async def test_a_batch_keeps_its_order(client: Any) -> None:
    inputs = [{"seconds": 0.25 - 0.05 * n, "value": n} for n in range(5)]
    run_id = await run_to_end(client, one_step(SLEEP), inputs)
    items = (await client.get_run_items(run_id)).items
    assert [(item.index, item.result.output) for item in items] == [(n, n) for n in range(5)]
    assert (await client.get_run(run_id)).items.completed == 5


async def test_a_batch_of_no_items(client: Any, release: str) -> None:
    flow = one_step(ECHO, name=unique("none"))
    flow_id = (await client.store_flow(flow)).flow_id
    if not has(release, "empty_batch"):
        for call in (client.submit(flow, []), client.create_run(flow_id, [])):
            with pytest.raises(UnsupportedByServerError, match=r"0\.11"):
                await call
        assert (await client.list_runs(flow_name=flow["name"])).runs == []
        return
    for run_id in (await client.submit(flow, []), (await client.create_run(flow_id, ())).run_id):
        run = await client.wait_run(run_id, timeout=10)
        assert (run.status, run.items.total) == (ExecutionStatus.COMPLETED, 0)
        assert await client.get_results(run_id) == []
        assert list((await client.get_run_items(run_id)).items) == []
        assert (await client.get_run_steps(run_id)).steps == []
        with pytest.raises(InvalidArgumentError, match="batch of 0"):
            await client.get_result(run_id)
    with pytest.raises(InvalidArgumentError, match="batch of 0"):
        await client.run(flow, [])


async def test_the_items_of_a_cancelled_batch(client: Any) -> None:
    steps = [{"id": each, "component": SLEEP, "input": EVERYTHING, "mustExecute": True} for each in ("one", "two")]
    flow = {"name": unique("cancelled"), "steps": steps, "output": {"$step": "two"}}
    inputs = [{"seconds": 0.5, "value": number} for number in range(3)]
    submitting = asyncio.ensure_future(client.submit(flow, inputs, max_concurrency=2))
    while not (runs := (await client.list_runs(flow_name=flow["name"])).runs):  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.02)
    run_id = runs[0].run_id
    cancelled = await client.cancel_run(run_id)
    # The server continues the items and reports them neither as ended nor as cancelled.
    assert (cancelled.status, cancelled.completed_at is None) == (ExecutionStatus.CANCELLED, False)
    items = (await client.get_run_items(run_id)).items
    assert [(item.status, item.result) for item in items] == [(ExecutionStatus.RUNNING, None)] * 3
    results = await client.get_results(run_id)
    assert [(result.status, result.output, result.error) for result in results] == [("cancelled", None, None)] * 3
    # Once the items have ended, the run has their status.
    await asyncio.wait_for(submitting, 30)
    while (run := await client.get_run(run_id)).status is ExecutionStatus.CANCELLED:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.1)
    assert (run.status, run.items.completed) == (ExecutionStatus.COMPLETED, 3)
    assert [result.output for result in await client.get_results(run_id)] == [0, 1, 2]


async def test_max_concurrency_limits_simultaneous_steps(client: Any) -> None:
    started = time.monotonic()
    await run_to_end(client, one_step(SLEEP), [{"seconds": 0.15}] * 6, max_concurrency=2)
    assert time.monotonic() - started >= 0.44
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InvalidArgumentError, match="max_concurrency"):
            await client.submit(one_step(SLEEP), [{"seconds": 0}], max_concurrency=wrong)


async def test_max_concurrency_limits_the_steps_of_all_items(client: Any) -> None:
    steps = [{"id": each, "component": SLEEP, "input": EVERYTHING} for each in "abcd"]
    flow = {"name": unique("steps"), "steps": steps, "output": [{"$step": each} for each in "abcd"]}
    started = time.monotonic()
    await run_to_end(client, flow, [{"seconds": 0.1}] * 3, max_concurrency=2)
    assert time.monotonic() - started >= 0.58, "12 steps of 0.1 s, two at once"


async def test_max_concurrency_does_not_limit_the_items(client: Any, release: str) -> None:
    inner = one_step(SLEEP, {"seconds": 0.2, "value": 1})
    step = {"workflow": {"$literal": inner}, "items": {"$input": "items"}}
    flow = one_step("/builtin/map", step, name=unique("map"))
    run_id = await run_to_end(client, flow, [{"items": [n]} for n in range(6)], max_concurrency=2)
    if not has(release, "events"):
        # Only events tell when an item began.
        return
    running = maximum = 0
    async for event in client.run_events(run_id):
        running += {"step_started": 1, "step_completed": -1}.get(event.type, 0)
        maximum = max(maximum, running)
    assert maximum > 2


async def test_a_failing_item_does_not_affect_the_others(client: Any) -> None:
    flow = one_step(FAIL)
    run_id = await run_to_end(client, flow, [{"value": 1}, {"message": "not this one"}, {"value": 3}])
    run = await client.get_run(run_id)
    assert run.status == ExecutionStatus.FAILED
    assert (run.items.completed, run.items.failed) == (2, 1)
    good, bad, fine = await client.get_results(run_id)
    assert (good.output, fine.output) == (1, 3)
    assert "not this one" in bad.error.message
    assert bad.error.step_id == "only"

    steps = (await client.get_run_steps(run_id)).steps
    assert [(step.item_index, step.status) for step in steps] == [(0, "completed"), (1, "failed"), (2, "completed")]
    (one,) = (await client.get_run_steps(run_id, item_index=1)).steps
    assert one.status == ExecutionStatus.FAILED
    assert (await client.get_run_step(run_id, "only", item_index=2)).status == ExecutionStatus.COMPLETED


async def test_a_failure_has_step_message_and_code(client: Any, release: str) -> None:
    flow = {
        "steps": [
            {"id": "fine", "component": ECHO, "input": 1},
            {"id": "broken", "component": FAIL, "input": {"message": "the disk is full"}},
            {"id": "after", "component": ECHO, "input": {"$step": "broken"}},
        ],
        "output": {"a": {"$step": "fine"}, "b": {"$step": "after"}},
    }
    started = time.monotonic()
    result = await client.run(flow)
    took = time.monotonic() - started
    assert result.status == ExecutionStatus.FAILED
    assert "the disk is full" in result.error.message
    assert (result.error.step_id, result.error.code) == ("broken", ErrorCode.COMPONENT_FAILED)
    # The server restarts the worker before it gives up.
    if not has(release, "failures_at_once"):
        assert took > 0.5

    (item,) = (await client.get_run_items(result.run_id)).items
    assert item.result == result
    steps = {step.step_id: step for step in (await client.get_run_steps(result.run_id)).steps}
    assert steps["fine"].status == ExecutionStatus.COMPLETED
    assert steps["broken"].status == ExecutionStatus.FAILED
    if has(release, "step_outputs"):
        assert "the disk is full" in steps["broken"].error.message


async def test_other_failures_have_their_own_codes(client: Any) -> None:
    missing = await client.run(one_step(ECHO, {"$input": "$.missing"}), {"there": 1})
    assert (missing.error.code, missing.error.step_id) == (ErrorCode.EXPRESSION_FAILED, "only")
    assert "missing" in missing.error.message
    nowhere = await client.run(one_step("/nowhere/component"), {})
    assert (nowhere.error.code, nowhere.error.step_id) == (ErrorCode.ORCHESTRATOR, "only")


# Variables and overrides

VARIABLES = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "env_var": "OUR_CITY"},
        "count": {"type": "integer", "default": 3},
        "api-key": {"type": "string", "is_secret": True},
    },
    "required": ["city"],
}
WITH_VARIABLES = {
    **one_step(ECHO, {name: {"$variable": name} for name in ("city", "count", "api-key")}),
    "schemas": {"type": "object", "properties": {"variables": VARIABLES}},
}


async def test_variables_as_a_mapping_and_as_a_file(client: Any, tmp_path: Path) -> None:
    values: dict[str, Any] = {"city": "Rome", "api-key": "k"}
    expected = {"city": "Rome", "count": 3, "api-key": "k"}
    (tmp_path / "values.json").write_text(json.dumps(values))
    (tmp_path / "values.yaml").write_text("city: Rome\napi-key: k\n")
    for variables in (values, tmp_path / "values.json", str(tmp_path / "values.yaml")):
        assert (await client.run(WITH_VARIABLES, variables=variables)).output == expected
    values["count"] = 4
    run_id = await client.submit(WITH_VARIABLES, [1, 2], variables=values)
    assert [result.output for result in await client.get_results(run_id)] == [values, values]


async def test_variables_from_the_environment(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_CITY", "Oslo")
    monkeypatch.setenv("STEPFLOW_VAR_CITY", "not looked at")
    monkeypatch.setenv("STEPFLOW_VAR_COUNT", "7")
    monkeypatch.setenv("STEPFLOW_VAR_API_KEY", "12")
    result = await client.run(WITH_VARIABLES, variables_from_env=True)
    assert result.output == {"city": "Oslo", "count": 7, "api-key": "12"}
    monkeypatch.delenv("OUR_CITY")
    result = await client.run(WITH_VARIABLES, variables={"count": 8}, variables_from_env=True)
    assert result.output == {"city": "not looked at", "count": 8, "api-key": "12"}


async def test_the_variables_of_a_flow(client: Any, other: Any) -> None:
    flow_id = (await other.store_flow(WITH_VARIABLES)).flow_id
    declared = (await client.get_flow_variables(flow_id)).variables
    assert set(declared) == {"city", "count", "api-key"}
    assert (declared["city"].is_required, declared["city"].env_var) == (True, "OUR_CITY")
    assert (declared["count"].is_required, declared["count"].default) == (False, 3)
    assert declared["api-key"].is_secret


@pytest.mark.parametrize(
    "overrides",
    [
        {"only": {"input": {"a": 9}}},
        {"steps": {"only": {"value": {"input": {"a": 9}}}}},
        [{"only": {"input": {"a": 1}}}, {"steps": {"only": {"value": {"input": {"a": 9}}}}}],
    ],
    ids=["flat", "wrapped", "list"],
)
async def test_overrides(client: Any, overrides: Any) -> None:
    flow = one_step(ECHO, {"a": 0, "b": 0})
    assert (await client.run(flow, None, overrides)).output == {"a": 9, "b": 0}
    assert (await client.run(flow)).output == {"a": 0, "b": 0}
    created = await client.create_run((await client.store_flow(flow)).flow_id, [1, 2], overrides=overrides)
    assert [result.output["a"] for result in await client.get_results(created.run_id)] == [9, 9]


async def test_an_override_of_an_unknown_step(client: Any, other: Any) -> None:
    flow, overrides = one_step(ECHO), {"nobody": {"input": {"a": 9}}}
    with pytest.raises(InvalidArgumentError, match="'nobody'"):
        await client.run(flow, None, overrides)
    # The server reports it if the client does not know the flow.
    flow_id = (await other.store_flow(flow)).flow_id
    with pytest.raises(InvalidRequestError, match="overrides"):
        await client.run(flow_id, None, overrides)


# Waiting and cancelling


async def test_a_run_continues_after_a_wait_times_out(client: Any) -> None:
    async with slow_run(client, 3.0) as run_id:
        started = time.monotonic()
        with pytest.raises(RunTimeoutError) as late:
            await client.wait_run(run_id, timeout=0.2)
        assert 0.15 < time.monotonic() - started < 2.9
        assert late.value.run_id == run_id
        assert not (await client.get_run(run_id)).is_finished
        (item,) = (await client.get_run_items(run_id)).items
        assert item.result is None
        assert (await client.wait_run(run_id, timeout=10)).status == ExecutionStatus.COMPLETED


async def test_steps_of_a_running_run(client: Any, release: str) -> None:
    async with slow_run(client) as run_id:
        # Give the worker time to fetch the task.
        await asyncio.sleep(0.1)
        steps = (await client.get_run_steps(run_id)).steps
        await client.wait_run(run_id)
    if has(release, "live_steps"):
        assert [(step.step_id, step.status) for step in steps] == [("only", ExecutionStatus.RUNNING)]
    else:
        assert all(step.status == ExecutionStatus.RUNNING for step in steps)
    assert [step.status for step in (await client.get_run_steps(run_id)).steps] == [ExecutionStatus.COMPLETED]


async def test_cancelling_and_deleting_a_running_run(client: Any) -> None:
    async with slow_run(client) as run_id:
        with pytest.raises(ConflictError):
            await client.delete_run(run_id)
        assert (await client.cancel_run(run_id)).status == ExecutionStatus.CANCELLED
        assert (await client.get_run(run_id)).status == ExecutionStatus.CANCELLED
        assert (await client.get_result(run_id)).is_cancelled


async def test_a_finished_run_is_not_cancelled(client: Any) -> None:
    run_id = await run_to_end(client, one_step(ECHO), 1)
    before = await client.get_run(run_id)
    with pytest.raises(ConflictError) as refused:
        await client.cancel_run(run_id)
    assert (refused.value.status_code, refused.value.run_id) == (409, run_id)
    assert await client.get_run(run_id) == before


# Lists


async def test_every_filter_of_list_runs(client: Any) -> None:
    name = unique("listed")
    flow = one_step(ECHO, {"$input": "$.n"}, name=name)
    good = [await run_to_end(client, flow, {"n": n}) for n in range(4)]
    bad = await run_to_end(client, flow, {"other": 1})

    async def listed(**filters: Any) -> list[str]:
        return [run.run_id for run in (await client.list_runs(**filters)).runs]

    newest_first = [bad, *reversed(good)]
    assert await listed(flow_name=name) == newest_first
    assert await listed(flow_name=unique("unheard")) == []
    assert await listed(flow_name=name, status=ExecutionStatus.COMPLETED) == newest_first[1:]
    assert await listed(flow_name=name, status="failed") == [bad]
    for status in ("cancelled", "paused", "recovery_failed"):
        assert await listed(flow_name=name, status=status) == []
    assert await listed(flow_name=name, limit=2) == newest_first[:2]
    assert await listed(flow_name=name, limit=0) == []
    assert await listed(flow_name=name, limit=2, offset=3) == newest_first[3:]
    assert await listed(flow_name=name, offset=4) == newest_first[4:]
    assert await listed(root_run_id=good[0]) == [good[0]]
    for wrong in ({"status": "never"}, {"limit": -1}, {"offset": -1}, {"root_run_id": "x"}, {"flow_name": ""}):
        with pytest.raises(InvalidArgumentError):
            await listed(**wrong)

    async with slow_run(client) as run_id:
        running = await client.list_runs(status=ExecutionStatus.RUNNING)
        assert run_id in [run.run_id for run in running.runs]


async def test_sub_runs_are_listed_below_their_parent(client: Any) -> None:
    name = unique("parent")
    inner = one_step(ECHO, name=name)
    step_input = {"workflow": {"$literal": inner}, "items": {"$input": "items"}}
    parent = await run_to_end(client, one_step("/builtin/map", step_input, name=name), {"items": ["a", "b"]})
    (child,) = (await client.list_runs(parent_run_id=parent)).runs
    assert (child.parent_run_id, child.root_run_id, child.items.total) == (parent, parent, 2)

    both = {run.run_id for run in (await client.list_runs(root_run_id=parent)).runs}
    assert both == {parent, child.run_id}
    assert [run.run_id for run in (await client.list_runs(flow_name=name, roots_only=True)).runs] == [parent]
    assert len((await client.list_runs(flow_name=name, roots_only=False)).runs) == 2
    outputs = [item.result.output for item in (await client.get_run_items(child.run_id)).items]
    assert outputs == ["a", "b"]


async def test_iter_runs_while_new_ones_arrive(client: Any, other: Any) -> None:
    flow = {"name": unique("many"), "steps": [], "output": EVERYTHING}
    existing = [await run_to_end(client, flow, n) for n in range(23)]
    listed = []
    async for run in client.iter_runs(flow_name=flow["name"], page_size=4):
        listed.append(run.run_id)
        if len(listed) % 3 == 0:
            await other.run(flow, "new")
    assert len(listed) == len(set(listed))
    assert [run_id for run_id in listed if run_id in existing] == existing[::-1]

    complete = [run.run_id for run in (await client.list_runs(flow_name=flow["name"])).runs]
    for page_size in (2, 7, 100):
        runs = client.iter_runs("completed", flow_name=flow["name"], page_size=page_size)
        assert [run.run_id async for run in runs] == complete


# Blobs


async def test_blobs(client: Any) -> None:
    value = {"text": "größe", "whole": 2**53 + 1, "parts": [1.5, None, True, {}]}
    stored = await client.store_blob(value, filename="value.json")
    assert len(stored.blob_id) == 64
    read = await client.get_blob(stored.blob_id)
    assert (read.data, read.blob_type, read.blob_id) == (value, "data", stored.blob_id)
    assert (await client.store_blob(value)).blob_id == stored.blob_id

    content = bytes(range(256)) + unique("bytes").encode()
    stored = await client.store_blob(content, filename="picture.png")
    read = await client.get_blob(stored.blob_id)
    assert (read.data, read.blob_type, read.filename) == (content, "binary", "picture.png")
    with pytest.raises(NotFoundError):
        await client.get_blob(UNKNOWN_HASH)


# Events

CHAIN = {
    "steps": [
        {"id": "first", "component": ECHO, "input": EVERYTHING},
        {"id": "second", "component": SLEEP, "input": {"seconds": 0.1, "value": {"$step": "first"}}},
        {"id": "third", "component": ECHO, "input": {"$step": "second"}},
    ],
    "output": {"$step": "third"},
}


async def events_of(client: Any, run_id: str, **options: Any) -> list[Any]:
    return [event async for event in client.run_events(run_id, **options)]


async def test_an_unknown_run_or_a_server_without_event_streams(client: Any, release: str) -> None:
    expected = NotFoundError if has(release, "events") else UnsupportedByServerError
    with pytest.raises(expected) as refused:
        await events_of(client, UNKNOWN_RUN)
    if expected is UnsupportedByServerError:
        assert refused.value.message == f"a stream of events: not supported by this server ({release})"
        assert refused.value.hint == "it needs release 0.12 or newer"


@pytest.mark.usefixtures("needs_events")
async def test_events_of_a_run_from_start_to_end(client: Any) -> None:
    run_id = await client.submit(CHAIN, {"n": 1})
    events = await events_of(client, run_id)
    assert (events[0].type, events[-1].type) == ("run_created", "run_completed")
    assert events[-1].status == ExecutionStatus.COMPLETED
    for kind in ("step_started", "step_completed"):
        assert [event.step_id for event in events if event.type == kind] == ["first", "second", "third"]
    assert {event.run_id for event in events} == {run_id}
    assert {event.inferred for event in events} == {False}
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(numbers)
    assert len({event.cursor for event in events}) == len(events)
    assert all(event.output is None for event in events if isinstance(event, StepCompletedEvent))


@pytest.mark.usefixtures("needs_events")
async def test_events_resume_after_every_cursor(client: Any) -> None:
    run_id = await run_to_end(client, CHAIN, [{"n": 1}, {"n": 2}])
    events = await events_of(client, run_id)
    assert len(events) >= 2
    for index, event in enumerate(events):
        assert await events_of(client, run_id, after=event.cursor) == events[index + 1 :]
    first = events[-1].sequence_number
    assert await events_of(client, run_id, after=first) == [e for e in events if e.sequence_number >= first]
    for wrong in ("x", -1, "q1.1"):
        with pytest.raises(InvalidArgumentError):
            await events_of(client, run_id, after=wrong)


@pytest.mark.usefixtures("needs_events")
async def test_events_with_results_and_of_failures(client: Any) -> None:
    run_id = await run_to_end(client, CHAIN, {"n": 1})
    events = await events_of(client, run_id, include_results=True)
    outputs = [event.output for event in events if isinstance(event, StepCompletedEvent)]
    assert outputs == [{"n": 1}] * 3

    run_id = await run_to_end(client, one_step(ECHO, {"$input": "$.missing"}), {})
    events = await events_of(client, run_id, include_results=True)
    assert events[-1].status == ExecutionStatus.FAILED
    assert [event.status for event in events if event.type == "step_completed"] in ([], [ExecutionStatus.FAILED])


@pytest.mark.usefixtures("needs_events")
async def test_events_of_sub_runs(client: Any) -> None:
    step_input = {"workflow": {"$literal": one_step(ECHO)}, "items": {"$input": "items"}}
    run_id = await run_to_end(client, one_step("/builtin/map", step_input), {"items": [1, 2]})
    (child,) = (await client.list_runs(parent_run_id=run_id)).runs
    alone = await events_of(client, run_id)
    assert {event.run_id for event in alone} == {run_id}
    both = await events_of(client, run_id, include_sub_runs=True)
    assert both[-1] == replace(alone[-1], cursor=both[-1].cursor)
    assert {event.run_id for event in both} == {run_id, child.run_id}
    created = next(event for event in both if event.type == "sub_run_created")
    assert (created.run_id, created.parent_run_id, created.item_count) == (child.run_id, run_id, 2)
    for index, event in enumerate(both):
        rest = await events_of(client, run_id, after=event.cursor, include_sub_runs=True)
        assert rest == both[index + 1 :]
    with pytest.raises(InvalidArgumentError, match="include_sub_runs"):
        await events_of(client, run_id, after=both[0].cursor)


def connections(url: str) -> int:
    """Count this process's open connections to the server."""
    port = int(url.rpartition(":")[2])
    opened = psutil.Process().net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED and each.raddr.port == port for each in opened if each.raddr)


@pytest.mark.usefixtures("needs_events")
async def test_leaving_an_event_stream_early_closes_its_connection(client: Any, worker_runtime: Any) -> None:
    async with slow_run(client, 4.0) as run_id:
        await client.get_run(run_id)
        before = connections(worker_runtime.url)
        for _ in range(3):
            async with aclosing(client.run_events(run_id)) as events:
                async for event in events:
                    assert event.type == "run_created"
                    break
        assert connections(worker_runtime.url) <= before
        assert not (await client.get_run(run_id)).is_finished


# The generated operations


async def test_generated_operations(client: Any, release: str) -> None:
    async def call(operation: Any, *args: Any, **options: Any) -> Any:
        if isinstance(client, Awaited):
            response = await asyncio.to_thread(operation.sync_detailed, *args, client=client.api, **options)
        else:
            response = await operation.asyncio_detailed(*args, client=client.api, **options)
        return response.status_code, response.parsed

    async def succeed(operation: Any, *args: Any, **options: Any) -> Any:
        status, parsed = await call(operation, *args, **options)
        assert status == 200, operation
        return parsed

    async def events_in(run_id: str, most: int | None = None) -> list[Any]:
        if isinstance(client, Awaited):
            events = get_run_events.sync(run_id, client=client.api)
            return await asyncio.to_thread(lambda: list(itertools.islice(events, most)))
        received = []
        async with aclosing(get_run_events.asyncio(run_id, client=client.api)) as stream:
            async for event in stream:
                received.append(event)
                if len(received) == most:
                    break
        return received

    assert (await succeed(health_check)).status == "healthy"
    assert len((await succeed(list_components)).components) > 5
    stored = await succeed(store_flow, body=StoreFlowRequest(flow=WITH_VARIABLES))
    assert stored.stored
    assert (await succeed(get_flow, stored.flow_id)).flow["steps"][0]["id"] == "only"
    declared = (await succeed(get_flow_variables, stored.flow_id)).variables
    assert declared["city"].env_var == "OUR_CITY"

    # The second flow fails because its variables have no values.
    for flow, status in ((one_step(ECHO), RunStatus.COMPLETED), (WITH_VARIABLES, RunStatus.FAILED)):
        flow_id = (await succeed(store_flow, body=StoreFlowRequest(flow=flow))).flow_id
        body = CreateRunRequest(flow_id=flow_id, input_=[{"n": 1}], wait=True)
        created = await succeed(create_run, body=body)
        assert (created.summary.status, created.results[0].status) == (status, status)
        run_id = created.summary.run_id
        assert (await succeed(get_run, run_id)).summary.status == status
        (item,) = (await succeed(get_run_items, run_id)).results
        (step,) = (await succeed(get_run_steps, run_id)).steps
        assert (await succeed(get_run_step, run_id, "only")).step.step_id == step.step_id == "only"
        assert (item.status, step.status) == (status, status)
        assert (await succeed(get_run_flow, run_id)).flow_id == flow_id
        assert (await succeed(list_runs, root_run_id=run_id)).runs[0].run_id == run_id
        if has(release, "events"):
            *_, last = await events_in(run_id)
            assert last.event.run_completed.status == status
        else:
            with pytest.raises(ApiError, match="404"):
                await events_in(run_id)
        await succeed(delete_run, run_id)
    await succeed(delete_flow, stored.flow_id)

    status, problem = await call(get_run, UNKNOWN_RUN)
    assert (status, problem.error.code) == (404, 404)
    async with slow_run(client) as run_id:
        if has(release, "events"):
            (first,) = await events_in(run_id, 1)
            assert first.event.run_created
        cancelled = await succeed(cancel_run, run_id)
        assert cancelled.summary.status == RunStatus.CANCELLED
    blob = await succeed(store_blob, body=StoreBlobRequest(data={"a": 1}))
    assert (await succeed(get_blob, blob.blob_id)).data == {"a": 1}


# The table of differences


def test_every_difference_is_tested() -> None:
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    assert [feature for feature in DIFFERENCES if f'has(release, "{feature}")' not in sources] == []
    assert {row.since for row in DIFFERENCES.values()} <= {release.rpartition(".")[0] for release in releases.RELEASES}
