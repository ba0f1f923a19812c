"""Open pages update without disturbing the reader, in Chromium on a real server."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from stepflow_client import StepflowRuntime

from tests.pages.conftest import check_themes, shot
from tests.pages.test_ui import FORM, Tab, server, started_ui, tab

__all__ = ["server", "tab"]

FRESH = """
const { takeOver } = await import('/static/patch.js');
const text = await (await fetch(location.href)).text();
window.update = (change) => {
  const fresh = new DOMParser().parseFromString(text, 'text/html');
  change(fresh);
  takeOver(fresh);
};
"""
INSERT_ROWS = """
([begin, end]) => {
  for (let count = begin; count <= end; count++) {
    update((fresh) => {
      const body = fresh.querySelector('#items tbody');
      for (let number = 0; number < count; number++) {
        const row = fresh.createElement('tr');
        row.dataset.key = `new-${number}`;
        row.innerHTML = `<th><a href="/runs/new-${number}">${count}</a></th><td colspan="4">
          <details><summary>more</summary>${count}</details></td>`;
        body.prepend(row);
      }
      for (const row of body.querySelectorAll('tr:not([data-key^=new])')) {
        row.lastElementChild.innerHTML += `<details><summary>kept</summary><p>long text</p></details>
          <input value="given"><textarea rows="2">${'line\\n'.repeat(20)}</textarea>`;
      }
      fresh.querySelector('#summary').append(`${count}`);
    });
  }
}
"""


def open_settled(tab: Tab, path: str) -> Any:
    """Open the page of an ended run and wait until it no longer updates."""
    page = tab.go(path)
    while page.locator("body[data-live]").count():
        page.reload()
    return page


def test_focus_selection_and_input_survive_200_updates(tab: Tab, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FORM, [{"topic": str(number), "ms": 0} for number in range(5)])
    server.sync_client.wait_run(run_id)
    page = open_settled(tab, f"/runs/{run_id}")
    page.evaluate(f"async () => {{ {FRESH} }}")
    page.evaluate(INSERT_ROWS, [1, 1])
    row = page.locator('#items tr[data-key="3"]')
    row.locator("summary").click()
    row.locator("input").fill("typed")
    row.locator("textarea").evaluate("e => { e.scrollTop = 20 }")
    link = row.locator("th a")
    link.focus()
    page.evaluate("""
        window.held = {
          row: document.querySelector('#items tr[data-key="3"]'),
          focus: document.activeElement,
          parts: [...document.querySelectorAll('#items tr[data-key="3"] *')],
        };
        getSelection().selectAllChildren(held.row.querySelector('details p'));
    """)
    page.evaluate(INSERT_ROWS, [2, 201])
    expect(page.locator("#items tbody tr")).to_have_count(206)
    expect(page.locator("#summary")).to_contain_text("201")
    state: dict[str, Any] = page.evaluate("""() => {
        const row = document.querySelector('#items tr[data-key="3"]');
        return {
          row: row === held.row,
          parts: [...row.querySelectorAll('*')].every((each, place) => each === held.parts[place]),
          focus: document.activeElement === held.focus,
          selection: getSelection().toString(),
          details: [...document.querySelectorAll('#items details')].filter((each) => each.open).length,
          open: row.querySelector('details').open,
          typed: row.querySelector('input').value,
          scroll: row.querySelector('textarea').scrollTop,
        };
    }""")
    assert state == {
        "row": True, "parts": True, "focus": True, "selection": "long text", "details": 1, "open": True,
        "typed": "typed", "scroll": 20,
    }  # fmt: skip


def test_changes_by_scripts_stay_until_the_server_changes_the_element(tab: Tab, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FORM, [{"topic": "tea", "ms": 0}] * 3)
    server.sync_client.wait_run(run_id)
    page = open_settled(tab, f"/runs/{run_id}")
    page.evaluate(f"async () => {{ {FRESH} }}")
    page.evaluate("""() => {
        document.querySelector('#items tbody th a').textContent = 'zero';
        document.querySelector('#items tr[data-key="1"]').classList.add('chosen');
        document.querySelector('#summary').append('added');
        update((fresh) => { fresh.querySelector('#items tr[data-key="1"] td').textContent = 'other'; });
    }""")
    expect(page.locator("#items tr[data-key='0'] th")).to_have_text("zero")
    expect(page.locator("#items tr.chosen td").first).to_have_text("other")
    expect(page.locator("#summary")).to_contain_text("added")
    # An update moves reordered rows and removes missing ones.
    page.evaluate("""() => {
        document.querySelector('#items tr[data-key="2"] a').focus();
        update((fresh) => {
          const body = fresh.querySelector('#items tbody');
          body.prepend(body.querySelector('tr[data-key="2"]'));
          body.querySelector('tr[data-key="0"]').remove();
        });
    }""")
    expect(page.locator("#items tbody th")).to_have_text(["2", "1"])
    assert page.evaluate("document.activeElement.textContent") == "2"


CRAWL: dict[str, Any] = {
    "name": "crawl",
    "steps": [
        {"id": "wait", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}},
        {"id": "fetch", "component": "/builtin/noop", "input": [{"$input": "url"}, {"$step": "wait"}]},
    ],
    "output": {"$step": "fetch"},
}


def a_thousand(ms: int) -> list[dict[str, Any]]:
    """Return 1,000 inputs; every tenth fails after some time, and the others complete."""
    return [{"ms": ms, "url": "u"} if number % 10 else {"ms": ms} for number in range(1_000)]


def test_the_page_of_a_batch_of_1000_counts_while_it_runs(tab: Tab, server: StepflowRuntime) -> None:
    tab.page.goto("about:blank")
    devtools = tab.context.new_cdp_session(tab.page)
    devtools.send("Network.enable")
    moved: list[int] = []
    devtools.on("Network.dataReceived", lambda data: moved.append(data["dataLength"]))
    # The batch would take a minute, so that it outlasts a busy machine; it is cancelled once the page has counted.
    run_id = server.sync_client.submit(CRAWL, a_thousand(300), max_concurrency=5)
    page = tab.go(f"/runs/{run_id}")
    page.evaluate("""() => {
        window.counts = new Set();
        const note = () => counts.add(document.querySelector('.numbers')?.textContent.split(' done')[0]);
        new MutationObserver(note).observe(document.getElementById('summary'), {
            subtree: true, childList: true, characterData: true,
        });
    }""")
    expect(page.locator("#grid .cells a")).to_have_count(1_000)
    expect(page.locator("#grid a.completed").nth(99)).to_be_attached(timeout=40_000)
    expect(page.locator("#grid a.failed").first).to_be_attached()
    end = time.monotonic() + 40
    # The content security policy prevents Playwright from waiting for an expression.
    while page.evaluate("counts.size") < 20 and time.monotonic() < end:
        page.wait_for_timeout(100)
    assert page.evaluate("counts.size") >= 20
    assert page.locator("#summary .status").inner_text() == "running"
    shot(page, "batch-running")
    server.sync_client.cancel_run(run_id)
    run_id = server.sync_client.submit(CRAWL, a_thousand(100), max_concurrency=20)
    tab.go(f"/runs/{run_id}")
    expect(page.locator("#summary .status")).to_have_text("failed", timeout=60_000)
    # This counts decoded bytes; the server sends them compressed.
    assert sum(moved) < 1_000_000
    expect(page.locator("#grid a.completed")).to_have_count(900)
    expect(page.locator("#grid a.failed")).to_have_count(100)
    expect(page.locator("#failures li")).to_have_count(1)
    expect(page.locator("#durations svg")).to_have_count(1)
    shot(page, "batch-ended")
    # One Tab stop reaches the grid, arrow keys move within it, and each cell is a link.
    page.locator("#grid a").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.className") in ("completed", "failed")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Item 0 of 1000")


def test_new_runs_wait_while_the_list_has_focus_or_pointer(tab: Tab, server: StepflowRuntime) -> None:
    client = server.sync_client
    flow = {"name": "waits", "steps": [], "output": 1}
    first = [client.submit(flow) for _ in range(3)]
    page = tab.go("/runs?flow=waits")
    rows = page.locator("#list tbody tr")
    expect(rows).to_have_count(3)
    link = page.locator(f'#list a[href="/runs/{first[0]}"]').first
    link.focus()
    for _ in range(2):
        client.submit(flow)
    expect(page.locator("#waiting")).to_have_text("2 new runs", timeout=30_000)
    expect(rows).to_have_count(3)
    client.submit(flow)
    expect(page.locator("#waiting")).to_have_text("3 new runs", timeout=30_000)
    assert page.evaluate("document.activeElement.pathname") == f"/runs/{first[0]}"
    shot(page, "waiting")
    page.locator("#waiting").click()
    expect(rows).to_have_count(6)
    expect(page.locator("#waiting")).to_be_hidden()
    # They also wait while the pointer is over the list, and appear when it leaves.
    page.evaluate("document.activeElement.blur()")
    rows.first.hover()
    client.submit(flow)
    expect(page.locator("#waiting")).to_have_text("1 new run", timeout=30_000)
    page.mouse.move(1, 1)
    expect(rows).to_have_count(7)
    # A click beside the link also opens the run.
    rows.first.locator("td").nth(1).click()
    page.wait_for_url("**/runs/*")


def test_keys_find_runs_and_go_to_failures(tab: Tab, server: StepflowRuntime) -> None:
    client = server.sync_client
    flow = {"name": "by-keys", "steps": [], "output": {"$input": "n"}}
    for flow_input in ({"n": 1}, {}, {"n": 2}):
        client.wait_run(client.submit(flow, flow_input))
    page = tab.go("/components")
    keys = page.keyboard
    keys.press("/")
    page.wait_for_url("**/runs#find")
    expect(page.get_by_label("Find runs")).to_be_focused()
    keys.type("by-ke")
    keys.press("Enter")
    page.wait_for_url("**/runs?q=by-ke**")
    expect(page.locator("#list tbody tr")).to_have_count(3)
    expect(page.locator("#searched")).to_contain_text("Runs searched by flow name")

    def focused_row() -> int:
        index: int = page.evaluate(
            "[...document.querySelectorAll('#list tbody tr')].indexOf(document.activeElement.closest('tr'))"
        )
        return index

    keys.press("j")
    assert focused_row() == 0
    keys.press("j")
    keys.press("j")
    assert focused_row() == 2
    keys.press("k")
    assert focused_row() == 1
    page.locator("h1").click()
    keys.press("f")
    assert focused_row() == 1
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Next failure")
    shot(page, "keys")
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    # In a text field, the keys type letters.
    keys.press("/")
    keys.type("jf?")
    expect(page.get_by_label("Find runs")).to_have_value("jf?")
    page.locator("#list tbody tr").nth(1).locator("th a").focus()
    keys.press("Enter")
    expect(page.locator("#summary .status")).to_have_text("failed")


@pytest.mark.parametrize("width", [360, 1280])
def test_the_list_and_batches_are_accessible_while_runs_are_running(
    tab: Tab, server: StepflowRuntime, width: int
) -> None:
    client = server.sync_client
    inputs = [{"ms": 600_000 if number > 30 else 0, "url": "u"} if number % 7 else {"ms": 0} for number in range(60)]
    run_id = client.submit(CRAWL, inputs)
    ended = client.wait_run(client.submit(CRAWL, [{"ms": 0}, {"ms": 0, "url": "u"}, {"ms": "x"}])).run_id
    page = tab.context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    for name, path in (
        ("list", "/runs"),
        ("found", "/runs?q=crawl"),
        ("live", f"/runs/{run_id}"),
        ("groups", f"/runs/{ended}"),
    ):
        page.goto(tab.base + path)
        if name == "live":
            expect(page.locator("#grid a.completed").nth(20)).to_be_attached(timeout=30_000)
        if name == "list":
            expect(page.locator("#list .numbers", has_text="/60 done").first).to_be_attached(timeout=30_000)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("?")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        check_themes(page, name)
    client.cancel_run(run_id)
    page.close()


def test_more_open_pages_than_a_browser_has_connections(browser: Browser, server: StepflowRuntime) -> None:
    with started_ui(server.url) as (process, link):
        tab = Tab(browser, link)
        pages = [tab.page]
        for _ in range(8):
            pages.append(tab.context.new_page())
            pages[-1].goto(f"{tab.base}/runs?flow=many-pages")
        expect(pages[-1].locator("h1")).to_have_text("Runs")
        server.sync_client.submit({"name": "many-pages", "steps": [], "output": 1})
        for page in pages[1:]:
            expect(page.locator("#list tbody tr")).to_have_count(1, timeout=30_000)
        # A hidden page gives up its event stream and reopens it when it becomes visible.
        hidden = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true })"
        pages[1].evaluate(hidden % "true")
        pages[1].evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        server.sync_client.submit({"name": "many-pages", "steps": [], "output": 1})
        expect(pages[2].locator("#list tbody tr")).to_have_count(2, timeout=30_000)
        pages[1].evaluate(hidden % "false")
        pages[1].evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(pages[1].locator("#list tbody tr")).to_have_count(2, timeout=10_000)
        assert tab.complaints == []
        process.terminate()
        process.wait()
        for page in pages:
            expect(page.locator("#notice")).to_have_text(re.compile("Lost the connection"), timeout=30_000)
        tab.context.close()
