"""What a running batch tells its pages, without a browser; on real servers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from stepflow_cli.ui.states import STATES, changes
from stepflow_client import StepflowRuntime

from tests.cli.ui.process import StartUi
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
    """Return inputs of which each tenth fails."""
    return [{"ms": ms, "url": f"u{number}"} if number % 10 else {"ms": ms} for number in range(count)]


def messages(session: httpx.Client, path: str, seconds: float = 60) -> Iterator[tuple[str, Any]]:
    """Yield the events of a stream with their data."""
    name = ""
    end = time.monotonic() + seconds
    with session.stream("GET", path) as stream:
        for line in stream.iter_lines():
            assert time.monotonic() < end, "it takes too long"
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name != "server":
                yield name, json.loads(line.removeprefix("data: "))


def merged(codes: list[str], text: str) -> list[str]:
    """Return the states of items after a change, as `batch.js` reads it."""
    for part in text.split(";") if text else []:
        code, _, ranges = part.partition(":")
        for each in ranges.split(","):
            first, _, last = each.partition("-")
            for index in range(int(first), int(last or first) + 1):
                codes[index] = STATES[int(code)]
    return codes


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (b"", b"\0\0", ""),
        (b"", b"\2\2\2\3\2", "2:0-2,4;3:3"),
        (b"\2\1\0", b"\2\2\1", "1:2;2:1"),
        (b"\2\2\2\2", b"\2\2", ""),
    ],
)
def test_changes_of_states(before: bytes, now: bytes, told: str) -> None:
    assert changes(before, now) == told


def test_a_running_batch_tells_its_numbers_and_not_its_page(
    session: httpx.Client, newest_server: StepflowRuntime
) -> None:
    client = newest_server.sync_client
    warm = client.wait_run(client.submit(CRAWL, inputs(2, 0))).run_id
    session.get(f"/runs/{warm}")  # the first picture takes seconds
    run_id = client.submit(CRAWL, inputs(300, 400), max_concurrency=15)
    page = session.get(f"/runs/{run_id}")
    live = re.search(r'data-live="([^"]*)"', page.text)
    assert live
    texts, names, codes, size = set(), list[str](), ["waiting"] * 300, 0
    for name, data in messages(session, live[1]):
        names.append(name)
        size += len(json.dumps(data))
        if name == "change":
            break
        texts.add(data["text"])
        codes = merged(codes, data["states"])
        assert data["total"] == 300
    assert names.count("change") == 1
    assert len(texts) > 5
    assert size < 20_000
    assert [index for index, state in enumerate(codes) if state == "failed"] == list(range(0, 300, 10))
    assert set(codes) == {"completed", "failed"}
    ended = session.get(f"/runs/{run_id}")
    assert "data-live" not in ended.text
    assert '<h2 id="durations-title">' in ended.text


def test_failures_are_grouped_by_cause(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    given = [{"ms": 0, "url": "u"}, {"ms": 0}, {"ms": "x", "url": "u"}, {"ms": 0}, {"ms": 0}]
    run_id = client.wait_run(client.submit(CRAWL, given)).run_id
    page = session.get(f"/runs/{run_id}")
    causes = re.findall(r'<li data-key="(\w+)"><p><b class="count">(\d+) ×</b> <code>(\w+)</code>', page.text)
    assert [(count, step) for _, count, step in causes] == [("3", "fetch"), ("1", "wait")]
    key = causes[0][0]
    assert f'href="/runs/{run_id}/change?group={key}"' in page.text
    chosen = session.get(f"/runs/{run_id}?group={key}")
    assert re.findall(r'<th scope="row"><a href="/runs/[^"]*/items/(\d+)"', chosen.text) == ["1", "3", "4"]
    assert "3 items, page 1 of 1" in chosen.text
    assert "0 items" in session.get(f"/runs/{run_id}?group=nothing").text


def test_the_list_tells_the_progress_of_its_batches(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    run_id = client.submit({**CRAWL, "name": "listed-batch"}, inputs(200, 500), max_concurrency=5)
    seen = set()
    for name, data in messages(session, "/live/runs?flow=listed-batch"):
        if name == "progress":
            assert set(data["runs"]) == {run_id}
            seen.add(data["runs"][run_id]["completed"])
        if len(seen) > 2:
            break
    page = session.get("/runs?flow=listed-batch").text
    assert re.search(r"data-text>[\d,]+/200 done", page)
    client.cancel_run(run_id)


def test_an_item_is_only_told_of_its_own_steps(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    given = [{"ms": 3000, "url": "u"}, *({"ms": 100, "url": "u"} for _ in range(20))]
    run_id = client.submit(CRAWL, given)
    live = re.search(r'data-live="([^"]*)"', session.get(f"/runs/{run_id}/items/0").text)
    assert live
    count = 0
    for name, _ in messages(session, live[1]):
        count += name == "change"
        if client.get_run(run_id).is_finished:
            break
    assert 0 < count < 8


def test_late_events_bring_the_timeline_of_a_run_that_has_ended(
    start_ui: StartUi, newest_server: StepflowRuntime
) -> None:
    client = newest_server.sync_client
    run_id = client.wait_run(client.submit(CRAWL, {"ms": 0, "url": "u"})).run_id
    with FaultProxy(newest_server.url) as proxy:
        proxy.script = lambda number: Script(delay=3.5, within=b"/events")
        with start_ui(proxy.url).browser() as browser:
            page = browser.get(f"/runs/{run_id}").text
            assert "<title>timeline</title>" not in page
            # So it stays live until they are there.
            assert f'data-live="/live/runs/{run_id}"' in page
            end = time.monotonic() + 30
            while "<title>timeline</title>" not in page and time.monotonic() < end:
                time.sleep(0.2)
                page = browser.get(f"/runs/{run_id}").text
            assert "<title>timeline</title>" in page
            assert "data-live" not in page
