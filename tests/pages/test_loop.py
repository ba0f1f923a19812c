"""From a failed run to a tested fix, in Chromium on a real server: `make test-pages`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client._rules.failure_groups import group_failures
from stepflow_client.history import History

from tests import releases
from tests.pages.conftest import shot
from tests.pages.test_ui import Tab, server

__all__ = ["server"]

FLOW = """# Orders and their receipts.
name: orders
schemas:
  properties:
    input:
      type: object
      required: [order]
      properties:
        order: {type: string, title: Order}
        customer:
          type: object
          title: Customer
          properties:
            name: {type: string, title: Name}
steps:
- id: load
  component: /builtin/noop
  input: {order: {$input: order}}
- id: charge
  component: /builtin/noop
  input: {order: {$step: load, path: order}, name: {$input: $.customer.name}}
- id: receipt
  component: /builtin/noop
  input: {$step: charge}
output: {$step: receipt}
"""
BATCH = """name: crawl
steps:
- id: fetch
  component: /builtin/noop
  input: {page: {$input: page}}
- id: parse
  component: /builtin/noop
  input: {page: {$step: fetch, path: page}, title: {$input: title}}
output: {$step: parse}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flows")
    (path / "orders.yaml").write_text(FLOW)
    (path / "crawl.yaml").write_text(BATCH)
    return path


@contextmanager
def started_ui(url: str, folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "stepflow_cli", "ui", "--no-open", "--url", url, "--flows", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield next(match[0] for line in process.stderr if (match := re.search(r"http\S+token=\S+", line)))
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def tab(browser: Browser, server: StepflowRuntime, folder: Path) -> Iterator[Tab]:
    with started_ui(server.url, folder) as link:
        opened = Tab(browser, link)
        yield opened
        opened.context.close()
    assert opened.complaints == []


def run_to_end(server: StepflowRuntime, file: Path, value: object) -> str:
    """Run a flow file like `stepflow run`, which records the run and the file in the history."""
    with SyncStepflowClient(server.url, history=History()) as client:
        run_id = client.submit(str(file), value)
        client.wait_run(run_id, timeout=60)
    return run_id


def run_flow_tests(file: Path) -> str:
    environment = {**os.environ, "STEPFLOW_SERVER_BINARY": str(releases.binary(releases.NEWEST))}
    command = [sys.executable, "-m", "stepflow_cli", "test", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def save_as_test(page: Page, name: str) -> None:
    """Save the open run as a test case, after a review of the diff."""
    page.get_by_label("Case name").fill(name)
    page.get_by_role("button", name="Show the change").click()
    expect(page.locator(".diff .added").filter(has_text=name)).to_have_count(1)
    expect(page.locator(".diff .removed")).to_have_count(0)
    shot(page, f"keep-{name.replace(' ', '-')}")
    page.get_by_role("button", name="Write the case to the file").click()
    expect(page.get_by_role("status").filter(has_text="Kept as")).to_contain_text(name)


def test_from_a_failed_run_to_a_tested_fix(tab: Tab, server: StepflowRuntime, folder: Path) -> None:
    file = folder / "orders.yaml"
    failed = run_to_end(server, file, {"order": "A-17"})
    page = tab.go(f"/runs/{failed}")
    # The page opens at the cause.
    expect(page.locator("#panel")).to_contain_text("charge")
    expect(page.locator("#panel")).to_contain_text("customer.name")
    shot(page, "loop-failed")
    page.get_by_role("link", name="Change and run").click()
    page.get_by_label("Name", exact=True).fill("Ada")
    page.get_by_role("button", name="Show what would run").click()
    expect(page.locator("#plan")).to_contain_text("charge, receipt")
    expect(page.locator("#plan")).to_contain_text("load")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Ada")
    shot(page, "loop-plan")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(lambda url: "/change" not in url)
    expect(page.locator("#summary .status")).to_have_text("completed", timeout=30_000)
    expect(page.locator("#attempts")).to_contain_text("Attempt 2 of 2")
    shot(page, "loop-green")
    new = page.url
    page.get_by_role("link", name="Compare with attempt 1").click()
    expect(page.locator("#given")).to_contain_text("Ada")
    expect(page.locator("#steps details.step[open]")).to_have_count(2)
    expect(page.locator("#steps")).to_contain_text("not run")
    shot(page, "loop-compare")
    page.goto(new)
    page.get_by_role("link", name="Keep as a test").click()
    save_as_test(page, "a customer with a name")
    assert file.read_text().startswith(FLOW)
    assert "1 passed" in run_flow_tests(file)


def test_from_the_list_to_a_fixed_run_by_keyboard_alone(tab: Tab, server: StepflowRuntime, folder: Path) -> None:
    failed = run_to_end(server, folder / "orders.yaml", {"order": "by-keys"})
    page = tab.go("/runs")
    keys = page.keyboard

    def tab_to(script: str) -> None:
        for _ in range(80):
            keys.press("Tab")
            if page.evaluate(f"(e => {script})(document.activeElement)"):
                return
        raise AssertionError(f"the keyboard does not reach {script}")

    keys.press("f")
    keys.press("Enter")
    page.wait_for_url(f"**/runs/{failed}")
    expect(page.locator("#panel")).to_contain_text("customer.name")
    tab_to("e.textContent.trim() === 'Change and run'")
    keys.press("Enter")
    page.wait_for_url("**/change*")
    tab_to("e.labels?.[0]?.textContent.trim() === 'Name'")
    keys.type("Ada")
    tab_to("e.textContent.trim() === 'Run'")
    keys.press("Enter")
    page.wait_for_url(lambda url: "/change" not in url)
    expect(page.locator("#summary .status")).to_have_text("completed", timeout=30_000)
    expect(page.locator("#attempts")).to_contain_text("Attempt 2 of 2")


def test_from_a_batch_with_two_causes_to_a_tested_fix(tab: Tab, server: StepflowRuntime, folder: Path) -> None:
    file = folder / "crawl.yaml"
    inputs = [{"page": number, "title": f"t{number}"} for number in range(100)]
    for number in range(0, 60, 3):
        del inputs[number]["title"]
    for number in range(1, 25, 3):
        del inputs[number]["page"]
    failed = run_to_end(server, file, inputs)
    groups = group_failures(server.sync_client.get_run_items(failed))
    assert [len(group.indexes) for group in groups] == [20, 8]
    page = tab.go(f"/runs/{failed}")
    page.locator("#failures").get_by_role("link", name="Try a change on one item").first.click()
    expect(page.get_by_role("main")).to_contain_text("20 failed items")
    page.get_by_label("Input as JSON or YAML").fill('{"page": 0, "title": "none"}')
    page.get_by_role("button", name="Show what would run").click()
    expect(page.locator("#plan")).to_contain_text("parse")
    page.get_by_role("button", name="Try on item 0").click()
    expect(page.locator("#trial .status")).to_have_text("completed", timeout=30_000)
    shot(page, "loop-tried")
    page.get_by_label("Execute").select_option("all")
    page.get_by_role("button", name="Run on all 20 items").click()
    page.wait_for_url(lambda url: "/change" not in url)
    expect(page.locator("#summary .status")).to_have_text("completed", timeout=30_000)
    new = page.url.rpartition("/")[2]
    outputs = [each.output for each in server.sync_client.get_results(new, timeout=60)]
    assert outputs == [{"page": number, "title": "none"} for number in range(0, 60, 3)]
    page.goto(f"{tab.base}/runs/{new}/items/1")
    expect(page.locator("#attempts")).to_contain_text("Attempt 2 of 2")
    page.get_by_role("link", name="Compare with attempt 1").click()
    expect(page.locator("#given")).to_contain_text("title")
    page.goto(f"{tab.base}/runs/{new}/items/1")
    page.get_by_role("link", name="Keep as a test").click()
    save_as_test(page, "a page without a title")
    # The other cause becomes a separate test, which expects the error.
    page.goto(f"{tab.base}/runs/{failed}/items/1")
    page.get_by_role("link", name="Keep as a test").click()
    save_as_test(page, "no page")
    cases = yaml.safe_load(file.read_text())["test"]["cases"]
    assert [each["output"]["outcome"] for each in cases] == ["success", "failed"]
    assert "2 passed" in run_flow_tests(file)
