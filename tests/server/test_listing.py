"""Lists of runs: newest first, in pages, and by the time of their creation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from stepflow_client import StepflowClient, SyncStepflowClient

from tests.durable import DurableServer
from tests.fault_proxy import FaultProxy
from tests.server.awaited import Awaited

pytestmark = pytest.mark.anyio

RUNS = 23
FLOW = {"name": "listed", "steps": [], "output": {"$input": "$"}}


@pytest.fixture(scope="module")
def url(release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with SQLite, which stores whole seconds and lists the runs of one second oldest first."""
    server = DurableServer(tmp_path_factory.mktemp("listing"), release)
    server.start()
    try:
        server.wait_ready()
        yield server.url
    finally:
        server.kill()


@pytest.fixture(scope="module")
def runs(url: str) -> list[str]:
    """The IDs of runs in the order of their creation, several per second."""
    with SyncStepflowClient(url) as client:
        return [client.run(FLOW, number).run_id for number in range(RUNS)]


@pytest.fixture(params=["async", "sync"])
async def client(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Any]:
    if request.param == "async":
        async with StepflowClient(url) as opened:
            yield opened
    else:
        with SyncStepflowClient(url) as twin:
            yield Awaited(twin)


FILTERS: list[dict[str, Any]] = [{}, {"roots_only": True}, {"status": "completed"}, {"flow_name": "listed"}]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: next(iter(filters), "none"))
async def test_the_newest_run_comes_first(client: Any, runs: list[str], filters: dict[str, Any]) -> None:
    newest = runs[::-1]

    async def listed(**window: Any) -> list[str]:
        return [run.run_id for run in (await client.list_runs(**filters, **window)).runs]

    assert await listed() == newest
    for limit in (0, 1, 2, 5, RUNS, 100):
        assert await listed(limit=limit) == newest[:limit]
        assert await listed(limit=limit, offset=3) == newest[3 : 3 + limit]
    assert await listed(offset=RUNS - 1) == newest[RUNS - 1 :]
    assert await listed(offset=RUNS) == []
    for size in (2, 7, 100):
        assert [run.run_id async for run in client.iter_runs(page_size=size, **filters)] == newest


async def test_runs_created_between_two_times(client: Any, runs: list[str]) -> None:
    times = [datetime.fromtimestamp((UUID(run_id).int >> 80) / 1000, UTC) for run_id in runs]
    first, end = times[5], times[15]
    inside = [run_id for run_id, time in zip(runs, times, strict=True) if first <= time < end][::-1]
    assert 5 < len(inside) < 15
    tokyo = first.astimezone().replace(tzinfo=None)
    for since, until in ((first, end), (first.isoformat(), end.isoformat().replace("+00:00", "Z")), (tokyo, end)):
        listed = await client.list_runs(since=since, until=until)
        assert [run.run_id for run in listed.runs] == inside
        assert [run.run_id async for run in client.iter_runs(page_size=4, since=since, until=until)] == inside
    listed = await client.list_runs(since=first, until=end, limit=3, offset=1, roots_only=True)
    assert [run.run_id for run in listed.runs] == inside[1:4]
    assert [run.run_id for run in (await client.list_runs(since=times[-1])).runs][-1] in runs[-2:]
    assert (await client.list_runs(since=times[-1] + timedelta(seconds=1))).runs == []
    assert (await client.list_runs(until=times[0])).runs == []
    assert len((await client.list_runs(until=datetime.now(UTC) + timedelta(hours=1))).runs) == RUNS


async def test_paging_stops_at_the_start_time(url: str, release: str, runs: list[str]) -> None:
    with FaultProxy(url) as proxy:
        async with StepflowClient(proxy.url, server_release=release) as client:
            ahead = datetime.now(UTC) + timedelta(hours=1)
            assert [run async for run in client.iter_runs(page_size=2, since=ahead)] == []
            assert proxy.requests == 1
            assert len([run async for run in client.iter_runs(page_size=RUNS - 1)]) == len(runs)
            assert proxy.requests == 3
