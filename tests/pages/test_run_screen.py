"""The page of a run in Chromium: selected steps, outputs, graph sizes and live updates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests.cli.ui.test_pages import LONG
from tests.cli.ui.test_run_screen import NESTED, PAYMENTS, ROWS
from tests.pages.conftest import WIDTHS, check_pages
from tests.pages.test_ui import Tab, server, started_ui

__all__ = ["server"]


@pytest.fixture(scope="module")
def tab(browser: Browser, server: StepflowRuntime) -> Iterator[Tab]:
    with started_ui(server.url) as (_, link):
        opened = Tab(browser, link)
        yield opened
        opened.context.close()
    assert opened.complaints == []


@pytest.fixture
def client(server: StepflowRuntime) -> Iterator[SyncStepflowClient]:
    with SyncStepflowClient(server.url, history=History()) as recording:
        yield recording


def run(client: SyncStepflowClient, flow: Any, flow_input: Any) -> str:
    return client.wait_run(client.submit(flow, flow_input), timeout=60).run_id


@pytest.fixture
def failed(client: SyncStepflowClient) -> str:
    return run(client, PAYMENTS, {"customer": {"name": "Ada"}, "refund": None})


def test_selecting_a_step_does_not_reload_the_page(tab: Tab, failed: str) -> None:
    page = tab.go(f"/runs/{failed}")
    title = page.locator("#panel-title")
    current = page.locator("#graph a[aria-current], #timeline a[aria-current], #steps a[aria-current]")
    expect(title).to_have_text("charge/card")
    expect(current).to_have_count(3)
    page.evaluate("window.stays = true")
    page.locator('#graph a[data-step="load"]').click()
    expect(title).to_have_text("load")
    assert page.url.endswith(f"/runs/{failed}/steps/load")
    expect(current).to_have_count(3)
    assert set(current.evaluate_all("all => all.map(each => each.dataset.step)")) == {"load"}
    page.locator('#steps a[data-step="send"]').click()
    expect(title).to_have_text("send")
    page.locator("#panel").get_by_role("link", name="charge/card").first.click()
    expect(title).to_have_text("charge/card")
    page.locator('#timeline a[data-step="load"]').click()
    expect(title).to_have_text("load")
    page.locator("#panel").get_by_role("link", name="Run", exact=True).click()
    expect(title).to_have_text("Error")
    expect(current).to_have_count(0)
    for step_id in ("load", "charge/card", "send", "load", "charge/card"):
        page.go_back()
        expect(title).to_have_text(step_id)
    page.go_forward()
    expect(title).to_have_text("load")
    assert page.evaluate("window.stays")
    # Reloading the URL shows the same step.
    page.reload()
    expect(title).to_have_text("load")


def test_a_step_is_selected_by_keyboard(tab: Tab, failed: str) -> None:
    page = tab.go(f"/runs/{failed}")
    page.locator('#graph a[data-step="send"]').focus()
    page.keyboard.press("Enter")
    expect(page.locator("#panel-title")).to_have_text("send")
    assert page.evaluate("document.activeElement.dataset.step") == "send"


def test_wide_screens_have_panes_and_narrow_screens_start_with_the_error(tab: Tab, failed: str) -> None:
    page = tab.context.new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{tab.base}/runs/{failed}")
    error = page.locator("#panel pre.problem").bounding_box()
    assert error is not None
    assert error["y"] + error["height"] < 740
    for width in (1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        graph, panel = page.locator("#graph").bounding_box(), page.locator("#panel").bounding_box()
        assert graph is not None
        assert panel is not None
        assert panel["x"] >= graph["x"] + graph["width"]
        assert panel["y"] == pytest.approx(graph["y"], abs=2)
    # Styles do not widen the bars: the second step starts after the first has ended.
    first, second = (each.bounding_box() for each in page.locator("#timeline rect.span").all())
    assert first is not None
    assert second is not None
    assert first["x"] + first["width"] < second["x"] + 2
    page.close()


def test_more_rows_and_text_open_in_place(tab: Tab, client: SyncStepflowClient) -> None:
    value = {"rows": list(range(120)), "text": "y" * 30_000}
    page = tab.go(f"/runs/{run(client, ROWS, value)}")
    rows = page.locator("#result details", has=page.locator("summary", has_text="rows")).last
    rows.locator("summary").first.click() if not rows.evaluate("each => each.open") else None
    for count in (100, 120):
        rows.locator("a.more").click()
        expect(rows.locator(":scope > div:not(:has(a.more))")).to_have_count(count)
    expect(rows.locator("a.more")).to_have_count(0)
    assert page.url.partition("/runs/")[2].count("/") == 0
    text = page.locator("#result details", has=page.locator("summary", has_text="text:")).last
    text.locator("summary").click()
    assert len(text.locator("pre").text_content() or "") == 20_000
    text.locator("a.more").click()
    expect(text.locator("a.more")).to_have_count(0)
    assert len(text.locator("pre").text_content() or "") == 30_000


def test_copy_and_download(tab: Tab, client: SyncStepflowClient) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run_id = run(client, ROWS, {"a": [1, 2]})
    page = tab.go(f"/runs/{run_id}")
    page.locator("#result").get_by_role("button", name="Copy the output").click()
    expect(page.locator("#announced")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText().then(JSON.parse)") == {"a": [1, 2]}
    with page.expect_download() as download:
        page.locator("#result").get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{run_id}-0-output.json"


def test_search_within_an_output(tab: Tab, client: SyncStepflowClient) -> None:
    page = tab.go(f"/runs/{run(client, ROWS, {'rows': [{'name': f'name {number}'} for number in range(200)]})}")
    page.locator("#result").get_by_role("link", name="Search").click()
    page.get_by_label("Text in a key or value").fill("NAME 17")
    page.keyboard.press("Enter")
    expect(page.locator("#places li")).to_have_count(11)
    page.locator("#places a").first.click()
    expect(page.locator("#tree")).to_have_text('"name 17"')


def test_the_graph_can_be_resized(tab: Tab, client: SyncStepflowClient) -> None:
    noop = "/builtin/noop"
    chain = [{"id": f"s{n}", "component": noop, "input": {"$step": f"s{n - 1}"} if n else 1} for n in range(60)]
    page = tab.go(f"/runs/{run(client, {'name': 'chain', 'steps': chain, 'output': {'$step': 's59'}}, {})}/steps/s40")
    svg, scroll = page.locator("#graph svg"), page.locator("#graph .scroll")

    def height() -> float:
        box = svg.bounding_box()
        assert box is not None
        return box["height"]

    # The selected step is scrolled into view.
    expect(page.locator('#graph a[data-step="s40"]')).to_be_in_viewport()
    full_height = height()
    tools = page.get_by_role("group", name="Size of the graph")
    tools.get_by_role("button", name="Fit").click()
    assert height() <= scroll.evaluate("each => each.clientHeight") + 1
    tools.get_by_role("button", name="1:1").click()
    assert height() == pytest.approx(full_height, rel=0.01)
    tools.get_by_role("button", name="Larger").click()
    assert height() == pytest.approx(full_height * 1.25, rel=0.01)
    scroll.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, 300)
    page.keyboard.up("Control")
    assert height() < full_height
    # Selecting a step does not change the size.
    before = height()
    page.locator('#steps a[data-step="s1"]').click()
    expect(page.locator("#panel-title")).to_have_text("s1")
    assert height() == before


def test_a_running_bar_grows_and_the_page_switches_to_the_cause(tab: Tab, client: SyncStepflowClient) -> None:
    steps = [
        {"id": "wait", "component": "/builtin/sleep", "input": {"duration_ms": 4_000, "passthrough": {"a": 1}}},
        {"id": "fails", "component": "/builtin/noop", "input": {"$step": "wait", "path": "$.b"}},
    ]
    run_id = client.submit({"name": "soon", "steps": steps, "output": {"$step": "fails"}})
    page = tab.go(f"/runs/{run_id}")
    bar = page.locator("#timeline rect.span")
    expect(bar).to_have_attribute("data-since", re.compile("^20"))
    expect(bar).not_to_have_attribute("width", bar.get_attribute("width") or "")
    expect(page.locator("#panel-title")).to_have_text("fails", timeout=30_000)
    expect(page).to_have_title("✗ failed · soon · Stepflow")
    expect(page.locator("#timeline rect.span")).to_have_count(2)


def test_the_selected_step_stays_selected_during_updates(tab: Tab, client: SyncStepflowClient) -> None:
    run_id = client.submit(LONG)
    page = tab.go(f"/runs/{run_id}")
    page.locator('#steps a[data-step="slow"]').click()
    expect(page.locator("#panel-title")).to_have_text("slow")
    client.cancel_run(run_id)
    expect(page.locator("#summary .status")).to_have_text("cancelled", timeout=30_000)
    expect(page.locator("#panel-title")).to_have_text("slow")
    expect(page.locator("#panel")).to_contain_text("may still be executing")


def test_navigating_into_sub_runs_and_back(tab: Tab, client: SyncStepflowClient) -> None:
    run_id = run(client, NESTED, {"items": [{"name": 1}, {"nam": 2}]})
    page = tab.go(f"/runs/{run_id}")
    page.locator('#graph a[data-step="each"]').click()
    page.locator("#panel").get_by_role("link", name="item 1").click()
    expect(page.locator("#panel-title")).to_have_text("leaf")
    expect(page.locator("#panel pre.problem")).to_have_text("Input path $.name not found")
    page.locator("#summary").get_by_role("link", name="each").click()
    assert page.url.endswith(f"/runs/{run_id}/steps/each")


def test_without_javascript(browser: Browser, server: StepflowRuntime, failed: str) -> None:
    with started_ui(server.url) as (_, link):
        tab = Tab(browser, link, java_script_enabled=False)
        page = tab.go(f"/runs/{failed}")
        page.locator('#graph a[data-step="load"]').click()
        expect(page.locator("#panel-title")).to_have_text("load")
        expect(page.locator("#graph a[aria-current], #timeline a[aria-current], #steps a[aria-current]")).to_have_count(
            3
        )
        expect(page.get_by_role("button", name="Fit")).to_have_count(0)
        tab.context.close()
    assert tab.complaints == []


@pytest.mark.parametrize("widths", WIDTHS)
def test_accessibility_and_width(tab: Tab, client: SyncStepflowClient, failed: str, widths: tuple[int, ...]) -> None:
    nested = run(client, NESTED, {"items": [{"name": 1}, {"nam": 2}]})
    rows = run(client, ROWS, {"rows": [{"id": number, "text": "long\n" * 100} for number in range(80)]})
    running = client.submit(LONG)
    steps = [{"id": f"s{number:03}", "component": "/builtin/noop", "input": number} for number in range(200)]
    large = run(client, {"name": "large", "steps": steps, "output": [{"$step": each["id"]} for each in steps]}, {})
    paths = {
        "cause": f"/runs/{failed}", "step": f"/runs/{failed}/steps/load", "run": f"/runs/{failed}?panel=run",
        "nested": f"/runs/{nested}/steps/each", "rows": f"/runs/{rows}", "value": f"/runs/{rows}/value?find=7",
        "large": f"/runs/{large}", "running": f"/runs/{running}",
    }  # fmt: skip
    check_pages(tab.context, tab.base, paths, "screen-", widths)
    client.cancel_run(running)


def test_on_a_phone_a_batch_starts_with_its_outcome_and_collapses_its_charts(
    tab: Tab, client: SyncStepflowClient
) -> None:
    run_id = run(client, NESTED, [{"items": [{"name": 1}]}, {}, {"items": [{"name": 2}]}])
    tab.page.set_viewport_size({"width": 360, "height": 740})
    page = tab.go(f"/runs/{run_id}")
    expect(page.locator("#summary")).to_contain_text("3, 1 failed")
    cause = page.locator("#failures .problem").first.bounding_box()
    assert cause is not None
    assert cause["y"] + cause["height"] < 740
    folds = page.locator("details.fold")
    assert folds.evaluate_all("parts => parts.map((part) => part.open)") == [False] * folds.count()
    page.get_by_text("Graph", exact=True).click()
    expect(page.locator("#graph svg")).to_be_visible()
    tab.page.set_viewport_size({"width": 1280, "height": 900})
    page = tab.go(f"/runs/{run_id}")
    assert folds.evaluate_all("parts => parts.every((part) => part.open)")
