"""Runs, lists, forms and outages on the pages of `stepflow ui`, in Chromium on a real server: `make test-pages`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from stepflow_client import LogConfig, StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests import releases
from tests.pages.conftest import WIDTHS, check_pages, shot

FORM: dict[str, Any] = {
    "name": "brew",
    "schemas": {
        "properties": {
            "input": {
                "type": "object",
                "required": ["topic"],
                "properties": {
                    "topic": {"type": "string", "title": "Topic", "description": "What it is about."},
                    "style": {"enum": ["short", "long"], "title": "Style"},
                    "ms": {"type": "integer", "default": 1500},
                },
            }
        }
    },
    "steps": [
        {"id": "begin", "component": "/builtin/noop", "input": {"$input": "topic"}},
        {
            "id": "wait",
            "component": "/builtin/sleep",
            "input": {"duration_ms": {"$input": "ms"}, "passthrough": {"$step": "begin"}},
        },
    ],
    "output": {"$step": "wait"},
}
ELEMENTS = "document.querySelectorAll('*:not(#grid *)').length"
"""The number of elements of a page, except those in the grid, which a script creates."""
FAILS = {
    "name": "fails",
    "steps": [{"id": "reading", "component": "/builtin/noop", "input": {"$input": "name"}}],
    "output": {"$step": "reading"},
}


@contextmanager
def started_server() -> Iterator[StepflowRuntime]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        config = releases.builtin_config(releases.NEWEST)
        started = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    with started as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[StepflowRuntime]:
    with started_server() as running:
        yield running


@contextmanager
def started_ui(url: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "stepflow_cli", "ui", "--no-open", "--url", url, *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        link = next(match for line in process.stderr if (match := re.search(r"http\S+token=\S+", line)))
        yield process, link[0]
    finally:
        process.terminate()
        process.communicate()


class Tab:
    """A browser tab that records errors, dialogs, console messages and requests to other hosts."""

    def __init__(self, browser: Browser, link: str, **options: Any) -> None:
        self.base = link.partition("/?")[0]
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append("dialog"))
        self.page.on("request", self._request)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.goto(link)
        self.page.wait_for_url("**/runs")

    def _request(self, request: Any) -> None:
        if not request.url.startswith(self.base):
            self.complaints.append(request.url)

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page


@pytest.fixture(scope="module")
def tab(browser: Browser, server: StepflowRuntime) -> Iterator[Tab]:
    with started_ui(server.url) as (_, link):
        opened = Tab(browser, link)
        yield opened
        opened.context.close()
    assert opened.complaints == []


def test_start_from_the_form_and_see_it_live(tab: Tab, server: StepflowRuntime) -> None:
    flow_id = server.sync_client.store_flow(FORM).flow_id
    page = tab.go(f"/flows/{flow_id}")
    page.get_by_label("Topic").fill("tea")
    page.get_by_label("Style").select_option("long")
    page.get_by_label("ms", exact=True).fill("6000")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*")
    expect(page.locator(".sf-is-running")).to_have_count(1)
    # The page updates without a reload.
    expect(page.locator("#summary .status")).to_have_text("completed", timeout=30_000)
    expect(page.locator(".sf-is-completed")).to_have_count(2)
    expect(page.locator("#result")).to_contain_text("tea")
    expect(page.locator("#timeline rect.span")).to_have_count(2)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.locator("body")).not_to_contain_text("does not respond")


def test_run_again_with_the_input_from_the_history(tab: Tab, server: StepflowRuntime) -> None:
    history = History()
    with SyncStepflowClient(server.url, history=history) as client:
        run_id = client.submit(FORM, {"topic": "green tea", "style": "long", "ms": 0})
        client.wait_run(run_id)
    page = tab.go(f"/runs/{run_id}")
    expect(page.locator("#given")).to_contain_text("green tea")
    page.get_by_role("link", name="Run again with an input").click()
    expect(page.get_by_label("Topic")).to_have_value("green tea")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*")
    expect(page.locator("#summary .status")).to_have_text("completed", timeout=30_000)
    entry = history.get(page.url.rpartition("/")[2])
    assert entry is not None
    assert entry.input == {"topic": "green tea", "style": "long", "ms": 0}


def test_the_list_follows_new_runs(tab: Tab, server: StepflowRuntime) -> None:
    page = tab.go("/runs?flow=fresh")
    expect(page.locator("#list")).to_contain_text("No runs match")
    server.sync_client.submit({"name": "fresh", "steps": [], "output": 1})
    expect(page.locator("#list tbody tr")).to_have_count(1, timeout=30_000)


def test_opening_a_failed_step(tab: Tab, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FAILS, {"nam": 1})
    server.sync_client.wait_run(run_id)
    page = tab.go("/runs?status=failed")
    page.locator(f'a[href="/runs/{run_id}"]').click()
    expect(page.locator("#panel")).to_contain_text("Input path $.name not found")
    expect(page.locator(".sf-is-failed")).to_have_count(1)
    page.get_by_role("link", name="Flow as text").click()
    page.wait_for_url("**/flow", wait_until="load")
    assert page.evaluate("getComputedStyle(document.getElementById('L1'), '::before').content") == '"1"'


def test_cancel(tab: Tab, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FORM, {"topic": "tea", "ms": 600_000})
    page = tab.go(f"/runs/{run_id}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#summary .status")).to_have_text("cancelled")


def test_a_query_with_suggestions_is_kept_in_the_address(tab: Tab, server: StepflowRuntime) -> None:
    server.sync_client.wait_run(server.sync_client.submit(FAILS, {}))
    page = tab.go("/runs")
    query = page.get_by_label("Find runs")
    query.fill("flow:fails sta")
    # A suggestion completes the last word.
    assert "flow:fails status:failed" in page.locator("#terms option").evaluate_all(
        "all => all.map((each) => each.value)"
    )
    query.fill("flow:fails status:failed")
    query.press("Enter")
    page.wait_for_url("**q=flow%3Afails+status%3Afailed**")
    expect(query).to_have_value("flow:fails status:failed")
    assert set(page.locator("#list tbody .status").all_inner_texts()) == {"failed"}


def test_ten_thousand_items(tab: Tab, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FORM, [{"topic": str(number), "ms": 0} for number in range(10_000)])
    server.sync_client.wait_run(run_id, timeout=300)
    page = tab.go(f"/runs/{run_id}")
    assert page.evaluate(ELEMENTS) < 2_000
    expect(page.locator("#grid a.completed")).to_have_count(10_000)
    expect(page.locator("#items tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#items tbody th").first).to_have_text("50")
    page.goto(f"{tab.base}/runs/{run_id}?page=200")
    expect(page.locator("#items tbody th").last).to_have_text("9999")
    assert page.evaluate(ELEMENTS) < 2_000
    page.locator("#items tbody th a").last.click()
    expect(page.locator("h1")).to_have_text("Item 9999 of 10000")
    expect(page.locator(".sf-is-completed")).to_have_count(2)


def test_a_flow_is_checked_while_it_is_typed(tab: Tab) -> None:
    page = tab.go("/flows/new")
    editor = page.get_by_label("Flow as YAML or JSON")
    editor.fill("steps:\n  - id: a\n    komponent: /builtin/noop\n")
    expect(page.locator("#findings")).to_contain_text("Line 3")
    editor.fill("name: typed\nsteps:\n  - id: a\n    component: /builtin/noop\n    input: 1\noutput: {$step: a}\n")
    expect(page.locator("#findings li.problem")).to_have_count(0)
    page.get_by_role("button", name="Store").click()
    expect(page.locator("h1")).to_have_text("typed")


def test_by_keyboard_alone(tab: Tab, server: StepflowRuntime) -> None:
    flow = deepcopy(FORM)
    # The run must not end before it is cancelled.
    flow["schemas"]["properties"]["input"]["properties"]["ms"]["default"] = 600_000
    flow_id = server.sync_client.store_flow(flow).flow_id
    page = tab.go(f"/flows/{flow_id}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")

    def tab_to(script: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"(e => {script})(document.activeElement)"):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", "the focus is not visible"
                return
        raise AssertionError(f"the keyboard does not reach {script}")

    tab_to("e.labels?.[0]?.textContent.startsWith('Topic')")
    page.keyboard.type("by keyboard")
    tab_to("e.textContent === 'Start'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*")
    tab_to("e.textContent === 'Cancel'")
    page.keyboard.press("Enter")
    expect(page.locator("#summary .status")).to_have_text("cancelled")


def test_focus_and_open_details_survive_an_update(tab: Tab, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(
        FORM, {"topic": {"deep": {"deeper": {"deepest": 1}}}, "ms": 4000}, check_input=False
    )
    page = tab.go(f"/runs/{run_id}")
    summary = page.locator("#panel summary").first
    summary.focus()
    page.keyboard.press("Enter")
    is_open = page.locator("#panel details").first.evaluate("e => e.open")
    expect(page.locator("#summary .status")).to_have_text("completed", timeout=30_000)
    expect(page.locator("#steps tbody tr").nth(1)).to_contain_text("completed")
    assert page.locator("#panel details").first.evaluate("e => e.open") == is_open
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_without_javascript(browser: Browser, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FAILS, [{}, {"name": 1}])
    server.sync_client.wait_run(run_id)
    with started_ui(server.url) as (_, link):
        tab = Tab(browser, link, java_script_enabled=False)
        page = tab.go(f"/runs/{run_id}")
        expect(page.locator("#items tbody tr")).to_have_count(2)
        page.locator("#items tbody a").first.click()
        expect(page.locator("#panel")).to_contain_text("Input path $.name not found")
        tab.context.close()
    assert tab.complaints == []


def test_pages_survive_a_server_that_is_stopped_and_restarted(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
    config = releases.builtin_config(releases.NEWEST)
    first = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    port = int(first.url.rpartition(":")[2])
    opened = ExitStack()
    with first:
        process, link = opened.enter_context(started_ui(first.url))
        tab = Tab(browser, link)
        page = tab.page
        expect(page.locator("h1")).to_have_text("Runs")
    with opened:
        expect(page.locator("#notice")).to_contain_text("does not respond", timeout=30_000)
        shot(page, "away")
        away = tab.context.new_page()
        away.goto(tab.base + "/runs")
        expect(away.locator("h1")).to_have_text("The server does not respond")
        with StepflowRuntime.start(config=config, port=port, log_config=LogConfig(level="warn")) as again:
            expect(page.locator("#notice")).to_have_text("The server is back.", timeout=30_000)
            # The page that could not load before loads by itself now.
            expect(away.locator("h1")).to_have_text("Runs", timeout=30_000)
            again.sync_client.submit({"name": "after", "steps": [], "output": 1})
            expect(page.locator("#list")).to_contain_text("after", timeout=30_000)
        process.terminate()
        # The page also reports the end of `stepflow ui` itself.
        expect(page.locator("#notice")).to_contain_text("Lost the connection to 'stepflow ui'", timeout=30_000)
        tab.context.close()


@pytest.mark.parametrize("widths", WIDTHS)
def test_accessibility_and_width(tab: Tab, server: StepflowRuntime, widths: tuple[int, ...]) -> None:
    history = History()
    client = SyncStepflowClient(server.url, history=history)
    failed = client.submit(FAILS, {"nam": "Ada", "about": {"more": "x" * 300}}, {"reading": {"input": {"n": 1}}})
    entry = history.get(failed)
    assert entry is not None
    arguments = {"flow": entry.flow, "input": entry.input, "overrides": entry.overrides, "variables": {"tone": "warm"}}
    history.record(failed, **arguments, labels={"env": "dev"}, note="before the change")
    batch = client.submit(FAILS, [{"name": "x" * 300}, {}, {"name": 3}])
    running = client.submit(FORM, {"topic": "tea", "ms": 600_000})
    for run_id in (failed, batch):
        client.wait_run(run_id)
    flow_id = client.store_flow(FORM).flow_id
    paths = {
        "runs": "/runs", "failed": f"/runs/{failed}", "batch": f"/runs/{batch}", "item": f"/runs/{batch}/items/1",
        "running": f"/runs/{running}", "text": f"/runs/{failed}/flow", "flows": "/flows", "flow": f"/flows/{flow_id}",
        "again": f"/flows/{client.store_flow(FAILS).flow_id}?again={failed}",
        "new": "/flows/new", "components": "/components", "missing": "/nothing",
    }  # fmt: skip
    check_pages(tab.context, tab.base, paths, "", widths)
    client.cancel_run(running)
    client.close()
