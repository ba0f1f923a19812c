"""The page of a run, without JavaScript (on a real server)."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client.history import History

from tests.cli.ui.process import StartUi
from tests.cli.ui.test_pages import LONG, visible_text

NOOP = "/builtin/noop"
PAYMENTS: dict[str, Any] = {
    "name": "payments",
    "steps": [
        {"id": "load", "component": NOOP, "input": {"customer": {"$input": "customer"}}},
        {"id": "charge/card", "component": NOOP, "input": {"card": {"$step": "load", "path": "$.customer.card"}}},
        {"id": "send", "component": NOOP, "input": {"charge": {"$step": "charge/card"}}},
        {"id": "refund", "component": NOOP},
    ],
    "output": [{"$step": "send"}, {"$if": {"$input": "refund"}, "then": {"$step": "refund"}}],
}
INNER = {
    "name": "per-item",
    "steps": [{"id": "leaf", "component": NOOP, "input": {"$input": "name"}}],
    "output": {"$step": "leaf"},
}
NESTED = {
    "name": "nested",
    "steps": [
        {
            "id": "each",
            "component": "/builtin/map",
            "input": {"workflow": {"$literal": INNER}, "items": {"$input": "items"}},
        }
    ],
    "output": {"$step": "each"},
}
ROWS = {
    "name": "rows",
    "steps": [{"id": "a", "component": NOOP, "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


@pytest.fixture
def client(newest_server: StepflowRuntime) -> Any:
    return newest_server.sync_client


def run(client: Any, flow: Any, value: Any) -> str:
    return str(client.wait_run(client.submit(flow, value), timeout=60).run_id)


def panel_text(page: httpx.Response) -> str:
    assert page.status_code == 200, page.text[:500]
    found = re.search(r'<section id="panel".*?</section>', page.text, re.DOTALL)
    assert found
    return visible_text(httpx.Response(200, text=found[0]))


def test_page_of_a_failed_run_opens_at_the_cause(session: httpx.Client, client: Any) -> None:
    run_id = run(client, PAYMENTS, {"customer": {"name": "Ada"}, "refund": None})
    page = session.get(f"/runs/{run_id}")
    shown = panel_text(page)
    assert shown.startswith("charge/card failed Run Path $.customer.card not found")
    assert "Not run as a result: send" in shown
    assert "Reads load Read by send" in shown
    assert "<title>✗ failed · payments · Stepflow</title>" in page.text
    # The box, the row and the link lead to the step without scripts, too.
    assert page.text.count(f'href="/runs/{run_id}/steps/charge%2Fcard"') >= 3
    assert len(re.findall(r'steps/charge%2Fcard"[^>]* aria-current="true"', page.text)) == 3
    assert 'data-step="charge/card" data-box="charge/card"' in page.text
    assert panel_text(session.get(f"/runs/{run_id}?panel=run")).startswith(
        "Error Step charge/card : Path $.customer.card"
    )


def test_each_step_has_its_own_url(session: httpx.Client, client: Any) -> None:
    run_id = run(client, PAYMENTS, {"customer": {"name": "Ada"}, "refund": None})
    assert "not run (charge/card failed)" in panel_text(session.get(f"/runs/{run_id}/steps/send"))
    assert panel_text(session.get(f"/runs/{run_id}/steps/refund")).startswith("refund not needed Run Nothing needed")
    load = panel_text(session.get(f"/runs/{run_id}/steps/load"))
    assert load.startswith("load completed Run Component /builtin/noop")
    assert 'Output Copy Raw Download Search {1} customer : {1} name : "Ada"' in load
    for path in ("/steps/nobody", "/steps/load?item=1", "/steps/"):
        assert session.get(f"/runs/{run_id}{path}").status_code == 404
    part = session.get(f"/runs/{run_id}/steps/load?part=panel")
    assert panel_text(part) == load
    assert "<svg" not in part.text
    # A failed step has no output.
    for path in ("/output.json", "/output.json?step=charge/card", "/value?step=send"):
        assert session.get(f"/runs/{run_id}{path}").status_code == 404


def test_input_of_a_step_is_resolved(start_ui: StartUi, newest_server: StepflowRuntime, tmp_path: Path) -> None:
    history = History(tmp_path / "stepflow" / "history.db")
    with SyncStepflowClient(newest_server.url, history=history) as recording:
        batch = run(recording, PAYMENTS, [{"customer": {"card": number}, "refund": None} for number in (41, 42)])
        unknown = run(newest_server.sync_client, PAYMENTS, {"customer": {"card": 43}, "refund": None})
        with start_ui(newest_server.url, XDG_STATE_HOME=str(tmp_path)).browser() as browser:
            shown = panel_text(browser.get(f"/runs/{batch}/steps/load?item=1"))
            assert "Input Copy Raw Download Search {1} customer : {1} card : 42 Output" in shown
            assert "card : 42" in panel_text(browser.get(f"/runs/{batch}/steps/charge%2Fcard?item=1"))
            assert browser.get(f"/runs/{batch}/output.json?item=1&step=load&of=input").json() == {
                "customer": {"card": 42}
            }
            assert "Unknown: the input" in panel_text(browser.get(f"/runs/{unknown}/steps/load"))
            # Outputs of other steps are known even so.
            assert "card : 43" in panel_text(browser.get(f"/runs/{unknown}/steps/charge%2Fcard"))


def test_page_of_an_item(session: httpx.Client, client: Any) -> None:
    run_id = run(client, PAYMENTS, [{"customer": {"card": 1}, "refund": None}, {"customer": {}, "refund": None}])
    failed = session.get(f"/runs/{run_id}/items/1")
    assert panel_text(failed).startswith("charge/card failed Item Path $.customer.card not found")
    assert "<title>✗ failed · payments · item 1 · Stepflow</title>" in failed.text
    assert f'href="/runs/{run_id}/steps/load?item=1"' in failed.text
    good = session.get(f"/runs/{run_id}/items/0")
    assert panel_text(good).startswith("Output")
    assert "Item 0 of 2" in visible_text(good)
    assert "<title>timeline</title>" in good.text
    assert panel_text(session.get(f"/runs/{run_id}/steps/load?item=1")).startswith("load completed Item")


def test_sub_runs_have_links_both_ways(session: httpx.Client, client: Any) -> None:
    run_id = run(client, NESTED, {"items": [{"name": 1}, {"nam": 2}]})
    (sub,) = client.list_runs(parent_run_id=run_id).runs
    page = session.get(f"/runs/{run_id}")
    assert f'href="/runs/{sub.run_id}"' in page.text
    assert "completed, 1 failed in sub-runs" in visible_text(page)
    assert 'class="sf-children"' in page.text
    step = session.get(f"/runs/{run_id}/steps/each")
    assert f'href="/runs/{sub.run_id}/items/1">item 1</a>' in step.text
    assert "Sub-runs per-item" in panel_text(step)
    for path in (f"/runs/{sub.run_id}", f"/runs/{sub.run_id}/items/1"):
        below = session.get(path)
        assert f'href="/runs/{run_id}"' in below.text
        assert f'step <a href="/runs/{run_id}/steps/each">each</a> of run' in below.text


def test_reruns_have_links_both_ways(start_ui: StartUi, newest_server: StepflowRuntime, tmp_path: Path) -> None:
    history = History(tmp_path / "stepflow" / "history.db")
    with SyncStepflowClient(newest_server.url, history=history) as recording:
        first = run(recording, PAYMENTS, {"customer": {"name": "Ada"}, "refund": None})
        changes = {"charge/card": {"input": {"card": {"$step": "load", "path": "$.customer.name"}}}}
        (second,) = recording.rerun(first, keep="succeeded", overrides=changes).run_ids
        with start_ui(newest_server.url, XDG_STATE_HOME=str(tmp_path)).browser() as browser:
            assert f'href="/runs/{second}"' in browser.get(f"/runs/{first}").text
            again = browser.get(f"/runs/{second}")
            assert f'href="/runs/{first}"' in again.text
            assert f'href="/runs/{second}/compare?with={first}&amp;item=0"' in again.text
            assert "load kept" in visible_text(again)
            row = again.text.partition('<tr data-key="load">')[2].partition("</tr>")[0]
            assert (row.count('class="status completed"'), row.count('<td class="n"></td>')) == (1, 2)
        batch = run(recording, PAYMENTS, [{"customer": {"card": 1}}, {"customer": {}}, {"customer": {}}])
        (third,) = recording.rerun(batch, keep="succeeded").run_ids
        with start_ui(newest_server.url, XDG_STATE_HOME=str(tmp_path)).browser() as browser:
            earlier = browser.get(f"/runs/{batch}")
            assert f'href="/runs/{third}"' in earlier.text
            assert "(2 items)" in visible_text(earlier)
            assert ">was " not in earlier.text
            again = browser.get(f"/runs/{third}")
            assert "Rerun of 2 items of" in visible_text(again)
            assert f'href="/runs/{batch}"' in again.text
            assert re.findall(rf'href="/runs/{batch}/items/(\d)">was (\d)</a>', again.text) == [("1", "1"), ("2", "2")]


def test_cancelled_run_lists_steps_that_may_still_run(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(LONG)
    while not any(step.step_id == "slow" for step in client.get_run_steps(run_id)):
        time.sleep(0.05)
    client.cancel_run(run_id)
    page = session.get(f"/runs/{run_id}")
    assert "cancelled may still run: slow" in visible_text(page)
    # The step's duration ends when the run was cancelled.
    assert re.search(r'<td class="n">[\d.]+(µs|ms|s)</td>', page.text.partition('<tr data-key="slow">')[2][:600])
    assert "it may still be executing" in panel_text(session.get(f"/runs/{run_id}/steps/slow"))


def test_bars_of_running_steps_can_grow(session: httpx.Client, client: Any) -> None:
    run_id = client.submit(LONG)
    while not any(step.step_id == "slow" for step in client.get_run_steps(run_id)):
        time.sleep(0.05)
    page = session.get(f"/runs/{run_id}")
    assert re.search(r'<rect class="span running"[^>]* data-since="20', page.text)
    assert "data-scale=" in page.text
    client.cancel_run(run_id)


def test_large_outputs_are_paged(session: httpx.Client, client: Any) -> None:
    value = {"rows": [{"id": number, "name": f"name {number}"} for number in range(3_000)], "total": 3_000}
    run_id = run(client, ROWS, value)
    page = session.get(f"/runs/{run_id}")
    assert "total : 3000" in panel_text(page)
    assert len(page.text) < 60_000
    more = re.search(r'class="more" href="([^"]*path=%24.rows&amp;from=50)">… 2950 more', page.text)
    assert more
    later = session.get(more[1].replace("&amp;", "&"))
    assert "50 : {2} id : 50" in visible_text(later)
    assert '"name 49"' not in later.text
    assert session.get(f"/runs/{run_id}/output.json").json() == value
    assert session.get(f"/runs/{run_id}/output.json?step=a&path=$.rows[7].name").text == '"name 7"\n'
    download = session.get(f"/runs/{run_id}/output.json?path=$.rows&download=1")
    assert download.json() == value["rows"]
    assert download.headers["content-disposition"] == f'attachment; filename="{run_id}-0-output.json"'
    assert download.headers["content-type"] == "application/json"
    search_results = visible_text(session.get(f"/runs/{run_id}/value?find=NAME 2999"))
    assert "1 place with “NAME 2999” $.rows[2999].name" in search_results
    for query in ("path=$.nobody", "path=$.rows[3000]", "step=nobody", "of=nothing", "item=7"):
        assert session.get(f"/runs/{run_id}/output.json?{query}").status_code == 404
    assert session.get(f"/runs/{run_id}/output.json?path=$[").status_code == 400


def test_outputs_have_sorted_keys_and_integers(session: httpx.Client, client: Any) -> None:
    run_id = run(client, ROWS, {"c": 2, "b": [{"z": 1, "a": 1.5}], "a": {"y": 1, "x": 2}, "d": 4})
    shown = "{4} a : {2} x : 2 y : 1 b : [1] 0 : {2} a: 1.5, z: 1 a : 1.5 z : 1 c : 2 d : 4"
    for path in ("", "/steps/a", "/value"):
        assert shown in visible_text(session.get(f"/runs/{run_id}{path}"))
    sent = session.get(f"/runs/{run_id}/output.json").text
    assert sent == '{\n"a": {\n"x": 2,\n"y": 1},\n"b": [\n{"a":1.5,"z":1}],\n"c": 2,\n"d": 4}\n'
    assert session.get(f"/runs/{run_id}/output.json?path=$.c").text == "2\n"
    assert "$.c 2" in visible_text(session.get(f"/runs/{run_id}/value?find=c"))


def test_values_are_sent_without_compression(session: httpx.Client, client: Any) -> None:
    run_id = run(client, ROWS, {"text": "y" * 5_000})
    accepted = {"accept-encoding": "gzip"}
    assert session.get(f"/runs/{run_id}", headers=accepted).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in session.get(f"/runs/{run_id}/output.json", headers=accepted).headers


def test_special_characters_in_outputs_are_unchanged(session: httpx.Client, client: Any) -> None:
    value = {"a\u202eb": ["\x1b[31m", "</script>", None, True, 1.5, "ä\ud7ff", {}, []], "": {"": ""}}
    run_id = run(client, ROWS, value)
    sent = session.get(f"/runs/{run_id}/output.json")
    assert json.loads(sent.content) == value
    assert sent.headers["x-content-type-options"] == "nosniff"


def test_long_text_is_complete_and_keeps_its_lines(session: httpx.Client, client: Any) -> None:
    text = "Traceback:\n" + "".join(f"    line {number}\n" for number in range(800))
    page = session.get(f"/runs/{run(client, ROWS, {'text': text})}")
    assert "&#10;    line 799&#10;</pre>" in page.text


def test_page_of_a_run_with_500_different_steps_is_small(session: httpx.Client, client: Any) -> None:
    chain = [
        {"id": f"s{number:03}", "component": NOOP, "input": {"of": {"$step": f"s{number - 1:03}", "path": "$.of"}}}
        for number in range(1, 500)
    ]
    flow = {"name": "chain", "steps": [{"id": "s000", "component": NOOP}, *chain], "output": {"$step": "s499"}}
    page = session.get(f"/runs/{run(client, flow, {})}", headers={"accept-encoding": "gzip"})
    assert page.text.count('class="sf-node sf-step') == 500
    assert len(page.content) < 260_000
    assert int(page.headers["content-length"]) < 40_000


def test_500_equal_steps_are_drawn_as_one_box(session: httpx.Client, client: Any) -> None:
    steps = [{"id": f"s{number:03}", "component": NOOP, "input": number} for number in range(500)]
    flow = {"name": "fan", "steps": steps, "output": [{"$step": step["id"]} for step in steps]}
    run_id = run(client, flow, {})
    page = session.get(f"/runs/{run_id}")
    assert "s000 … s499" in visible_text(page)
    assert page.text.count('class="sf-node sf-step') == 1
    assert "Unfold 499 more steps" in visible_text(page)
    assert "400 more steps" in visible_text(page)
    whole = session.get(f"/runs/{run_id}?show=all")
    assert whole.text.count('class="sf-node sf-step') == 500
    assert f'href="/runs/{run_id}/steps/s499?show=all"' in whole.text
    # A folded step is selected through the box that represents it.
    assert 'data-step="s321" data-box="s000"' in session.get(f"/runs/{run_id}/steps/s321").text
