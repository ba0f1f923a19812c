"""The list of runs: contents of a row, runs that share one, and actions on selected runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_cli.ui.run_list import build_run_rows
from stepflow_client import RunDetails, StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History, HistoryEntry

from tests.cli.ui.process import StartUi, form
from tests.cli.ui.test_pages import visible_text

NOOP = "/builtin/noop"
FLOW: dict[str, Any] = {
    "name": "listed",
    "steps": [{"id": "load", "component": NOOP, "input": {"$input": "$.card"}}],
    "output": {"$step": "load"},
}
START = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.fixture
def client(newest_server: StepflowRuntime, tmp_path: Path) -> Iterator[SyncStepflowClient]:
    history = History(tmp_path / "stepflow" / "history.db")
    with SyncStepflowClient(newest_server.url, history=history) as recording:
        yield recording


@pytest.fixture
def browser(start_ui: StartUi, client: SyncStepflowClient, tmp_path: Path) -> Iterator[httpx.Client]:
    with start_ui(client.url, XDG_STATE_HOME=str(tmp_path)).browser() as opened:
        yield opened


def run(client: SyncStepflowClient, value: Any, **labels: str) -> str:
    return client.wait_run(client.submit(FLOW, value, labels=labels)).run_id


def row(page: httpx.Response, run_id: str) -> str:
    """Return the text of a run's row, or "" if the run has no row."""
    assert page.status_code == 200, page.text[:500]
    match = re.search(rf'<tr data-key="{run_id}".*?</tr>', page.text, re.DOTALL)
    return visible_text(httpx.Response(200, text=match[0])) if match else ""


def submit_selection(browser: httpx.Client, action: str, *run_ids: str) -> httpx.Response:
    fields = form(browser.get("/runs"), "/runs/chosen")
    return browser.post("/runs/chosen", data={**fields, "action": action, **dict.fromkeys(run_ids, "on")})


def test_rows_show_labels_errors_and_attempts(browser: httpx.Client, client: SyncStepflowClient) -> None:
    batch = run(client, [{"card": 1}, {"card": 2}, {}], customer="42")
    page = browser.get("/runs")
    assert row(page, batch).startswith(
        "listed customer=42 load expression_failed Input path $.card not found failed 3 (1 failed)"
    )
    assert 'aria-label="2 completed and 1 failed of 3"' in page.text
    (again,) = client.start_rerun(batch, keep="succeeded")
    client.wait_run(again.run_id)
    page = browser.get("/runs")
    assert "1 earlier attempt" in row(page, again.run_id)
    assert row(page, batch) == ""
    opened = browser.get("/runs", params={"open": f"rerun:{batch}"})
    assert row(opened, again.run_id) != ""
    assert row(opened, batch).startswith("listed")
    # Search results are not folded.
    assert row(browser.get("/runs?q=listed"), batch).startswith("listed")


def test_two_selected_runs_are_compared(browser: httpx.Client, client: SyncStepflowClient) -> None:
    older, newer = run(client, {"card": 1}), run(client, {"card": 2})
    response = submit_selection(browser, "compare", newer, older)
    assert response.headers["location"] == f"/runs/{newer}/compare?with={older}"
    assert browser.get(response.headers["location"]).status_code == 200


def test_selected_runs_are_rerun(browser: httpx.Client, client: SyncStepflowClient) -> None:
    failed, completed = run(client, {}), run(client, {"card": 1})
    response = submit_selection(browser, "rerun", failed, completed)
    page = browser.get(response.headers["location"])
    assert page.status_code == 200
    again = [
        each for each in dict.fromkeys(re.findall(r"/runs/([\w-]{36})", page.text)) if each not in (failed, completed)
    ]
    assert sorted(client.wait_run(each).status.value for each in again) == ["completed", "failed"]
    assert len(again) == 2


def test_failed_rerun_of_a_selection_names_the_reruns_that_were_started(
    browser: httpx.Client, client: SyncStepflowClient
) -> None:
    completed, later = run(client, {"card": 1}), run(client, {"card": 2})
    with SyncStepflowClient(client.url) as other:
        # This client doesn't record the input, and the server doesn't return it.
        unknown = other.wait_run(other.submit(FLOW, {})).run_id
    response = submit_selection(browser, "rerun", completed, unknown, later)
    (started,) = [each.run_id for each in client.list_runs(limit=1).runs]
    assert response.status_code == 400
    assert f"page of run {unknown}; these reruns of other selected runs were started: {started}" in visible_text(
        response
    )
    assert client.get_result(started).output == 1


def test_invalid_selections_are_refused(browser: httpx.Client, client: SyncStepflowClient) -> None:
    one = run(client, {"card": 1})
    for action, selected, message in (
        ("compare", [one], "a comparison needs two runs, not 1"),
        ("compare", [], "a comparison needs two runs"),
        ("cancel", [one], "none of the selected runs is running"),
        ("cancel", ["../flows"], "the ID of a selected run is invalid"),
        ("rerun", [], "no run is selected"),
        ("delete", [one], "the form has no action"),
    ):
        response = submit_selection(browser, action, *selected)
        assert response.status_code == 400, (action, selected)
        assert message in visible_text(response)


def entry(run_id: str, labels: dict[str, str] | None = None, rerun_of: str | None = None) -> HistoryEntry:
    return HistoryEntry(run_id=run_id, created_at=START, labels=labels or {}, rerun_of=rerun_of)


def test_runs_of_an_evaluation_share_a_row(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    one = client.get_run(client.wait_run(client.submit(FLOW, {"card": 1})).run_id)

    def run_details(name: str, minutes: int) -> RunDetails:
        return replace(one, run_id=name, created_at=START - timedelta(minutes=minutes))

    runs = [run_details("d", 0), run_details("c", 1), run_details("b", 3), run_details("a", 60)]
    entries = {each: entry(each, {"eval": "classify"}) for each in "abcd" if each != "c"}
    rows = build_run_rows(runs, entries, "", folds=True)
    # A run from an hour ago belongs to an earlier evaluation.
    assert [(each.run.run_id, len(each.folded_runs)) for each in rows] == [("d", 1), ("c", 0), ("a", 0)]
    assert rows[0].item_counts == {"total": 2, "completed": 2, "failed": 0}
    opened = build_run_rows(runs, entries, rows[0].key, folds=True)
    assert [(each.run.run_id, each.is_inside) for each in opened] == [
        ("d", False),
        ("c", False),
        ("b", True),
        ("a", False),
    ]
    assert len(build_run_rows(runs, entries, "", folds=False)) == 4


def test_running_evaluation_counts_the_items_of_all_its_runs(browser: httpx.Client, client: SyncStepflowClient) -> None:
    run(client, [{"card": 1}, {"card": 2}], eval="classify")
    slow = {
        "steps": [{"id": "wait", "component": "/builtin/sleep", "input": {"duration_ms": 60_000}}],
        "output": {"$step": "wait"},
    }
    running = client.submit(slow, {}, labels={"eval": "classify"})
    assert "running 3 2" in row(browser.get("/runs"), running)
    assert 'aria-label="2 completed and 0 failed of 3"' in browser.get("/runs").text
    client.cancel_run(running)
