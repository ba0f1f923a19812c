"""All pages are small, compressed and have unique form tokens, and the process exits cleanly."""

from __future__ import annotations

import re
import signal
from typing import Any

import httpx
from stepflow_client import StepflowRuntime

from tests.cli.ui.process import StartUi, form

FLOW: dict[str, Any] = {
    "name": "drawn",
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


def test_exits_cleanly_after_drawing_graphs(start_ui: StartUi, newest_server: StepflowRuntime) -> None:
    client = newest_server.sync_client
    run_ids = [client.wait_run(client.submit({**FLOW, "name": f"drawn {n}"}, n)).run_id for n in range(3)]
    ui = start_ui(newest_server.url)
    with ui.browser() as browser:
        for run_id in run_ids * 3:
            assert "<svg" in browser.get(f"/runs/{run_id}").text.partition("<main")[2]
        with browser.stream("GET", "/live/runs") as response:
            next(response.iter_lines())
            ui.process.send_signal(signal.SIGINT)
            assert ui.process.wait(timeout=60) == 0
    assert ui.process.stderr is not None
    assert "Exception" not in ui.process.stderr.read()


def test_first_page_load_is_small_and_compressed(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    for number in range(50):
        newest_server.sync_client.submit({**FLOW, "name": "small"}, number)
    page = session.get("/runs")
    assert page.headers["content-encoding"] == "gzip"
    assert page.text.count("<tr") > 50
    responses = {"page": page, "css": session.get("/static/ui.css"), "icon": session.get("/static/icon.svg")}
    modules = ["ui.js"]
    for name in modules:
        responses[name] = session.get(f"/static/{name}")
        modules += [
            each
            for each in re.findall(r'^import .*"\./([\w.]+)"', responses[name].text, re.MULTILINE)
            if each not in modules
        ]
    assert {each.status_code for each in responses.values()} == {200}
    sizes = {name: len(each.content) for name, each in responses.items()}
    assert sum(sizes.values()) < 60_000, sizes


def test_event_streams_are_not_compressed(session: httpx.Client) -> None:
    with session.stream("GET", "/live/runs") as response:
        assert "content-encoding" not in response.headers
        assert response.headers["content-type"].startswith("text/event-stream")
        next(response.iter_lines())


def test_form_tokens_differ_between_responses(session: httpx.Client) -> None:
    # A constant secret in a compressed page could be guessed from response sizes (BREACH).
    tokens = {form(session.get("/flows/new"), "/flows")["csrf"] for _ in range(3)}
    assert len(tokens) == 3
    signatures = {token.rpartition(".")[2] for token in tokens}
    assert len(signatures) == 3
