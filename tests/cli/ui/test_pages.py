"""Contents and actions of the pages, without JavaScript (on a real server)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import LogConfig, StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests import releases
from tests.cli.ui.process import StartUi, flow_file, form
from tests.fault_proxy import FaultProxy, Script

LONG: dict[str, Any] = {
    "name": "long",
    "steps": [
        {"id": "quick", "component": "/builtin/noop", "input": 1},
        {
            "id": "slow",
            "component": "/builtin/sleep",
            "input": {"duration_ms": 600_000, "passthrough": {"$step": "quick"}},
        },
    ],
    "output": {"$step": "slow"},
}
FORM: dict[str, Any] = {
    "name": "with-form",
    "description": "Has a form.",
    "schemas": {
        "properties": {
            "input": {
                "type": "object",
                "required": ["topic"],
                "properties": {
                    "topic": {"type": "string", "title": "Topic"},
                    "style": {"enum": ["short", "long"]},
                    "count": {"type": "integer"},
                },
            },
            "variables": {
                "type": "object",
                "properties": {
                    "key": {"type": "string", "is_secret": True, "default": "hushhush"},
                    "limit": {"type": "number"},
                },
            },
        }
    },
    "steps": [
        {"id": "a", "component": "/builtin/noop", "input": {"all": {"$input": "$"}, "n": {"$variable": "limit"}}}
    ],
    "output": {"$step": "a"},
}

ECHO_FLOW: dict[str, Any] = {
    "name": "echo",
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


def visible_text(page: httpx.Response) -> str:
    """Return the text of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def item_indexes(page: httpx.Response) -> list[int]:
    """Return the indexes of the items in a page's table."""
    return [int(index) for index in re.findall(r'<th scope="row"><a href="/runs/[^"]*/items/(\d+)"', page.text)]


@pytest.fixture
def client(newest_server: StepflowRuntime) -> Any:
    return newest_server.sync_client


@pytest.fixture
def fails(client: Any) -> str:
    return str(client.wait_run(client.submit(flow_file("fails.yaml"), {"nam": "Ada"})).run_id)


def test_list_of_runs_can_be_filtered(session: httpx.Client, client: Any, fails: str) -> None:
    done = client.wait_run(client.submit(flow_file("hello.yaml"), {"name": "Ada"})).run_id
    page = session.get("/runs")
    assert f'href="/runs/{fails}"' in page.text
    assert f'href="/runs/{done}"' in page.text
    page = session.get("/runs", params={"status": "failed", "flow": "fails", "since": "", "until": ""})
    assert f'href="/runs/{fails}"' in page.text
    assert f'href="/runs/{done}"' not in page.text
    assert 'name="q" type="search"' in page.text
    assert 'value="flow:fails status:failed"' in page.text
    assert "No runs match" in visible_text(session.get("/runs", params={"flow": "no such flow"}))
    assert "No runs match" in visible_text(session.get("/runs", params={"since": "2099-01-01T00:00"}))
    assert "No runs match" in visible_text(session.get("/runs", params={"until": "2001-01-01T00:00"}))


def test_list_of_runs_is_paged(session: httpx.Client, client: Any) -> None:
    flow = {"name": "paged", "steps": [], "output": 1}
    ids = {client.submit(flow) for _ in range(60)}
    shown = set()
    path = "/runs?flow=paged"
    for count in (50, 10):
        page = session.get(path)
        run_ids = set(re.findall(r'<th scope="row"><a href="/runs/([^"]*)"', page.text))
        assert len(run_ids) == count
        shown |= run_ids
        next_link = re.search(r'rel="next" href="([^"]*)"', page.text)
        path = unescape(next_link[1]) if next_link else ""
    assert shown == ids
    assert not path


@pytest.mark.parametrize("query", ["since=x", "page=-1", "page=x", "page=99999999999999", "status=nonsense", "page=0"])
def test_invalid_filters(session: httpx.Client, query: str) -> None:
    page = session.get(f"/runs?{query}")
    assert page.status_code in (200, 400)
    assert "<h1>Runs</h1>" in page.text


def test_page_of_a_failed_run(session: httpx.Client, fails: str) -> None:
    page = session.get(f"/runs/{fails}")
    text = visible_text(page)
    assert "reading failed Run Input path $.name not found" in text
    assert "<title>✗ failed · fails · Stepflow</title>" in page.text
    assert 'class="sf-node sf-step sf-is-failed"' in page.text
    assert "<title>timeline</title>" in page.text
    assert "data-live" not in page.text
    assert "Run failed items again" in text
    assert "Cancel" not in text


def test_timeline_waits_for_late_events(start_ui: StartUi, newest_server: StepflowRuntime, fails: str) -> None:
    with FaultProxy(newest_server.url) as proxy:
        proxy.script = lambda number: Script(delay=0.3, within=b"/events")
        with start_ui(proxy.url).browser() as browser:
            assert "<title>timeline</title>" in browser.get(f"/runs/{fails}").text


def test_steps_after_a_failed_step_are_shown_as_not_run(session: httpx.Client, client: Any) -> None:
    steps = [
        {"id": "charge_card", "component": "/builtin/noop", "input": {"$input": "$.card"}},
        {"id": "send_receipt", "component": "/builtin/noop", "input": {"$step": "charge_card"}},
        {"id": "refund", "component": "/builtin/noop"},
    ]
    output = [{"$step": "send_receipt"}, {"$if": {"$input": "$.refunded"}, "then": {"$step": "refund"}}]
    flow = {"name": "payment", "steps": steps, "output": output}
    run_id = client.wait_run(client.submit(flow, [{}, {"card": 1}])).run_id
    only = client.wait_run(client.submit(flow, {})).run_id
    for path in (f"/runs/{only}", f"/runs/{run_id}/items/0"):
        page = session.get(path)
        text = visible_text(page)
        assert "Not run as a result: send_receipt" in text
        assert "send_receipt not run (charge_card failed) /builtin/noop" in text
        # The message is shown once, for the step that failed.
        assert text.count("Input path $.card not found") == 1
        for state in ("failed", "not_run", "not_needed"):
            assert len(re.findall(f'class="sf-node [^"]*sf-is-{state}[ "]', page.text)) == 1
    # On the batch's page, the step has run for the other item.
    batch = session.get(f"/runs/{run_id}").text
    for state, count in {"failed": 1, "completed": 1, "not_needed": 1, "not_run": 0}.items():
        assert len(re.findall(f'class="sf-node [^"]*sf-is-{state}[ "]', batch)) == count


def test_cancelled_run_lists_steps_that_may_still_be_executing(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(LONG)
    while not any(step.step_id == "slow" for step in client.get_run_steps(run_id)):
        time.sleep(0.05)
    client.cancel_run(run_id)
    text = visible_text(session.get(f"/runs/{run_id}"))
    assert "Cancelling does not stop steps. May still be executing: slow" in text


def test_page_of_a_running_run(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(LONG)
    page = session.get(f"/runs/{run_id}")
    assert f'data-live="/live/runs/{run_id}"' in page.text
    assert "sf-is-completed" in page.text
    assert "sf-is-running" in page.text
    assert "Cancel" in visible_text(page)


def test_items_of_a_batch_are_paged(session: httpx.Client, client: Any) -> None:
    inputs = [{"name": str(number)} if number % 10 else {} for number in range(230)]
    run_id = client.wait_run(client.submit(flow_file("fails.yaml"), inputs), timeout=60).run_id
    page = session.get(f"/runs/{run_id}")
    assert len(item_indexes(page)) == 50
    assert item_indexes(session.get(f"/runs/{run_id}?page=5")) == list(range(200, 230))
    failed = session.get(f"/runs/{run_id}?status=failed")
    assert item_indexes(failed) == list(range(0, 230, 10))
    assert "23 items, page 1 of 1" in visible_text(failed)
    item = session.get(f"/runs/{run_id}/items/10")
    assert "Item 10 of 230" in visible_text(item)
    assert "Input path $.name not found" in visible_text(item)
    assert "sf-is-failed" in item.text
    assert session.get(f"/runs/{run_id}/items/230").status_code == 404


def test_flow_of_a_run_has_line_numbers_and_no_secrets(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(FORM, {"topic": "x"})
    page = session.get(f"/runs/{run_id}/flow")
    assert '<span id="L1" data-line="1">name: with-form' in page.text
    assert "hushhush" not in page.text
    assert "***" in page.text


def test_page_of_components(session: httpx.Client) -> None:
    page = session.get("/components")
    assert "/builtin/openai" in page.text or "openai" in page.text
    assert "<summary>Input" in page.text
    found = session.get("/components", params={"q": "SLEEP"})
    assert "sleep" in visible_text(found)
    assert "openai" not in visible_text(found)


def test_page_of_flows_links_to_a_flow(session: httpx.Client, client: Any) -> None:
    client.submit(FORM, {"topic": "x"})
    page = session.get("/flows")
    link = re.search(r'href="(/flows/[0-9a-f]{64})">with-form<', page.text)
    assert link
    flow = session.get(link[1])
    assert "Has a form." in visible_text(flow)
    assert "<label" in flow.text


def test_start_a_run_from_the_form(session: httpx.Client, client: Any) -> None:
    stored = client.store_flow(FORM)
    path = f"/flows/{stored.flow_id}"
    page = session.get(path)
    assert "hushhush" not in page.text
    assert 'type="password"' in page.text
    names = dict(re.findall(r'<label for="([\w-]+)">([\w ]+)', page.text))
    fields = {title.strip(): name for name, title in names.items()}
    wrong = {**form(page, f"{path}/start"), fields["Topic"]: "tea", fields["count"]: "1.5"}
    refused = session.post(f"{path}/start", data=wrong)
    assert refused.status_code == 400
    assert "count: is not an integer" in visible_text(refused)
    assert 'value="tea"' in refused.text
    data = {
        **form(refused, f"{path}/start"),
        fields["Topic"]: "tea",
        fields["style"]: "1",
        fields["count"]: "3",
        fields["limit"]: "2.5",
        fields["key"]: "mysecret",
    }
    started = session.post(f"{path}/start", data=data)
    assert started.status_code == 303
    run_id = started.headers["location"].removeprefix("/runs/")
    result = client.get_result(run_id, timeout=60)
    assert result.output == {"all": {"topic": "tea", "style": "long", "count": 3}, "n": 2.5}
    # Run again: the form is filled with the recorded input.
    again = session.get(f"{path}?again={run_id}")
    assert 'value="tea"' in again.text
    assert 'value="1" selected' in again.text
    assert "mysecret" not in again.text
    assert "enter them again: variables.key" in visible_text(again)


def test_start_with_json_a_list_and_a_batch(session: httpx.Client, client: Any) -> None:
    stored = client.store_flow(ECHO_FLOW)
    path = f"/flows/{stored.flow_id}/start"

    def start(**data: str) -> httpx.Response:
        return session.post(path, data={**form(session.get(f"/flows/{stored.flow_id}"), path), **data})

    def results(response: httpx.Response) -> list[Any]:
        assert response.status_code == 303, visible_text(response)
        run_id = response.headers["location"].removeprefix("/runs/")
        return [each.output for each in client.get_results(run_id, timeout=60)]

    assert results(start(raw="a: 1")) == [{"a": 1}]
    assert results(start(raw="[1, 2]")) == [[1, 2]]
    assert results(start(raw="[1, 2]", batch="1")) == [1, 2]
    assert start(raw="{", batch="1").status_code == 400
    refused = start(raw='{"a": 1}', batch="1")
    assert "a batch is a list" in visible_text(refused)
    assert "&#34;a&#34;: 1" in refused.text


def test_recorded_inputs_labels_and_changes(start_ui: StartUi, newest_server: StepflowRuntime, tmp_path: Path) -> None:
    flow = {**FORM, "name": "recorded-form"}
    history = History(tmp_path / "stepflow" / "history.db")
    with SyncStepflowClient(newest_server.url, history=history) as recording:
        values = {"key": "mysecret", "limit": 1.5}
        run_id = recording.submit(flow, {"topic": "tea & <b>", "style": "long"}, variables=values)
        batch = recording.submit(flow, [{"topic": "first"}, {"topic": "second"}])
        stored = recording.get_run(run_id).flow_id
        changes = {"a": {"input": {"all": "overridden", "n": 1}}}
        changed = recording.submit(flow, {"topic": "x"}, changes)
        about: Any = {"labels": {"env": "dev"}, "note": "the <i>reason</i>"}
        history.record(changed, input={"topic": "x"}, overrides=changes, **about)
        for each in (run_id, batch, changed):
            recording.wait_run(each, timeout=60)
        with start_ui(newest_server.url, XDG_STATE_HOME=str(tmp_path)).browser() as browser:
            shown = browser.get(f"/runs/{run_id}")
            assert "tea & <b>" in visible_text(shown)
            assert "mysecret" not in shown.text
            assert "limit : 1.5" in visible_text(shown)
            assert "first" in visible_text(browser.get(f"/runs/{batch}"))
            assert "second" in visible_text(browser.get(f"/runs/{batch}/items/1"))
            text = visible_text(browser.get(f"/runs/{changed}"))
            assert "env=dev" in text
            assert "the <i>reason</i>" in text
            # Run again: the form is filled with fields, variables, a batch and overrides.
            again = browser.get(f"/flows/{stored}?again={run_id}")
            assert 'value="tea &amp; &lt;b&gt;"' in again.text
            assert 'value="1.5"' in again.text
            assert 'name="batch" value="1" checked' in browser.get(f"/flows/{stored}?again={batch}").text
            path = f"/flows/{stored}"
            page = browser.get(f"{path}?again={changed}")
            topic = re.search(r'<label for="([\w-]+)">Topic', page.text)
            assert topic
            sent = {**form(page, f"{path}/start"), topic[1]: "x", "overrides_of": changed}
            started = browser.post(f"{path}/start", data=sent).headers["location"]
            output = recording.get_result(started.removeprefix("/runs/"), timeout=60).output
            assert output["all"] == "overridden"
            # Runs started from the pages are recorded, too.
            assert "Changes to steps" in visible_text(browser.get(started))
        entry = history.get(started.removeprefix("/runs/"))
        assert entry is not None
        assert (entry.input, entry.overrides) == ({"topic": "x"}, {"a": {"value": changes["a"]}})


def test_input_is_shown_without_a_history(start_ui: StartUi, newest_server: StepflowRuntime) -> None:
    with start_ui(newest_server.url, STEPFLOW_HISTORY="off").browser() as browser:
        client = newest_server.sync_client
        path = f"/flows/{client.store_flow(ECHO_FLOW).flow_id}"
        sent = {**form(browser.get(path), f"{path}/start"), "raw": '"a special tea"'}
        started = browser.post(f"{path}/start", data=sent).headers["location"]
        assert (
            "a special tea"
            in visible_text(browser.get(started + "?panel=run")).partition("Input")[2].partition("Graph")[0]
        )
        other = client.submit(ECHO_FLOW, "unseen")
        assert "The input is unknown" in visible_text(browser.get(f"/runs/{other}"))


def test_paste_and_upload_a_flow(session: httpx.Client) -> None:
    text = flow_file("hello.yaml").read_text()
    page = session.get("/flows/new")
    pasted = session.post("/flows", data={**form(page, "/flows"), "text": text})
    assert pasted.status_code == 303
    page = session.get("/flows/new")
    uploaded = session.post(
        "/flows", data={**form(page, "/flows"), "text": ""}, files={"file": ("hello.yaml", text.encode())}
    )
    assert uploaded.headers["location"] == pasted.headers["location"]
    shown = session.get(uploaded.headers["location"])
    # The form is filled with the flow's first example.
    assert "&#34;name&#34;: &#34;Ada&#34;" in shown.text


@pytest.mark.parametrize(
    "text", ["steps: [", "- 1", "", "steps:\n  - id: a", "name: x\nsteps: 3", "!!python/name:os x"]
)
def test_invalid_flows_are_refused(session: httpx.Client, text: str) -> None:
    page = session.get("/flows/new")
    refused = session.post("/flows", data={**form(page, "/flows"), "text": text})
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text


def test_check_while_typing(session: httpx.Client) -> None:
    page = session.get("/flows/new")
    token = re.search(r'data-check="([^"]*)"', page.text)
    assert token
    for _ in range(2):
        response = session.post(
            "/flows/check", data={"csrf": token[1], "text": "steps:\n  - id: a\n    komponent: /x\n"}
        )
        assert response.status_code == 200
        assert {each["line"] for each in response.json()["findings"]} >= {3}
    assert session.post("/flows/check", data={"csrf": "x", "text": "a"}).status_code == 403


def test_cancel_a_run(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(LONG)
    path = f"/runs/{run_id}/cancel"
    page = session.get(f"/runs/{run_id}")
    assert session.post(path, data=form(page, path)).headers["location"] == f"/runs/{run_id}"
    assert client.get_run(run_id).status == "cancelled"
    assert "cancelled" in visible_text(session.get(f"/runs/{run_id}"))


def test_cancel_a_run_that_has_ended(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(flow_file("slow.yaml"))
    page = session.get(f"/runs/{run_id}")
    client.wait_run(run_id, timeout=60)
    path = f"/runs/{run_id}/cancel"
    refused = session.post(path, data=form(page, path))
    assert refused.status_code == 502
    assert "ended" in visible_text(refused) or "completed" in visible_text(refused)


def test_rerun_a_failed_run(session: httpx.Client, client: Any) -> None:
    flow = {"name": "again", "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$variable": "v"}}]}
    flow["output"] = {"$step": "a"}
    run_id = client.wait_run(client.submit(flow), timeout=60).run_id
    path = f"/runs/{run_id}/rerun"
    sent = session.post(path, data=form(session.get(f"/runs/{run_id}"), path))
    assert sent.status_code == 303
    other = sent.headers["location"].removeprefix("/runs/")
    assert other != run_id
    assert client.wait_run(other, timeout=60).status == "failed"
    assert re.search(rf'Rerun of</dt><dd>[^/]*href="/runs/{run_id}"', session.get(f"/runs/{other}").text)


def test_missing_pages(session: httpx.Client) -> None:
    assert session.get("/nothing").status_code == 404
    assert session.get("/reruns/x").status_code == 404
    assert session.get("/runs/0197aaaa-0000-7000-8000-000000000000").status_code == 404
    assert session.get("/runs/x").status_code == 400
    assert session.get(f"/flows/{'0' * 64}").status_code == 404


def events(response: httpx.Response) -> Iterator[str]:
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield f"{name} {line.removeprefix('data: ')}"


def test_stream_reports_changes(session: httpx.Client, client: Any) -> None:
    steps = [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 3000}}]
    run_id = client.submit({"name": "sleeps", "steps": steps, "output": {"$step": "a"}})
    with session.stream("GET", f"/live/runs/{run_id}") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        changes = events(response)
        assert next(changes) == "server up"
        for each in changes:
            assert each == "change {}"
            if client.get_run(run_id).status == "completed":
                break


def test_stream_reports_that_a_run_was_cancelled(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(LONG)
    with session.stream("GET", f"/live/runs/{run_id}") as response:
        changes = events(response)
        assert next(changes) == "server up"
        client.cancel_run(run_id)
        for each in changes:
            assert each == "change {}"
            if client.get_run(run_id).status == "cancelled":
                break


def test_stream_of_the_list_reports_new_runs(session: httpx.Client, client: Any) -> None:
    with session.stream("GET", "/live/runs?flow=news") as response:
        changes = events(response)
        assert [next(changes), next(changes)] == ["server up", "change {}"]
        client.submit({"name": "news", "steps": [], "output": 1})
        assert next(changes) == "change {}"


def test_pages_recover_when_the_server_restarts(start_ui: StartUi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
    config = releases.builtin_config(releases.NEWEST)
    server = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    port = int(server.url.rpartition(":")[2])
    with server:
        ui = start_ui(server.url)
        opened = ExitStack()
        browser = opened.enter_context(ui.browser())
        assert browser.get("/runs").status_code == 200
    with opened, browser.stream("GET", "/live/runs") as response:
        changes = events(response)
        assert next(changes) == "server down"
        away = browser.get("/runs")
        assert away.status_code == 502
        assert 'data-live="/live"' in away.text
        assert "The server does not respond" in visible_text(away)
        with StepflowRuntime.start(config=config, port=port, log_config=LogConfig(level="warn")):
            assert next(changes) == "server up"
            assert browser.get("/runs").status_code == 200
