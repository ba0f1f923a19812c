"""Forms, changes and comparisons on the pages of `stepflow ui`, in Chromium on a real server: `make test-pages`."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client._rules.failure_groups import group_failures
from stepflow_client.history import History

from tests.pages.conftest import WIDTHS, check_pages, shot
from tests.pages.test_loop import folder, tab as tab_with_folder
from tests.pages.test_ui import Tab, server

__all__ = ["folder", "server", "tab_with_folder"]

FLOW: dict[str, Any] = {
    "name": "deliver",
    "schemas": {
        "properties": {
            "input": {
                "type": "object",
                "required": ["day", "customer"],
                "properties": {
                    "day": {"type": "string", "format": "date", "title": "Day"},
                    "count": {"type": "integer", "title": "Count", "minimum": 1, "maximum": 10},
                    "code": {"type": "string", "title": "Code", "pattern": "^[A-Z]+$", "examples": ["ABC"]},
                    "customer": {
                        "type": "object",
                        "title": "Customer",
                        "required": ["name"],
                        "properties": {"name": {"type": "string", "title": "Name", "minLength": 2}},
                    },
                    "tags": {"type": "array", "title": "Tags", "items": {"type": "string"}},
                    "lines": {
                        "type": "array",
                        "title": "Lines",
                        "items": {
                            "type": "object",
                            "properties": {
                                "sku": {"type": "string", "title": "SKU"},
                                "size": {"enum": ["S", "L"], "title": "Size"},
                                "n": {"type": "integer", "title": "Number"},
                            },
                        },
                    },
                },
            }
        }
    },
    "steps": [
        {"id": "pack", "component": "/builtin/noop", "input": {"$input": "$"}},
        {"id": "label", "component": "/builtin/noop", "input": {"pack": {"$step": "pack"}, "x": {"$input": "$.more"}}},
    ],
    "output": {"$step": "pack"},
}


@pytest.fixture
def client(server: StepflowRuntime) -> Any:
    with SyncStepflowClient(server.url, history=History()) as opened:
        yield opened


def test_a_form_has_rows_and_shows_errors_at_their_fields(tab_with_folder: Tab, client: SyncStepflowClient) -> None:
    page = tab_with_folder.go(f"/flows/{client.store_flow(FLOW).flow_id}")
    assert page.locator("#start label").all_inner_texts()[:4] == ["Day (required)", "Count", "Code", "Name (required)"]
    assert page.get_by_label("Day").get_attribute("type") == "date"
    page.get_by_label("Day").fill("2026-01-31")
    page.get_by_label("Name", exact=False).first.fill("Ada")
    page.get_by_role("button", name="Add to Tags").click()
    page.get_by_label("Tags 1", exact=True).fill("fragile")
    page.get_by_role("button", name="Add to Tags").click()
    page.get_by_label("Tags 2", exact=True).fill("late")
    page.get_by_role("button", name="Remove Tags 1").click()
    page.get_by_role("button", name="Add to Lines").click()
    page.get_by_label("SKU 1", exact=True).fill("A-1")
    page.get_by_label("Size 1", exact=True).select_option("L")
    page.get_by_label("Number 1", exact=True).fill("3")
    page.get_by_label("Code").fill("abc")
    shot(page, "form")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("[aria-invalid=true]")).to_have_count(1)
    expect(page.get_by_label("Code")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#start .field .problem")).to_contain_text("^[A-Z]+$")
    # The form keeps what was entered, also in rows.
    expect(page.get_by_label("Tags 1", exact=True)).to_have_value("late")
    shot(page, "form-wrong")
    # The browser reports the status of the page.
    tab_with_folder.complaints.remove(
        "Failed to load resource: the server responded with a status of 400 (Bad Request)"
    )
    page.get_by_label("Code").fill("ABC")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*")
    result = client.get_result(page.url.rpartition("/")[2], timeout=60)
    assert result.output == {
        "day": "2026-01-31",
        "code": "ABC",
        "customer": {"name": "Ada"},
        "tags": ["late"],
        "lines": [{"sku": "A-1", "size": "L", "n": 3}],
    }


@pytest.mark.parametrize("widths", WIDTHS)
def test_actions_are_accessible_at_every_width(
    tab_with_folder: Tab, client: SyncStepflowClient, widths: tuple[int, ...]
) -> None:
    value = {"day": "2026-01-31", "customer": {"name": "Ada"}, "tags": ["x"], "lines": [{"sku": "A-1", "n": 1}]}
    failing = {**FLOW, "output": {"$step": "label"}}
    runs = [client.submit(FLOW, value), client.submit(failing, value), client.submit(failing, [value, value])]
    for each in runs:
        client.wait_run(each, timeout=60)
    (group,) = group_failures(client.get_run_items(runs[2]))
    (again,) = client.start_rerun(runs[1])
    client.wait_run(again.run_id, timeout=60)
    paths = {
        "form": f"/flows/{client.store_flow(FLOW).flow_id}",
        "change": f"/runs/{runs[1]}/change?step=label",
        "group": f"/runs/{runs[2]}/change?group={group.key}",
        "compare": f"/runs/{runs[0]}/compare?with={runs[1]}",
        "compare-batches": f"/runs/{runs[2]}/compare?with={runs[2]}",
        "attempts": f"/runs/{again.run_id}",
        "keep": f"/runs/{runs[0]}/keep",
        "flows": "/flows",
    }
    check_pages(tab_with_folder.context, tab_with_folder.base, paths, "actions-", widths)
