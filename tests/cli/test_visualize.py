"""`stepflow visualize` draws flows, and `stepflow runs report` writes reports of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

FLOW = """
name: conditional
steps:
- {id: ask, component: /python/ask, input: {q: {$input: $.q}}, onError: {action: retry, maxRetries: 5}}
- {id: log, component: /mcp/log, input: {$step: ask}, mustExecute: true}
- {id: unused, component: /mcp/log, input: {$step: ask}}
output: {$if: {$step: ask, path: $.ok}, then: {$step: ask}, else: {$coalesce: [{$step: log}, {$variable: v}]}}
"""


@pytest.fixture(autouse=True)
def flow(stepflow: Stepflow) -> None:
    (stepflow.folder / "conditional.yaml").write_text(FLOW)


def test_text_formats(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("visualize", "conditional.yaml", "--format", "dot"),
        stepflow("visualize", "conditional.yaml", "--format", "mermaid"),
        stepflow("visualize", "conditional.yaml", "--format", "text"),
        stepflow("visualize", "-", "--format", "mermaid", "--no-details", stdin=FLOW),
        stepflow("visualize", "conditional.yaml", "--output", "flow.mmd"),
    )
    assert (stepflow.folder / "flow.mmd").read_text().startswith("flowchart TD")


@pytest.mark.parametrize(("name", "prefix"), [("f.svg", b"<svg"), ("f.html", b"<!doctype"), ("f.png", b"\x89PNG")])
def test_image_formats(stepflow: Stepflow, name: str, prefix: bytes) -> None:
    done = stepflow("visualize", "--flow", "conditional.yaml", "--output", name)
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert (stepflow.folder / name).read_bytes().startswith(prefix)


def test_equal_steps_are_one_box_without_all_steps(stepflow: Stepflow) -> None:
    steps = [{"id": f"a{number}", "component": "/builtin/noop"} for number in range(6)]
    (stepflow.folder / "fan.json").write_text(
        json.dumps({"steps": steps, "output": [{"$step": each["id"]} for each in steps]})
    )
    assert "6 equal steps" in stepflow("visualize", "fan.json", "-o", "svg").stdout
    assert "equal steps" not in stepflow("visualize", "fan.json", "-o", "svg", "--all-steps").stdout


def test_default_format_in_a_pipe_is_svg(stepflow: Stepflow) -> None:
    done = stepflow("visualize", "conditional.yaml")
    assert done.code == 0
    ElementTree.fromstring(done.stdout)


def test_default_format_on_a_terminal_is_text(terminal: Callable[..., Terminal], golden: Golden) -> None:
    golden(terminal("visualize", "conditional.yaml", width=60))


def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("visualize"),
        stepflow("visualize", "conditionl.yaml"),
        stepflow("visualize", "conditional.yaml", "--open"),
        stepflow("visualize", "conditional.yaml", "--output", "none/f.svg"),
        stepflow("visualize", "conditional.yaml", "--format", "gif"),
        stepflow("visualize", "conditional.yaml", "--output", "f.gif"),
        stepflow("runs", "report", "x"),
        stepflow("runs", "report", "00000000-0000-0000-0000-000000000000", "--open"),
    )


def test_report(stepflow: Stepflow, failed: str, batch: str) -> None:
    done = stepflow("runs", "report", failed, batch, "-O", "report.html")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    page = (stepflow.folder / "report.html").read_text()
    for title in ("Comparison of steps", "Timeline", "Latency of items", "Errors", "Steps", "Items", "Result"):
        assert f"<h2>{title}" in page
    assert "<script" not in page
    assert stepflow("runs", "report", failed).stdout.startswith("<!doctype html>")


GREETING = """
name: greeting
schemas: {properties: {variables: {properties: {key: {type: string, is_secret: true}, tone: {type: string}}}}}
steps: [{id: a, component: /builtin/noop, input: {who: {$input: who}, key: {$variable: key}, tone: {$variable: tone}}}]
output: {$step: a}
"""


@pytest.mark.usefixtures("server")
def test_report_has_the_recorded_input(stepflow: Stepflow) -> None:
    (stepflow.folder / "greeting.yaml").write_text(GREETING)
    arguments = ("--input-json", '{"who": "Wolpertinger"}', "--var", "key=hunter2-lynx", "--var", "tone=warm")
    done = stepflow(
        "run", "greeting.yaml", *arguments, "--label", "env=dev", "--note", "before the change", "-o", "json"
    )
    run_id = json.loads(done.stdout)["run_id"]
    page = stepflow("runs", "report", run_id).stdout
    started = page.partition("<h2>Started with</h2>")[2].partition("</section>")[0]
    for text in ("Wolpertinger", "warm", "***", "env=dev", "before the change"):
        assert text in started
    assert "hunter2-lynx" not in started
    # Without the history, the input is unknown.
    stepflow("history", "clear", "--yes")
    assert "unknown" in stepflow("runs", "report", run_id).stdout


@pytest.mark.parametrize("status", ["running", "cancelled"])
def test_report_of_an_unfinished_run(stepflow: Stepflow, request: pytest.FixtureRequest, status: str) -> None:
    done = stepflow("runs", "report", request.getfixturevalue(status))
    assert done.code == 0
    assert "sleeping" in done.stdout


@pytest.mark.usefixtures("server")
def test_report_of_an_unknown_run(stepflow: Stepflow) -> None:
    done = stepflow("runs", "report", "00000000-0000-0000-0000-000000000000", "-O", "report.html")
    assert done.code == 1
    assert not (stepflow.folder / "report.html").exists()


@pytest.mark.parametrize("text", ["openapi: 3.0.0\npaths: {}\n", "flow: {steps: [], output: 1}\n"])
def test_document_that_is_not_a_flow_is_refused(stepflow: Stepflow, text: str) -> None:
    (stepflow.folder / "other.yaml").write_text(text)
    for done in (
        stepflow("visualize", "other.yaml", "--output", "other.svg"),
        stepflow("visualize", "-", "--format", "dot", stdin=text),
    ):
        assert done.code == 2
        assert "flow" in done.stderr
    assert not (stepflow.folder / "other.svg").exists()
