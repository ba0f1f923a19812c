"""Common features of all pages of `stepflow ui` in Chromium: local times, copy buttons, statuses and line breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases
from tests.pages.conftest import shot, violations
from tests.pages.test_ui import FAILS, FORM, Tab, started_ui


@pytest.fixture(scope="module")
def empty_server() -> Iterator[StepflowRuntime]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        config = releases.builtin_config(releases.NEWEST)
        started = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    with started as running:
        yield running


@pytest.fixture(scope="module")
def tab(browser: Browser, empty_server: StepflowRuntime) -> Iterator[Tab]:
    with started_ui(empty_server.url) as (_, link):
        opened = Tab(browser, link, timezone_id="Asia/Tokyo", locale="en-GB")
        opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield opened
        opened.context.close()
    assert opened.complaints == []


def test_the_empty_list_shows_a_command_to_copy(tab: Tab, empty_server: StepflowRuntime) -> None:
    page = tab.go("/runs")
    expect(page.locator(".empty")).to_contain_text("No runs yet")
    assert violations(page) == []
    page.get_by_role("button", name="Copy the command").click()
    expect(page.locator("#announced")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("stepflow run hello.yaml --input-json ")
    assert copied.endswith(f"--url {empty_server.url}")
    shot(page, "empty")


TIMES = """
<p><time datetime="{now}">UTC</time></p><p><time datetime="{old}" data-show="whole">UTC</time></p>
<p><span data-since="{now}">running</span></p><p><time datetime="nonsense">stays</time></p>
"""


def test_times_are_local_and_tick(tab: Tab) -> None:
    page = tab.go("/flows/new")
    now = page.evaluate("new Date(Date.now() - 65_000).toISOString()")
    html = TIMES.format(now=now, old="2020-01-02T23:04:05+00:00")
    page.evaluate("html => document.getElementById('main').insertAdjacentHTML('beforeend', html)", html)
    times = page.locator("main time")
    expect(times.nth(0)).to_have_text("1m ago")
    expect(times.nth(1)).to_have_text("3 Jan 2020, 08:04:05")
    expect(times.nth(1)).to_have_attribute("title", "3 Jan 2020, 08:04:05 here, 2020-01-02 23:04:05 UTC")
    expect(times.nth(2)).to_have_text("stays")
    running = page.locator("[data-since]")
    expect(running).to_have_text(re.compile(r"^1m\d\ds$"))
    first = running.inner_text()
    expect(running).not_to_have_text(first)


def test_statuses_have_a_shape(tab: Tab, empty_server: StepflowRuntime) -> None:
    client = empty_server.sync_client
    client.wait_run(client.submit(FAILS, {}))
    client.wait_run(client.submit(FAILS, {"name": 1}))
    running = client.submit(FORM, {"topic": "tea", "ms": 600_000})
    page = tab.go("/runs")
    shapes = page.evaluate(
        "[...document.querySelectorAll('.status')].map(e => [e.textContent, getComputedStyle(e, '::before').clipPath])"
    )
    assert {word for word, _ in shapes} == {"running", "completed", "failed"}
    assert len({shape for _, shape in shapes}) == 3
    client.cancel_run(running)


@pytest.mark.parametrize("width", [1280, 1920])
def test_words_are_not_broken_while_there_is_room(tab: Tab, empty_server: StepflowRuntime, width: int) -> None:
    client = empty_server.sync_client
    names = ["load_customers_of_the_region", "summarize_all_of_them", "write_the_report"]
    steps = [{"id": name, "component": "/builtin/noop", "input": {"$input": "$"}} for name in names]
    flow = {"name": "a-flow-with-a-long-name", "steps": steps, "output": {name: {"$step": name} for name in names}}
    run_id = client.wait_run(client.submit(flow, {"text": "word " * 100})).run_id
    page = tab.page
    page.set_viewport_size({"width": width, "height": 900})
    for path in ("/runs", f"/runs/{run_id}", "/flows"):
        tab.go(path)
        tall = "e => e.getClientRects().length > 1 && !e.textContent.includes(' ')"
        spans = page.evaluate(
            f"[...document.querySelectorAll('tbody th, tbody td:nth-child(-n+3)')].flatMap(cell => "
            f"[...cell.querySelectorAll('a,code,b')].filter({tall})).map(e => e.textContent)"
        )
        assert spans == [], path
        # A row may have the error below the name of the flow.
        tall = "e => (e.querySelector('a') ?? e).getBoundingClientRect().height < 60 || e.innerText"
        lines = page.evaluate(f"[...document.querySelectorAll('tbody th')].map({tall})")
        assert set(lines) <= {True} or path == f"/runs/{run_id}", lines
