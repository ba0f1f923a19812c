"""Results from a cache, and runs shared by simultaneous calls. The worker counts executions."""

from __future__ import annotations

import asyncio
import copy
import datetime
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from stepflow_client import (
    InvalidArgumentError,
    OutputTypeError,
    RequestTimeoutError,
    ResultCache,
    RunTimeoutError,
    ServerConnectionError,
    StepflowClient,
    StepflowRuntime,
    SyncStepflowClient,
)
from stepflow_client.history import History

from tests.server.awaited import Awaited
from tests.server.flows import EVERYTHING, FAIL, SLEEP, one_step, unique

pytestmark = pytest.mark.anyio

COUNT = "/python/count"
SECRET = "hunter2-wolpertinger"
NOWHERE = "http://127.0.0.1:9"


class Day(BaseModel):
    day: datetime.date
    at: datetime.datetime


class Output(BaseModel):
    n: int


class Other(BaseModel):
    m: int


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "counted"


@pytest.fixture
def cache(tmp_path: Path) -> ResultCache:
    return ResultCache(tmp_path / "cache" / "results.db")


@pytest.fixture(params=["async", "sync"])
async def offline_client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A client of an unreachable server."""
    if request.param == "async":
        async with StepflowClient(NOWHERE) as opened:
            yield opened
    else:
        with SyncStepflowClient(NOWHERE) as twin:
            yield Awaited(twin)


def counting_flow(file: Path, **more: Any) -> dict[str, Any]:
    """Return a flow that counts its executions and returns its input."""
    return one_step(COUNT, {"file": str(file), "name": "run", "value": EVERYTHING}, name=unique("cached"), **more)


def slow_counting_flow(file: Path, seconds: float) -> dict[str, Any]:
    """Return a flow that also sleeps."""
    nap = {"seconds": seconds, "value": EVERYTHING, "after": {"$step": "count"}}
    steps = [
        {"id": "count", "component": COUNT, "input": {"file": str(file), "name": "run"}},
        {"id": "sleep", "component": SLEEP, "input": nap},
    ]
    return {"name": unique("slow"), "steps": steps, "output": {"$step": "sleep"}}


def executions(file: Path) -> int:
    return len(file.read_text().split()) if file.exists() else 0


def bytes_in(cache: ResultCache) -> bytes:
    return b"".join(each.read_bytes() for each in cache.path.parent.iterdir())


async def wait_until_started(file: Path, history: History | None = None) -> None:
    """Wait until a run has started and is recorded in the history, if any."""
    while not (executions(file) and (history is None or history.search())):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_result_depends_on_flow_input_variables_and_overrides(
    client: Any, cache: ResultCache, file: Path
) -> None:
    flow = counting_flow(file)
    first = await client.run(flow, {"n": 1, "m": None}, cache=cache)
    assert (first.output, first.cached_at) == ({"n": 1, "m": None}, None)
    again = await client.run(dict(reversed(flow.items())), {"m": None, "n": 1}, cache=cache)
    assert (again.run_id, again.output) == (first.run_id, first.output)
    assert again.cached_at is not None
    assert abs(datetime.datetime.now(datetime.UTC) - again.cached_at) < datetime.timedelta(minutes=5)
    assert again.status is first.status
    assert executions(file) == 1
    others: list[Any] = [
        (flow, {"n": 2}, {}),
        (flow, {"n": 1, "m": None}, {"variables": {"city": "Rome"}}),
        (flow, {"n": 1, "m": None}, {"overrides": {"only": {"input": {"name": "other"}}}}),
        (flow | {"description": "another"}, {"n": 1, "m": None}, {}),
    ]
    for number, (other, value, more) in enumerate(others):
        for _ in range(2):
            assert (await client.run(other, value, cache=cache, **more)).run_id != first.run_id
        assert executions(file) == 2 + number
    assert (await client.run(flow, {"n": 1, "m": None})).cached_at is None


async def test_a_cached_result_needs_no_server(
    client: Any, offline_client: Any, cache: ResultCache, file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(counting_flow(file)))
    day = Day(day=datetime.date(2026, 1, 2), at=datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC))
    first = await client.run(path, day, cache=cache)
    assert (await offline_client.run(json.loads(path.read_text()), day, cache=cache)).run_id == first.run_id
    with pytest.raises(ServerConnectionError):
        await offline_client.run(path, day.model_copy(update={"day": datetime.date(2026, 1, 3)}), cache=cache)
    with pytest.raises(ServerConnectionError):
        await offline_client.run(path, day, cache=ResultCache(cache.path, namespace="another"))


async def test_a_stored_flow_and_variables_of_the_environment(
    client: Any, cache: ResultCache, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"properties": {"city": {"type": "string", "env_var": "THE_CITY"}}}
    flow = counting_flow(file, schemas={"properties": {"variables": declared}})
    flow["output"] = {"city": {"$variable": "city"}, "n": {"$step": "only"}}
    monkeypatch.setenv("THE_CITY", "Rome")
    for stored in (flow, (await client.store_flow(flow)).flow_id):
        for city in ("Rome", "Oslo", "Rome"):
            monkeypatch.setenv("THE_CITY", city)
            assert (await client.run(stored, variables_from_env=True, cache=cache)).output["city"] == city
        assert (await client.run(stored, variables={"city": "Oslo"}, cache=cache)).cached_at is not None
    assert executions(file) == 4


async def test_simultaneous_calls_share_one_run(client: Any, cache: ResultCache, file: Path) -> None:
    flow = slow_counting_flow(file, 0.3)

    async def call(number: int) -> Any:
        result = await client.run(flow, {"n": [1]}, cache=ResultCache(cache.path) if number % 2 else cache)
        before = copy.deepcopy(result.output)
        result.output["n"].append(2)
        return result.run_id, before

    results = await asyncio.gather(*[call(number) for number in range(12)])
    assert executions(file) == 1
    assert results == [(results[0][0], {"n": [1]})] * 12


async def test_a_failure_is_shared_but_not_cached(client: Any, cache: ResultCache, file: Path) -> None:
    steps = [
        {"id": "count", "component": COUNT, "input": {"file": str(file), "name": "run"}},
        {"id": "sleep", "component": SLEEP, "input": {"seconds": 0.5, "n": {"$step": "count"}}},
        {"id": "fail", "component": FAIL, "input": {"message": "broken", "n": {"$step": "sleep"}}},
    ]
    flow = {"name": unique("fails"), "steps": steps, "output": {"$step": "fail"}}
    together = [asyncio.ensure_future(client.run(flow, cache=cache)) for _ in range(5)]
    results = await asyncio.gather(*together)
    assert {each.is_failed for each in results} == {True}
    assert executions(file) == 1
    assert (await client.run(flow, cache=cache)).is_failed
    assert executions(file) == 2


async def test_an_error_is_shared_by_simultaneous_calls(offline_client: Any, cache: ResultCache, file: Path) -> None:
    flow = slow_counting_flow(file, 1)
    raised = await asyncio.gather(*[offline_client.run(flow, cache=cache) for _ in range(4)], return_exceptions=True)
    assert {type(each) for each in raised} == {ServerConnectionError}
    assert len({id(each) for each in raised}) == 4
    assert len({str(each) for each in raised}) == 1


@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
async def test_another_call_runs_the_flow_if_the_first_is_cancelled(
    worker_runtime: StepflowRuntime, cache: ResultCache, file: Path, history: History, on_cancel: Any
) -> None:
    flow = slow_counting_flow(file, 1.0)
    async with StepflowClient(worker_runtime.url, history=history) as client:
        calls = [asyncio.ensure_future(client.run(flow, 1, cache=cache, on_cancel=on_cancel)) for _ in range(4)]
        await wait_until_started(file, history)
        (entry,) = history.search()
        for cancelled in (calls[0], calls[2]):
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        ended = (await client.wait_run(entry.run_id)).status.value
        assert ended == ("cancelled" if on_cancel == "cancel" else "completed")
        results = await asyncio.gather(calls[1], calls[3])
    assert [each.output for each in results] == [1, 1]
    assert len({entry.run_id} | {each.run_id for each in results}) == executions(file) == 2


async def test_a_call_that_times_out_fails_alone(recorded: Any, cache: ResultCache, file: Path) -> None:
    flow = slow_counting_flow(file, 1.5)
    leading = asyncio.ensure_future(recorded.run(flow, 1, cache=cache))
    await wait_until_started(file)
    with pytest.raises(RequestTimeoutError, match="another call for the same result"):
        await recorded.run(flow, 1, cache=cache, timeout=0.1)
    assert (await leading).output == 1
    late = asyncio.ensure_future(recorded.run(flow, 2, cache=cache, timeout=1.0))
    while executions(file) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(recorded.run(flow, 2, cache=cache))
    with pytest.raises(RunTimeoutError):
        await late
    assert (await waiting).output == 2
    assert executions(file) == 3


PROGRAM = """if True:
    import json, sys
    from stepflow_client import ResultCache, SyncStepflowClient
    with SyncStepflowClient(sys.argv[1]) as client:
        result = client.run(sys.argv[2], 1, cache=ResultCache(sys.argv[3]))
    print(result.run_id, result.output)
"""


async def test_processes_share_the_cache_and_survive_a_killed_process(
    worker_runtime: StepflowRuntime, cache: ResultCache, file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(slow_counting_flow(file, 2.0)))
    command = [sys.executable, "-W", "error", "-c", PROGRAM, worker_runtime.url, str(path), str(cache.path)]
    killed = await asyncio.create_subprocess_exec(*command)
    await wait_until_started(file)
    killed.kill()
    await killed.wait()
    others = [await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(3)]
    ended = await asyncio.gather(*[each.communicate() for each in others])
    assert [each.returncode for each in others] == [0] * 3
    assert {output.endswith(b" 1\n") for output, _ in ended} == {True}
    before = executions(file)
    later = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert await later.communicate() in ended
    assert executions(file) == before


async def test_a_refresh_runs_the_flow_and_replaces_the_result(client: Any, cache: ResultCache, file: Path) -> None:
    flow = counting_flow(file)
    first = await client.run(flow, 1, cache=cache)
    second = await client.run(flow, 1, cache=ResultCache(cache.path, refresh=True))
    assert (second.cached_at, executions(file)) == (None, 2)
    assert (await client.run(flow, 1, cache=cache)).run_id == second.run_id != first.run_id


async def test_results_with_secrets_are_not_cached(client: Any, cache: ResultCache, file: Path) -> None:
    properties = {"key": {"type": "string", "is_secret": True}, "city": {"type": "string"}}
    flow = counting_flow(file, schemas={"properties": {"variables": {"properties": properties}}})
    variables = {"key": SECRET, "city": "Rome"}
    assert (await client.run(flow, 1, variables=variables, cache=cache)).output == 1
    assert (await client.run(flow, 1, variables=variables, cache=cache)).cached_at is not None
    assert (await client.run(flow, 1, variables=variables | {"key": "another"}, cache=cache)).cached_at is None
    revealing = flow | {"output": {"say": {"$variable": "key"}, "city": {"$variable": "city"}}}
    for stored in (revealing, (await client.store_flow(revealing)).flow_id):
        for _ in range(2):
            result = await client.run(stored, 1, variables=variables, cache=cache)
            assert (result.output, result.cached_at) == ({"say": SECRET, "city": "Rome"}, None)
    assert SECRET.encode() not in bytes_in(cache)
    assert b"Rome" not in bytes_in(cache)


async def test_an_output_type(client: Any, cache: ResultCache, file: Path) -> None:
    flow = counting_flow(file)
    with pytest.raises(OutputTypeError, match=r"\$\.m"):
        await client.run(flow, {"n": 1}, output_type=Other, cache=cache)
    cached = await client.run(flow, {"n": 1}, output_type=Output, cache=cache)
    assert (cached.output, executions(file)) == (Output(n=1), 1)
    assert cached.cached_at is not None
    with pytest.raises(OutputTypeError, match=r"\$\.m") as refused:
        await client.run(flow, {"n": 1}, output_type=Other, cache=cache)
    assert refused.value.run_id == cached.run_id


async def test_the_history_records_runs_but_not_cached_results(
    recorded: Any, cache: ResultCache, file: Path, history: History, tmp_path: Path
) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(counting_flow(file)))
    results = [await recorded.run(path, [[1, 2]], cache=cache, private_copy=True) for _ in range(2)]
    (entry,) = history.search()
    assert {each.run_id for each in results} == {entry.run_id}
    assert (entry.flow_file, entry.input, entry.status) == (str(path), [[1, 2]], "completed")


async def test_an_unusable_cache_warns_once(
    client: Any, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all " * 100)
    messages: list[str] = []
    flow = counting_flow(file)
    for number, cache in enumerate(
        (ResultCache(broken), ResultCache(tmp_path / "broken.db" / "below.db", on_failure=messages.append))
    ):
        for _ in range(2):
            assert (await client.run(flow, number, cache=cache)).output == number
    assert executions(file) == 4
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage().partition(" in ")[0] for each in warnings] == ["the result cache cannot read a result"]
    assert len(messages) == 1
    assert broken.read_bytes() == b"no database at all " * 100


async def test_options_that_exclude_a_cache(client: Any, cache: ResultCache, file: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be used together"):
        await client.run(counting_flow(file), 1, cache=cache, idempotency_key="doc-42")
    with pytest.raises(InvalidArgumentError, match="cache must be a ResultCache, not str"):
        await client.run(counting_flow(file), 1, cache="results.db")
    assert executions(file) == 0
