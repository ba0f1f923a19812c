"""An open page shows the same text after each update as a newly loaded page, compared at random moments in Chromium.

`python -m tests.pages.test_live_text MINUTES` compares pages for this long under a mixed load of runs that complete,
fail, are cancelled and rerun, and prints differences, layout shift and memory.
"""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from stepflow_client import StepflowClientError, StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests.pages.test_ui import Tab, server, started_server, started_ui

__all__ = ["server"]

CRAWL: dict[str, Any] = {
    "name": "crawl",
    "steps": [
        {"id": "wait", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}},
        {"id": "fetch", "component": "/builtin/noop", "input": [{"$input": "url"}, {"$step": "wait"}]},
        {"id": "store", "component": "/builtin/noop", "input": {"$step": "fetch"}},
    ],
    "output": {"$step": "store"},
}

# The text of a page after scripts have run, without times, which change between two checks.
TEXT = """
window.textOfPage = () => {
  const main = document.getElementById('main').cloneNode(true);
  for (const each of main.querySelectorAll('time, [data-since], #waiting')) each.textContent = '';
  const names = [...main.querySelectorAll('[aria-label]')].map((each) => each.getAttribute('aria-label'));
  const statuses = [...main.querySelectorAll('.status, .cells a')].map((each) => each.className);
  const text = main.textContent.replace(/\\s+/g, ' ');
  return [document.title, text, names.join('|'), statuses.join('|')].join('\\n');
};
"""
# Records the page that the server sent last, to compare it with the updated open page.
RECORD = (
    TEXT
    + """
const fetched = window.fetch;
let sent = '';
window.fetch = async (url, ...rest) => {
  const response = await fetched(url, ...rest);
  if (String(url) === location.href && response.ok) sent = await response.clone().text();
  return response;
};
window.updates = 0;
window.afterUpdate = () => new Promise((found) => {
  const giveUp = setTimeout(() => found(null), 8000);
  document.addEventListener('patched', () => setTimeout(() => {
    clearTimeout(giveUp);
    found({ sent, text: textOfPage() });
  }), { once: true });
});
document.addEventListener('patched', () => window.updates++);
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: 'layout-shift', buffered: true });
"""
)


@dataclass
class OpenPage:
    """An open page, with the number of checks and the differences found."""

    name: str
    page: Page
    run_id: str = ""
    checks: int = 0
    differences: list[str] = field(default_factory=list)


class Comparison:
    """Compares open pages of one browser with newly loaded pages."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        self.context = tab.context
        self.context.add_init_script(RECORD)
        self.pages: list[OpenPage] = []
        self._fresh = self.context.new_page()

    def open(self, name: str, path: str, run_id: str = "") -> OpenPage:
        """Open a page in a new tab."""
        page = self.context.new_page()
        page.goto(self._tab.base + path)
        self.pages.append(OpenPage(name, page, run_id))
        return self.pages[-1]

    def check(self, open_page: OpenPage) -> bool:
        """Compare a page after its next update with a new page that loads what the server sent for that update."""
        update = open_page.page.evaluate("afterUpdate()")
        if update is None or not update["sent"]:
            return False
        expected = self._text(open_page.page.url, lambda route: route.fulfill(body=update["sent"], content_type=HTML))
        self._compare(open_page, update["text"], expected)
        return True

    def check_at_rest(self, open_page: OpenPage, seconds: float = 30) -> None:
        """Compare an open page that no longer changes with a newly loaded page."""
        end = time.monotonic() + seconds
        while True:
            expected = self._text(open_page.page.url, lambda route: route.continue_())
            text = open_page.page.evaluate("textOfPage()")
            if text == expected or time.monotonic() > end:
                self._compare(open_page, text, expected)
                return

    def _compare(self, open_page: OpenPage, text: str, expected: str) -> None:
        open_page.checks += 1
        if text != expected:
            place = next((i for i, (a, b) in enumerate(zip(text, expected, strict=False)) if a != b), 0)
            begin = max(0, place - 60)
            open_page.differences.append(f"{text[begin : place + 120]!r} instead of {expected[begin : place + 120]!r}")

    def _text(self, url: str, answer: Callable[[Route], None]) -> str:
        self._fresh.route("**/live*", lambda route: route.abort())
        self._fresh.route("**/live/**", lambda route: route.abort())
        self._fresh.route(url, answer)
        self._fresh.goto(url)
        text: str = self._fresh.evaluate("textOfPage()")
        self._fresh.unroute_all()
        return text


HTML = "text/html; charset=utf-8"


def inputs(count: int, ms: int) -> list[dict[str, Any]]:
    """Return inputs; every seventh one fails."""
    return [{"ms": ms, "url": f"u{number}"} if number % 7 else {"ms": ms} for number in range(count)]


@pytest.fixture
def comparison(browser: Browser, server: StepflowRuntime) -> Iterator[Comparison]:
    with started_ui(server.url) as (_, link):
        tab = Tab(browser, link)
        yield Comparison(tab)
        tab.context.close()


def test_an_open_page_shows_the_same_as_a_new_page(comparison: Comparison, server: StepflowRuntime) -> None:
    chance = random.Random(7)
    client = server.sync_client
    single = client.submit(CRAWL, {"ms": 5_000, "url": "u"})
    comparison.open("list", "/runs")
    comparison.open("flows", "/flows")
    comparison.open("flow", f"/flows/{client.get_run(single).flow_id}")
    comparison.open("run", f"/runs/{single}")
    batch = client.submit(CRAWL, inputs(80, 700), max_concurrency=5)
    comparison.open("batch", f"/runs/{batch}")
    comparison.open("item", f"/runs/{batch}/items/70")
    changing = [each for each in comparison.pages if each.name in ("list", "batch")]
    while not client.get_run(batch).is_finished:
        client.submit(CRAWL, {"ms": chance.randrange(500), "url": "u"} if chance.random() < 0.7 else {"ms": 0})
        # On a busy machine there are few updates, so check each page once before checking one again.
        comparison.check(chance.choice([each for each in changing if not each.checks] or changing))
    client.wait_run(single)
    assert all(each.checks for each in changing)
    for open_page in comparison.pages:
        comparison.check_at_rest(open_page)
    assert {each.name: each.differences for each in comparison.pages if each.differences} == {}


class Load:
    """Starts, cancels and reruns runs, a few at a time."""

    def __init__(self, client: SyncStepflowClient) -> None:
        self.client = client
        self.chance = random.Random(11)
        self.started = 0

    def step(self, shown: Container[str] = ()) -> None:
        """Start, cancel or rerun a run. Do not rerun an open run, because its page is not live once it has ended."""
        chance, client = self.chance, self.client
        running = [run for run in client.list_runs("running", 20).runs if run.flow_name == "crawl"]
        if len(running) > 8:
            return
        self.started += 1
        kind = chance.random()
        if kind < 0.25:
            client.submit(CRAWL, inputs(chance.randrange(20, 400), 300), max_concurrency=8)
        elif kind < 0.35 and running:
            # The run may have ended.
            with suppress(StepflowClientError):
                client.cancel_run(chance.choice(running).run_id)
        elif kind < 0.45 and (
            failed := [run.run_id for run in client.list_runs("failed", 10).runs if run.run_id not in shown]
        ):
            client.start_rerun(chance.choice(failed), keep="succeeded")
        else:
            client.submit(CRAWL, {"ms": chance.randrange(20_000), "url": "u"} if kind < 0.8 else {"ms": 10})


def memory_of(process: int) -> int:
    """Return the resident memory of a process in MB."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(text.partition("VmRSS:")[2].split()[0]) // 1024


def compare_for(minutes: float, comparison: Comparison, load: Load, process: int) -> None:
    """Compare pages under a mixed load and print the results."""
    client, chance = load.client, random.Random(13)
    checks: Counter[str] = Counter()
    shifts: dict[str, float] = {}
    differences = 0

    def close(open_page: OpenPage) -> None:
        nonlocal differences
        comparison.check_at_rest(open_page)
        checks[open_page.name] += open_page.checks
        shifts[open_page.name] = max(shifts.get(open_page.name, 0.0), open_page.page.evaluate("shift"))
        differences += len(open_page.differences)
        for each in open_page.differences:
            print(f"{open_page.name}: {each}", flush=True)
        open_page.page.close()
        comparison.pages.remove(open_page)

    load.step()
    flow_id = client.get_run(client.submit(CRAWL, {"ms": 1, "url": "u"})).flow_id
    for name, path in (("list", "/runs"), ("flows", "/flows"), ("flow", f"/flows/{flow_id}")):
        comparison.open(name, path)
    end, last_report = time.monotonic() + 60 * minutes, 0.0
    while time.monotonic() < end:
        load.step([each.run_id for each in comparison.pages])
        for run in client.list_runs("running", 10).runs:
            name = "run" if run.items.total == 1 else "batch"
            if run.flow_name == "crawl" and not any(each.name == name for each in comparison.pages):
                comparison.open(name, f"/runs/{run.run_id}", run.run_id)
                if name == "batch":
                    index = chance.randrange(run.items.total)
                    comparison.open("item", f"/runs/{run.run_id}/items/{index}", run.run_id)
        comparison.check(chance.choice([each for each in comparison.pages if each.name != "flow"]))
        for open_page in [each for each in comparison.pages if each.run_id]:
            if client.get_run(open_page.run_id).is_finished and chance.random() < 0.3:
                close(open_page)
        if time.monotonic() - last_report > 60:
            last_report = time.monotonic()
            heap = comparison.pages[0].page.evaluate("performance.memory.usedJSHeapSize") // 2**20
            print(f"{load.started} runs, {checks.total()} checks, {differences} differences, "
                  f"{memory_of(process)} MB, list {heap} MB", flush=True)  # fmt: skip
    while client.list_runs("running", 1).runs:
        time.sleep(1)
    for open_page in list(comparison.pages):
        close(open_page)
    print(dict(checks), {name: round(shift, 3) for name, shift in shifts.items()}, f"{differences} differences")


if __name__ == "__main__":
    with started_server() as running, sync_playwright() as playwright, started_ui(running.url) as (process, link):
        client = SyncStepflowClient(running.url, history=History())
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        compare_for(float(sys.argv[1]), Comparison(Tab(chromium, link)), Load(client), process.pid)
