"""Runs can be found by free text and by the start of their ID (on a real server)."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests.cli.ui.process import StartUi, flow_file


def listed_run_ids(page: httpx.Response) -> list[str]:
    assert page.status_code == 200
    return re.findall(r'<th scope="row"><a href="/runs/([^"]*)"', page.text)


@pytest.fixture
def client(newest_server: StepflowRuntime) -> SyncStepflowClient:
    return newest_server.sync_client


def test_search_by_flow_id_component_and_error(session: httpx.Client, client: Any) -> None:
    flow = {
        "name": "Needle-in-hay",
        "steps": [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 0}}],
        "output": {"$step": "a"},
    }
    named = client.wait_run(client.submit(flow)).run_id
    failed = client.wait_run(client.submit(flow_file("fails.yaml"), {"nam": "Ada"})).run_id
    assert listed_run_ids(session.get("/runs", params={"q": "needle"})) == [named]
    assert listed_run_ids(session.get("/runs", params={"q": named})) == [named]
    assert named in listed_run_ids(session.get("/runs", params={"q": named[:14].upper()}))
    by_component = session.get("/runs", params={"q": "BUILTIN/SLEEP"})
    assert named in listed_run_ids(by_component)
    assert failed not in listed_run_ids(by_component)
    assert "component /builtin/sleep" in by_component.text
    by_error = session.get("/runs", params={"q": "$.name not", "flow": "fails"})
    assert failed in listed_run_ids(by_error)
    assert "Input path $.name not found" in by_error.text
    assert listed_run_ids(session.get("/runs", params={"q": "needle", "status": "failed"})) == []
    nothing = session.get("/runs", params={"q": "no such text"})
    assert "No runs match" in nothing.text
    assert "Flows searched by component" in nothing.text
    assert 'value="no such text"' in nothing.text


def test_search_by_label_note_and_input(start_ui: StartUi, newest_server: StepflowRuntime, tmp_path: Path) -> None:
    history = History(tmp_path / "stepflow" / "history.db")
    flow = {"name": "labelled", "steps": [], "output": {"$input": "$"}}
    with SyncStepflowClient(newest_server.url, history=history) as client:
        runs = [client.submit(flow, {"customer": "blue whale"}, labels={"team": "otters"}), client.submit(flow, 1)]
        history.annotate(runs[1], "asked for by Grace")
    with start_ui(newest_server.url, XDG_STATE_HOME=str(tmp_path)).browser() as browser:
        for text, run_id, reason in (
            ("otters", runs[0], "label team=otters"),
            ("BY GRACE", runs[1], "note: asked for by Grace"),
            ("blue whale", runs[0], "in what it was started with"),
            ("team=otters whale since:1h", runs[0], "label team=otters"),
            ("team=otters flow:labelled status:completed", runs[0], "label team=otters"),
        ):
            page = browser.get("/runs", params={"q": text})
            assert listed_run_ids(page) == [run_id]
            assert reason in unescape(page.text)


def test_id_prefix_redirects_to_the_run(session: httpx.Client, client: Any) -> None:
    runs = [client.wait_run(client.submit(flow_file("hello.yaml"), {"name": str(number)})).run_id for number in (1, 2)]
    # IDs of the same millisecond share 24 characters.
    for path in ("", "/items/0", "/flow"):
        moved = session.get(f"/runs/{runs[0][:30]}{path}?a=b")
        assert (moved.status_code, moved.headers["location"]) == (303, f"/runs/{runs[0]}{path}?a=b")
    # Both were created within the same minute, which the first digits encode.
    several = session.get(f"/runs/{runs[0][:7]}")
    assert several.headers["location"] == f"/runs?q={runs[0][:7]}"
    assert set(runs) <= set(listed_run_ids(session.get(several.headers["location"])))
    assert session.get("/runs/00000001").status_code == 404
    assert session.get("/runs/xyz").status_code == 400
    assert session.post(f"/runs/{runs[0][:30]}/cancel").status_code == 400


def test_all_words_of_a_query_match(session: httpx.Client, client: Any) -> None:
    flow = {"name": "two-words", "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "lost"}}]}
    failed = client.wait_run(client.submit({**flow, "output": {"$step": "a"}}, {})).run_id
    assert listed_run_ids(session.get("/runs", params={"q": "two-words noop"})) == [failed]
    assert listed_run_ids(session.get("/runs", params={"q": "two-words $.lost not"})) == [failed]
    assert listed_run_ids(session.get("/runs", params={"q": "two-words nothing"})) == []
    # A query of fields only is a live list.
    listed = session.get("/runs", params={"q": "flow:two-words status:failed since:today"})
    assert listed_run_ids(listed) == [failed]
    assert 'data-live="/live/runs?q=flow%3Atwo-words' in listed.text
    assert 'value="flow:two-words status:failed since:today include:sub-runs"' in listed.text
    for wrong in ("status:nonsense", "since:never"):
        assert session.get("/runs", params={"q": wrong}).status_code == 400


@pytest.mark.parametrize("text", ["<script>", "%", "_", "'", '"', "\\", "\x00", "x" * 3000, "\u202e", "{{7*7}}"])
def test_special_characters_in_queries(session: httpx.Client, text: str) -> None:
    page = session.get("/runs", params={"q": text})
    assert page.status_code == 200
    assert "<script>" not in page.text.partition("<body")[2]
