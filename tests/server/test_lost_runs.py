"""Runs that a server loses in a crash or because its store fails end as failed, although no event reports their end."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import StepflowClient, SyncStepflowClient

from tests.cli.command import Stepflow
from tests.durable import DurableServer
from tests.server.awaited import Awaited

pytestmark = [pytest.mark.faults, pytest.mark.anyio]

NAP: dict[str, Any] = {
    "steps": [{"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}}],
    "output": {"$step": "nap"},
}
MAPPING: dict[str, Any] = {
    "name": "mapping",
    "steps": [
        {
            "id": "map",
            "component": "/builtin/map",
            "input": {"workflow": {"$literal": NAP}, "items": {"$input": "items"}},
        }
    ],
    "output": {"$step": "map"},
}
"""A flow whose runs a server cannot recover, because the sub-flow is not in the store."""
REPEATS = "the server lost the run before this item ended; some of its steps had started and would run again"
NOT_STARTED = "the server lost the run before this item ended; the server lists none of its steps as started"


def build_input(naps: int, ms: int) -> dict[str, Any]:
    return {"items": [{"ms": ms}] * naps}


def lose(server: DurableServer, *inputs: Any) -> list[str]:
    """Start runs, kill and restart the server while they are running, and return their IDs."""
    with SyncStepflowClient(server.url) as client:
        runs = [client.submit(MAPPING, each) for each in inputs]
        time.sleep(1)
        server.kill()
        server.start()
        server.wait_ready()
        for run_id in runs:
            # The server may be wrong about the run, so it counts as lost only after 30 s without activity.
            assert client.wait_run(run_id, timeout=60).status == "failed"
    return runs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    started = DurableServer(tmp_path_factory.mktemp("server"))
    started.start()
    try:
        started.wait_ready()
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="module")
def lost(server: DurableServer) -> tuple[str, str]:
    """A lost run with one item and a lost run with three."""
    single, batch = lose(server, build_input(4, 3000), [build_input(2, 3000)] * 3)
    return single, batch


@pytest.fixture(params=["async", "sync"])
def make(request: pytest.FixtureRequest, server: DurableServer) -> Callable[[], Any]:
    url = server.url
    return lambda: StepflowClient(url) if request.param == "async" else Awaited(SyncStepflowClient(url))


@pytest.fixture
def client(make: Callable[[], Any]) -> Any:
    return make()


async def close_client(client: Any) -> None:
    await (client.close() if isinstance(client, Awaited) else client.aclose())


async def test_events_of_a_lost_run_end(client: Any, lost: tuple[str, str]) -> None:
    for run_id in lost:
        started = time.monotonic()
        events = [event async for event in client.run_events(run_id)]
        # The client does not wait again, because the run was given up long ago.
        assert time.monotonic() - started < 20
        assert [event.type for event in events].count("run_completed") == 1
        end = events[-1]
        assert (end.type, end.status, end.inferred, end.run_id) == ("run_completed", "failed", True, run_id)
        assert not any(event.inferred for event in events[:-1])
        assert len(events) > 2
    # After the last event, the stream repeats the end.
    rest = [event async for event in client.run_events(run_id, after=end.cursor)]
    assert [event.type for event in rest] == ["run_completed"]
    await close_client(client)


async def test_a_lost_run_is_described_the_same_way_everywhere(client: Any, lost: tuple[str, str]) -> None:
    single, batch = lost
    result = await client.get_result(single)
    assert (result.status, result.error.code, result.error.step_id) == ("failed", "lost", "map")
    assert result.error.message == REPEATS
    assert result.error.details == {"started_steps": ["map"]}
    assert result == await client.get_result(single, wait=False)
    results = await client.get_results(batch)
    assert [each.error.code for each in results] == ["lost"] * 3
    for run_id, described in ((single, [result]), (batch, results)):
        items = (await client.get_run_items(run_id)).items
        assert [item.result for item in items] == described
        assert {item.status.value for item in items} == {"failed"}
    await close_client(client)


def build_command(server: DurableServer, folder: Path) -> Callable[..., Any]:
    (folder / "home").mkdir()
    stepflow = Stepflow(folder, folder / "home", fresh=True)
    return lambda *words: stepflow(*words, STEPFLOW_URL=server.url)


def test_the_command_describes_a_lost_run(server: DurableServer, lost: tuple[str, str], tmp_path: Path) -> None:
    stepflow = build_command(server, tmp_path)
    single, batch = lost
    failed = stepflow("runs", "items", "--failed", batch, "-o", "json")
    assert failed.code == 0
    assert [item["error"]["code"] for item in json.loads(failed.stdout)] == ["lost"] * 3
    watched = stepflow("runs", "watch", single)
    assert watched.code == 1, watched
    assert f"run {single}: failed" in watched.stdout
    assert f"run {single} failed at step 'map': {REPEATS}" in watched.stderr
    assert stepflow("runs", "watch", "-q", single).code == 1
    watched = stepflow("runs", "watch", batch, "-o", "json")
    assert watched.code == 1
    assert f"3 of 3 items of run {batch} failed; item 0 at step 'map': {REPEATS}" in watched.stderr
    run = json.loads(watched.stdout)
    (group,) = run["failures"]
    assert REPEATS in group["message"]
    assert (run["status"], run["items"]["failed"], group["step_id"], group["total"]) == ("failed", 3, "map", 3)
    events = stepflow("runs", "watch", single, "-o", "jsonl")
    assert events.code == 1
    assert json.loads(events.stdout.splitlines()[-1])["type"] == "run_completed"


async def test_waiting_calls_end_when_the_run_is_lost(tmp_path: Path) -> None:
    server = DurableServer(tmp_path)
    server.start()
    try:
        server.wait_ready()
        async with StepflowClient(server.url) as client:
            run_id = await client.submit(MAPPING, build_input(4, 3000))

            async def events() -> list[Any]:
                return [event async for event in client.run_events(run_id, heartbeat=1)]

            waiting = [asyncio.create_task(each) for each in (events(), client.wait_run(run_id))]
            result = asyncio.create_task(client.get_result(run_id))
            await asyncio.sleep(1)
            await asyncio.to_thread(server.kill)
            server.start()
            outcomes: Any = await asyncio.wait_for(asyncio.gather(*waiting, result), 90)
        assert outcomes[0][-1].type == "run_completed"
        assert outcomes[0][-1].status == outcomes[1].status == outcomes[2].status == "failed"
        assert "heartbeat" in {event.type for event in outcomes[0]}
    finally:
        server.kill()


@pytest.mark.parametrize("twin", ["async", "sync"])
async def test_an_item_without_output_of_a_completed_run_has_failed(twin: str, tmp_path: Path) -> None:
    """Simulate a store that failed at the end of the run: it stored the status but not the output."""
    server = DurableServer(tmp_path)
    server.start()
    try:
        server.wait_ready()
        client: Any = StepflowClient(server.url) if twin == "async" else Awaited(SyncStepflowClient(server.url))
        run_id = await client.submit(NAP, [{"ms": 1}, {"ms": 2}])
        assert [each.output for each in await client.get_results(run_id)] == [{"duration_ms": 1}, {"duration_ms": 2}]
        server.kill()
        with sqlite3.connect(tmp_path / "store.db") as store:
            store.execute("UPDATE run_items SET status = 'running', result_json = NULL WHERE item_index = 1")
        server.start()
        server.wait_ready()
        intact, lost = await client.get_results(run_id)
        assert (await client.get_run(run_id)).status == "completed"
        assert intact.output == {"duration_ms": 1}
        assert (lost.status, lost.error.code, lost.error.details) == ("failed", "lost", {"started_steps": ["nap"]})
        assert lost.error.message.startswith("the server completed the run without the output of this item")
        assert [item.result for item in (await client.get_run_items(run_id)).items] == [intact, lost]
        await close_client(client)
    finally:
        server.kill()


async def test_events_end_if_the_store_fails(tmp_path: Path) -> None:
    """So many sub-runs exhaust the connections to the store that the server gives up after 30 s."""
    server = DurableServer(tmp_path)
    server.start()
    try:
        server.wait_ready()
        async with StepflowClient(server.url) as client:
            run_id = await client.submit(MAPPING, [build_input(3, 10)] * 100)
            events = [event async for event in client.run_events(run_id)]
            assert events[-1].type == "run_completed"
            run = await client.get_run(run_id)
            assert (run.status, events[-1].status) == ("failed", "failed")
            results = await client.get_results(run_id)
            steps = (await client.get_run_steps(run_id)).steps
        started = {step.item_index for step in steps}
        codes = {"lost", "lost_before_start"}
        lost = {place: result.error for place, result in enumerate(results) if result.is_failed}
        assert {error.code.value for error in lost.values() if error and error.code} <= codes
        assert lost
        for place, error in lost.items():
            assert error is not None
            assert error.code == ("lost" if place in started else "lost_before_start")
            assert error.message == (REPEATS if place in started else NOT_STARTED)
    finally:
        server.kill()
