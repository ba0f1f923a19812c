"""Every command group works on servers of every release, judged by exit code and JSON output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from stepflow_client import StepflowRuntime

from tests.cli.command import CommandResult, Stepflow
from tests.differences import has

ECHO = "name: {name}\nsteps: []\noutput: {{$input: $}}\n"
FAILS = """\
name: {name}
steps:
- id: lost
  component: /builtin/openai
  input: {{$input: $.missing}}
output: {{$step: lost}}
"""


@pytest.fixture
def command(tmp_path: Path, worker_runtime: StepflowRuntime) -> Stepflow:
    """Return the command, in a folder with two flows, configured for the shared server."""
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "echo.yaml").write_text(ECHO.format(name=f"echo-{uuid4().hex}"))
    (folder / "fails.yaml").write_text(FAILS.format(name=f"fails-{uuid4().hex}"))
    stepflow = Stepflow(folder, home)
    stepflow.environment["STEPFLOW_URL"] = worker_runtime.url
    return stepflow


@pytest.fixture
def read_json(command: Stepflow) -> Callable[..., Any]:
    """Return a function that runs a command, which must succeed, and returns its JSON output."""

    def call(*args: str, stdin: str | None = None) -> Any:
        done = command(*args, "-o", "json", stdin=stdin)
        assert done.code == 0, done
        return json.loads(done.stdout)

    return call


def test_health(read_json: Callable[..., Any], release: str) -> None:
    health = read_json("health")
    assert health["status"] == "healthy"
    assert health["release"] == release
    assert health["capabilities"]["events"] is has(release, "events")


def test_run(command: Stepflow) -> None:
    done = command("run", "echo.yaml", "--input-json", '{"n": 1}')
    assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"n": 1}, "")


def test_a_failed_run(command: Stepflow) -> None:
    done = command("run", "fails.yaml", "--input-json", "{}", "-o", "json")
    result, problem = json.loads(done.stdout), json.loads(done.stderr)
    assert done.code == 1, done
    assert result["status"] == "failed"
    assert (problem["kind"], problem["run_id"], problem["exit_code"]) == ("run_failed", result["run_id"], 1)


def test_a_batch_keeps_the_order_of_its_inputs(command: Stepflow) -> None:
    (command.folder / "inputs.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(5)))
    done = command("batch", "echo.yaml", "inputs.jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["index"], line["status"], line["output"]) for line in lines] == [
        (n, "completed", {"n": n}) for n in range(5)
    ]


def test_the_life_of_a_run(command: Stepflow, read_json: Callable[..., Any], release: str) -> None:
    submitted = command("submit", "echo.yaml", "--input-json", '{"n": 2}', "--detach")
    run_id = submitted.stdout.strip()
    assert (submitted.code, submitted.stdout) == (0, f"{run_id}\n"), submitted
    assert [run["status"] for run in read_json("runs", "watch", "-q", run_id)] == ["completed"]
    run = read_json("runs", "get", run_id)
    assert (run["run_id"], run["status"]) == (run_id, "completed")
    assert run_id in {listed["run_id"] for listed in read_json("runs", "list", "--flow-name", run["flow_name"])}
    assert [item["status"] for item in read_json("runs", "items", run_id)] == ["completed"]
    assert read_json("runs", "steps", run_id) == []
    assert read_json("runs", "flow", run_id)["name"] == run["flow_name"]
    result = command("runs", "result", run_id)
    assert (result.code, json.loads(result.stdout)) == (0, {"n": 2})
    assert command("runs", "watch", run_id).code == 0
    _check_events(command, run_id, release)
    refused = command("runs", "cancel", run_id, "--yes")
    assert (refused.code, "completed" in refused.stderr) == (1, True), refused


def _check_events(command: Stepflow, run_id: str, release: str) -> None:
    done = command("runs", "events", run_id, "-o", "jsonl")
    if not has(release, "events"):
        assert (done.code, done.stdout) == (1, "")
        assert json.loads(done.stderr)["kind"] == "unsupported_by_server"
        return
    types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert (done.code, types[0], types[-1]) == (0, "run_created", "run_completed"), done


def test_an_unknown_run(command: Stepflow) -> None:
    done = command("runs", "get", "01900000-0000-7000-8000-000000000000", "-o", "json")
    assert (done.code, done.stdout, json.loads(done.stderr)["kind"]) == (1, "", "not_found"), done


def test_flows(command: Stepflow, read_json: Callable[..., Any]) -> None:
    stored = command("flows", "store", "echo.yaml", "-o", "name")
    flow_id = stored.stdout.strip()
    assert stored.code == 0, stored
    assert read_json("flows", "get", flow_id)["output"] == {"$input": "$"}
    assert read_json("flows", "get", flow_id, "--variables") == []
    assert command("flows", "delete", flow_id, "--yes").code == 0


def test_validate(command: Stepflow) -> None:
    assert command("validate", "echo.yaml").code == 0
    (command.folder / "wrong.yaml").write_text("name: wrong\nsteps: []\noutput: {$step: nowhere}\n")
    done = command("validate", "wrong.yaml")
    assert (done.code, "nowhere" in done.stdout) == (3, True), done


def test_components(read_json: Callable[..., Any]) -> None:
    assert "openai" in {component["name"].rpartition("/")[2] for component in read_json("list-components")}


def test_blobs(command: Stepflow) -> None:
    put: CommandResult = command("blobs", "put", "-", "-o", "name", stdin='{"a": 1}')
    got = command("blobs", "get", put.stdout.strip())
    assert (got.code, json.loads(got.stdout)) == (0, {"a": 1}), got


def test_doctor_finds_nothing_wrong(command: Stepflow) -> None:
    done = command("doctor", "-o", "json")
    checks = json.loads(done.stdout)
    assert done.code == 0, done
    assert not [check for check in checks if check["status"] == "error"]


def test_secrets_in_a_component_error_are_hidden(command: Stepflow) -> None:
    declared = {"key": {"type": "string", "is_secret": True}, "pin": {"type": "integer", "is_secret": True}}
    schemas = {"type": "object", "properties": {"variables": {"type": "object", "properties": declared}}}
    quoted = {"message": {"key": {"$variable": "key"}, "pin": {"$variable": "pin"}, "said": "readable-text"}}
    steps = [{"id": "a", "component": "/python/fail", "input": quoted}]
    flow = {"name": f"quotes-{uuid4().hex}", "schemas": schemas, "steps": steps, "output": {"$step": "a"}}
    (command.folder / "quotes.json").write_text(json.dumps(flow))
    for extra in ((), ("-o", "json")):
        done = command("run", "quotes.json", "--var", "key=s3cr3t-of-letters", "--var", "pin=48151623", *extra)
        assert done.code == 1
        output = done.stdout + done.stderr
        assert "readable-text" in output
        assert "***" in output
        assert "s3cr3t-of-letters" not in output
        assert "48151623" not in output


def test_a_run_is_saved_as_a_case_and_its_steps_are_mocked_if_the_server_reports_outputs(
    command: Stepflow, release: str
) -> None:
    flow = command.folder / "asks.yaml"
    flow.write_text(
        "name: asks\nsteps:\n- {id: a, component: /builtin/create_messages, input: {user_prompt: {$input: $.q}}}\n"
        "output: {$step: a}\n"
    )
    assert command("run", "asks.yaml", "--input-json", '{"q": "why"}').code == 0
    assert command("runs", "save", "@last", "--as", "executed").code == 0
    mocked = command("runs", "save", "@last", "--as", "mocked", "--mock", "a")
    reports_outputs = has(release, "step_outputs")
    assert mocked.code == (0 if reports_outputs else 2), mocked
    tested = command("test", "asks.yaml", "--coverage")
    assert tested.code == 0, tested
    assert f"asks.yaml: {2 if reports_outputs else 1} passed" in tested.stdout
    assert "asks.yaml: 1 of 1 step reached (100 %)" in tested.stdout
