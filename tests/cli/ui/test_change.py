"""Runs can be changed and rerun, and attempts are listed and compared (on a real server)."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import LogConfig, StepflowRuntime, SyncStepflowClient
from stepflow_client._rules.failure_groups import group_failures
from stepflow_client.history import History

from tests import releases
from tests.cli.ui.process import StartUi, form

FLOW: dict[str, Any] = {
    "name": "greeting",
    "schemas": {
        "properties": {
            "input": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "mood": {"type": "string"}},
            },
            "variables": {
                "type": "object",
                "properties": {
                    "sign": {"type": "string", "default": "!"},
                    "key": {"type": "string", "is_secret": True},
                },
            },
        }
    },
    "steps": [
        {"id": "mood", "component": "/builtin/noop", "input": {"mood": {"$input": "mood"}}},
        {"id": "greet", "component": "/builtin/noop", "input": {"name": {"$input": "name"}, "mood": {"$step": "mood"}}},
    ],
    "output": {"$step": "greet"},
}


def start_run(session: httpx.Client, server: StepflowRuntime, value: Any, **more: Any) -> str:
    """Start a run from the pages, which records it in their history, and wait for it."""
    flow_id = server.sync_client.store_flow({**FLOW, **more}).flow_id
    path = f"/flows/{flow_id}/start"
    data = form(session.get(f"/flows/{flow_id}"), path)
    sent: dict[str, str] = {**data, "raw": json.dumps(value)}
    if isinstance(value, list):
        sent["batch"] = "1"
    done = session.post(path, data=sent)
    assert done.status_code == 303, done.text
    run_id = done.headers["location"].rpartition("/")[2]
    server.sync_client.wait_run(run_id, timeout=60)
    return run_id


def send(session: httpx.Client, path: str, *, do: str, **values: str) -> httpx.Response:
    """Submit the form of a change page as a browser does: the values shown, updated with `values`."""
    page = session.get(path)
    assert page.status_code == 200, page.text
    action = path.partition("?")[0]
    match = re.search(rf'<form method="post" action="{re.escape(action)}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
    assert match
    data = form(page, action) | shown_values(match[1]) | values | {"do": do}
    return session.post(action, data=data)


def shown_values(text: str) -> dict[str, str]:
    """Return the values of the fields in a form."""
    texts = re.findall(r'<input type="text" value="([^"]*)" id="([^"]*)"', text)
    fields = {name: html.unescape(value) for value, name in texts}
    for attributes, content in re.findall(r"<textarea ([^>]*)>\n?(.*?)</textarea>", text, re.DOTALL):
        name = re.search(r'name="([^"]*)"', attributes)
        assert name
        fields[name[1]] = html.unescape(content)
    for name, content in re.findall(r'<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>', text, re.DOTALL):
        selected = re.search(r'<option value="([^"]*)" selected', content)
        fields[name] = html.unescape(selected[1]) if selected else ""
    return fields


def location(response: httpx.Response) -> str:
    assert response.status_code == 303, response.text
    return response.headers["location"]


def wait_for_result(server: StepflowRuntime, path: str) -> Any:
    return server.sync_client.get_result(path.rpartition("/")[2], timeout=60)


def test_plan_is_shown_before_running(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    run_id = start_run(session, newest_server, {"mood": "good"})
    before = len(newest_server.sync_client.list_runs(limit=1000).runs)
    page = send(session, f"/runs/{run_id}/change?step=greet", do="plan", step_input='{"name": "Ada"}')
    assert page.status_code == 200
    plan = page.text[page.text.index('id="plan"') :]
    assert re.search(r"Executed</dt><dd><code>greet</code></dd>", plan)
    assert re.search(r"Reused</dt><dd><code>mood</code></dd>", plan)
    assert len(newest_server.sync_client.list_runs(limit=1000).runs) == before
    # The form keeps the entered text.
    assert "&#34;name&#34;: &#34;Ada&#34;" in page.text


def test_changed_step_input_becomes_an_override(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    run_id = start_run(session, newest_server, {"mood": "good"})
    path = f"/runs/{run_id}/change?step=greet"
    assert "&#34;$input&#34;" in session.get(path).text
    new = location(send(session, path, do="run", step_input='{"name": "Ada", "mood": {"$step": "mood"}}'))
    assert wait_for_result(newest_server, new).output == {"name": "Ada", "mood": {"mood": "good"}}
    assert "Changes to steps" in session.get(new).text
    page = session.get(new)
    assert "Attempt 2 of 2" in page.text
    assert f'href="/runs/{run_id}"' in page.text
    assert "Attempt 1 of 2" in session.get(f"/runs/{run_id}").text


def test_changed_flow_input(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    run_id = start_run(session, newest_server, {"mood": "good"})
    path = f"/runs/{run_id}/change"
    fields = field_names(session, path)
    new = location(send(session, path, do="run", **{fields["name"]: "Ada"}))
    assert wait_for_result(newest_server, new).output == {"name": "Ada", "mood": {"mood": "good"}}
    compared = session.get(f"{new}/compare?with={run_id}").text
    assert "$.name" in compared
    assert re.search(r'class="status failed">failed', compared)
    assert "not run" in compared or "failed" in compared
    assert re.search(r'<details class="same"[^>]*><summary>1 step without differences: mood</summary>', compared)


def field_names(session: httpx.Client, path: str) -> dict[str, str]:
    """Map the labels of a page's fields to their names."""
    labels = re.findall(r'<label for="((?:input|variable)-\w+)">([^<]*?)(?: <|<)', session.get(path).text)
    return {label: name for name, label in labels}


def test_invalid_values_are_refused_with_a_message(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    run_id = start_run(session, newest_server, {"mood": "good"})
    path = f"/runs/{run_id}/change?step=greet"
    for values, message in (
        ({"step_input": "{'a': "}, "step:"),
        ({"step_input": '{"name": null}'}, "cannot become null"),
        ({"overrides": "[1]"}, "overrides:"),
        ({"overrides": '{"mood": {"input": {"mood": 1}}}', "start": "from:greet"}, "is kept"),
        ({"raw": "{"}, "input:"),
        ({"raw": '{"name": "***"}'}, "stands for a secret"),
        ({"start": "from:nothing"}, "no step"),
    ):
        response = send(session, path, do="run", **values)
        assert response.status_code == 400, values
        assert message in response.text, values


def test_missing_items_groups_and_steps(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    run_id = start_run(session, newest_server, {"mood": "good"})
    for query in ("item=1", "item=-1", "item=x", "group=0123456789ab", "step=nothing"):
        assert session.get(f"/runs/{run_id}/change?{query}").status_code == 404, query


def test_group_of_a_batch_can_be_tried_on_one_item(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    inputs = [{"mood": "good", "name": "Ada"}, *({"mood": f"m{number}"} for number in range(3)), {"name": "Bo"}]
    run_id = start_run(session, newest_server, inputs)
    client = newest_server.sync_client
    groups = {group.error.step_id: group for group in group_failures(client.get_run_items(run_id))}
    group = groups["greet"]
    assert group.indexes == [1, 2, 3]
    path = f"/runs/{run_id}/change?group={group.key}&step=greet"
    plan = send(session, path, do="plan", step_input='{"name": "all", "mood": {"$step": "mood"}}').text
    assert "Try on item 1" in plan
    assert "Run on all 3 items" in plan
    # Each item reuses a different output, so each one needs its own run.
    assert "Starts 3 runs: items that reuse the same outputs share one." in plan
    assert "Starts" not in send(session, path, do="plan", start="all").text
    tried = location(send(session, path, do="try", step_input='{"name": "all", "mood": {"$step": "mood"}}'))
    new = re.search(r"tried=([\w-]+)", tried)
    assert new
    assert wait_for_result(newest_server, new[1]).output == {"name": "all", "mood": {"mood": "m0"}}
    page = session.get(tried)
    assert "Tried on item 1" in page.text
    assert "completed" in page.text[page.text.index('id="trial"') :][:400]
    listed = location(send(session, tried, do="run", start="all"))
    assert [each.output for each in client.get_results(listed.rpartition("/")[2], timeout=60)] == [
        {"name": "all", "mood": {"mood": f"m{number}"}} for number in range(3)
    ]
    # Attempts are counted per item: the first run, the trial, the whole group.
    assert "Attempt 1 of 3" in session.get(f"/runs/{run_id}/items/1").text
    assert "Attempt 1 of 2" in session.get(f"/runs/{run_id}/items/2").text
    assert "Attempt 2 of 2" in session.get(f"{listed}/items/1").text


def test_changes_to_the_input_of_a_group_change_each_item(
    session: httpx.Client, newest_server: StepflowRuntime
) -> None:
    run_id = start_run(session, newest_server, [{"mood": "a"}, {"mood": "b"}])
    (group,) = group_failures(newest_server.sync_client.get_run_items(run_id))
    path = f"/runs/{run_id}/change?group={group.key}"
    fields = field_names(session, path)
    new = location(send(session, path, do="run", start="all", **{fields["name"]: "both"}))
    results = newest_server.sync_client.get_results(new.rpartition("/")[2], timeout=60)
    assert [each.output for each in results] == [{"name": "both", "mood": {"mood": each}} for each in "ab"]


def test_secret_of_a_trial_is_reused_but_not_shown(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    run_id = start_run(session, newest_server, [{"mood": "a"}, {"mood": "b"}])
    (group,) = group_failures(newest_server.sync_client.get_run_items(run_id))
    path = f"/runs/{run_id}/change?group={group.key}&step=greet"
    fields = field_names(session, path)
    values = {fields["key"]: "s3cr3t-value", "step_input": '{"name": {"$variable": "key"}}'}
    shown = send(session, path, do="plan", **values)
    assert shown.status_code == 200
    assert "s3cr3t-value" not in shown.text
    tried = location(send(session, path, do="try", **values))
    assert "s3cr3t-value" not in session.get(tried).text
    new = location(send(session, tried, do="run", start="all"))
    results = newest_server.sync_client.get_results(new.rpartition("/")[2], timeout=60)
    assert [each.output["name"] for each in results] == ["s3cr3t-value"] * 2


def test_masked_input_is_never_sent(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    flow_id = newest_server.sync_client.store_flow({**FLOW, "name": "masked"}).flow_id
    start = f"/flows/{flow_id}/start"
    page = session.get(f"/flows/{flow_id}")
    (key,) = re.findall(r'<input type="password"[^>]*id="([^"]*)"', page.text)
    data = {**form(page, start), "raw": '{"name": "quotes s3cr3t-value", "mood": "a"}', key: "s3cr3t-value"}
    run_id = location(session.post(start, data=data)).rpartition("/")[2]
    newest_server.sync_client.wait_run(run_id, timeout=60)
    path = f"/runs/{run_id}/change"
    # In the history, the secret in the input is masked.
    assert "enter them again: inputs" in session.get(path).text
    for values in ({}, {"raw": '{"name": "quotes ***", "mood": "b"}'}):
        refused = send(session, path, do="run", **{key: "s3cr3t-value"}, **values)
        assert refused.status_code == 400
        assert ("stands for a secret" if values else "executed steps read the flow&#39;s input") in refused.text
    again = session.get(f"/flows/{flow_id}?again={run_id}")
    refused = session.post(start, data={**form(again, start), "raw": '{"name": "quotes ***", "mood": "a"}'})
    assert refused.status_code == 400
    assert "stands for a secret" in refused.text
    assert len(newest_server.sync_client.list_runs(flow_name="masked").runs) == 1
    fields = field_names(session, path)
    new = location(send(session, path, do="run", **{fields["name"]: "new", key: "s3cr3t-value"}))
    assert wait_for_result(newest_server, new).output["name"] == "new"


def test_rerun_that_needs_a_secret_refers_to_the_change_page(
    session: httpx.Client, newest_server: StepflowRuntime
) -> None:
    flow_id = newest_server.sync_client.store_flow({**FLOW, "output": {"$variable": "key"}}).flow_id
    start = f"/flows/{flow_id}/start"
    page = session.get(f"/flows/{flow_id}")
    (key,) = re.findall(r'<input type="password"[^>]*id="([^"]*)"', page.text)
    run_id = location(session.post(start, data={**form(page, start), "raw": "{}", key: "s3cr3t-value"})).rpartition(
        "/"
    )[2]
    newest_server.sync_client.wait_run(run_id, timeout=60)
    fields = {**form(session.get("/runs"), "/runs/chosen"), run_id: "on", "action": "rerun"}
    refused = session.post("/runs/chosen", data=fields)
    assert refused.status_code == 400
    assert f"enter the missing values with &#39;Change and run&#39; on the page of run {run_id}" in refused.text


def test_asterisks_are_data_in_a_flow_without_secrets(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    flow = {"name": "stars", "schemas": {"properties": {"input": FLOW["schemas"]["properties"]["input"]}}}
    run_id = start_run(session, newest_server, {"mood": "a"}, **flow)
    path = f"/runs/{run_id}/change"
    fields = field_names(session, path)
    new = location(send(session, path, do="run", **{fields["name"]: "***"}))
    assert wait_for_result(newest_server, new).output["name"] == "***"


def test_running_run_cannot_be_changed(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    flow = {"name": "slow", "steps": [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 20_000}}]}
    run_id = newest_server.sync_client.submit({**flow, "output": {"$step": "a"}})
    path = f"/runs/{run_id}/change"
    page = session.get(path)
    assert "has not ended" in page.text
    assert session.post(path, data={**form(page, path), "do": "run"}).status_code == 400
    newest_server.sync_client.cancel_run(run_id)


@pytest.mark.parametrize("query", ["", "with=x", "with=0197aaaa-0000-7000-8000-000000000000", "with={run}&item=7"])
def test_invalid_comparisons_are_refused(session: httpx.Client, newest_server: StepflowRuntime, query: str) -> None:
    run_id = start_run(session, newest_server, {"mood": "good"})
    response = session.get(f"/runs/{run_id}/compare?{query.format(run=run_id)}")
    assert response.status_code == (303 if not query else 404 if "0197" in query else 400)


def test_batches_are_compared_item_by_item(session: httpx.Client, newest_server: StepflowRuntime) -> None:
    one = start_run(session, newest_server, [{"mood": "a", "name": "x"}, {"mood": "b", "name": "y"}])
    other = start_run(session, newest_server, [{"mood": "a", "name": "x"}, {"mood": "c", "name": "y"}])
    page = session.get(f"/runs/{other}/compare?with={one}").text
    assert "Item 1" in page
    assert "Item 0" not in page


CREATE_MESSAGES = "/builtin/create_messages"


def test_change_compare_and_keep_on_an_older_server(start_ui: StartUi, monkeypatch: pytest.MonkeyPatch) -> None:
    old = "0.10.0"
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(old)))
    config = releases.builtin_config(old)
    steps = [
        {"id": "ask", "component": CREATE_MESSAGES, "input": {"user_prompt": {"$input": "name"}}},
        {"id": "told", "component": CREATE_MESSAGES, "input": {"user_prompt": "told"}},
    ]
    with (
        StepflowRuntime.start(config=config, log_config=LogConfig(level="warn")) as server,
        start_ui(server.url).browser() as session,
    ):
        run_id = start_run(session, server, {"name": "Ada"}, steps=steps, output=[{"$step": "ask"}, {"$step": "told"}])
        path = f"/runs/{run_id}/change"
        fields = field_names(session, path)
        assert "What would run" in send(session, path, do="plan", start="all", **{fields["name"]: "Bo"}).text
        new = location(send(session, path, do="run", start="all", **{fields["name"]: "Bo"})).rpartition("/")[2]
        assert "Bo" in json.dumps(wait_for_result(server, new).output)
        compared = session.get(f"/runs/{new}/compare?with={run_id}&item=0").text
        assert compared.index("&#34;Ada&#34;") < compared.index("&#34;Bo&#34;")
        assert "name: Bo" in session.get(f"/runs/{new}/keep?item=0").text
        # Older servers do not return step outputs, so a step cannot be kept: the page says so.
        plan = send(session, path, do="plan", start="from:told")
        assert (plan.status_code, "not supported by this server (0.10.0)" in plan.text) == (400, True)


def test_secrets_are_masked_on_every_page_of_a_run(
    start_ui: StartUi, newest_server: StepflowRuntime, tmp_path: Path
) -> None:
    flow = {**FLOW, "name": "secretive"}
    flow["steps"] = [{"id": "leak", "component": "/builtin/noop", "input": [{"$variable": "key"}, {"$input": "name"}]}]
    flow["output"] = {"$step": "leak"}
    # The pages recognize a secret by its default or by its environment variable.
    secret: dict[str, Any] = {"type": "string", "is_secret": True, "env_var": "STEPFLOW_TEST_KEY", "default": "d3f4ult"}
    flow["schemas"] = {"properties": {"variables": {"type": "object", "properties": {"key": secret}}}}
    history = History(tmp_path / "stepflow" / "history.db")
    with (
        SyncStepflowClient(newest_server.url, history=history) as client,
        start_ui(newest_server.url, XDG_STATE_HOME=str(tmp_path), STEPFLOW_TEST_KEY="fr0m-3nv").browser() as session,
    ):
        runs = [
            client.submit(flow, {"name": f"{value} in a text"}, variables={"key": value})
            for value in ("d3f4ult", "fr0m-3nv")
        ]
        for run_id in runs:
            client.wait_run(run_id, timeout=60)
        for path in ("", "/report.html", "/steps/leak", "/value", "/output.json", "/keep?item=0", "/change?item=0"):
            for run_id in runs:
                text = session.get(f"/runs/{run_id}{path}").text
                assert not re.search("d3f4ult|fr0m-3nv", text), (path, text)
                assert "***" in text, path
        for run_id in runs:
            again = session.get(f"/flows/{client.get_run(run_id).flow_id}?again={run_id}")
            # The flow's source must not show a secret variable's default either.
            assert not re.search("d3f4ult|fr0m-3nv", again.text)
            assert "*** in a text" in again.text
        compared = session.get(f"/runs/{runs[1]}/compare?with={runs[0]}&item=0").text
        assert not re.search("d3f4ult|fr0m-3nv", compared)
