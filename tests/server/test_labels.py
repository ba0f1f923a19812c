"""Both clients record labels of runs and find runs by label, on every release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from stepflow_client import (
    InvalidArgumentError,
    Keep,
    OutputTypeError,
    StepflowRuntime,
    SyncStepflowClient,
)
from stepflow_client.history import History

from tests.server.conftest import open_client
from tests.server.flows import ECHO, one_step, unique

pytestmark = pytest.mark.anyio

FLOW = one_step(ECHO, {"text": {"$input": "$.who"}}, name="labelled")
TYPED = {**FLOW, "schemas": {"properties": {"input": {"type": "object", "required": ["who"]}}}}


async def ids(client: Any, **filters: Any) -> list[str]:
    return [run.run_id for run in (await client.list_runs(**filters)).runs]


async def test_runs_are_found_by_their_labels(recorded: Any, history: History) -> None:
    mark = unique("team")
    first = await recorded.run(FLOW, {"who": "Ada"}, labels={"team": mark, "env": "dev"})
    second = await recorded.submit(FLOW, {"who": "Bo"}, labels={"team": mark})
    third = await recorded.start_run(FLOW, {"who": "Cy"}, labels={"team": mark}, timeout=30)
    await recorded.run(FLOW, {"who": "Di"})
    for run_id in (second, third.run_id):
        await recorded.wait_run(run_id)
    assert await ids(recorded, labels={"team": mark}) == [third.run_id, second, first.run_id]
    assert await ids(recorded, labels={"team": mark}, limit=1, offset=1) == [second]
    assert await ids(recorded, labels={"team": mark, "env": "dev"}) == [first.run_id]
    assert await ids(recorded, labels={"team": mark}, flow_name="labelled", limit=2) == [third.run_id, second]
    assert await ids(recorded, labels={"team": mark}, status="failed") == []
    assert [run.run_id async for run in recorded.iter_runs(labels={"team": mark}, status="completed")] == [
        third.run_id,
        second,
        first.run_id,
    ]
    assert await ids(recorded, labels={"team": "nobody"}) == []
    with SyncStepflowClient(recorded.url, history=history) as sync:
        assert [run.run_id for run in sync.list_runs(labels={"env": "dev", "team": mark})] == [first.run_id]
    entry = history.get(first.run_id)
    assert entry is not None
    assert dict(entry.labels) == {"team": mark, "env": "dev"}


async def test_a_view_adds_labels(worker_runtime: StepflowRuntime, history: History) -> None:
    async with open_client("async", worker_runtime.url, history=history) as client:
        mine = client.with_options(labels={"team": "a", "env": "dev"})
        run = await mine.run(FLOW, {"who": "Ada"}, labels={"env": "test"})
        again = await mine.rerun(run.run_id, keep=Keep(before="only"), input={"who": "Bo"})
        (started,) = await mine.start_rerun(run.run_id, input={"who": "Cy"})
        await started.wait()
        entries = [history.get(each) for each in (run.run_id, again.result.run_id, started.run_id)]
    assert [dict(entry.labels) for entry in entries if entry] == [
        {"team": "a", "env": "test"},
        {"team": "a", "env": "dev"},
        {"team": "a", "env": "dev"},
    ]


async def test_the_run_of_a_key_has_the_labels_of_its_first_call(recorded: Any, history: History) -> None:
    key = unique("key")
    runs = [await recorded.run(FLOW, {"who": "Ada"}, idempotency_key=key, labels={"n": str(n)}) for n in range(2)]
    assert runs[0].run_id == runs[1].run_id
    entry = history.get(runs[0].run_id)
    assert entry is not None
    assert dict(entry.labels) == {"n": "0"}


async def test_labels_need_a_history(client: Any) -> None:
    for call in (
        client.run(FLOW, {"who": "Ada"}, labels={"a": "b"}),
        client.submit(FLOW, {"who": "Ada"}, labels={}),
        client.list_runs(labels={"a": "b"}),
    ):
        with pytest.raises(InvalidArgumentError, match="labels require a history"):
            await call


@pytest.mark.parametrize("wrong", ["a=b", {"a": 1}, {1: "a"}, {"a": ""}, ["a"]])
async def test_labels_map_names_to_strings(recorded: Any, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="labels"):
        await recorded.run(FLOW, {"who": "Ada"}, labels=wrong)


async def test_a_run_is_annotated(recorded: Any, history: History) -> None:
    run = await recorded.run(FLOW, {"who": "Ada"}, labels={"a": "1", "b": "2"})
    history.annotate(run.run_id, "looked at", labels={"b": "3", "c": "4"})
    history.annotate(run.run_id, labels={"d": "5"})
    entry = history.get(run.run_id)
    assert entry is not None
    assert (entry.note, dict(entry.labels)) == ("looked at", {"a": "1", "b": "3", "c": "4", "d": "5"})
    history.annotate("0199d2a4-0000-7000-8000-000000000001", "nobody")
    with pytest.raises(InvalidArgumentError):
        history.annotate(run.run_id, "")


class Greeting(BaseModel):
    text: str


class Other(BaseModel):
    number: int


async def test_results_have_the_requested_type(client: Any) -> None:
    run_id = await client.submit(TYPED, {"who": "Ada"})
    assert (await client.get_result(run_id, output_type=Greeting)).unwrap() == Greeting(text="Ada")
    assert [each.output for each in await client.get_results(run_id, output_type=Greeting)] == [Greeting(text="Ada")]
    with pytest.raises(OutputTypeError):
        await client.get_result(run_id, output_type=Other)
    with pytest.raises(InvalidArgumentError):
        await client.get_results(run_id, output_type=3)


async def test_the_input_of_submit_is_checked(client: Any, tmp_path: Path) -> None:
    for wrong in ({"name": "Ada"}, [{"who": "Ada"}, {}]):
        with pytest.raises(InvalidArgumentError, match="who"):
            await client.submit(TYPED, wrong)
        with pytest.raises(InvalidArgumentError, match="who"):
            await client.start_run(TYPED, wrong)


async def test_run_accepts_max_concurrency(client: Any) -> None:
    assert (await client.run(FLOW, {"who": "Ada"}, max_concurrency=1)).output == {"text": "Ada"}
    with pytest.raises(InvalidArgumentError, match="max_concurrency"):
        await client.run(FLOW, {"who": "Ada"}, max_concurrency=-1)
