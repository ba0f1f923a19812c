"""Pages of a running batch are updated through event streams (on real servers)."""

from __future__ import annotations

import asyncio
import re
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from stepflow_cli.ui import run_followers
from stepflow_cli.ui.run_followers import STATES, RunFollower, RunFollowers, ServerHealth, format_state_ranges
from stepflow_client import ExecutionStatus, LogConfig, RunDetails, StepflowRuntime
from stepflow_client.events import StepCompletedEvent, StepStartedEvent
from stepflow_client.types import ItemCounts
from stepflow_client.types.runs import RunSnapshot

from tests import releases, workers
from tests.cli.ui.process import StartUi
from tests.differences import has
from tests.fault_proxy import FaultProxy, Script

CRAWL: dict[str, Any] = {
    "name": "crawl",
    "steps": [
        {"id": "wait", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}},
        {"id": "fetch", "component": "/builtin/noop", "input": [{"$input": "url"}, {"$step": "wait"}]},
        {"id": "store", "component": "/builtin/noop", "input": {"$step": "fetch"}},
    ],
    "output": {"$step": "store"},
}


def inputs(count: int, ms: int) -> list[dict[str, Any]]:
    """Return inputs; every tenth one fails."""
    return [{"ms": ms, "url": f"u{number}"} if number % 10 else {"ms": ms} for number in range(count)]


def updates(session: httpx.Client, page: str, seconds: float = 60) -> Iterator[str]:
    """Yield a page, then yield it again after each change event, until it is no longer live."""
    end = time.monotonic() + seconds
    text = session.get(page).text
    yield text
    while live := re.search(r'data-live="([^"]*)"', text):
        with session.stream("GET", live[1]) as stream:
            for line in stream.iter_lines():
                assert time.monotonic() < end, "it takes too long"
                if line == "event: change":
                    text = session.get(page).text
                    yield text
                    if "data-live" not in text:
                        return


def parse_item_states(page: str) -> Counter[str]:
    """Count the items in each state from the attribute that `batch.js` reads."""
    match = re.search(r'data-total="(\d+)" data-states="([^"]*)"', page)
    assert match
    counts: Counter[str] = Counter()
    for part in match[2].split(";") if match[2] else []:
        code, _, ranges = part.partition(":")
        for each in ranges.split(","):
            first, _, last = each.partition("-")
            counts[STATES[int(code)]] += int(last or first) - int(first) + 1
    counts["waiting"] = int(match[1]) - counts.total()
    return counts


def parse_tab_counts(page: str) -> Counter[str]:
    """Count the items in each state from the links above the table."""
    return Counter({name: int(count) for name, count in re.findall(r'">(\w+) <span>(\d+)</span></a>', page)})


@pytest.mark.parametrize(
    ("codes", "text"), [(b"", ""), (b"\0\0", ""), (b"\2\2\2\3\2", "2:0-2,4;3:3"), (b"\0\2\1", "1:2;2:1")]
)
def test_state_ranges(codes: bytes, text: str) -> None:
    assert format_state_ranges(codes) == text


def test_page_of_a_running_batch_shows_finished_items_and_failures(
    session: httpx.Client, newest_server: StepflowRuntime
) -> None:
    client = newest_server.sync_client
    warm = client.wait_run(client.submit(CRAWL, inputs(2, 0))).run_id
    session.get(f"/runs/{warm}")  # drawing the first graph takes seconds
    run_id = client.submit(CRAWL, inputs(300, 400), max_concurrency=15)
    texts, failures = set(), set()
    for page in updates(session, f"/runs/{run_id}"):
        assert +parse_item_states(page) == +parse_tab_counts(page)
        numbers = re.search(r'<span class="numbers">([^<]*)</span>', page)
        if numbers:
            texts.add(numbers[1])
            failures |= {int(each) for each in re.findall(r'<b class="count">(\d+) ×</b> <code>fetch</code>', page)}
    assert len(texts) > 5
    assert len(failures) > 2
    assert "Input path $.url not found" in page
    assert parse_item_states(page) == {"completed": 270, "failed": 30, "waiting": 0}
    assert '<h2 id="durations-title">' in page


def test_failures_are_grouped_by_cause(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    batch_inputs = [{"ms": 0, "url": "u"}, {"ms": 0}, {"url": "u"}, {"ms": 0}, {"ms": 0}]
    run_id = client.wait_run(client.submit(CRAWL, batch_inputs)).run_id
    page = session.get(f"/runs/{run_id}")
    causes = re.findall(r'<li data-key="(\w+)"><p><b class="count">(\d+) ×</b> <code>(\w+)</code>', page.text)
    assert [(count, step) for _, count, step in causes] == [("3", "fetch"), ("1", "wait")]
    key = causes[0][0]
    assert f'href="/runs/{run_id}/change?group={key}"' in page.text
    group_page = session.get(f"/runs/{run_id}?group={key}")
    assert re.findall(r'<th scope="row"><a href="/runs/[^"]*/items/(\d+)"', group_page.text) == ["1", "3", "4"]
    assert "3 items, page 1 of 1" in group_page.text
    assert "0 items" in session.get(f"/runs/{run_id}?group=nothing").text


def test_list_shows_the_progress_of_batches(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    run_id = client.submit({**CRAWL, "name": "listed-batch"}, inputs(200, 500), max_concurrency=5)
    progress: set[str] = set()
    for page in updates(session, "/runs?flow=listed-batch"):
        progress |= set(re.findall(r'class="numbers">([\d,]+)/200 done', page))
        if len(progress) > 2:
            break
    client.cancel_run(run_id)


def test_item_page_updates_only_for_its_own_steps(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    batch_inputs = [{"ms": 1500, "url": "u"}, *({"ms": 100, "url": "u"} for _ in range(20))]
    run_id = client.submit(CRAWL, batch_inputs)
    pages = list(updates(session, f"/runs/{run_id}/items/0"))
    assert 1 < len(pages) < 10


def test_timeline_appears_when_late_events_arrive(start_ui: StartUi, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    run_id = client.wait_run(client.submit(CRAWL, {"ms": 0, "url": "u"})).run_id
    with FaultProxy(newest_server.url) as proxy:
        proxy.script = lambda number: Script(cut_answer=0, stall=True, within=b"/events")
        with start_ui(proxy.url).browser() as browser:
            page = browser.get(f"/runs/{run_id}").text
            assert "<title>timeline</title>" not in page
            # The page stays live until the events arrive.
            assert f'data-live="/live/runs/{run_id}"' in page
            proxy.script = lambda number: Script()
            proxy.drop_all()
            end = time.monotonic() + 60
            while "<title>timeline</title>" not in page and time.monotonic() < end:
                time.sleep(0.2)
                page = browser.get(f"/runs/{run_id}").text
            assert "<title>timeline</title>" in page
            assert "data-live" not in page


@pytest.mark.parametrize(
    "server_release",
    [*(pytest.param(each, marks=pytest.mark.exhaustive) for each in releases.RELEASES[:-1]), releases.NEWEST],
)
def test_batch_on_every_release(start_ui: StartUi, server_release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = {
        "name": "every-release",
        "steps": [
            {"id": "wait", "component": "/python/sleep", "input": {"$input": "$"}},
            {"id": "check", "component": "/python/echo", "input": [{"$step": "wait"}, {"$input": "$.url"}]},
        ],
        "output": {"$step": "check"},
    }
    batch_inputs: list[Any] = [{"seconds": 0.3, **({"url": "u"} if each % 5 else {})} for each in range(40)]
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(server_release)))
    with (
        StepflowRuntime.start(config=workers.config(server_release), log_config=LogConfig(level="warn")) as server,
        start_ui(server.url).browser() as browser,
        ThreadPoolExecutor(1) as other,
    ):
        warm = server.sync_client.submit({**flow, "name": "warm"}, {"seconds": 0, "url": "u"})
        browser.get(f"/runs/{warm}")  # drawing the first graph takes seconds
        # The first releases answer the request that creates a run only when the run has ended.
        submitted = other.submit(server.sync_client.submit, flow, batch_inputs, max_concurrency=2)
        listed: list[Any] = []
        while not listed:
            listed = server.sync_client.list_runs(flow_name="every-release").runs
        run_id = listed[0].run_id
        page = browser.get(f"/runs/{run_id}").text
        assert ("only when the run has ended" in page) == (not has(server_release, "events"))
        counts = []
        for page in updates(browser, f"/runs/{run_id}"):
            counts.append(parse_item_states(page))
        assert submitted.result() == run_id
    assert "data-live" not in page
    assert 'data-states="2:1-4,6-9,11-14,16-19,21-24,26-29,31-34,36-39;3:0,5,10,15,20,25,30,35"' in page
    assert re.findall(r'<b class="count">(\d+) ×</b>', page) == ["8"]
    assert counts[-1] == {"completed": 32, "failed": 8, "waiting": 0}
    if has(server_release, "events"):
        assert len({each["completed"] for each in counts}) > 3


@pytest.mark.exhaustive
@pytest.mark.anyio
async def test_follower_memory_is_bounded() -> None:
    """For 10,000 items of three steps, no events are kept, and step times only up to a limit."""

    class Client:
        def __init__(self) -> None:
            self._services = self.follower = self.waiter = self
            self._is_over = False

        async def read_snapshot(self, run_id: str, include: str = "") -> RunSnapshot:
            status = ExecutionStatus.COMPLETED if self._is_over else ExecutionStatus.RUNNING
            run = RunDetails(run_id=run_id, flow_id="f", status=status, items=ItemCounts(total=10_000))
            return RunSnapshot(details=run, flow={"name": "big", "steps": [{"id": each} for each in "abc"]})

        async def follow_until_deadline(self, request: Any) -> AsyncIterator[Any]:
            at = datetime.now(UTC)
            common: dict[str, Any] = {"run_id": request.run_id, "timestamp": at, "sequence_number": 0, "cursor": "e0.1"}
            for item in range(10_000):
                for index, step_id in enumerate("abc"):
                    place = {"item_index": item, "step_index": index, "step_id": step_id}
                    yield StepStartedEvent(**place, **common)
                    yield StepCompletedEvent(**place, **common)
            self._is_over = True

    client: Any = Client()
    tracemalloc.start()
    follower = RunFollower(client, "run", ServerHealth(client), client)
    assert await follower.wait_for_past_events(120)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(await follower.wait_and_list_step_times()) == 2_000
    assert follower.get_item_state_codes() == bytes([STATES.index("completed")]) * 10_000
    assert len(follower.list_item_times()) == 10_000
    # 60,000 events would be three times that.
    assert memory < 15_000_000, memory
    await follower.close()


async def test_concurrent_requests_remove_idle_followers(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class IdleFollower:
        pages, used = 0, 0.0

        def __init__(self, client: object, run_id: str, health: object, snapshots: object) -> None:
            self.run_id = run_id

        async def close(self) -> None:
            closed.append(self.run_id)
            await asyncio.sleep(0)

    monkeypatch.setattr(run_followers, "RunFollower", IdleFollower)
    monkeypatch.setattr(run_followers, "_IDLE_SECONDS", -1.0)
    followers: Any = RunFollowers(None, None, None)  # type: ignore[arg-type]
    followers._runs = {name: IdleFollower(None, name, None, None) for name in ("a", "b")}
    await asyncio.gather(followers.get_or_create_follower("c"), followers.get_or_create_follower("d"))
    assert sorted(closed) == ["a", "b", "c"]
    assert list(followers._runs) == ["d"]
