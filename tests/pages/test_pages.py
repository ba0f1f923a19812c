"""Drawings of flows, reports of runs and notebooks in Chromium: `make test-pages`."""

from __future__ import annotations

import random
import re
from html import escape
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import expect
from stepflow_client import LogConfig, StepflowRuntime, SyncStepflowClient
from stepflow_client.drawing import draw, gather
from stepflow_client.history import History

from tests import releases
from tests.pages.conftest import check_themes, shot

HOSTILE = "<script>document.title='stolen'</script>\"'"
_LABELS = """() => [...document.querySelectorAll('svg.sf text')].map(text => {
  const box = text.getBoundingClientRect()
  return [text.textContent, box.left, box.top, box.right, box.bottom, parseFloat(getComputedStyle(text).fontSize)]
})"""


_OUTSIDE = """() => [...document.querySelectorAll('svg.ch')].flatMap(svg => {
  const edge = svg.getBoundingClientRect().right
  return [...svg.querySelectorAll('text')].filter(text => text.getBoundingClientRect().right > edge + 1)
}).map(text => text.textContent)"""


def step(name: str, reads: Any, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": "/builtin/create_messages", "input": {"user_prompt": reads}, **more}


def sixty_steps() -> dict[str, Any]:
    dice = random.Random(1)
    steps = [step("step_00", {"$input": "$.q"})]
    for index in range(1, 60):
        first, second = ({"$step": f"step_{dice.randrange(max(0, index - 8), index):02d}"} for _ in range(2))
        reads: Any = {"a": first, "b": second}
        if index % 13 == 0:
            reads = {"$if": first, "then": second, "else": {"$input": "$.z"}}
        if index % 17 == 0:
            reads = {"$coalesce": [first, second]}
        steps.append(step(f"step_{index:02d}", reads))
    return {"name": "sixty", "steps": steps, "output": {"$step": "step_59"}}


def nested() -> dict[str, Any]:
    inner = {
        "name": "inner",
        "steps": [step("a", {"$input": "$"}), step("b", {"$step": "a"})],
        "output": {"$step": "b"},
    }
    mapped = {"id": "each", "component": "/builtin/map", "input": {"items": [1], "workflow": {"$literal": inner}}}
    outer = {"name": "outer", "steps": [mapped], "output": {"$step": "each"}}
    again = {"id": "all", "component": "/builtin/map", "input": {"items": [1], "workflow": {"$literal": outer}}}
    return {"name": "nested", "steps": [again], "output": {"$step": "all"}}


def conditional() -> dict[str, Any]:
    steps = [step(name, {"$input": "$.q"}) for name in ("ask", "other")]
    steps[0]["onError"] = {"action": "retry", "maxRetries": 2}
    steps.append(step("log", {"$step": "ask"}, mustExecute=True))
    branch = {"$if": {"$step": "ask"}, "then": {"$coalesce": [{"$step": "ask"}, {"$step": "other"}]}}
    return {"name": "conditional", "steps": steps, "output": {**branch, "else": {"$step": "ask"}}}


FLOWS = {
    "small": {"name": "small", "steps": [step("a", {"$input": "$.q"})], "output": {"$step": "a"}},
    "sixty": sixty_steps(),
    "nested": nested(),
    "conditional": conditional(),
    "hostile": {"name": HOSTILE, "steps": [step(HOSTILE * 3, None), step("宽" * 40, {"$step": HOSTILE * 3})]},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", FLOWS)
def test_drawings(open_page: Any, name: str, scheme: str) -> None:
    drawing = draw(FLOWS[name], statuses={"a": "failed", "ask": "completed"}, include_all_steps=True)
    page = open_page(drawing.html(), scheme)
    assert page.locator(".sf-node").count() == len(drawing._graph.nodes)
    assert page.locator(".sf-edge").count() == len(drawing._graph.edges)
    assert page.locator(".sf-group").count() == len(drawing._graph.sub_flows)
    labels = page.evaluate(_LABELS)
    assert min(size for *_, size in labels) >= 11
    for place, (text, left, top, right, bottom, _) in enumerate(labels):
        for other, *box, _ in labels[place + 1 :]:
            apart = right <= box[0] + 1 or box[2] <= left + 1 or bottom <= box[1] + 4 or box[3] <= top + 4
            assert apart, f"{text!r} overlaps {other!r}"
    assert page.title() != "stolen"
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(245, 246, 248)" if scheme == "light" else "rgb(13, 16, 23)")


@pytest.fixture(scope="module")
def server() -> Any:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        config = {**releases.builtin_config(releases.NEWEST), "retry": {"transportMaxRetries": 0}}
        started = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    with started as runtime:
        yield runtime


def test_report_of_a_failed_batch(open_page: Any, server: StepflowRuntime) -> None:
    client = server.sync_client
    flow = {
        "name": HOSTILE,
        "steps": [step("first", {"$input": "$.q"}), step(HOSTILE, {"$input": "$.name"})],
        "output": {HOSTILE: {"$step": HOSTILE}, "all": {"$input": "$"}, "first": {"$step": "first"}},
    }
    inputs = [{"q": f"{HOSTILE} {index}" * 5, **({"name": HOSTILE} if index % 3 else {})} for index in range(2_000)]
    run_id = client.submit(flow, inputs)
    client.wait_run(run_id, timeout=60)
    html = gather(client, run_id).html()
    assert len(html.encode()) < 3_000_000
    page = open_page(html)
    timing = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert timing < 2_000
    assert page.title() != "stolen"
    assert page.locator("meta[http-equiv=Content-Security-Policy]").count() == 1
    assert page.locator("script").count() == 0
    assert page.locator("details.page").count() == 20
    assert page.locator("section:has(> h2:text-is('Errors')) tbody tr").count() == 1
    assert HOSTILE in page.locator("h1").inner_text()


NOTEBOOK = (
    """
from stepflow_client import SyncStepflowClient
client = SyncStepflowClient({url!r})
flow = {flow!r}
run_id = client.submit(flow, [{{"q": "x" * 1000}}] * 300)
client.wait_run(run_id, timeout=60)
""",
    *(
        f"client.{call}"
        for call in (
            *("get_run(run_id)", "get_run_items(run_id)", "get_run_items(run_id)[0]", "get_run_items(run_id).items"),
            *(
                "get_run_steps(run_id, include_times=True)",
                "get_run_steps(run_id, include_times=True)[0]",
                "get_run_arguments(run_id)",
            ),
            *("get_run_steps(run_id)", "get_run_steps(run_id)[0]", "get_run_flow(run_id)", "list_runs()"),
            *("map(flow, [{'q': 1}] * 3).__next__()", "get_results(run_id)"),
            *("list_components()", "list_components()[0]", "validate(flow)", "run(flow, {'q': 'x' * 100_000})"),
        )
    ),
)


def test_notebook(server: StepflowRuntime) -> None:
    first, *others = NOTEBOOK
    cells = [first.format(url=server.url, flow=FLOWS["small"]), *others]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        assert "text/plain" in output.data, cell.source
        assert 0 < len(output.data["text/html"].encode()) < 100_000, cell.source


NOTEBOOK_WITH_PROGRESS = (
    """
import logging
from stepflow_client import SyncStepflowClient
logging.disable()
client = SyncStepflowClient({url!r})
flow = {flow!r}
""",
    "client.run(flow, {'ms': 1500}, progress=True)",
    "list(client.map(flow, [{'ms': 1}] * 40, progress=True))[-1].status.value",
    "client.get_run_steps(client.run(flow, {'ms': 20}).run_id, include_times=True)",
    "list(client.map(flow, [{'ms': 1}, {'ms': 'not a number'}]))",
    "from stepflow_client.drawing import gather; gather(client, client.run(flow, {'ms': 'not a number'}).run_id)",
    "client.run(flow, {'ms': 'not a number'}).raise_for_failure()",
)
STYLE = """
body{font:14px sans-serif;margin:12px}.out{overflow-x:auto}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#eee;padding:6px}.error{background:#fee}
"""


def as_page(notebook: Any) -> str:
    """Return a notebook as HTML, roughly as notebook frontends show it."""
    parts = [f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>"]
    for cell in notebook.cells:
        parts.append(f"<pre>{escape(cell.source)}</pre>")
        for output in cell.outputs:
            if output.output_type == "error":
                text = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
                parts.append(f'<pre class="error">{escape(text)}</pre>')
            elif output.output_type == "stream":
                parts.append(f"<pre>{escape(output.text)}</pre>")
            else:
                html = output.data.get("text/html") or f"<pre>{escape(output.data['text/plain'])}</pre>"
                parts.append(f'<div class="out">{html}</div>')
    return "".join(parts)


def test_a_notebook_with_progress_and_an_error(open_page: Any, server: StepflowRuntime) -> None:
    sleep = {"id": "sleep", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}}
    flow = {"name": "sleeps", "steps": [sleep], "output": {"$step": "sleep"}}
    first, *others = NOTEBOOK_WITH_PROGRESS
    cells = [first.format(url=server.url, flow=flow).strip(), *others]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    page = open_page(as_page(notebook))
    expect(page.locator("progress")).to_have_count(2)
    assert page.evaluate("[...document.querySelectorAll('progress')].map(each => each.value)") == [1, 1]
    expect(page.locator("th", has_text="duration")).to_have_count(4)
    error = page.locator(".error")
    expect(error).to_contain_text("RunFailedError: run")
    expect(error).to_contain_text("Cell In[7], line 1")
    assert len(error.inner_text().splitlines()) < 12
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shot(page, f"notebook-{width}")


def test_a_report_with_times_and_inputs(open_page: Any, server: StepflowRuntime) -> None:
    schema = {"properties": {"key": {"type": "string", "is_secret": True}, "tone": {"type": "string"}}}
    steps = [
        {"id": "wait", "component": "/builtin/sleep", "input": {"duration_ms": 300, "passthrough": {"$input": "who"}}},
        step("greet", {"who": {"$step": "wait"}, "tone": {"$variable": "tone"}, "key": {"$variable": "key"}}),
        step("sign", {"$step": "greet", "path": "no_such_field"}),
    ]
    flow = {"name": "greeting", "schemas": {"properties": {"variables": schema}}, "steps": steps}
    flow["output"] = {"$step": "sign"}
    history = History()
    with SyncStepflowClient(server.url, history=history) as client:
        flow_input = {"who": "Ada Wolpertinger", "about": {"text": "long " * 60}}
        variables = {"tone": "warm", "key": "hunter2-lynx"}
        run_id = client.run(flow, flow_input, {"sign": {"input": {"more": 1}}}, variables=variables).run_id
        batch = client.submit(flow, [{"who": "x" * 300}, {"who": "Bo"}, {}], variables=variables)
        client.wait_run(batch, timeout=60)
        pages = {"report": gather(client, run_id).html(), "report-batch": gather(client, batch).html()}
    for name, html in pages.items():
        assert "hunter2-lynx" not in html
        page = open_page(html)
        started = page.locator("section:has(> h2:text-is('Started with'))")
        expect(started).to_contain_text("warm")
        expect(started).to_contain_text("***")
        for width in (360, 768, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(_OUTSIDE) == [], "a picture's text is cut off"
            if width in (360, 1280):
                check_themes(page, name)
    page = open_page(pages["report"])
    wait = page.locator("section:has(> h2:text-is('Steps')) tr", has_text="wait").first
    expect(wait).to_contain_text(re.compile(r"\d+ms|\d\.\d\ds"))
    # `greet` fails because its prompt is an object, so `sign` does not run and has no bar.
    bars = page.locator("section:has(> h2:text-is('Timeline')) rect")
    expect(bars).to_have_count(2)
    expect(page.locator("section:has(> h2:text-is('Steps'))")).to_contain_text("not run (greet failed)")
