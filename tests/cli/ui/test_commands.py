"""The pages suggest working commands, and create links for other browsers."""

from __future__ import annotations

import re
import shlex
from html import unescape
from typing import Any

import httpx
import pytest
from stepflow_client import StepflowRuntime

from tests.cli.command import Stepflow
from tests.cli.ui.process import Ui, form

NOOP = "/builtin/noop"
FLOW: dict[str, Any] = {
    "name": "offered",
    "steps": [{"id": "load it", "component": NOOP, "input": {"$input": "$.card"}}],
    "output": {"$step": "load it"},
}


def commands(page: httpx.Response) -> list[list[str]]:
    """Return the arguments of each command that a page suggests."""
    assert page.status_code == 200, page.text[:500]
    part = page.text.partition('<div id="take"')[2].partition("</details>")[0]
    return [shlex.split(unescape(each)) for each in re.findall(r'<code class="long">(.*?)</code>', part)]


def test_suggested_commands_match_the_page(
    session: httpx.Client, newest_server: StepflowRuntime, stepflow: Stepflow
) -> None:
    client = newest_server.sync_client
    failed, one, two = (client.wait_run(client.submit(FLOW, each)).run_id for each in ({}, {"card": 1}, {"card": 2}))
    batch = client.wait_run(client.submit(FLOW, [{"card": 1}, {}])).run_id
    flow_id = client.get_run(one).flow_id
    url = ["--url", client.url]
    expected = {
        f"/runs/{one}": [["runs", "get", one], ["runs", "rerun", one]],
        f"/runs/{failed}": [["runs", "get", failed], ["runs", "rerun", failed, "--from", "load it"]],
        f"/runs/{batch}": [["runs", "get", batch], ["runs", "rerun", batch, "--failed"]],
        f"/runs/{batch}/items/0": [
            ["runs", "result", batch, "--item", "0"],
            ["runs", "get", batch],
            ["runs", "rerun", batch, "--item", "0"],
        ],
        f"/runs/{batch}/items/1": [
            ["runs", "result", batch, "--item", "1"],
            ["runs", "get", batch],
            ["runs", "rerun", batch, "--from", "load it", "--item", "1"],
        ],
        f"/runs/{two}/compare?with={one}": [["runs", "diff", one, two]],
        f"/runs/{batch}/compare?with={one}&item=1&with_item=0": [["runs", "diff", one, batch, "--item", "0:1"]],
        f"/runs/{one}/change": [["runs", "get", one], ["runs", "rerun", one]],
        f"/flows/{flow_id}": [["flows", "get", flow_id]],
        "/flows": [["flows", "list"]],
        "/components": [["components", "list"]],
        "/runs?status=failed&flow=offered": [["runs", "list", "--roots-only", "flow:offered", "status:failed"]],
        "/flows/new": [],
    }
    for path, expected_commands in expected.items():
        assert commands(session.get(path)) == [["stepflow", *each, *url] for each in expected_commands], path
    for path in (f"/runs/{one}", f"/runs/{two}/compare?with={one}", "/runs?status=failed&flow=offered", "/flows"):
        result = stepflow(*commands(session.get(path))[0][1:])
        assert result.code in (0, 1), result
        assert result.stdout


def test_link_opens_the_page_in_another_browser(session: httpx.Client, ui: Ui) -> None:
    page = session.get("/runs?status=failed&part=panel")
    fields = form(page, "/link")
    # The query of a partial update by the script is dropped.
    assert unescape(fields["to"]) == "/runs?status=failed"
    shown = session.post("/link", data={**fields, "to": unescape(fields["to"])})
    link = re.search(r'id="link">([^<]*)<', shown.text)
    assert link
    with ui.browser(unescape(link[1])) as other:
        assert other.get("/runs").status_code == 200
    # The link works in one browser only.
    assert httpx.get(unescape(link[1]), trust_env=False, verify=False).status_code == 403


@pytest.mark.parametrize(
    "to", ["//elsewhere.example/runs", "https://elsewhere.example", "/", "/runs\r\nx: y", '/runs"']
)
def test_link_to_another_site_is_refused(session: httpx.Client, ui: Ui, to: str) -> None:
    response = session.post("/link", data={**form(session.get("/runs"), "/link"), "to": to})
    assert response.status_code == 400
    opened = session.get("/", params={"to": to})
    assert opened.headers["location"] == "/runs"
