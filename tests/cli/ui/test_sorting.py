"""Tables are sorted by the column in the URL, and link to the slowest steps and items."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from stepflow_cli.ui.run_list import SortOrder
from stepflow_client import StepflowRuntime

NOOP = "/builtin/noop"
MANY: dict[str, Any] = {
    "name": "many",
    "steps": [{"id": f"step_{number}", "component": NOOP, "input": {"$input": "$"}} for number in range(120)],
    "output": [{"$step": f"step_{number}"} for number in range(120)],
}
PATH = {
    "name": "path",
    "steps": [{"id": "a", "component": NOOP, "input": {"$input": "$.b"}}],
    "output": {"$step": "a"},
}


def test_rows_without_a_value_are_last_in_both_directions() -> None:
    keys = {"duration": lambda row: row}
    assert SortOrder.parse("duration", keys).sort_rows([2, None, 1], keys) == [1, 2, None]
    assert SortOrder.parse("-duration", keys).sort_rows([2, None, 1], keys) == [2, 1, None]
    assert SortOrder.parse("nonsense", keys).sort_rows([2, None, 1], keys) == [2, None, 1]


def test_second_click_reverses_the_order() -> None:
    columns = ("step", "duration")
    assert [SortOrder().get_order_after_click(each) for each in columns] == ["step", "-duration"]
    assert [SortOrder.parse("-duration", columns).get_order_after_click(each) for each in columns] == [
        "step",
        "duration",
    ]


def rows(page: httpx.Response, part: str) -> list[str]:
    """Return the row headings of a table."""
    assert page.status_code == 200, page.text[:500]
    section = re.search(rf'<section id="{part}".*?</section>', page.text, re.DOTALL)
    assert section
    return re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', section[0])


def bars(page: httpx.Response) -> list[str]:
    section = page.text.partition('<section id="timeline"')[2].partition("</section>")[0]
    return re.findall(r'<a [^>]*data-step="([^"]*)"', section)


def test_steps_are_sorted_and_the_slowest_has_a_link(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    run_id = client.wait_run(client.submit(MANY, 1)).run_id
    page = session.get(f"/runs/{run_id}")
    assert rows(page, "steps") == bars(page) == [f"step_{number}" for number in range(100)]
    slowest = re.search(r'<dt>Slowest step</dt><dd><a href="([^"]*)" data-step="(\w+)"', page.text)
    assert slowest
    # The slowest step is first even if it is not among the first 100.
    sorted_page = session.get(f"/runs/{run_id}?sort=-duration")
    assert rows(sorted_page, "steps")[0] == slowest[2] == bars(sorted_page)[0]
    assert 'aria-sort="descending"' in sorted_page.text
    assert f'href="/runs/{run_id}?sort=duration#steps"' in sorted_page.text
    # Selecting a step keeps the order.
    assert f'href="/runs/{run_id}/steps/{slowest[2]}?sort=-duration"' in sorted_page.text
    assert rows(session.get(f"/runs/{run_id}?sort=-step"), "steps")[0] == "step_99"
    zoom = re.search(r'<a href="(/runs/[^"]*span=[^"]*)#timeline"><title>Zoom', page.text)
    assert zoom
    assert len(bars(session.get(zoom[1].replace("&amp;", "&")))) <= 100


@pytest.mark.parametrize("query", ["sort=nonsense", "sort=-", "span=2-1", "span=nan-inf", "span=x", "span=-1-2"])
def test_invalid_sort_and_span_are_ignored(session: httpx.Client, newest_server: StepflowRuntime, query: str) -> None:
    client = newest_server.sync_client
    run_id = client.wait_run(client.submit(PATH, {"b": 1})).run_id
    page = session.get(f"/runs/{run_id}?{query}")
    assert rows(page, "steps") == ["a"]
    assert "aria-sort" not in page.text
    assert "Whole time" not in page.text


def test_items_are_sorted_by_each_column(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    inputs = [{"b": number} if number % 2 else {"a": number} for number in range(6)]
    run_id = client.wait_run(client.submit(PATH, inputs)).run_id
    page = session.get(f"/runs/{run_id}")
    assert rows(page, "items") == ["0", "1", "2", "3", "4", "5"]
    assert rows(session.get(f"/runs/{run_id}?sort=-item"), "items") == ["5", "4", "3", "2", "1", "0"]
    assert rows(session.get(f"/runs/{run_id}?sort=status"), "items") == ["1", "3", "5", "0", "2", "4"]
    assert rows(session.get(f"/runs/{run_id}?sort=-result&status=completed"), "items") == ["5", "3", "1"]
    by_duration = rows(session.get(f"/runs/{run_id}?sort=-duration"), "items")
    # Each percentile links to an item, the last one to the slowest item.
    latency = page.text.partition('<section id="durations"')[2].partition("</section>")[0]
    assert re.findall(rf'href="/runs/{run_id}/items/(\d)"', latency)[-1] == by_duration[0]
    assert 'href="?status=failed&amp;sort=-duration#items"' in session.get(f"/runs/{run_id}?sort=-duration").text
