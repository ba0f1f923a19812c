"""Every method of both clients and the runtime accepts the same kinds of flows and refuses everything else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel
from stepflow_client import InvalidArgumentError, NotAFlowError, ResultCache, StepflowRuntime
from stepflow_client.authoring import flow as flow_in_python
from stepflow_client.evaluation import evaluate, sync_evaluate
from stepflow_client.flow_models import TypedFlow
from stepflow_client.history import History
from stepflow_client.tools import FlowTools, SyncFlowTools

from tests.server.awaited import Awaited
from tests.server.conftest import open_client
from tests.server.flows import ECHO, one_step, unique

pytestmark = pytest.mark.anyio

FLOW = one_step(ECHO, name="argument", schemas={"properties": {"input": {"type": "object"}}})
INPUT = {"x": 1}


class Input(BaseModel):
    x: int = 1


class FlowModel(BaseModel):
    name: str = "argument"
    schemas: dict[str, Any] = FLOW["schemas"]
    steps: list[dict[str, Any]] = FLOW["steps"]
    output: Any = FLOW["output"]


class Builder:
    def build(self) -> FlowModel:
        return FlowModel()


@flow_in_python
def python_flow(value: dict[str, Any]) -> dict[str, Any]:
    return value


@pytest.fixture(params=["async", "sync", "runtime"])
async def caller(request: pytest.FixtureRequest, worker_runtime: StepflowRuntime) -> AsyncIterator[Any]:
    """An async or blocking client, or the runtime."""
    if request.param == "runtime":
        yield worker_runtime
        return
    async with open_client(request.param, worker_runtime.url) as client:
        yield client


async def run(caller: Any, flow: Any, **options: Any) -> Any:
    return (await caller.run(flow, INPUT, **options)).output


async def run_with_cache(caller: Any, flow: Any) -> Any:
    with TemporaryDirectory() as folder:
        return await run(caller, flow, cache=ResultCache(Path(folder) / "results.db"))


async def run_with_key(caller: Any, flow: Any) -> Any:
    return await run(caller, flow, idempotency_key=unique("key"))


async def submit(caller: Any, flow: Any) -> Any:
    return (await caller.get_result(await caller.submit(flow, INPUT))).output


async def start_run(caller: Any, flow: Any) -> Any:
    return (await (await caller.start_run(flow, INPUT)).result()).output


async def map_one(caller: Any, flow: Any) -> Any:
    (outcome,) = [outcome async for outcome in caller.map(flow, [INPUT])]
    return outcome.output


async def rerun(caller: Any, flow: Any) -> Any:
    earlier = await caller.submit(FLOW, INPUT)
    await caller.wait_run(earlier)
    return (await caller.rerun(earlier, flow=flow, input=INPUT)).result.output


async def validate(caller: Any, flow: Any) -> Any:
    return INPUT if (await caller.validate(flow)).is_valid else None


async def check(caller: Any, flow: Any) -> Any:
    result = await caller.check(flow)
    if [each.rule for each in result.errors] == ["no-flow"]:
        # Raise what the other methods raise; for a file, the error also has a line.
        raise NotAFlowError(f"{result.errors[0].message}; {result.errors[0].hint}", path=result.errors[0].file)
    return INPUT if result.is_valid else None


async def store_flow(caller: Any, flow: Any) -> Any:
    return await run(caller, await caller.store_flow(flow))


async def find_run(caller: Any, flow: Any) -> Any:
    return INPUT if await caller.find_run(flow, idempotency_key=unique("key")) is None else None


async def call_tool(caller: Any, flow: Any) -> Any:
    if isinstance(caller, Awaited):
        return (await asyncio.to_thread(SyncFlowTools(caller.client, [flow])[0].call, INPUT)).structured["output"]
    return (await FlowTools(caller, [flow])[0].call(INPUT)).structured["output"]


async def evaluation(caller: Any, flow: Any) -> Any:
    if isinstance(caller, Awaited):
        (item,) = await asyncio.to_thread(sync_evaluate, caller.client, flow, [INPUT])
    else:
        (item,) = await evaluate(caller, flow, [INPUT])
    return item.output


METHODS_ACCEPTING_IDS = (run, run_with_cache, submit, start_run, rerun, validate)
METHODS_NEEDING_THE_FLOW = (run_with_key, map_one, check, store_flow, find_run, call_tool, evaluation)
"""Methods that refuse a flow ID."""


@pytest.fixture(scope="module")
def flows(worker_runtime: StepflowRuntime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All kinds of flows by name; flow IDs have the word `id` in their name."""
    client, path = worker_runtime.sync_client, tmp_path_factory.mktemp("flows") / "flow.json"
    path.write_text(json.dumps(FLOW))
    response = client.store_flow(FLOW)
    return {
        "path": path,
        "text of a path": str(path),
        "mapping": FLOW,
        "read-only mapping": MappingProxyType(FLOW),
        "model": FlowModel(),
        "builder": Builder(),
        "in Python": python_flow,
        "from codegen": TypedFlow[Any, Any, Any](path),
        "from codegen, in Python": TypedFlow[Any, Any, Any](python_flow),
        "get_flow": client.get_flow(response),
        "get_run_flow": client.get_run_flow(client.run(FLOW, INPUT).run_id),
        "store_flow, an id": response,
        "an id": response.flow_id,
    }


@pytest.fixture(scope="module")
def non_flows(worker_runtime: StepflowRuntime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Objects that could be mistaken for a flow, by name."""
    client, path = worker_runtime.sync_client, tmp_path_factory.mktemp("others") / "other.yaml"
    path.write_text("foo: 1\n")
    handle = client.start_run(FLOW, INPUT)
    result = handle.result()
    return {
        "the details of a run": client.get_run(handle),
        "the response to its creation": client.create_run(client.store_flow(FLOW), INPUT),
        "its result": result,
        "its handle": handle,
        "its items": client.get_run_items(handle),
        "its item": client.get_run_items(handle)[0],
        "its steps": client.get_run_steps(handle),
        "its step": client.get_run_steps(handle)[0],
        "the variables of the flow": client.get_flow_variables(client.store_flow(FLOW)),
        "the input": Input(),
        "the flow below a key": {"flow": FLOW},
        "another mapping": {"foo": 1},
        "a misspelt key": {"step": []},
        "an empty mapping": {},
        "a file with something else": path,
        "a number": 5,
        "a list": [FLOW],
    }


@pytest.mark.parametrize("caller", ["async", "sync"], indirect=True)
@pytest.mark.parametrize("method", [*METHODS_ACCEPTING_IDS, *METHODS_NEEDING_THE_FLOW])
async def test_every_method_accepts_every_kind_of_flow(caller: Any, flows: dict[str, Any], method: Any) -> None:
    results: dict[str, Any] = {}
    for name, flow in flows.items():
        try:
            results[name] = await method(caller, flow)
        except InvalidArgumentError as error:
            results[name] = "needs the flow itself" if "the flow itself" in str(error) else error
    assert results == {
        name: "needs the flow itself" if "id" in name.split() and method in METHODS_NEEDING_THE_FLOW else INPUT
        for name in flows
    }


@pytest.mark.parametrize("caller", ["async", "runtime"], indirect=True)
@pytest.mark.parametrize("method", [*METHODS_ACCEPTING_IDS, *METHODS_NEEDING_THE_FLOW])
async def test_every_method_refuses_anything_else(caller: Any, non_flows: dict[str, Any], method: Any) -> None:
    results: dict[str, Any] = {}
    for name, other in non_flows.items():
        try:
            results[name] = await method(caller, other)
        except InvalidArgumentError as error:
            results[name] = "refused" if "a flow has steps: [...] and output: ..." in str(error) else error
    assert results == dict.fromkeys(non_flows, "refused")


async def test_key_order_of_a_fetched_flow_does_not_change_idempotency_keys(caller: Any) -> None:
    # Servers from 0.12 on return keys in random order.
    response = await caller.store_flow({**FLOW, "name": unique("order"), "metadata": dict.fromkeys("abcdefgh", 1)})
    key = unique("key")
    runs = {(await caller.run(await caller.get_flow(response), INPUT, idempotency_key=key)).run_id for _ in range(5)}
    for _ in range(5):
        content = (await caller.get_flow(response)).flow
        runs.add((await caller.run(content, INPUT, idempotency_key=key)).run_id)
    assert len(runs) == 1


async def test_objects_with_a_flow_id_are_accepted_as_flow_ids(caller: Any) -> None:
    response = await caller.store_flow(FLOW)
    run = await caller.create_run(response, INPUT)
    assert (await caller.get_result(run)).output == INPUT
    for with_flow_id in (response, run, await caller.get_flow(response)):
        assert (await caller.get_flow(with_flow_id)).flow_id == response.flow_id
        assert (await caller.get_flow_variables(with_flow_id)).flow_id == response.flow_id
    with pytest.raises(InvalidArgumentError, match="flow_id must be a non-empty string"):
        await caller.get_flow(Input())


async def test_the_path_of_a_codegen_flow_is_recorded(recorded: Any, history: History, flows: dict[str, Any]) -> None:
    handle = await recorded.start_run(flows["from codegen"], INPUT)
    assert (entry := history.get(handle.run_id)) is not None
    assert entry.flow_file == str(flows["path"])
