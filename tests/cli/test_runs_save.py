"""`stepflow runs save` writes a run as a test case into its flow file."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from stepflow_cli.flow_tests.save_run_as_case import rate_flow_match

from tests.cli.command import CommandResult, Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import SLEEPING, UNKNOWN, Start

pytestmark = pytest.mark.in_process

FLOW = """\
# Greets.
name: greeter
steps:
- id: greet  # the only step
  component: /builtin/noop
  input: {name: {$input: name}}
- id: note
  component: /builtin/noop
  input: {$step: greet}
output: {$step: note}
"""


@pytest.fixture
def flow(stepflow: Stepflow, server: str) -> str:
    """A flow file with a run, which is @last."""
    (stepflow.folder / "greeter.yaml").write_text(FLOW)
    assert stepflow("run", "greeter.yaml", "--input-json", '{"name": "Ann"}').code == 0
    return "greeter.yaml"


def test_save_a_run_as_a_case(stepflow: Stepflow, flow: str, golden: Golden) -> None:
    file = stepflow.folder / flow
    shown = [stepflow("runs", "save", "@last", flow, "--as", "greets", "--dry-run")]
    assert file.read_text() == FLOW
    shown.append(stepflow("runs", "save", "@last", flow, "--as", "greets"))
    assert file.read_text().startswith(FLOW)
    assert stepflow("test", flow).code == 0
    saved = file.read_bytes()
    shown.append(stepflow("runs", "save", "@last", flow, "--as", "greets"))
    shown.append(stepflow("runs", "save", "@last", flow, "--as", "greets", "--replace", "--mock", "greet"))
    assert yaml.safe_load(file.read_text())["test"]["cases"][0]["mocks"] == {
        "greet": {"outcome": "success", "result": {"name": "Ann"}}
    }
    shown.append(stepflow("runs", "save", "@last", flow, "--as", "greets", "--replace"))
    assert file.read_bytes() == saved
    golden(*shown)


def test_only_needed_steps_are_mocked(stepflow: Stepflow, flow: str) -> None:
    saved = stepflow("runs", "save", "@last", "--as", "all", "--mock", "*")
    assert (saved.code, "not mocked: greet (read only by mocked steps)" in saved.stderr) == (0, True)
    assert stepflow("test", flow).code == 0
    named = stepflow("runs", "save", "@last", "--as", "named", "--mock", "greet", "--mock", "note", "--mock", "*")
    assert "not mocked: greet (read only by mocked steps)" in named.stderr
    for case in yaml.safe_load((stepflow.folder / flow).read_text())["test"]["cases"]:
        assert case["mocks"] == {"note": {"outcome": "success", "result": {"name": "Ann"}}}


def test_default_file_and_case_name(stepflow: Stepflow, flow: str) -> None:
    assert stepflow("run", flow, "--input-json", "{}").code == 1
    run_id = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)["run_id"]
    assert stepflow("runs", "save", run_id[:13], "--mock", "*").code == 0
    (case,) = yaml.safe_load((stepflow.folder / flow).read_text())["test"]["cases"]
    assert case["name"] == f"fails as in {run_id[:8]}"
    failure = {"code": "EXPRESSION_FAILURE", "message": "Input path $.name not found"}
    assert case["output"] == {"outcome": "failed", "error": failure}
    # The second step did not run.
    assert case["mocks"] == {"greet": {"outcome": "failed", "error": failure}}
    assert stepflow("test", flow).code == 0


def test_file_of_a_rerun(stepflow: Stepflow, flow: str) -> None:
    assert stepflow("runs", "rerun", "@last").code == 0
    assert stepflow("runs", "rerun", "@last", "--from", "note").code == 0
    assert stepflow("runs", "save", "@last").code == 0
    (case,) = yaml.safe_load((stepflow.folder / flow).read_text())["test"]["cases"]
    assert case["input"] == {"name": "Ann"}
    # A run of a single step is not a run of the flow.
    assert stepflow("runs", "rerun", "@last", "--step", "note").code == 0
    refused = stepflow("runs", "save", "@last")
    assert (refused.code, "pass the flow's file" in refused.stderr) == (2, True)


def error_text(done: CommandResult) -> str:
    return " ".join(done.stderr.split())


@pytest.mark.usefixtures("server")
def test_items_and_overrides(stepflow: Stepflow, flow: str, start: Start) -> None:
    (stepflow.folder / "two.jsonl").write_text('{"name": "Ann"}\n{"name": "Bob"}\n')
    assert stepflow("batch", flow, "two.jsonl", "--set", "greet.input.more=1").code == 0
    assert "choose one with --item N" in error_text(stepflow("runs", "save", "@last"))
    done = stepflow("runs", "save", "@last", "--item", "1")
    assert "warning: the run overrode steps, which a test case cannot do" in error_text(done)
    (case,) = yaml.safe_load((stepflow.folder / flow).read_text())["test"]["cases"]
    assert (case["input"], case["output"]["result"]) == ({"name": "Bob"}, {"name": "Bob", "more": 1})
    assert case["name"].endswith(" item 1")
    missing = stepflow("runs", "save", "@last", "--item", "2")
    assert (missing.code, "has no item 2" in error_text(missing)) == (1, True)
    assert "hint: items are counted from 0" in error_text(missing)


@pytest.mark.usefixtures("server")
def test_variables_and_secrets(stepflow: Stepflow) -> None:
    key = {"is_secret": True, "default": "hush-hush"}
    secret = {
        "schemas": {"properties": {"variables": {"properties": {"key": key, "tone": {}}}}},
        "output": {"key": {"$variable": "key"}, "tone": {"$variable": "tone"}},
    }
    file = stepflow.folder / "secret.json"
    file.write_text(json.dumps(secret))
    variables = ("--var", "key=hush-hush", "--var", "tone=warm")
    assert stepflow("run", "secret.json", "--input-json", "1", *variables).code == 0
    done = stepflow("runs", "save", "@last", "--as", "masked")
    assert "secret variables are left out: set them with 'stepflow test --var key=VALUE'" in error_text(done)
    assert "warning: secrets are shown as ***" in error_text(done)
    (case,) = json.loads(file.read_text())["test"]["cases"]
    assert case["variables"] == {"tone": "warm"}
    assert case["output"] == {"outcome": "success", "result": {"key": "***", "tone": "warm"}}
    file.write_text(file.read_text().replace('"***"', '{"$type": "string"}'))
    assert stepflow("test", "secret.json", "--var", "key=other").code == 0


@pytest.mark.usefixtures("server")
def test_runs_that_cannot_be_saved(stepflow: Stepflow, flow: str, start: Start) -> None:
    before = (stepflow.folder / flow).read_bytes()
    running = start({"steps": [SLEEPING], "output": {"$step": "sleeping"}}, wait=False)
    (stepflow.folder / "list.yaml").write_text("- a\n")
    (stepflow.folder / "other.yaml").write_text("name: other\noutput: 1\n")
    cases = {
        ("@last", "nowhere.yaml"): (2, "nowhere.yaml does not exist"),
        ("@last", "list.yaml"): (2, "cannot add a test case"),
        ("@last", "other.yaml"): (2, "other.yaml is flow other, but run"),
        (UNKNOWN, flow): (1, "not found"),
        (running, flow): (2, "it has not ended yet"),
        (running,): (2, "it has not ended yet"),
        ("@last", flow, "--mock", "gret"): (2, "did you mean greet?"),
        ("@last", flow, "--as", ""): (2, "name"),
    }
    for arguments, (code, message) in cases.items():
        done = stepflow("runs", "save", *arguments)
        assert (done.code, message in error_text(done), done.stdout) == (code, True, ""), str(done)
    assert (stepflow.folder / flow).read_bytes() == before
    off = stepflow("runs", "save", "@last", STEPFLOW_HISTORY="off")
    assert (off.code, "the run's input is unknown" in error_text(off)) == (2, True), str(off)
    if os.geteuid():
        (stepflow.folder / flow).chmod(0o444)
        assert stepflow("runs", "save", "@last", flow).code == 2


def test_flow_match_allows_for_changes_by_the_server() -> None:
    step = {"id": "a", "component": "/x/y", "input": {"n": 1, "who": {"$input": "name"}}}
    source = {"name": "f", "schemas": {"properties": {"input": {}}}, "steps": [step], "test": {"cases": []}}
    stored = {**step, "input": {"n": 1.0, "who": {"$input": "$.name"}}}
    flow = {"name": "f", "schemas": {"type": "object", "properties": {"input": {}}}, "steps": [stored], "output": None}
    assert rate_flow_match(source, flow) == 4
    assert rate_flow_match(source, {**flow, "steps": [{**stored, "input": {"n": 2}}]}) == 3
    assert rate_flow_match(source, {**flow, "steps": [{**stored, "id": "b"}]}) == 2
    assert rate_flow_match({**source, "steps": [step, "no step"]}, flow) == 3
    assert rate_flow_match({**source, "steps": 5}, {**flow, "name": "g"}) == 0
