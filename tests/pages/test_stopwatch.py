"""Common tasks on the pages of `stepflow ui` take few clicks, counted in Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests.pages.test_ui import Tab, server, started_ui

__all__ = ["server"]

NOOP = "/builtin/noop"
CHARGE: dict[str, Any] = {
    "name": "charge",
    "steps": [
        {"id": "load", "component": NOOP, "input": {"order": {"$input": "$"}}},
        {"id": "charge", "component": NOOP, "input": {"$step": "load", "path": "$.order.card"}},
    ],
    "output": {"$step": "charge"},
}
MANY: dict[str, Any] = {
    "name": "many",
    "steps": [{"id": f"step_{number}", "component": NOOP, "input": {"$input": "$"}} for number in range(300)],
    "output": [{"$step": f"step_{number}"} for number in range(300)],
}


class ClickCounter:
    """Clicks on a page and counts the clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def click(self, target: Locator) -> None:
        self.count += 1
        target.click()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flows")
    (path / "charge.yaml").write_text(yaml.safe_dump(CHARGE, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def tab(browser: Browser, server: StepflowRuntime, folder: Path) -> Iterator[Tab]:
    with started_ui(server.url, "--flows", str(folder)) as (_, link):
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


def row(page: Page, run_id: str) -> Locator:
    return page.locator(f'#list tr[data-key="{run_id}"]')


def test_the_cause_is_one_click_away(tab: Tab, client: SyncStepflowClient, folder: Path) -> None:
    failed = run(client, folder / "charge.yaml", {"name": "Ada"})
    user = ClickCounter(tab.go("/runs"))
    # The list already shows the first line of the error.
    expect(row(user.page, failed)).to_contain_text("not found")
    user.click(row(user.page, failed).get_by_role("link", name="charge"))
    expect(user.page.locator("#panel .error")).to_be_in_viewport()
    expect(user.page.locator("#panel")).to_contain_text("not found")
    assert user.count == 1


def test_a_changed_rerun_that_succeeds_takes_four_clicks(tab: Tab, client: SyncStepflowClient, folder: Path) -> None:
    failed = run(client, folder / "charge.yaml", {"name": "Ada"})
    user = ClickCounter(tab.go(f"/runs/{failed}"))
    user.click(user.page.get_by_role("link", name="Change and run"))
    field = user.page.get_by_label("Input as JSON or YAML", exact=True)
    user.click(field)
    field.fill('{"card": "4242"}')
    user.click(user.page.get_by_role("button", name="Run", exact=True))
    expect(user.page.locator("#summary .status")).to_have_text("completed", timeout=30_000)
    assert user.count <= 4


def test_a_saved_test_takes_two_clicks(tab: Tab, client: SyncStepflowClient, folder: Path) -> None:
    done = run(client, folder / "charge.yaml", {"card": "4242"})
    user = ClickCounter(tab.go(f"/runs/{done}"))
    user.click(user.page.get_by_role("link", name="Keep as a test"))
    user.click(user.page.locator("main form button").last)
    expect(user.page.get_by_role("status").filter(has_text="Kept as")).to_be_visible()
    assert user.count == 2
    assert "4242" in (folder / "charge.yaml").read_text()


def test_the_slowest_of_300_steps_is_one_click_away(tab: Tab, client: SyncStepflowClient) -> None:
    many = run(client, MANY, 1)
    user = ClickCounter(tab.go(f"/runs/{many}"))
    slowest = user.page.locator("#summary dd:has(a[data-step])")
    expect(slowest).to_be_in_viewport()
    name = slowest.locator("a").inner_text()
    user.click(slowest.locator("a"))
    expect(user.page.locator("#panel-title")).to_have_text(name)
    assert user.count == 1
    user.click(user.page.get_by_role("link", name="Slowest first"))
    expect(user.page.locator("#steps tbody tr").first).to_contain_text(name)
    expect(user.page.locator("#timeline a[data-step]").first).to_have_attribute("data-step", name)
    user.click(user.page.locator("#timeline a[href*=span]").first)
    expect(user.page.get_by_role("link", name="Whole time")).to_be_visible()


def test_failed_items_are_rerun_with_one_click(tab: Tab, client: SyncStepflowClient) -> None:
    batch = run(client, CHARGE, [{"card": "1"}, {}, {"card": "3"}])
    user = ClickCounter(tab.go(f"/runs/{batch}"))
    user.click(user.page.get_by_role("button", name="Run failed items again"))
    user.page.wait_for_url(lambda url: batch not in url)
    assert user.count == 1
    again = client.history.get(user.page.url.rpartition("/")[2])
    assert again is None or again.rerun_items == (1,)


def test_two_runs_are_compared_with_three_clicks(tab: Tab, client: SyncStepflowClient) -> None:
    older, newer = run(client, CHARGE, {"card": "1"}), run(client, CHARGE, {"card": "2"})
    user = ClickCounter(tab.go("/runs"))
    for each in (newer, older):
        user.click(row(user.page, each).get_by_role("checkbox"))
    user.click(user.page.get_by_role("button", name="Compare two"))
    expect(user.page).to_have_url(re.compile(f"/runs/{newer}/compare\\?with={older}"))
    expect(user.page.get_by_role("region", name="Differences of the output")).to_be_visible()
    assert user.count == 3


def test_the_command_is_one_click_away(tab: Tab, client: SyncStepflowClient) -> None:
    done = run(client, CHARGE, {"card": "1"})
    user = ClickCounter(tab.go(f"/runs/{done}"))
    user.click(user.page.locator(".take summary"))
    expect(user.page.locator(".take code.long").first).to_have_text(f"stepflow runs get {done} --url {client.url}")
    assert user.count == 1
    user.page.keyboard.press("Tab")
    user.page.keyboard.press("Enter")
    expect(user.page.locator("#announced")).to_have_text(re.compile("Copied|does not allow"))
